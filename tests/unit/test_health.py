"""The health figure: falls at once, recovers slowly, and never jumps."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_incident import ORIGIN, book, rule
from vqa_ray.core.health import RECOVER_S, WHOLE, Health, ceiling_of
from vqa_ray.core.incident import BookState, IncidentBook
from vqa_ray.core.reading import Reading, Severity

SEVERITIES = st.lists(st.sampled_from(list(Severity)), max_size=5)


def bad(at_s: float, until_s: float) -> Reading:
    return Reading(at_s, until_s, 1.0, True)


def good(at_s: float, until_s: float) -> Reading:
    return Reading(at_s, until_s, 0.0, False)


def test_it_falls_at_once_and_recovers_by_a_hundred_points_a_minute():
    down = Health().after(10.0, [Severity.CRITICAL])
    assert down.at(10.0) == pytest.approx(10.0)
    assert down.at(500.0) == pytest.approx(10.0)
    up = down.after(500.0, [])
    assert [round(up.at(500.0 + s), 1) for s in (0, 6, 30, 54, 1000)] == [10.0, 20.0, 60.0, 100.0, 100.0]


def test_two_at_once_leave_less_than_either():
    assert ceiling_of([]) == WHOLE
    assert ceiling_of([Severity.MAJOR, Severity.MAJOR]) < ceiling_of([Severity.MAJOR])


def test_what_closes_before_another_does_not_lift_it_above_the_other():
    state = Health().after(0.0, [Severity.MAJOR, Severity.MINOR]).after(10.0, [Severity.MAJOR])
    assert state.at(1e6) == ceiling_of([Severity.MAJOR])


@given(st.lists(st.tuples(st.floats(0, 100), SEVERITIES), max_size=12))
def test_it_stays_within_bounds_and_never_rises_faster_than_it_may(steps):
    state, now_s, before = Health(), 0.0, WHOLE
    for wait_s, severities in steps:
        now_s += wait_s
        state = state.after(now_s, severities)
        assert 0.0 <= state.at(now_s) <= ceiling_of(severities) <= WHOLE
        assert state.at(now_s) <= before + wait_s * WHOLE / RECOVER_S + 1e-9
        before = state.at(now_s)


def test_the_book_knows_the_health_of_its_stream_and_the_next_owner_continues_it():
    first = book(rule())
    first.step("black", [bad(5.0, 6.0)])
    assert first.health.at(6.0) == ceiling_of([Severity.MAJOR])
    first.step("black", [good(6.0, 7.0)])
    second = IncidentBook("s", [rule()], ORIGIN)
    second.resume(msgspec.json.decode(msgspec.json.encode(first.state()), type=BookState))
    assert second.health.at(19.0) == pytest.approx(first.health.at(19.0)) == pytest.approx(80.0)


def test_a_snapshot_of_a_version_without_health_is_read():
    machine = book(rule())
    machine.step("black", [bad(5.0, 6.0)])
    plain = msgspec.to_builtins(machine.state())
    del plain["health"]
    second = book(rule())
    second.resume(msgspec.convert(plain, BookState))
    assert second.health.at(6.0) == ceiling_of([Severity.MAJOR])


def test_a_rule_that_is_gone_no_longer_weighs():
    machine = book(rule())
    machine.step("black", [bad(5.0, 6.0)])
    second = book(rule("silence"))
    second.resume(machine.state())
    assert second.health.at(100.0) == WHOLE
