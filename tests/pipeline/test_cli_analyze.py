"""The commands on real media: `vqa analyze` and `vqa probe` as a user calls them."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

import vqa_ray
from vqa_ray.cli.main import cli
from vqa_ray.media.synthetic.files import write_file
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.script import Fault, FaultKind

VQA = [sys.executable, "-c", "from vqa_ray.cli.main import main; main()"]


def vqa(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)), prog_name="vqa")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Eight seconds with black from 2 s to 4 s."""
    path = tmp_path_factory.mktemp("media") / "faulty.mp4"
    programme = Programme(width=320, height=180)
    return write_file(path, 8.0, programme, [Fault(FaultKind.BLACK, 2.0, 2.0)])


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    return write_file(tmp_path_factory.mktemp("media") / "fine.ts", 4.0, Programme(width=320, height=180))


def test_a_file_without_faults_exits_with_0(fine):
    result = vqa("analyze", fine)
    assert (result.exit_code, result.stdout) == (0, ""), result.output


def test_a_file_with_black_gives_its_start_and_end_exact_to_the_frame(faulty):
    result = vqa("analyze", faulty, "--json", "--detectors", "black")
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (line["stream_id"], line["detector"]) == ("faulty", "black")
    assert (line["start_s"], line["end_s"]) == (pytest.approx(2.0, abs=0.021), pytest.approx(4.0, abs=0.021))
    assert result.exit_code == 1


def test_the_library_finds_the_same_as_the_command(faulty):
    said = [json.loads(line) for line in vqa("analyze", faulty, "--json").stdout.splitlines()]
    found = {one.incident_id: one for one in vqa_ray.analyze(str(faulty), stream_id="faulty")}
    assert [(one["detector"], one["start_s"], one["end_s"]) for one in said] == [
        (one.detector, one.start_s, one.end_s) for one in found.values()
    ]


def test_results_can_be_kept_and_read_again(faulty, tmp_path):
    result = vqa("analyze", faulty, "--detectors", "black", "--store", tmp_path / "results")
    assert result.exit_code == 1
    (incident,) = vqa_ray.read_incidents(str(tmp_path / "results"))
    assert (incident.detector, incident.open) == ("black", False)
    windows = vqa_ray.read_windows(str(tmp_path / "results"))
    assert windows.filter(pc.equal(windows["detector"], "black")).num_rows == 8
    assert set(windows["detector"].to_pylist()) == {"black", "health"}


def test_small_files_of_the_hours_before_are_merged_on_the_way(fine, faulty, tmp_path):
    results = tmp_path / "results"
    for number in range(4):
        vqa("analyze", faulty, "--detectors", "black", "--store", results, "--stream-id", f"s{number}")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d")
    for hour in results.glob("*/date=*/hour=*"):
        for file in hour.iterdir():
            moved = hour.parent.with_name(f"date={yesterday}") / "hour=05" / file.name
            moved.parent.mkdir(parents=True, exist_ok=True)
            file.rename(moved)
    before = vqa_ray.read_windows(str(results)), vqa_ray.read_incidents(str(results))
    parts = set(results.rglob("*.parquet"))
    assert len(parts) == 8
    vqa("analyze", fine, "--detectors", "null", "--store", results)
    merged = [file for file in results.rglob("*.parquet") if f"date={yesterday}" in str(file) and file not in parts]
    assert len(merged) == 2
    for file in merged:  # as if the next call came later, when no reader can be on its way to the parts
        os.utime(file, (time.time() - 3600,) * 2)
    vqa("analyze", fine, "--detectors", "null", "--store", results)
    assert set(results.rglob(f"date={yesterday}/hour=05/*.parquet")) == set(merged)
    after = vqa_ray.read_windows(str(results)), vqa_ray.read_incidents(str(results))
    assert after[1] == before[1]
    of_faulty = after[0].filter(pc.starts_with(after[0]["stream"], "s"))
    assert of_faulty.equals(before[0])


@pytest.mark.parametrize("words", [("no/such.mp4",), ("http://me:hunter2@127.0.0.1:9/x.ts",)], ids=["file", "live"])
def test_what_cannot_be_opened_exits_with_2_and_one_line(words):
    done = subprocess.run([*VQA, "analyze", *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("vqa: ")
    assert "hunter2" not in done.stderr


def test_a_text_file_is_no_media(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no video at all\n" * 100)
    result = vqa("analyze", path)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_ends_a_live_watch_within_seconds(end):
    silent = "udp://127.0.0.1:46893"
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(
        [*VQA, "analyze", silent, "--wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    try:
        assert child.stdout is not None
        assert "signal_loss" in child.stdout.readline()  # it watches, and says that nothing comes
        child.send_signal(end)
        began_s = time.monotonic()
        stdout, stderr = child.communicate(timeout=30)
    finally:
        child.kill()
    assert time.monotonic() - began_s < 10
    assert child.returncode == 1
    assert "1 incident (1 signal_loss)" in stdout
    assert "Traceback" not in stderr


def test_probe_says_what_an_input_holds(fine):
    result = vqa("probe", fine)
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert result.exit_code == 0
    assert "mpegts" in rows["format"]
    assert all(words in rows["video"] for words in ("h264", "320x180", "25 frames a second", "yuv420p"))
    assert all(words in rows["audio"] for words in ("aac", "48000 Hz", "stereo"))


def test_probe_as_json_is_one_object(fine):
    record = json.loads(vqa("probe", fine, "--json").stdout)
    assert record["video"]["width"] == 320
    assert record["live"] is False


def test_probe_gives_the_hash_by_which_a_slate_is_known_again(fine, tmp_path):
    result = vqa("probe", fine, "--slate", "1.0")
    assert (result.exit_code, len(result.stdout.strip())) == (0, 16)
    known = f"detectors: {{slate: {{hashes: ['{result.stdout.strip()}'], max_distance: 0, raise_after_s: 0}}}}"
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(f"profiles: {{card: {{extends: qc, {known}}}}}\nstreams: []\n")
    found = vqa("analyze", fine, "--fleet", str(fleet), "--profile", "card", "--detectors", "slate", "--json").stdout
    assert '"slate"' in found
    assert vqa("probe", fine, "--slate", "9000").exit_code == 2


def test_probe_of_nothing_exits_with_2(tmp_path):
    result = vqa("probe", tmp_path / "missing.ts")
    assert (result.exit_code, result.stdout) == (2, "")
