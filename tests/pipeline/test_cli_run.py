"""`vqa run` and the commands beside it on a real Ray of its own, as an operator uses them from two shells."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
        child = subprocess.Popen(
            [*VQA, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            start_new_session=True,  # a process group of its own, as a shell makes for each command
        )
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
    proof = [path.name for path in (tmp_path / "results" / "evidence").rglob("stream=bad/*/*")]
    assert sorted(proof) == ["first.jpg", "start.jpg", "start.json", "start.mp4"]


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


def line_with(child, words):
    line = ""
    while words not in line:
        line = child.stdout.readline()
        assert line, child.communicate()
    return line


def left_behind(home):
    """Processes that were started with this HOME and still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"HOME={home}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
    return found


def assert_nothing_is_left(home):
    deadline_s = time.monotonic() + 15
    while (left := left_behind(home)) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert left == []


def test_sigterm_ends_what_was_started_and_leaves_what_was_joined(shell, tmp_path):
    (tmp_path / "fleet.yaml").write_text("streams: [{id: quiet, url: 'udp://127.0.0.1:46896'}]\n")
    owner = shell("run", "fleet.yaml")
    line_with(owner, "source  quiet")
    address = json.loads((tmp_path / "state" / "vqa" / "ray.json").read_text())["address"]
    guest = shell("run", "fleet.yaml", "--address", address)
    line_with(guest, "source  quiet")

    guest.send_signal(signal.SIGTERM)
    code, stdout, stderr = finished(guest)
    assert (code in (0, 1), stderr) == (True, "")
    assert stdout.splitlines()[-1] == "the fleet goes on: `vqa status` shows it, `vqa stop` ends it"
    assert "quiet" in finished(shell("status"))[1]

    owner.send_signal(signal.SIGTERM)
    code, stdout, stderr = finished(owner)
    assert (code in (0, 1), stdout.splitlines()[-1], stderr) == (True, "stopped", "")
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_ray_starts_leaves_nothing_behind(shell, tmp_path, end):
    (tmp_path / "fleet.yaml").write_text("streams: [{id: quiet, url: 'udp://127.0.0.1:46897'}]\n")
    child = shell("run", "fleet.yaml")
    deadline_s = time.monotonic() + LIMIT_S
    while not any("raylet" in words or "gcs_server" in words for words in left_behind(tmp_path)):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    child.send_signal(end)
    code, _, stderr = finished(child)
    assert code in (0, 1, 130)
    assert "Traceback" not in stderr
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("end", ["sigterm", "ctrl-c"])
def test_a_demo_that_is_interrupted_leaves_no_process_behind(shell, tmp_path, end):
    child = shell("demo")
    line_with(child, "live streams, encoded on this machine")
    time.sleep(1.0)
    if end == "ctrl-c":
        os.killpg(child.pid, signal.SIGINT)  # a terminal sends it to the whole group
    else:
        child.send_signal(signal.SIGTERM)
    code, stdout, stderr = finished(child)
    assert stdout.splitlines()[-1] == "interrupted; everything that the demo started is stopped", stdout + stderr
    assert (code, stderr) == (130, "")
    assert_nothing_is_left(tmp_path)
