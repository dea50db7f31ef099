"""What is told and what is held back."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.noise import Escalation, Gate, Grouping, NoiseOptions, Telling, Why
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.quiet import Mute, Quiet, Window
from vqa_ray.core.reading import Severity

BEGAN = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
OPENED, CHANGED, CLOSED = NoticeKind.OPENED, NoticeKind.CHANGED, NoticeKind.CLOSED


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def incident(number: int, start_s: float = 0.0, end_s: float | None = None, **about: object) -> Incident:
    known = {
        "incident_id": f"i{number}",
        "stream_id": f"s{number}",
        "detector": "black",
        "severity": Severity.MAJOR,
        "start_s": start_s,
        "end_s": end_s,
        "start_utc": at(start_s),
        "end_utc": None if end_s is None else at(end_s),
        "value": 1.0,
        "unit": "share",
        "labels": {"channel": "news"},
    }
    return Incident(**(known | about))  # type: ignore[arg-type]


def opened(number: int, start_s: float = 0.0, **about: object) -> Notice:
    return Notice(kind=OPENED, incident=incident(number, start_s, **about), noticed_utc=at(start_s))


def closed(number: int, start_s: float, end_s: float, **about: object) -> Notice:
    return Notice(kind=CLOSED, incident=incident(number, start_s, end_s, **about), noticed_utc=at(end_s))


def risen(number: int, at_s: float, severity: Severity = Severity.CRITICAL) -> Notice:
    worse = incident(number, severity=severity, severity_before=Severity.MAJOR)
    return Notice(kind=CHANGED, incident=worse, noticed_utc=at(at_s), sequence=3)


def kinds(told: list[Notice]) -> list[tuple[str, str]]:
    return [(one.incident.incident_id, one.kind.value) for one in told]


def muted(until_s: float, **scope: object) -> Quiet:
    return Quiet(mutes=(Mute(mute_id="m", by="Ada", until_utc=at(until_s), at_utc=BEGAN, **scope),))  # type: ignore[arg-type]


def test_without_options_everything_is_told_as_it_comes():
    gate = Gate()
    notices = [opened(1), risen(1, 1), closed(1, 0, 2)]
    assert [gate.take(one, one.noticed_utc) for one in notices] == [[one] for one in notices]
    assert gate.look(at(9999)) == []
    assert gate.changes() == {}


def test_what_is_muted_is_not_told_and_neither_is_its_end():
    gate = Gate()
    gate.quiet = muted(60, streams=("s1",))
    assert gate.take(opened(1), at(0)) == []
    assert kinds(gate.take(opened(2), at(0))) == [("i2", "opened")]
    assert gate.look(at(30)) == []
    assert gate.take(closed(1, 0, 31), at(31)) == []
    assert gate.held_back == {Why.QUIET: 1}


def test_what_outlasts_a_mute_is_told_then_as_it_is_by_then():
    gate = Gate()
    gate.quiet = muted(60, detectors=("black",))
    gate.take(opened(1), at(0))
    gate.take(risen(1, 5), at(5))
    (told,) = gate.look(at(61))
    assert (told.kind, told.incident.severity, told.key) == (OPENED, Severity.CRITICAL, "i1:opened")
    assert kinds(gate.take(closed(1, 0, 70), at(70))) == [("i1", "closed")]


def test_a_mute_of_what_was_told_leaves_its_end():
    gate = Gate(NoiseOptions(repeat_s=10.0))
    gate.take(opened(1), at(0))
    gate.quiet = muted(60, labels={"channel": "news"})
    assert gate.look(at(30)) == []
    assert kinds(gate.take(closed(1, 0, 31), at(31))) == [("i1", "closed")]


def test_a_window_returns_in_its_own_time_zone():
    window = Window(name="night", cron="0 3 * * *", minutes=30, time_zone="Europe/Berlin", labels={"channel": "news"})
    quiet = Quiet(windows=(window,))
    assert quiet.why(incident(1), at(0)) == "in the window night"  # 2:00 UTC
    assert quiet.why(incident(1), at(1799)) != ""
    assert quiet.why(incident(1), at(1800)) == quiet.why(incident(1), at(-1)) == ""
    assert quiet.why(incident(1, labels={"channel": "sport"}), at(0)) == ""
    assert window.next(at(0)) == at(24 * 3600)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cron": "daily"}, "cron: 'daily'"),
        ({"time_zone": "Mars/Base"}, "time_zone: 'Mars/Base'"),
        ({"minutes": 0}, "0"),
    ],
)
def test_windows_that_are_none_are_refused(wrong: dict[str, object], says: str):
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert({"name": "w", "cron": "0 3 * * *", "minutes": 30} | wrong, Window)


def test_steps_out_of_order_are_refused():
    with pytest.raises(msgspec.ValidationError, match="longer after_s"):
        msgspec.convert({"escalate": [{"after_s": 600}, {"after_s": 60}]}, NoiseOptions)


def test_a_detector_that_flaps_is_told_once_and_then_with_how_often_it_was_not():
    gate = Gate(NoiseOptions(cooldown_s=100.0))
    about = {"stream_id": "s"}
    assert kinds(gate.take(opened(1, 0, **about), at(0))) == [("i1", "opened")]
    gate.take(closed(1, 0, 5, **about), at(5))
    for number in (2, 3):
        assert gate.take(opened(number, number * 10, **about), at(number * 10)) == []
        assert gate.take(closed(number, number * 10, number * 10 + 5, **about), at(number * 10 + 5)) == []
    (told,) = gate.take(opened(4, 200, **about), at(200))
    assert told.why == "2 more were not told while it cooled down"


def test_what_outlasts_the_cool_down_is_told_and_what_is_critical_does_not_wait():
    gate = Gate(NoiseOptions(cooldown_s=100.0))
    about = {"stream_id": "s1"}
    gate.take(opened(1, 0, **about), at(0))
    gate.take(closed(1, 0, 5, **about), at(5))
    gate.take(opened(2, 10, **about), at(10))
    assert gate.look(at(99)) == []
    assert kinds(gate.look(at(100))) == [("i2", "opened")]
    gate.take(closed(2, 10, 110, **about), at(110))
    gate.take(opened(3, 120, **about), at(120))
    grave = incident(3, 120, severity=Severity.CRITICAL, **about)
    change = Notice(kind=CHANGED, incident=grave, noticed_utc=at(121), sequence=3)
    assert kinds(gate.take(change, at(121))) == [("i3", "opened")]


GROUPED = NoiseOptions(group=Grouping(label="channel", within_s=5.0, at_least=3))


def test_the_same_on_many_streams_of_a_label_is_one_notice_and_one_end():
    gate = Gate(GROUPED)
    for number in (1, 2, 3):
        assert gate.take(opened(number, number), at(number)) == []
    assert gate.look(at(5.9)) == []
    (told,) = gate.look(at(6.1))
    assert (told.key, told.streams, told.why) == ("i1:opened", ("s1", "s2", "s3"), "on 3 streams with channel: news")
    assert [gate.tells(f"i{n}") for n in (1, 2, 3)] == [True, False, False]
    assert gate.take(closed(1, 1, 10), at(10)) == []
    assert gate.take(closed(3, 3, 30), at(30)) == []
    (end,) = gate.take(closed(2, 2, 20), at(31))
    assert (end.key, end.incident.end_utc, end.incident.end_s) == ("i1:closed", at(20), 20.0)


def test_few_and_short_ones_are_told_one_by_one():
    gate = Gate(GROUPED)
    gate.take(opened(1, 0), at(0))
    gate.take(closed(1, 0, 0.1), at(0.1))
    gate.take(opened(2, 1), at(1))
    gate.take(opened(3, 1, labels={"channel": "sport"}), at(1))
    gate.take(opened(4, 1, labels={}), at(1))
    assert kinds(gate.look(at(5))) == [("i1", "opened"), ("i1", "closed"), ("i2", "opened")]
    assert kinds(gate.look(at(6))) == [("i3", "opened")]


def test_one_that_is_over_before_its_group_is_told_does_not_keep_it_open():
    gate = Gate(GROUPED)
    for number in (1, 2, 3):
        gate.take(opened(number, 0), at(0))
    for number in (1, 2):
        assert gate.take(closed(number, 0, 2), at(2)) == []
    assert kinds(gate.look(at(5))) == [("i1", "opened")]
    assert kinds(gate.take(closed(3, 0, 9), at(9))) == [("i1", "closed")]


def test_what_nobody_acknowledges_is_escalated_step_by_step_and_ends_as_what_it_was_told():
    gate = Gate(NoiseOptions(escalate=(Escalation(after_s=60), Escalation(after_s=600, severity=Severity.CRITICAL))))
    gate.take(opened(1), at(0))
    assert gate.look(at(59)) == []
    (first,) = gate.look(at(60))
    assert (first.kind, first.key, first.incident.severity) == (CHANGED, "i1:changed:10", Severity.MAJOR)
    assert gate.look(at(599)) == []
    (second,) = gate.look(at(600))
    assert (second.key, second.incident.severity) == ("i1:changed:11", Severity.CRITICAL)
    assert second.incident.severity_before is Severity.MAJOR
    assert "10 min" in second.why
    (end,) = gate.take(closed(1, 0, 700), at(700))
    assert end.incident.severity is Severity.CRITICAL


def test_an_acknowledged_incident_is_neither_escalated_nor_repeated():
    gate = Gate(NoiseOptions(escalate=(Escalation(after_s=60),), repeat_s=100.0))
    gate.take(opened(1), at(0))
    gate.take(opened(2), at(0))
    gate.acknowledged.add("i1")
    told = [one for second in range(0, 400, 10) for one in gate.look(at(second))]
    assert [one.key for one in told] == ["i2:changed:10", "i2:changed:1000", "i2:changed:1001", "i2:changed:1002"]
    gate.acknowledged.discard("i1")
    assert kinds(gate.look(at(400))) == [("i1", "changed")]


def test_after_a_restart_it_goes_on_where_it_was():
    options = NoiseOptions(escalate=(Escalation(after_s=60),), cooldown_s=100.0)
    gate = Gate(options)
    gate.quiet = muted(50, streams=("s2",))
    notices = [opened(1), opened(2), opened(3, stream_id="s1")]
    for one in notices:
        gate.take(one, at(0))
    gate.look(at(60))
    kept = {key: value for key, value in gate.changes().items() if value is not None}
    again = Gate(options)
    again.resume(notices, msgspec.convert(msgspec.to_builtins(kept), dict[str, Telling]))
    assert [again.tells(f"i{n}") for n in (1, 2, 3)] == [True, True, False]
    assert again.look(at(61)) == []
    assert kinds(again.look(at(100))) == [("i3", "opened")]


moves = st.lists(
    st.tuples(st.sampled_from(["open", "rise", "close", "mute", "unmute", "ack", "wait"]), st.integers(0, 4)),
    max_size=40,
)
some_options = st.builds(
    NoiseOptions,
    group=st.none() | st.builds(Grouping, label=st.just("channel"), within_s=st.just(5.0), at_least=st.integers(2, 3)),
    cooldown_s=st.sampled_from([0.0, 7.0]),
    escalate=st.sampled_from([(), (Escalation(after_s=10.0, severity=Severity.CRITICAL),)]),
    repeat_s=st.sampled_from([None, 9.0]),
)


@given(moves, some_options)
def test_nothing_that_lasts_is_forgotten_and_nothing_ends_that_was_not_told(
    script: list[tuple[str, int]], options: NoiseOptions
):
    gate = Gate(options)
    now_s, serial = 0.0, 0
    lasting: dict[int, int] = {}  # stream: number of its incident
    begun: dict[int, float] = {}
    risen: set[int] = set()
    told: list[Notice] = []
    for move, stream in script:
        about = {"stream_id": f"s{stream}"}
        if move == "open" and stream not in lasting:
            serial += 1
            lasting[stream], begun[serial] = serial, now_s
            told += gate.take(opened(serial, now_s, **about), at(now_s))
        elif move == "close" and stream in lasting:
            number = lasting.pop(stream)
            told += gate.take(closed(number, begun[number], now_s, **about), at(now_s))
        elif move == "rise" and stream in lasting and lasting[stream] not in risen:
            number = lasting[stream]
            risen.add(number)  # once: nothing is told twice to the gate, see `Journal.write`
            worse = incident(number, begun[number], severity=Severity.CRITICAL, **about)
            told += gate.take(Notice(kind=CHANGED, incident=worse, noticed_utc=at(now_s), sequence=3), at(now_s))
        elif move == "mute":
            gate.quiet = muted(1e6, streams=(f"s{stream}",))
        elif move == "unmute":
            gate.quiet = Quiet()
        elif move == "ack" and stream in lasting:
            gate.acknowledged.add(f"i{lasting[stream]}")
        now_s += 3.0 if move == "wait" else 0.2
        told += gate.look(at(now_s))
    gate.quiet = Quiet()
    told += gate.look(at(now_s + 10.0))
    keys = [one.key for one in told]
    assert len(keys) == len(set(keys))
    open_now: set[str] = set()
    covered: set[str] = set()
    for one in told:
        if one.kind is OPENED:
            open_now.add(one.incident.incident_id)
            covered |= {one.incident.stream_id, *one.streams}
        else:
            assert one.incident.incident_id in open_now
        if one.kind is CLOSED:
            open_now.discard(one.incident.incident_id)
    assert {f"s{stream}" for stream in lasting} <= covered
    for number in lasting.values():
        told += gate.take(closed(number, begun[number], now_s + 11.0, stream_id=f"s{number}"), at(now_s + 11.0))
    ends = {one.incident.incident_id for one in told if one.kind is CLOSED}
    assert open_now <= ends
