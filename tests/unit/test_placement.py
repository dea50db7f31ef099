"""Who gets which seat."""

from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.placement import MILLION, NO_BOUND, Hall, Kind, Passenger, Seat, boarding, millionths
from vqa_ray.core.policies.registry import BY_NAME


def seat(
    name: str, load: float = 0.0, *, kind: Kind = Kind.READY, suspects: int = 0, budget: int = NO_BOUND, node: str = ""
) -> Seat:
    made = Seat(name, MILLION, kind, budget=budget, node=node)
    if load or suspects:
        made.take(millionths(load), 0, suspect=suspects > 0)
    return made


def one(share: float = 0.1, **more: object) -> Passenger:
    return Passenger(stream_id="s", load=millionths(share), **more)  # type: ignore[arg-type]


def choose(passenger: Passenger, *seats: Seat, policy: str = "spread") -> str | None:
    chosen = Hall(seats, BY_NAME[policy]).choose(passenger)
    return chosen and chosen.name


def test_the_least_loaded_seat_with_room_is_taken():
    assert choose(one(), seat("a", 0.5), seat("b", 0.2), seat("c", 0.95)) == "b"
    assert choose(one(0.6), seat("a", 0.5), seat("b", 0.45)) is None


def test_or_the_fullest_where_streams_are_packed():
    assert choose(one(), seat("a", 0.5), seat("b", 0.2), seat("c", 0.95), policy="pack") == "a"


def test_a_seat_whose_memory_is_used_up_is_left_out_though_it_has_time():
    seats = [seat("a", 0.1, budget=50), seat("b", 0.6, budget=200)]
    assert choose(one(size_bytes=100), *seats) == "b"
    assert choose(one(size_bytes=50), *seats) == "a"


def test_a_stream_heavier_than_any_analyzer_gets_an_empty_one():
    assert choose(one(1.7), seat("a", 0.1), seat("b")) == "b"
    assert choose(one(1.7), seat("a", 0.1)) is None
    assert choose(one(size_bytes=99), seat("a", 0.1, budget=9), seat("b", budget=9)) == "b"


def test_a_stream_stays_where_it_is_when_that_has_room():
    assert choose(one(stay="a"), seat("a", 0.5), seat("b", 0.2)) == "a"


def test_of_equals_the_first_by_name_is_taken_whatever_the_order():
    seats = [seat(f"analyzer-{n}") for n in range(8)]
    assert choose(one(), *seats) == choose(one(), *seats[::-1]) == "analyzer-0"


def test_streams_of_a_group_go_on_different_nodes_while_one_is_left():
    hall = Hall([seat("a", node="n1"), seat("b", node="n1"), seat("c", 0.5, node="n2")], BY_NAME["spread"])
    first, second, third = (Passenger(stream_id=s, load=1, apart="news") for s in "123")
    taken = []
    for passenger in (first, second, third):
        chosen = hall.choose(passenger)
        hall.seat(passenger, chosen)
        taken.append(chosen.name)
    assert taken == ["a", "c", "b"]
    assert hall.crowded


def test_a_suspect_wants_an_analyzer_of_its_own_before_it_shares():
    def clean() -> Seat:
        return seat("a", 0.1)

    def quarantine() -> Seat:
        return seat("c", 0.1, suspects=1)

    assert choose(one(suspect=True), clean(), quarantine(), seat("b")) == "b"
    assert choose(one(suspect=True), clean(), quarantine()) == "c"
    assert choose(one(suspect=True), clean()) == "a"
    assert choose(one(suspect=True), clean(), seat("d", kind=Kind.POSSIBLE)) == "d"


def test_a_suspect_that_has_waited_for_long_enough_shares_rather_than_wait_for_a_machine():
    coming = seat("d", kind=Kind.STARTING)
    assert choose(one(suspect=True), seat("a", 0.1), coming) == "d"
    late = one(suspect=True, patient=False)
    assert choose(late, seat("a", 0.1), seat("c", 0.1, suspects=1), coming) == "c"
    assert choose(late, seat("a", 0.1), coming) == "a"
    assert choose(late, seat("a", 0.1), seat("b"), coming) == "b"
    assert choose(late, seat("a", 0.95), coming) == "d"


def test_a_clean_stream_sits_with_a_suspect_only_when_nothing_else_is_left():
    assert choose(one(), seat("a", 0.1, suspects=1), seat("b", 0.8)) == "b"
    assert choose(one(), seat("a", 0.1, suspects=1), seat("b", 0.8, kind=Kind.STARTING)) == "b"
    assert choose(one(), seat("a", 0.1, suspects=1), seat("b", 0.95)) == "a"


def test_what_is_not_there_yet_is_filled_one_after_the_other():
    assert choose(one(), seat("a", kind=Kind.STARTING), seat("b", 0.3, kind=Kind.STARTING)) == "b"
    assert choose(one(0.2), seat("a", 0.85), seat("b", kind=Kind.STARTING)) == "b"


def test_the_important_board_first_then_the_heavy():
    people = [
        Passenger(stream_id="b", load=100),
        Passenger(stream_id="a", load=100),
        Passenger(stream_id="heavy", load=500),
        Passenger(stream_id="vip", load=100, priority=1),
    ]
    assert [p.stream_id for p in boarding(people)] == ["vip", "heavy", "a", "b"]


passengers = st.lists(
    st.builds(
        Passenger,
        stream_id=st.uuids().map(str),
        load=st.sampled_from([0, 1, 30, 300, 900, 1500]).map(lambda n: n * 1000),
        size_bytes=st.sampled_from([0, 10, 60, 150]),
        suspect=st.sampled_from([False] * 6 + [True]),
        patient=st.booleans(),
        apart=st.sampled_from(["", "", "x", "y"]),
    ),
    max_size=25,
)
seat_lists = st.lists(
    st.tuples(st.sampled_from(list(Kind)), st.sampled_from(["", "n1", "n2"]), st.sampled_from([0.0, 0.5, 0.99])),
    max_size=6,
)


@given(passengers, seat_lists, st.sampled_from(sorted(BY_NAME)))
def test_who_finds_no_seat_fits_in_none_and_who_finds_one_fits(
    people: list[Passenger], kinds: list[tuple[Kind, str, float]], policy: str
):
    seats = [seat(f"a{n}", load, kind=k, node=node, budget=100) for n, (k, node, load) in enumerate(kinds)]
    hall = Hall(seats, BY_NAME[policy])
    for passenger in boarding(people):
        chosen = hall.choose(passenger)
        fitting = [s for s in hall.seats if s.fits(passenger.load, passenger.size_bytes)]
        assert (chosen is None) == (not fitting)
        if chosen is None:
            continue
        assert chosen in fitting
        same = [s for s in fitting if s.kind is chosen.kind and bool(s.suspects) == bool(chosen.suspects)]
        if not passenger.suspect and hall.close(passenger.apart, chosen):
            assert all(hall.close(passenger.apart, s) for s in same)
        hall.seat(passenger, chosen)
