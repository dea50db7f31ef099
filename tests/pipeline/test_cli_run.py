"""`vqa run` and the commands beside it on a real Ray of its own, as an operator uses them from two shells."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from vqa_ray.media.synthetic.files import write_file
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.script import Fault, FaultKind

pytestmark = pytest.mark.ray
VQA = [sys.executable, "-c", "from vqa_ray.cli.main import main; main()"]
LIMIT_S = 90.0


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Starts `vqa` with control state and working directory of this test alone."""
    monkeypatch.chdir(tmp_path)
    environ = os.environ | {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONUNBUFFERED": "1"}
    environ.pop("RAY_ADDRESS", None)
    started = []

    def start(*words):
        child = subprocess.Popen([*VQA, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


def finished(child):
    stdout, stderr = child.communicate(timeout=LIMIT_S)
    return child.returncode, stdout, stderr


def test_a_fleet_of_files_is_read_to_its_end(shell, tmp_path):
    write_file(tmp_path / "bad.mp4", 6.0, Programme(width=320, height=180), [Fault(FaultKind.BLACK, 2.0, 2.0)])
    write_file(tmp_path / "good.mp4", 3.0, Programme(width=320, height=180))
    (tmp_path / "fleet.yaml").write_text(
        "streams: [{id: bad, url: bad.mp4}, {id: good, url: good.mp4}]\nstore: results\n"
    )
    code, stdout, stderr = finished(shell("run", "fleet.yaml"))
    assert "bad  black" in stdout
    assert stdout.splitlines()[-2:] == ["fleet.yaml: 1 incident (1 black)", "stopped"], stdout + stderr
    assert (code, stderr) == (1, "")
    assert list((tmp_path / "results").rglob("*.parquet"))


def test_another_shell_sees_changes_and_ends_the_fleet(shell, tmp_path):
    (tmp_path / "fleet.yaml").write_text("streams: [{id: quiet, url: 'udp://127.0.0.1:46894'}]\n")
    running = shell("run", "fleet.yaml")
    line = ""
    while "signal_loss" not in line:
        line = running.stdout.readline()
        assert line, running.communicate()
    code, stdout, _ = finished(shell("status", "--json"))
    assert (code, json.loads(stdout)["streams"][0]["stream_id"]) == (1, "quiet")
    code, stdout, _ = finished(shell("incidents", "--open", "--json"))
    assert (code, json.loads(stdout)["detector"]) == (1, "signal_loss")

    (tmp_path / "fleet.yaml").write_text("streams: [{id: other, url: 'udp://127.0.0.1:46895'}]\n")
    assert finished(shell("apply", "fleet.yaml"))[:2] == (0, "1 added, 1 removed\n")
    assert "other" in finished(shell("status"))[1]

    began_s = time.monotonic()
    running.send_signal(signal.SIGINT)
    code, stdout, stderr = finished(running)
    assert (code, stdout.splitlines()[-1], stderr) == (1, "stopped", "")
    assert time.monotonic() - began_s < 30
    assert finished(shell("status"))[0] == 2
