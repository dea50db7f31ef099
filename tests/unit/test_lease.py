"""Leases, by the analyzer's own clock."""

from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.lease import Cause, Leases, Over

LEASE_S, GRACE_S = 8.0, 90.0


def leases(**held: int) -> Leases:
    made = Leases(LEASE_S, GRACE_S)
    for stream_id, epoch in held.items():
        made.hold(stream_id, epoch, 0.0)
    return made


def test_a_lease_runs_out_when_nobody_renews_it():
    book = leases(a=1)
    assert book.expired(LEASE_S) == []
    assert book.expired(LEASE_S + 0.1) == [Over("a", 1, Cause.EXPIRED)]
    assert book.held == {}


def test_an_answer_renews_from_before_the_question():
    book = leases(a=1)
    assert book.answered({"a": 1}, 5.0, (), 5.1) == []
    assert book.expired(12.9) == []
    assert book.expired(13.1) == [Over("a", 1, Cause.EXPIRED)]


def test_a_refused_stream_is_over_at_once():
    book = leases(a=1, b=2)
    assert book.answered({"a": 1, "b": 2}, 1.0, [("a", 1)], 1.1) == [Over("a", 1, Cause.REFUSED)]
    assert book.held == {"b": 2}


def test_an_answer_about_an_older_epoch_touches_the_newer_one_not_at_all():
    book = leases(a=1)
    book.hold("a", 2, 3.0)
    assert book.answered({"a": 1}, 4.0, [("a", 1)], 4.1) == []
    assert book.expired(3.0 + LEASE_S + 0.1) == [Over("a", 2, Cause.EXPIRED)]


def test_a_stream_given_while_a_beat_was_under_way_is_not_renewed_by_its_answer():
    book = leases()
    book.hold("a", 1, 2.0)
    assert book.answered({}, 5.0, (), 5.1) == []
    assert book.expired(10.1) == [Over("a", 1, Cause.EXPIRED)]


def test_leases_stretch_while_the_supervisor_is_known_to_be_away():
    book = leases(a=1)
    book.away()
    assert book.expired(GRACE_S) == []
    assert book.expired(GRACE_S + 1) == [Over("a", 1, Cause.EXPIRED)]


def test_the_stretch_ends_when_the_supervisor_answers():
    book = leases(a=1)
    book.away()
    book.answered({"a": 1}, 20.0, (), 20.1)
    assert book.expired(20.0 + LEASE_S + 1) == [Over("a", 1, Cause.EXPIRED)]


def test_a_dropped_stream_is_not_heard_of_again():
    book = leases(a=2)
    book.drop("a", 1)
    assert book.held == {"a": 2}
    book.drop("a", 2)
    assert book.expired(1000.0) == []


@given(st.lists(st.floats(0, 30), max_size=20), st.floats(0, 60))
def test_no_lease_outlives_the_last_renewal_by_more_than_its_length(answers: list[float], later_s: float):
    book = leases(a=1)
    renewed_s, over = 0.0, False
    for asked_s in sorted(answers):
        over = over or asked_s - renewed_s > LEASE_S
        renewed_s = renewed_s if over else asked_s
        book.answered({"a": 1}, asked_s, (), asked_s)
        assert ("a" in book.held) == (not over)
        assert book.over("a", 1, asked_s) == over
    now_s = renewed_s + later_s
    assert book.over("a", 1, now_s) == (over or now_s - renewed_s > LEASE_S)


def test_a_lease_is_over_the_moment_it_runs_out_whoever_asks_first():
    book = leases(a=1)
    assert not book.over("a", 1, LEASE_S)
    assert book.over("a", 1, LEASE_S + 0.1)
    assert book.held == {"a": 1}  # asking changes nothing


def test_a_lease_that_had_run_out_is_not_renewed_by_a_late_answer():
    book = leases(a=1)
    assert book.answered({"a": 1}, 7.0, (), LEASE_S + 0.1) == [Over("a", 1, Cause.EXPIRED)]
    assert book.held == {}
    assert book.over("a", 1, LEASE_S + 0.2)


def test_what_was_refused_or_ran_out_stays_over_and_a_newer_epoch_does_not():
    book = leases(a=1, b=1)
    book.answered({"a": 1, "b": 1}, 1.0, [("a", 1)], 1.1)
    book.expired(LEASE_S + 1.2)
    book.hold("a", 2, 20.0)
    assert [book.over("a", 1, 20.0), book.over("b", 1, 20.0), book.over("a", 2, 20.0)] == [True, True, False]


def test_what_a_released_stream_says_last_is_its_own():
    book = leases(a=1)
    book.drop("a", 1)
    assert not book.over("a", 1, 100.0)
