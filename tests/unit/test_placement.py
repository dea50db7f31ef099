"""Who gets which seat."""

import pytest

from vqa_ray.core.placement import (
    HALF_LIFE_S,
    UNKNOWN_SHARE,
    Kind,
    Passenger,
    Seat,
    Shape,
    boarding,
    choose,
    expected_share,
    rendezvous,
    smoothed,
)


def seat(name: str, load: float = 0.0, *, kind: Kind = Kind.READY, suspects: int = 0, capacity: float = 1.0) -> Seat:
    made = Seat(name, capacity, kind)
    if load or suspects:
        made.take(load, suspect=suspects > 0)
    return made


def one(share: float = 0.1, **more: object) -> Passenger:
    return Passenger(stream_id="s", share=share, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "measured"),
    [((640, 360, 25.0), 0.043), ((1280, 720, 25.0), 0.11), ((1920, 1080, 30.0), 0.32)],
)
def test_the_expected_share_is_near_what_was_measured(shape: tuple[int, int, float], measured: float):
    width, height, fps = shape
    assert expected_share(Shape(width=width, height=height, fps=fps)) == pytest.approx(measured, rel=0.2)


def test_a_stream_of_which_nothing_is_known_gets_the_default():
    assert expected_share(None) == UNKNOWN_SHARE


def test_a_measured_share_moves_half_the_way_in_a_half_life():
    assert smoothed(None, 0.4, 1.0) == 0.4
    assert smoothed(0.2, 0.4, HALF_LIFE_S) == pytest.approx(0.3)


def test_the_least_loaded_seat_with_room_is_taken():
    assert choose(one(), [seat("a", 0.5), seat("b", 0.2), seat("c", 0.95)]).name == "b"
    assert choose(one(0.6), [seat("a", 0.5), seat("b", 0.45)]) is None


def test_a_stream_heavier_than_any_analyzer_gets_an_empty_one():
    assert choose(one(1.7), [seat("a", 0.1), seat("b")]).name == "b"
    assert choose(one(1.7), [seat("a", 0.1)]) is None


def test_a_stream_stays_where_it_is_when_that_has_room():
    assert choose(one(stay="a"), [seat("a", 0.5), seat("b", 0.2)]).name == "a"


def test_ties_are_broken_by_the_hash_of_stream_and_analyzer_whatever_the_order():
    seats = [seat(f"analyzer-{n}") for n in range(8)]
    best = min(seats, key=lambda s: rendezvous("s", s.name)).name
    assert choose(one(), seats).name == choose(one(), seats[::-1]).name == best


def test_a_suspect_wants_an_analyzer_of_its_own_before_it_shares():
    clean, empty, quarantine = seat("a", 0.1), seat("b"), seat("c", 0.1, suspects=1)
    assert choose(one(suspect=True), [clean, quarantine, empty]).name == "b"
    assert choose(one(suspect=True), [clean, quarantine]).name == "c"
    assert choose(one(suspect=True), [clean]).name == "a"
    assert choose(one(suspect=True), [clean, seat("d", kind=Kind.POSSIBLE)]).name == "d"


def test_a_clean_stream_sits_with_a_suspect_only_when_nothing_else_is_left():
    quarantine = seat("a", 0.1, suspects=1)
    assert choose(one(), [quarantine, seat("b", 0.8)]).name == "b"
    assert choose(one(), [quarantine, seat("b", 0.8, kind=Kind.STARTING)]).name == "b"
    assert choose(one(), [quarantine, seat("b", 0.95)]).name == "a"


def test_what_is_not_there_yet_is_filled_one_after_the_other():
    assert choose(one(), [seat("a", kind=Kind.STARTING), seat("b", 0.3, kind=Kind.STARTING)]).name == "b"
    assert choose(one(0.2), [seat("a", 0.85), seat("b", kind=Kind.STARTING)]).name == "b"


def test_the_important_board_first_then_the_heavy():
    people = [
        Passenger(stream_id="b", share=0.1),
        Passenger(stream_id="a", share=0.1),
        Passenger(stream_id="heavy", share=0.5),
        Passenger(stream_id="vip", share=0.1, priority=1),
    ]
    assert [p.stream_id for p in boarding(people)] == ["vip", "heavy", "a", "b"]
