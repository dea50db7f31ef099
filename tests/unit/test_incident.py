"""The incident machine: start, end, holds, merging, root causes, continuation elsewhere."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.hold import Hold, Phase, Rule
from vqa_ray.core.incident import BookState, IncidentBook, incident_id
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.reading import Reading

ORIGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FRAME_S = 0.04


def rule(detector="black", raise_after_s=0.0, clear_after_s=0.0, **more) -> Rule:
    return Rule(detector=detector, raise_after_s=raise_after_s, clear_after_s=clear_after_s, **more)


def book(*rules: Rule) -> IncidentBook:
    return IncidentBook("s", rules, ORIGIN)


def frames(bits: str, start: int = 0, value: float = 1.0) -> list[Reading]:
    """One reading a frame of 40 ms; X is bad."""
    return [
        Reading(i * FRAME_S, (i + 1) * FRAME_S, value if bit == "X" else 0.0, bit == "X")
        for i, bit in enumerate(bits, start)
    ]


def told(transitions) -> list[tuple[str, float, float | None]]:
    return [
        (kind.value, round(i.start_s / FRAME_S, 3), i.end_s and round(i.end_s / FRAME_S, 3)) for kind, i in transitions
    ]


def test_an_incident_starts_at_the_first_bad_frame_and_ends_at_the_first_good_one():
    assert told(book(rule()).step("black", frames("..XXX.."))) == [("opened", 2, None), ("closed", 2, 5)]


def test_bad_frames_shorter_than_raise_after_are_not_told():
    assert told(book(rule(raise_after_s=0.12)).step("black", frames("..XX.."))) == []


def test_a_run_exactly_as_long_as_raise_after_is_told_though_pts_are_rounded():
    for start in range(200):
        assert len(book(rule(raise_after_s=0.12)).step("black", frames("XXX.", start))) == 2


def test_an_incident_opens_as_soon_as_bad_has_lasted_and_not_when_it_ends():
    machine = book(rule(raise_after_s=0.12))
    opened = [len(machine.step("black", [reading])) for reading in frames("XXXX")]
    assert opened == [0, 0, 1, 0]


def test_good_shorter_than_clear_after_does_not_close():
    machine = book(rule(clear_after_s=0.12))
    assert told(machine.step("black", frames("XX..XX..."))) == [("opened", 0, None), ("closed", 0, 6)]


def test_the_end_is_the_first_good_frame_and_not_the_moment_when_it_was_sure():
    machine = book(rule(clear_after_s=0.2))
    assert told(machine.step("black", frames("XX.....")))[-1] == ("closed", 0, 2)


def test_a_short_good_stretch_within_merge_gap_does_not_restart_the_hold():
    with_gap = book(rule(raise_after_s=0.16, merge_gap_s=0.05)).step("black", frames("XX.XX..."))
    without = book(rule(raise_after_s=0.16)).step("black", frames("XX.XX..."))
    assert told(with_gap) == [("opened", 0, None), ("closed", 0, 5)]
    assert told(without) == []


def test_a_good_stretch_that_is_the_rounding_of_two_times_is_none():
    bad = [Reading(82.0 + n * FRAME_S, 82.0 + (n + 1) * FRAME_S, 1.0, True) for n in range(10)]
    good = [Reading(one.until_s, one.until_s + 2e-14, 0.0, False) for one in bad]
    assert all(one.at_s < one.until_s for one in good)
    machine = book(rule(raise_after_s=0.2, clear_after_s=0.0))
    rows = [reading for pair in zip(bad, good, strict=True) for reading in pair]
    assert [kind.value for kind, _ in machine.step("black", rows)] == ["opened"]


def test_at_the_end_of_the_media_an_open_incident_closes_with_the_end_of_the_last_frame():
    machine = book(rule(clear_after_s=1.0))
    machine.step("black", frames("..XX"))
    assert told(machine.finish()) == [("closed", 2, 4)]
    assert machine.open_incidents == []


def test_at_the_end_of_the_media_a_clearing_incident_closes_with_its_first_good_frame():
    machine = book(rule(clear_after_s=1.0))
    machine.step("black", frames("..XX.."))
    assert told(machine.finish()) == [("closed", 2, 4)]


def test_a_pending_run_that_lasted_long_enough_is_told_at_the_end_of_the_media():
    machine = book(rule(raise_after_s=0.08))
    assert told(machine.step("black", frames("..XX"))) == [("opened", 2, None)]


def test_the_incident_carries_the_worst_value_in_the_direction_of_its_rule():
    high = book(rule()).step("black", [Reading(0, 1, 3.0, True), Reading(1, 2, 9.0, True), Reading(2, 3, 0.0, False)])
    low = book(rule(lower_is_worse=True)).step(
        "black", [Reading(0, 1, -70.0, True), Reading(1, 2, -90.0, True), Reading(2, 3, 0.0, False)]
    )
    assert (high[-1][1].value, low[-1][1].value) == (9.0, -90.0)


def test_wall_time_is_the_origin_plus_media_time():
    opened = book(rule()).step("black", [Reading(1.5, 1.54, 1.0, True)])[0][1]
    assert opened.start_utc == ORIGIN + timedelta(seconds=1.5)


def test_parts_of_one_detector_are_incidents_of_their_own():
    machine = book(rule("silent_channel"))
    out = machine.step("silent_channel", [Reading(0, 1, 1, True, "FL"), Reading(0, 1, 1, True, "FR")])
    assert sorted(i.part for _, i in out) == ["FL", "FR"]
    assert len({i.incident_id for _, i in out}) == 2


def test_a_root_cause_hides_what_begins_with_it():
    machine = book(rule("black"), rule("freeze", raise_after_s=0.08, hidden_by=("black",)))
    out = []
    for black, freeze in zip(frames("..XXXX.."), frames("..XXXX.."), strict=True):
        out += machine.step("black", [black]) + machine.step("freeze", [freeze])
    assert {i.detector for _, i in out} == {"black"}


def test_what_lasts_beyond_its_root_cause_is_told_from_the_end_of_the_cause_on():
    machine = book(rule("black"), rule("freeze", raise_after_s=0.08, hidden_by=("black",)))
    out = []
    for black, freeze in zip(frames("XX......"), frames("XXXXXX.."), strict=True):
        out += machine.step("black", [black]) + machine.step("freeze", [freeze])
    assert told(t for t in out if t[1].detector == "freeze") == [("opened", 2, None), ("closed", 2, 6)]


def test_a_cause_hides_readings_that_come_later_but_speak_of_its_time():
    machine = book(rule("black"), rule("freeze", hidden_by=("black",)))
    machine.step("black", frames("XX....."))
    assert machine.step("freeze", frames("XX.....")) == []


def test_a_root_cause_that_opens_closes_what_was_open_at_its_own_start():
    machine = book(rule("signal_loss"), rule("silence", hidden_by=("signal_loss",)))
    machine.step("silence", frames("XXXXX"))
    out = machine.step("signal_loss", [Reading(5 * FRAME_S, 3.0, 3.0, True)])
    assert told(out) == [("opened", 5, None), ("closed", 0, 5)]
    assert out[1][1].reason == "taken over by signal_loss"


def test_a_lost_connection_drops_a_pending_run_and_keeps_an_open_incident():
    machine = book(rule("black", raise_after_s=0.2), rule("silence"))
    machine.step("black", frames("XX"))
    machine.step("silence", frames("XX"))
    assert machine.interrupt() == []
    assert [i.detector for i in machine.open_incidents] == ["silence"]
    assert machine.step("black", frames("XXXX", 100)) == []


def test_what_watches_the_source_itself_goes_on_when_a_connection_ends():
    machine = book(rule("signal_loss", raise_after_s=0.2))
    machine.step("signal_loss", frames("XXX"))
    assert machine.interrupt(lasting=["signal_loss"]) == []
    assert told(machine.step("signal_loss", frames("XXX", 3))) == [("opened", 0, None)]


def test_the_next_owner_continues_an_incident_without_telling_it_again():
    first = book(rule(raise_after_s=0.08))
    opened = first.step("black", frames("XXX"))[0][1]
    state = msgspec.json.decode(msgspec.json.encode(first.state()), type=BookState)
    second = IncidentBook("s", [rule(raise_after_s=0.08)], datetime(2030, 1, 1, tzinfo=UTC))
    second.resume(state)
    out = second.step("black", frames("XXX..", 50))
    assert told(out) == [("closed", 0, 53)]
    assert out[0][1].incident_id == opened.incident_id
    assert out[0][1].start_utc == opened.start_utc


def test_the_next_owner_continues_a_running_hold():
    first = book(rule(raise_after_s=0.2))
    assert first.step("black", frames("XXX")) == []
    second = book(rule(raise_after_s=0.2))
    second.resume(first.state())
    assert told(second.step("black", frames("XX", 3))) == [("opened", 0, None)]


def test_the_next_owner_may_see_earlier_media_and_no_incident_ends_before_it_began():
    first = book(rule())
    first.step("black", frames("XXX", start=100))
    for bits in ("." * 20, "XX" + "." * 20):
        second = book(rule())
        second.resume(first.state())
        ((kind, closed),) = second.step("black", frames(bits, start=90))
        assert kind is NoticeKind.CLOSED
        assert closed.end_s >= closed.start_s


def test_an_incident_has_the_same_id_whoever_finds_it():
    assert incident_id("s", "black", "", ORIGIN) == incident_id("s", "black", "", ORIGIN.astimezone())
    assert incident_id("s", "black", "", ORIGIN) != incident_id("s", "black", "", ORIGIN + timedelta(milliseconds=1))


def test_a_detector_that_is_switched_off_closes_what_it_has_open():
    machine = book(rule())
    machine.step("black", frames("XX"))
    assert told(machine.close_detectors(["black"])) == [("closed", 0, 2)]


BITS = st.text(alphabet=".X", max_size=120)
HOLDS = st.sampled_from([0.0, 0.04, 0.08, 0.2, 1.0])


@given(BITS, HOLDS, HOLDS, HOLDS, st.integers(0, 120))
def test_opened_and_closed_alternate_strictly_for_any_bits_and_holds(bits, raise_s, clear_s, gap_s, cut):
    one = rule(raise_after_s=raise_s, clear_after_s=clear_s, merge_gap_s=gap_s)
    machine = book(one)
    readings = frames(bits)
    out = machine.step("black", readings[:cut])
    second = book(one)
    second.resume(machine.state())  # a hand-over at any frame changes nothing
    out += second.step("black", readings[cut:]) + second.finish()
    kinds = [kind for kind, _ in out]
    assert kinds == [NoticeKind.OPENED, NoticeKind.CLOSED] * (len(kinds) // 2)
    incidents = [i for kind, i in out if kind is NoticeKind.CLOSED]
    assert all(i.start_s < i.end_s for i in incidents)
    assert all(a.end_s <= b.start_s for a, b in zip(incidents, incidents[1:], strict=False))
    assert len({i.incident_id for i in incidents}) == len(incidents)


@given(BITS, HOLDS, HOLDS)
def test_without_merging_every_bad_run_that_is_long_enough_is_inside_an_incident(bits, raise_s, clear_s):
    machine = book(rule(raise_after_s=raise_s, clear_after_s=clear_s))
    out = machine.step("black", frames(bits)) + machine.finish()
    spans = [(round(i.start_s / FRAME_S), round(i.end_s / FRAME_S)) for kind, i in out if kind is NoticeKind.CLOSED]
    position = 0
    for run in bits.replace(".X", ". X").replace("X.", "X .").split(" "):
        if "X" in run and len(run) * FRAME_S >= raise_s:
            assert any(a <= position and position + len(run) <= b for a, b in spans)
        position += len(run)
    for a, b in spans:
        assert bits[a] == "X"
        assert bits[b - 1] == "X"


@given(st.lists(st.tuples(st.sampled_from(["signal_loss", "black", "freeze"]), st.booleans()), max_size=150))
def test_with_root_causes_each_detector_still_alternates(steps):
    machine = book(
        rule("signal_loss", raise_after_s=0.08),
        rule("black", raise_after_s=0.08, hidden_by=("signal_loss",)),
        rule("freeze", raise_after_s=0.12, hidden_by=("signal_loss", "black")),
    )
    out = []
    for i, (detector, bad) in enumerate(steps):
        out += machine.step(detector, [Reading(i * FRAME_S, (i + 1) * FRAME_S, 1.0, bad)])
    out += machine.finish()
    for detector in ("signal_loss", "black", "freeze"):
        kinds = [kind for kind, i in out if i.detector == detector]
        assert kinds == [NoticeKind.OPENED, NoticeKind.CLOSED] * (len(kinds) // 2)
    assert all(i.end_s is None or i.end_s >= i.start_s for _, i in out)


def test_an_illegal_move_names_the_rule_and_both_phases():
    hold = Hold(rule())
    with pytest.raises(AssertionError, match="black: no move from quiet to clearing"):
        hold._move(Phase.CLEARING)


def test_an_incident_of_a_detector_that_was_switched_off_closes_where_it_was_last_seen_bad():
    first = book(rule("black"), rule("freeze"))
    for name in ("black", "freeze"):
        first.step(name, frames("XX"))
    second = book(rule("freeze"))
    ((kind, closed),) = second.resume(first.state())
    assert (kind, closed.detector, closed.end_s) == (NoticeKind.CLOSED, "black", 2 * FRAME_S)
    assert closed.end_utc == ORIGIN + timedelta(seconds=2 * FRAME_S)
    assert [one.detector for one in second.open_incidents] == ["freeze"]


def test_a_running_hold_goes_on_under_the_options_of_the_next_owner():
    first = book(rule(raise_after_s=9.0))
    assert first.step("black", frames("XXX")) == []
    second = book(rule(raise_after_s=0.16))
    assert second.resume(first.state()) == []
    assert told(second.step("black", frames("X", 3))) == [("opened", 0, None)]
