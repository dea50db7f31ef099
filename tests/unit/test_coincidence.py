"""Coincidence: what is worse together, what sound makes milder, and how a change is told."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import film, panned, picture, sound, texture
from tests.unit.test_analysis import analysis, spec
from tests.unit.test_incident import ORIGIN, frames, rule
from vqa_ray.core.incident import IncidentBook
from vqa_ray.core.notice import RANKS, NoticeKind, notice_of
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Severity
from vqa_ray.sinks.alertmanager import AlertmanagerSpec, alerts

SECOND = 25  # frames


def together(*, audible: bool = False) -> IncidentBook:
    rules = [
        rule("black", raise_after_s=0.2, worse_with=("silence",)),
        rule("freeze", hidden_by=("black",), worse_with=("silence",), severity_with_sound=Severity.MINOR),
        rule("silence", raise_after_s=0.4),
    ]
    return IncidentBook("s", rules, ORIGIN, audible=lambda: audible)


def play(machine: IncidentBook, **bits: str):
    """Feed the detectors frame by frame, side by side."""
    told = []
    for number, marks in enumerate(zip(*bits.values(), strict=True)):
        for detector, mark in zip(bits, marks, strict=True):
            told += machine.step(detector, frames(mark, number))
    return told


def severities(told, detector: str) -> list[tuple[str, str]]:
    return [(kind.value, i.severity.value) for kind, i in told if i.detector == detector]


def test_black_with_silence_becomes_critical_and_that_is_told_as_a_change():
    told = play(together(), black="X" * 60 + ".", silence="X" * 60 + ".")
    assert severities(told, "black") == [("opened", "major"), ("changed", "critical"), ("closed", "critical")]
    assert severities(told, "silence") == [("opened", "major"), ("closed", "major")]
    changed = next(i for kind, i in told if kind is NoticeKind.CHANGED)
    assert changed.open
    assert (changed.severity_before, changed.reason) == (Severity.MAJOR, "together with silence")
    assert told[-2][1].severity_before is Severity.MAJOR


def test_a_picture_that_dies_in_a_silence_that_lasts_is_still_told_first_and_raised_a_second_later():
    told = play(together(), black="." * 50 + "X" * 50, silence="X" * 100)
    kinds = [(kind.value, i.severity.value) for kind, i in told if i.detector == "black"]
    assert kinds == [("opened", "major"), ("changed", "critical")]


def test_one_that_opens_when_both_have_lasted_long_enough_is_critical_from_the_start():
    rules = [rule("black", raise_after_s=2.0, worse_with=("silence",)), rule("silence")]
    told = play(IncidentBook("s", rules, ORIGIN), black="X" * 60, silence="X" * 60)
    assert severities(told, "black") == [("opened", "critical")]


def test_less_than_a_second_of_both_between_programmes_is_no_coincidence():
    told = play(together(), black="X" * 24 + "." * 30, silence="X" * 24 + "." * 30)
    assert NoticeKind.CHANGED not in [kind for kind, _ in told]


def test_black_with_sound_stays_what_it_is():
    told = play(together(audible=True), black="X" * 60, silence="." * 60)
    assert severities(told, "black") == [("opened", "major")]


def test_a_still_that_opens_with_sound_is_milder_and_rises_when_the_sound_is_gone():
    told = play(together(audible=True), freeze="X" * 100, silence="." * 50 + "X" * 50)
    assert severities(told, "freeze") == [("opened", "minor"), ("changed", "critical")]


def test_a_change_is_told_once_and_by_the_next_owner_neither_again():
    machine = together()
    told = play(machine, black="X" * 60, silence="X" * 60)
    second = together()
    second.resume(machine.state())
    told += second.step("black", frames("X" * 30, 60)) + second.step("silence", frames("X" * 30, 60))
    assert [kind for kind, _ in told].count(NoticeKind.CHANGED) == 1


def test_whoever_finds_a_change_gives_it_the_same_key():
    (changed,) = (i for kind, i in play(together(), black="X" * 60, silence="X" * 60) if kind is NoticeKind.CHANGED)
    notice = notice_of(NoticeKind.CHANGED, changed, datetime.now(UTC))
    assert notice.key == f"{changed.incident_id}:changed:{RANKS[Severity.CRITICAL]}"
    assert notice_of(NoticeKind.CLOSED, changed, datetime.now(UTC)).sequence == 0


RUNS = st.text(alphabet=".X", max_size=8).map(lambda runs: "".join(20 * run for run in runs).ljust(160, "."))


@given(RUNS, RUNS, RUNS, st.booleans(), st.integers(0, 160))
def test_severity_only_rises_between_opening_and_closing_for_any_bits(black, freeze, silence, audible, cut):
    bits = {"black": black, "freeze": freeze, "silence": silence}
    machine = together(audible=audible)
    told = play(machine, **{name: runs[:cut] for name, runs in bits.items()})
    second = together(audible=audible)
    second.resume(machine.state())  # a hand-over at any frame changes nothing
    for number in range(cut, 160):
        for detector, runs in bits.items():
            told += second.step(detector, frames(runs[number], number))
    told += second.finish()
    last: dict[str, Severity] = {}
    for kind, incident in told:
        key = incident.incident_id
        assert (kind is NoticeKind.OPENED) == (key not in last)
        if kind is NoticeKind.CHANGED:
            assert incident.open
            assert RANKS[incident.severity] > RANKS[last[key]]
            assert incident.severity_before is last[key]
        elif kind is NoticeKind.CLOSED:
            assert incident.severity is last[key]
        last[key] = incident.severity
    assert {key for key, _ in last.items()} == {i.incident_id for kind, i in told if kind is NoticeKind.CLOSED}
    assert all(i.severity is Severity.MAJOR for _, i in told if i.detector == "silence")


def frozen() -> list[Picture]:
    """A second of movement, and three without."""
    return film(panned(min(number, 25)) for number in range(100))


def test_a_freeze_under_speech_takes_the_severity_that_its_option_says():
    speech = 0.1 * np.random.default_rng(0).standard_normal((2, 4800))
    watched = analysis(spec("freeze", raise_after_s=2.0, with_sound=Severity.INFO), spec("silence"))
    found = []
    for number, one in enumerate(frozen()):
        found += watched.feed(one)
        if number % 5 == 0:
            found += watched.feed(sound(speech, number / 25))
    assert [(kind.value, i.detector, i.severity) for kind, i in found] == [("opened", "freeze", Severity.INFO)]


def test_without_sound_or_without_silence_being_watched_a_freeze_is_what_it_is():
    for others in ((), (spec("silence"),)):
        watched = analysis(spec("freeze", raise_after_s=2.0, with_sound=Severity.INFO), *others)
        found = [t for one in frozen() for t in watched.feed(one)]
        assert [i.severity for _, i in found] == [Severity.MAJOR]


def test_the_health_of_each_second_is_a_row_of_the_windows():
    rows = []
    watched = analysis(spec("black", raise_after_s=0.0, clear_after_s=0.0), on_rows=rows.extend)
    for number in range(200):
        watched.feed(picture(texture() if not 60 <= number < 90 else np.full((360, 640), 16, np.uint8), number))
    watched.flush()
    health = [row for row in rows if row.detector == "health"]
    assert [row.start_s for row in health] == [float(second) for second in range(8)]
    assert [round(row.min) for row in health][:4] == [100, 100, 60, 60]
    assert 60 < health[4].min < health[5].min < health[7].min < 100


def test_of_one_incident_one_alert_fires_however_often_its_severity_rises():
    told = play(together(), black="X" * 60 + ".", silence="X" * 60 + ".")
    now = ORIGIN + timedelta(seconds=3)
    firing: dict[str, datetime] = {}
    counts = []
    for kind, incident in told:
        if incident.detector != "black":
            continue
        for alert in alerts(notice_of(kind, incident, now), AlertmanagerSpec(url="http://am:9093"), now):
            assert alert["endsAt"] >= alert["startsAt"]
            firing[msgspec.json.encode(alert["labels"]).decode()] = alert["endsAt"]
        counts.append((kind.value, [labels for labels, end in firing.items() if end > now]))
    assert [(kind, len(open_now)) for kind, open_now in counts] == [("opened", 1), ("changed", 1), ("closed", 0)]
    assert '"severity":"critical"' in counts[1][1][0]
