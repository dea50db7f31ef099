"""`vqa analyze`: what is asked of the library, what is printed, and the exit code. The library is a stand-in here."""

import json

import pytest
from click.testing import CliRunner

from tests.unit.cli_fakes import incident
from vqa_ray import config
from vqa_ray.cli.main import cli
from vqa_ray.cli.report import name_of
from vqa_ray.errors import NotMedia, SourceUnavailable
from vqa_ray.pipeline import local


class FakeAnalysis:
    """Stands for `local.analyze`: gives the incidents, then raises the error, if there is one."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: dict[str, object] = {}
        self.gives: list[object] = []
        self.error: BaseException | None = None
        self.closed = False

    def __call__(self, url, **asked):
        self.url, self.asked = url, asked
        return self._run(asked["on_progress"])

    def _run(self, on_progress):
        try:
            on_progress(1.0, 10.0)
            yield from self.gives
            on_progress(10.0, 10.0)
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


@pytest.fixture
def analysis(monkeypatch):
    fake = FakeAnalysis()
    monkeypatch.setattr(local, "analyze", fake)
    return fake


def vqa(*arguments):
    return CliRunner().invoke(cli, ["analyze", *map(str, arguments)], prog_name="vqa")


def test_without_incidents_the_exit_code_is_0(analysis):
    result = vqa("a.mp4")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "a.mp4: no incidents in 10.0 s, analysed in " in result.stderr
    assert analysis.closed


def test_a_file_gives_a_table_in_media_time_and_exit_code_1(analysis):
    analysis.gives = [incident(end_s=None), incident()]
    result = vqa("a.mp4")
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["start", "end", "length", "detector", "part", "severity", "worst"],
        ["0:00:03.000", "0:00:04.500", "1.50", "s", "black", "major", "100%", "dark"],
    ]
    assert "1 incident (1 black)" in result.stderr


def test_a_live_input_gives_lines_as_it_happens_and_a_table(analysis):
    analysis.gives = [incident(end_s=None), incident()]
    result = vqa("udp://127.0.0.1:5000")
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[0] == "12:00:03.0  ▲ began  black  major"
    assert lines[1] == "12:00:04.5  ▽ ended  black  after 1.50 s, worst 100% dark"
    assert lines[-2].startswith("12:00:03.0  12:00:04.5  1.50 s  black")
    assert result.exit_code == 1


def test_json_is_one_object_a_line_and_incident(analysis):
    analysis.gives = [incident(end_s=None), incident("freeze", 7.0, None), incident()]
    result = vqa("a.mp4", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["detector"], line["start_s"], line["end_s"]) for line in lines] == [
        ("black", 3.0, 4.5),
        ("freeze", 7.0, None),
    ]
    names = "incident_id stream_id detector severity part value unit start_s end_s start_utc end_utc"
    assert set(lines[0]) >= set(names.split())
    assert (result.exit_code, result.stderr) == (1, "")


@pytest.mark.parametrize(("url", "profile"), [("a.mp4", config.QC), ("udp://127.0.0.1:5000", config.LIVE)])
def test_the_profile_fits_the_input(analysis, url, profile):
    vqa(url)
    assert analysis.asked["profile"] == profile


def test_options_reach_the_library(analysis):
    vqa("a.mp4", "--profile", "live", "--detectors", "null, black", "--duration", "3", "--stream-id", "cam-1", "--wait")
    profile = analysis.asked["profile"]
    assert [spec.id for spec in profile.specs] == ["null", "black"]
    assert profile.detectors.black == config.LIVE.detectors.black
    asked = {name: analysis.asked[name] for name in ("duration_s", "stream_id", "wait")}
    assert asked == {"duration_s": 3.0, "stream_id": "cam-1", "wait": True}


def test_a_profile_may_come_from_a_fleet_file(analysis, tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("profiles: {mine: {extends: qc, detectors: {black: {raise_after_s: 9}}}}")
    vqa("a.mp4", "--fleet", path, "--profile", "mine")
    assert analysis.asked["profile"].detectors.black.raise_after_s == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--profile", "cq"), "vqa: --profile: there is no profile 'cq'; there are: live, qc\n"),
        (("--detectors", "blak"), "vqa: detector 'blak': there is no such name; did you mean 'black'?\n"),
        (
            ("--stream-id", "a b"),
            "vqa: --stream-id 'a b' is refused: give letters, digits and . _ - after a letter or a digit\n",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(analysis, arguments, message):
    result = vqa("a.mp4", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
    assert not analysis.asked


def test_srt_is_refused_with_what_to_do_instead(analysis):
    result = vqa("srt://me:hunter2@host:9")
    assert result.exit_code == 2
    assert "srt-live-transmit" in result.stderr
    assert "hunter2" not in result.output


def test_an_input_that_cannot_be_opened_is_one_line_and_exit_code_2(analysis):
    analysis.error = SourceUnavailable("rtsp://me:***@host/: connection refused")
    result = vqa("rtsp://me:hunter2@host/")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "vqa: rtsp://me:***@host/: connection refused\n"


def test_what_was_found_before_an_error_is_shown(analysis):
    analysis.gives, analysis.error = [incident()], NotMedia("a.mp4: breaks off")
    result = vqa("a.mp4")
    assert result.exit_code == 2
    assert "0:00:03.000" in result.stdout
    assert "broken off: a.mp4: 1 incident" in result.stderr
    assert result.stderr.endswith("vqa: a.mp4: breaks off\n")


def test_ctrl_c_ends_a_live_watch_with_what_was_found(analysis):
    analysis.gives, analysis.error = [incident(end_s=None)], KeyboardInterrupt()
    result = vqa("udp://127.0.0.1:5000")
    assert result.exit_code == 1
    assert "1 incident (1 black)" in result.stdout


def test_ctrl_c_breaks_a_file_off(analysis):
    analysis.error = KeyboardInterrupt()
    result = vqa("a.mp4")
    assert result.exit_code == 130
    assert "broken off: a.mp4: no incidents" in result.stderr


def test_a_password_is_not_printed(analysis):
    analysis.gives = [incident(end_s=None, reason="rtsp://me:hunter2@host/ refused")]
    result = vqa("rtsp://me:hunter2@host/")
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/media/My Film (1).mp4", "My-Film-1"),
        ("udp://239.0.0.1:5000", "239.0.0.1-5000"),
        ("rtsp://me:secret@host/cam/1?token=abc", "host-cam-1"),
        ("/media/äöü.ts", "input"),
    ],
)
def test_a_stream_id_is_made_of_the_inputs_name(url, name):
    assert name_of(url) == name


@pytest.mark.parametrize(
    "arguments", [("udp://127.0.0.1:99999999",), ("x.mp4", "--detectors", ","), ("http://[::1/x",)]
)
def test_what_makes_no_sense_is_refused_in_a_line(arguments):
    result = CliRunner().invoke(cli, ["analyze", *arguments], prog_name="vqa")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("vqa: ")
    assert "internal error" not in result.stderr
