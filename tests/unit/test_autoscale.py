"""How many analyzers the load asks for, and which one may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.autoscale import Load, Scaler, Size, needed, spare
from vqa_ray.core.placement import MILLION, Hall, Passenger, Seat
from vqa_ray.core.policies.registry import BY_NAME

SIZE = Size(capacity=0.85, budget=1000, target=0.8)
QUIET_S = 60.0


def load(share: float, size_bytes: int = 0, **more: int) -> Load:
    return Load(share=share, size_bytes=size_bytes, **more)


@pytest.mark.parametrize(
    ("of", "count"),
    [(load(0.0), 0), (load(0.68), 1), (load(0.69), 2), (load(0.1, 1601), 3), (load(0.1, alone=2), 3)],
)
def test_so_many_are_needed_as_hold_the_load_at_the_target_by_cpu_or_by_memory(of: Load, count: int):
    assert needed(of, SIZE) == count


def test_more_are_right_at_once():
    assert Scaler().step(load(6.8), SIZE, 2, 0.0, QUIET_S).right == 10


def test_fewer_only_when_they_would_have_done_for_a_while():
    scaler = Scaler()
    assert scaler.step(load(1.0), SIZE, 5, 0.0, QUIET_S).surplus == 0
    assert scaler.step(load(1.0), SIZE, 5, QUIET_S - 1, QUIET_S).surplus == 0
    assert scaler.step(load(1.0), SIZE, 5, QUIET_S, QUIET_S).surplus == 3


def test_a_busy_moment_begins_the_quiet_time_anew():
    scaler = Scaler()
    scaler.step(load(1.0), SIZE, 5, 0.0, QUIET_S)
    scaler.step(load(3.4), SIZE, 5, 30.0, QUIET_S)
    assert scaler.step(load(1.0), SIZE, 5, 61.0, QUIET_S).surplus == 0


def test_never_where_that_is_switched_off_and_never_the_last():
    scaler = Scaler()
    scaler.step(load(0.0), SIZE, 3, 0.0, None)
    assert scaler.step(load(0.0), SIZE, 3, 9e9, None).surplus == 0
    scaler.step(load(0.0), SIZE, 3, 0.0, QUIET_S)
    assert scaler.step(load(0.0), SIZE, 3, 9e9, QUIET_S).surplus == 2


@given(st.floats(0.0, 40.0), st.integers(0, 40_000))
def test_what_scaling_down_leaves_is_never_too_little(share: float, size_bytes: int):
    """Else analyzers would be ended and started in turns."""
    scaler, of = Scaler(), load(share, size_bytes)
    have = needed(of, SIZE) + 5
    scaler.step(of, SIZE, have, 0.0, QUIET_S)
    count = scaler.step(of, SIZE, have, QUIET_S, QUIET_S)
    left = have - count.surplus
    assert count.right <= left
    assert scaler.step(of, SIZE, left, QUIET_S, QUIET_S).surplus == 0


def fleet(*loads: tuple[str, tuple[int, ...]]) -> tuple[Hall, dict[str, list[Passenger]]]:
    """Analyzers as (node, streams in hundredths of a core)."""
    seats, riders = [], {}
    for n, (node, shares) in enumerate(loads):
        seat = Seat(f"analyzer-{n}", MILLION * 85 // 100, node=node)
        those = [Passenger(stream_id=f"s{n}-{i}", load=s * MILLION // 100) for i, s in enumerate(shares)]
        for one in those:
            seat.take(one.load, one.size_bytes)
        seats.append(seat)
        riders[seat.name] = those
    return Hall(seats, BY_NAME["spread"]), riders


def test_the_analyzer_that_goes_is_on_the_node_with_the_least_to_do():
    assert spare(*fleet(("n1", (10,)), ("n1", (60,)), ("n2", (20,)), ("n2", (20,)))) == "analyzer-2"


def test_none_goes_whose_streams_the_others_cannot_take():
    assert spare(*fleet(("n1", (50,)), ("n2", (50,)))) is None
    assert spare(*fleet(("n1", (30,)), ("n2", (50,)))) == "analyzer-0"
