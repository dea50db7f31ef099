"""How detections are judged: cases worked by hand, and the same figures as other implementations of the rules."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.plain_scorer import plain_score
from vqa_ray.core.labels import Event, Label, LabelledFile, Manifest, Soft
from vqa_ray.core.reasons import reasons
from vqa_ray.core.scoring import Score, score
from vqa_ray.media.labelled import CLASSES as KINDS


def one(kind: str, start: float, end: float) -> Event:
    return Event(kind, start, end)


def judged(labels, found, soft=()) -> Score:
    made = tuple(Label(*label) for label in labels)
    file = LabelledFile("a.ts", made, tuple(Soft(*s) for s in soft), media_seconds=10.0, fps="25/1")
    return score([file], {"a.ts": [one(*event) for event in found]})


def counts(total: Score, kind: str) -> tuple[int, int, int, int]:
    tally = total.of(kind)
    return tally.hits, tally.false, tally.missed, tally.ignored


@pytest.mark.parametrize(
    ("labels", "found", "expected"),
    [
        pytest.param([("black", 2, 4)], [("black", 2, 4)], (1, 0, 0, 0), id="exact"),
        pytest.param([("black", 2, 4)], [("black", 2.5, 9)], (1, 0, 0, 0), id="starts within half a second"),
        pytest.param([("black", 2, 4)], [("black", 2.51, 9)], (0, 1, 1, 0), id="starts too late and shares too little"),
        pytest.param([("black", 2, 6)], [("black", 3, 5)], (1, 0, 0, 0), id="shares one half"),
        pytest.param([("black", 2, 6)], [("black", 3, 4.99)], (0, 1, 1, 0), id="shares just less than one half"),
        pytest.param([("black", 2, 6)], [("black", 2, 3), ("black", 4, 6)], (1, 0, 0, 1), id="second piece is ignored"),
        pytest.param(
            [("black", 2, 3), ("black", 3.4, 4)], [("black", 2, 4)], (1, 0, 1, 0), id="one for two is one hit"
        ),
        pytest.param(
            [("black", 2, 3), ("black", 3.3, 4)], [("black", 2.9, 4)], (1, 0, 1, 0), id="goes to where it fits best"
        ),
        pytest.param([("pts_jump", 3, 3)], [("pts_jump", 3.2, 3.2)], (1, 0, 0, 0), id="events without length"),
        pytest.param([("freeze", 2, 4)], [("black", 2, 4)], (0, 0, 1, 0), id="another class does not count"),
        pytest.param([], [("black", 2, 4)], (0, 1, 0, 0), id="nothing there"),
    ],
)
def test_cases_worked_by_hand(labels, found, expected):
    kind = (labels or found)[0][0]
    assert counts(judged(labels, found), kind) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(("freeze", 2, 4), (0, 0, 0, 1), id="a black picture is frozen, too"),
        pytest.param(("freeze", 4.7, 9), (0, 0, 0, 1), id="what begins just after it is explained"),
        pytest.param(("freeze", 4.8, 9), (0, 1, 0, 0), id="what begins later is not"),
        pytest.param(("freeze", 0, 3), (0, 0, 0, 1), id="half of it lies within"),
        pytest.param(("corruption", 2, 4), (0, 1, 0, 0), id="black explains no corruption"),
    ],
)
def test_what_follows_from_another_defect_counts_neither_way(found, expected):
    assert counts(judged([("black", 2, 4)], [found]), found[0]) == expected


def test_what_is_soft_counts_neither_way_but_a_hit_stays_one():
    soft = [("freeze", 1, 5, "a title card")]
    assert counts(judged([], [("freeze", 4.9, 9)], soft), "freeze") == (0, 0, 0, 1)
    assert counts(judged([], [("freeze", 5.1, 9)], soft), "freeze") == (0, 1, 0, 0)
    assert counts(judged([], [("black", 2, 3)], soft), "black") == (0, 1, 0, 0)
    assert counts(judged([("freeze", 1, 5)], [("freeze", 1, 5)], soft), "freeze") == (1, 0, 0, 0)


def test_a_class_that_the_sample_lacks_has_no_figures_and_one_that_was_all_missed_has_zero():
    total = judged([("black", 2, 4)], [("silence", 7, 8)])
    silence, black, green = total.of("silence"), total.of("black"), total.of("green")
    assert (silence.recall, silence.precision, silence.f1) == (None, 0.0, None)
    assert (black.recall, black.precision, black.f1) == (0.0, None, 0.0)
    assert (green.recall, green.precision, green.f1, green.start_error_s) == (None, None, None, None)


def test_errors_are_told_in_seconds_and_in_frames_of_the_file():
    tally = judged([("black", 2, 4), ("black", 6, 7)], [("black", 2.04, 4), ("black", 5.88, 7.04)]).of("black")
    assert tally.start_error_s == pytest.approx(0.08)
    assert tally.start_error_frames == pytest.approx(2.0)
    assert tally.end_error_s == pytest.approx(0.02)


def test_false_alarms_count_as_clean_ones_only_in_files_without_a_label():
    files = [
        LabelledFile("clean.ts", media_seconds=1800.0),
        LabelledFile("late.ts", (Label("black", 2, 4),), duration=100.0),
    ]
    total = score(files, {"clean.ts": [one("freeze", 1, 2)], "late.ts": [one("freeze", 50, 60)]})
    assert (total.clean_files, total.clean_seconds, total.clean_alarms) == (1, 1800.0, {"freeze": 1})
    assert total.of("freeze").false == 2


def test_forms_and_severities_are_counted_apart():
    labels = (
        Label("freeze", 2, 4, sub="noisy", severity="minor"),
        Label("freeze", 6, 8, sub="exact", severity="minor"),
    )
    total = score([LabelledFile("a.ts", labels)], {"a.ts": [one("freeze", 2, 4)]})
    assert {form: tuple(found) for form, found in total.forms.items()} == {
        "freeze/noisy": (1, 1),
        "freeze/exact": (0, 1),
        "freeze/minor": (1, 2),
    }


def test_reasons_say_what_was_found_instead():
    file = LabelledFile("a.ts", (Label("black", 2, 4, sub="injected"), Label("green", 6, 7), Label("bars", 20, 21)))
    found = {"a.ts": [one("black", 3, 3.5), one("freeze", 6, 7), Event("silence", 40, 41, value=-70.5, reason="all")]}
    lines = list(reasons(score([file], found), found, {"b.ts": "no such file"}))
    assert lines == [
        "unreadable  b.ts: no such file",
        "missed      a.ts: bars 20.00–21.00: nothing was found there",
        "missed      a.ts: black 2.00–4.00 (injected): nearest is 3.00–3.50, 1.00 s late, shares 25%",
        "missed      a.ts: green 6.00–7.00: only freeze 6.00–7.00",
        "false       a.ts: black 3.00–3.50",
        "false       a.ts: silence 40.00–41.00: measured -70.5, all",
    ]


def drawn(seed: int) -> tuple[list[dict], dict[str, list[dict]]]:
    """A set with labels and detections at random, close enough to each other to meet in every way."""
    rng = np.random.default_rng(seed)

    def span(kind: str, at: float) -> dict:
        start = round(max(0.0, at), 3)
        length = 0.0 if kind == "pts_jump" or rng.random() < 0.05 else round(float(rng.exponential(1.5)), 3)
        return {"class": kind, "start": start, "end": start + length}

    files, detections = [], {}
    for number in range(25):
        name = f"{number}.ts"
        labels = [span(str(rng.choice(KINDS)), float(rng.uniform(0, 12))) for _ in range(int(rng.integers(0, 5)))]
        for label in labels:
            label |= {"sub": "x", "severity": "minor", "offset_ms": 100.0}
        soft = [span(str(rng.choice(KINDS)), float(rng.uniform(0, 12))) for _ in range(int(rng.integers(0, 2)))]
        near = [span(one["class"], one["start"] + float(rng.normal(0, 0.5))) for one in labels for _ in range(2)]
        others = [span(str(rng.choice(KINDS)), float(rng.uniform(0, 14))) for _ in range(int(rng.integers(0, 6)))]
        detections[name] = [*near, *others]
        files.append({"file": name, "labels": labels, "soft": soft, "duration": 14.0, "fps": "25/1"})
    return files, detections


def ours(files: list[dict], detections: dict[str, list[dict]]) -> Score:
    manifest = msgspec.json.decode(json.dumps({"files": files}), type=Manifest)
    return score(manifest.files, msgspec.convert(detections, dict[str, list[Event]]))


@pytest.mark.parametrize("seed", range(20))
def test_the_figures_are_those_of_the_rules_written_down_plainly(seed):
    files, detections = drawn(seed)
    plain, total = plain_score(files, detections), ours(files, detections)
    assert total.clean_false == plain["clean"]
    assert set(total.classes) == set(plain["classes"])
    for kind, row in plain["classes"].items():
        assert counts(total, kind) == (row["tp"], row["fp"], row["fn"], row["ignored"]), kind
        starts = [abs(error) for error in row["starts"]]
        assert total.of(kind).start_error_s == (statistics.median(starts) if starts else None)


SCORERS = [Path(path) for path in os.environ.get("VQA_SCORERS", "").split(os.pathsep) if path and Path(path).exists()]


def test_the_figures_are_those_of_other_scorers_at_hand(tmp_path):
    """VQA_SCORERS names programs that take MANIFEST DETECTIONS -o OUT, as one who publishes a labelled set has them."""
    files, detections = drawn(77)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    (tmp_path / "found.json").write_text(json.dumps(detections))
    total = ours(files, detections)
    for scorer in SCORERS:
        out = tmp_path / "out.json"
        arguments = [str(tmp_path / "manifest.json"), str(tmp_path / "found.json"), "-o", str(out)]
        subprocess.run([sys.executable, str(scorer), *arguments], check=True, capture_output=True)
        theirs = json.loads(out.read_text())
        assert theirs["clean"]["false_alarms"] == total.clean_false
        assert set(theirs["classes"]) == set(total.classes)
        for kind, row in theirs["classes"].items():
            tally = total.of(kind)
            assert counts(total, kind) == (row["tp"], row["fp"], row["fn"], row["ignored"]), kind
            for name, value in (("precision", tally.precision), ("recall", tally.recall), ("f1", tally.f1)):
                assert row[name] == (None if value is None else pytest.approx(value, abs=6e-4)), (kind, name)
            if tally.start_error_s is not None:
                assert row["start_err_ms_median"] == pytest.approx(tally.start_error_s * 1e3, abs=0.06)
