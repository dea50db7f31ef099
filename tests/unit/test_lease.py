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
    assert book.answered({"a": 1}, 5.0, ()) == []
    assert book.expired(12.9) == []
    assert book.expired(13.1) == [Over("a", 1, Cause.EXPIRED)]


def test_a_refused_stream_is_over_at_once():
    book = leases(a=1, b=2)
    assert book.answered({"a": 1, "b": 2}, 1.0, [("a", 1)]) == [Over("a", 1, Cause.REFUSED)]
    assert book.held == {"b": 2}


def test_an_answer_about_an_older_epoch_touches_the_newer_one_not_at_all():
    book = leases(a=1)
    book.hold("a", 2, 3.0)
    assert book.answered({"a": 1}, 4.0, [("a", 1)]) == []
    assert book.expired(3.0 + LEASE_S + 0.1) == [Over("a", 2, Cause.EXPIRED)]


def test_a_stream_given_while_a_beat_was_under_way_is_not_renewed_by_its_answer():
    book = leases()
    book.hold("a", 1, 2.0)
    assert book.answered({}, 5.0, ()) == []
    assert book.expired(10.1) == [Over("a", 1, Cause.EXPIRED)]


def test_leases_stretch_while_the_supervisor_is_known_to_be_away():
    book = leases(a=1)
    book.away()
    assert book.expired(GRACE_S) == []
    assert book.expired(GRACE_S + 1) == [Over("a", 1, Cause.EXPIRED)]


def test_the_stretch_ends_when_the_supervisor_answers():
    book = leases(a=1)
    book.away()
    book.answered({"a": 1}, 20.0, ())
    assert book.expired(20.0 + LEASE_S + 1) == [Over("a", 1, Cause.EXPIRED)]


def test_a_dropped_stream_is_not_heard_of_again():
    book = leases(a=2)
    book.drop("a", 1)
    assert book.held == {"a": 2}
    book.drop("a", 2)
    assert book.expired(1000.0) == []


@given(st.lists(st.floats(0, 30), max_size=20), st.floats(0, 60))
def test_no_lease_outlives_the_last_renewal_by_more_than_its_length(answers: list[float], now_s: float):
    book = leases(a=1)
    for asked_s in answers:
        book.answered({"a": 1}, asked_s, ())
    renewed_s = max([0.0, *answers])
    assert bool(book.expired(now_s)) == (now_s - renewed_s > LEASE_S)
