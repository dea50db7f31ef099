"""`vqa evaluate` and `vqa inject`: what is printed, and the exit code. The analysis is a stand-in here."""

import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.unit.cli_fakes import incident
from vqa_ray.cli import scores
from vqa_ray.cli.main import cli
from vqa_ray.core.labels import Event, Label, LabelledFile
from vqa_ray.core.scoring import score
from vqa_ray.errors import SourceUnavailable
from vqa_ray.media.labelled import CLASSES
from vqa_ray.pipeline import evaluate

LABELS = [
    {"class": "black", "start": 2.0, "end": 4.0, "sub": "injected", "severity": "minor"},
    {"class": "freeze", "start": 6.0, "end": 8.0},
]
FILES = [
    {"file": "a.ts", "fps": "25/1", "duration": 10.0, "labels": LABELS, "licence": "mine"},
    {"file": "clean.ts", "fps": "25/1", "media_seconds": 3600.0},
]


@pytest.fixture
def found(monkeypatch):
    """What the analysis gives by file name; an exception is raised."""
    gives: dict[str, object] = {}

    def analyze(url, *, profile):
        given = gives.get(url.rpartition("/")[2], [])
        if isinstance(given, Exception):
            raise given
        yield from given

    monkeypatch.setattr(evaluate, "analyze", analyze)
    return gives


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"files": FILES}))
    return path


def vqa(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="vqa")


def test_all_found_and_nothing_else_exits_with_0(manifest, found):
    found["a.ts"] = [incident("black", 2.0, None), incident("black", 2.0, 4.0), incident("freeze", 6.0, 8.0)]
    result = vqa("evaluate", manifest)
    assert result.exit_code == 0, result.output
    assert "1/1" in result.output
    assert "more than 3 an hour (71.9 a day) are excluded" in result.output


def test_a_miss_and_a_false_alarm_exit_with_1_and_are_explained(manifest, found):
    found["a.ts"] = [incident("black", 2.0, 4.0)]
    found["clean.ts"] = [incident("silence", 5.0, 9.0, value=-72.0, reason="all channels")]
    result = vqa("evaluate", manifest, "--errors")
    assert result.exit_code == 1
    assert "missed      a.ts: freeze 6.00–8.00: nothing was found there" in result.output
    assert "false       clean.ts: silence 5.00–9.00: measured -72, all channels" in result.output


def test_a_file_that_cannot_be_read_is_told_and_its_labels_are_missed(manifest, found):
    found["a.ts"] = SourceUnavailable("a.ts: no such file")
    result = vqa("evaluate", manifest, "--errors")
    assert result.exit_code == 1
    assert "unreadable  a.ts: a.ts: no such file" in result.output
    assert "0/1" in result.output


def test_json_has_figures_intervals_and_what_was_wrong(manifest, found):
    found["a.ts"] = [incident("black", 2.04, 4.0)]
    told = json.loads(vqa("evaluate", manifest, "--json").output)
    black = told["classes"]["black"]
    assert (black["found"], black["recall"], black["start_error_ms"], black["start_error_frames"]) == (
        1,
        1.0,
        40.0,
        1.0,
    )
    assert black["recall_95"][1] == 1.0
    assert told["classes"]["freeze"]["precision_95"] is None
    assert told["clean"]["hours"] == 1.0
    assert [miss["label"]["class"] for miss in told["missed"]] == ["freeze"]
    assert told["forms"]["black/injected"] == {"found": 1, "of": 1}


def test_what_was_found_can_be_kept(manifest, found, tmp_path):
    found["a.ts"] = [incident("black", 2.0, 4.0)]
    vqa("evaluate", manifest, "--save", tmp_path / "found.json")
    kept = json.loads((tmp_path / "found.json").read_text())
    assert kept["clean.ts"] == []
    assert (kept["a.ts"][0]["class"], kept["a.ts"][0]["start"], kept["a.ts"][0]["end"]) == ("black", 2.0, 4.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "no manifest of labelled files"),
        ('{"files": [{"file": "a.ts", "labels": [{"class": "black", "start": "2"}]}]}', "labels[0].start"),
        ('{"files": [{"file": "../a.ts"}]}', "files lie beside their manifest"),
        ('{"files": [{"file": "/etc/passwd"}]}', "files lie beside their manifest"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_place(tmp_path, text, words):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    result = vqa("evaluate", path)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_manifest_that_is_not_there_is_refused(tmp_path):
    assert vqa("evaluate", tmp_path / "none.json").exit_code == 2


def test_the_table_fits_80_columns_with_every_class_and_hundreds_of_events():
    labels = tuple(Label(kind, 5.0 * n, 5.0 * n + 2) for kind in CLASSES for n in range(10))
    events = [Event(label.kind, label.start + 0.4, label.end + 0.4) for label in labels[::2]]
    files = [LabelledFile(f"{n}", labels, fps="25/1") for n in range(100)]
    table = scores.score_table(score(files, {file.file: events for file in files}), "profile qc")
    out = Console(width=80, color_system=None)
    with out.capture() as captured:
        out.print(table)
    lines = captured.get().splitlines()
    assert len(lines) == len(CLASSES) + 3
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert "500/1000" in captured.get()


@pytest.mark.parametrize(
    ("hits", "of", "words"),
    [
        (400, 400, "are shown for black"),
        (5, 5, "Too few events to tell (without a miss, 189 would show 98 %): black"),
        (5, 10, "The sample excludes 98 % for black"),
    ],
)
def test_no_claim_goes_beyond_the_sample(hits, of, words):
    labels = tuple(Label("black", 10.0 * n, 10.0 * n + 2) for n in range(of))
    total = score([LabelledFile("a", labels)], {"a": [Event("black", one.start, one.end) for one in labels[:hits]]})
    assert words in " ".join(scores.claims(total))


def test_a_wrong_class_is_refused_with_a_guess(tmp_path):
    result = vqa("inject", tmp_path / "new", "--classes", "black,freze")
    assert result.exit_code == 2
    assert "there is no class 'freze'" in result.output
    assert "freeze" in result.output


def test_nothing_is_written_into_a_folder_that_holds_something(manifest):
    result = vqa("inject", manifest.parent)
    assert result.exit_code == 2
    assert "not empty" in result.output
