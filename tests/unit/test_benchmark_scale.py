"""The simulated fleet of `benchmarks scale`, small: what must hold of the plan at any size, without a clock."""

import statistics

import pytest

from benchmarks.scale.command import BALANCE, MOVES, Times, grow, growth
from benchmarks.scale.simulated import A_NODE, Simulated
from vqa_ray.core.reconcile import Assign, Reason

STREAMS, ANALYZERS = 1000, 50


def settled() -> Simulated:
    fleet = Simulated(STREAMS, ANALYZERS)
    fleet.carry_out(fleet.tick()[0])
    fleet.beat()
    return fleet


def test_all_streams_are_placed_in_one_plan_and_evenly():
    fleet = settled()
    loads = fleet.loads()
    assert len(fleet.roster.places) == STREAMS
    assert max(loads) / statistics.mean(loads) < 1.05


def test_measured_loads_that_waver_are_no_reason_to_move():
    fleet = settled()
    fleet.settle()
    for _ in range(10):
        fleet.beat()
        assert fleet.tick()[0] == []


def test_all_streams_of_a_lost_node_are_placed_in_one_plan():
    fleet = settled()
    lost, actions, _ = fleet.lose_node(1)
    assert len(lost) > A_NODE
    assert {(a.stream_id, a.reason) for a in actions if isinstance(a, Assign)} == {(s, Reason.SILENT) for s in lost}


def test_machines_that_are_added_get_streams_though_few_move():
    moves_share, balance = grow(STREAMS, ANALYZERS)
    assert 0.01 < moves_share <= MOVES.value
    assert balance <= BALANCE.value


def test_growth_is_compared_with_n_log_n():
    def times(streams: int, ms: float) -> Times:
        return Times(streams=streams, from_empty_ms=ms, tick_ms=ms, node_loss_ms=ms, lost=1, balance=1.0)

    assert growth([times(1000, 1.0), times(100_000, 100.0 * 5 / 3)]) == pytest.approx(1.0)
    assert growth([times(1000, 1.0), times(100_000, 10_000.0)]) > 50
