"""What detectors take of a stream's thread, by sample."""

import pytest

from vqa_ray.pipeline.toll import HALF_LIFE_S, LEAST_CPU_S, SAMPLED, Toll


def test_one_item_of_many_is_timed_and_counts_for_all():
    toll = Toll()
    for _ in range(10 * SAMPLED):
        if toll.due:
            toll.took("black", 0.01)
    toll.tick(0.5, 10 * SAMPLED * 0.02)  # what else there is takes as much
    assert toll.shares() == pytest.approx({"black": 0.5}, rel=0.02)


def test_nothing_is_said_before_enough_was_seen():
    toll = Toll()
    toll.took("black", 0.001)
    toll.tick(0.5, LEAST_CPU_S / 2)
    assert toll.shares() == {}
    toll.tick(0.5, LEAST_CPU_S * 2)
    assert toll.shares().keys() == {"black"}


def test_what_was_long_ago_counts_for_little():
    toll = Toll()
    toll.took("black", 1.0)
    toll.tick(0.5, 100.0)
    toll.tick(10 * HALF_LIFE_S, 200.0)
    before = toll.shares()["black"]
    assert before < 0.01 * SAMPLED / 100.0
