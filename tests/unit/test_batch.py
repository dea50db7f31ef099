"""How much of a live input is taken at once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.batch import SMALLEST, STEADY_SHARE, STEPS, Batch, Batching
from vqa_ray.pipeline.overload import METER_S, Overload


def after(*shares: float) -> Batch:
    batching = Batching()
    for share in shares:
        batching.look(share)
    return batching.batch


def test_a_process_with_time_to_spare_takes_each_picture_at_once_and_a_busy_one_several():
    assert after(0.3) == SMALLEST == Batch(1, 0.04)
    assert SMALLEST.delay_s == 0.0
    assert after(0.95) == Batch(4, 0.32)


def test_batches_grow_and_come_later_from_step_to_step():
    assert all(a[0] < b[0] and a[1].pictures <= b[1].pictures for a, b in pairwise(STEPS))
    assert all(a[1].every_s < b[1].every_s and a[1].delay_s < b[1].delay_s for a, b in pairwise(STEPS))


@pytest.mark.parametrize(("share", "batch"), STEPS[1:])
def test_what_a_larger_batch_saves_does_not_make_it_smaller_again(share, batch):
    assert after(share) == batch
    assert after(share, share - 0.9 * STEADY_SHARE) == batch
    assert after(share, share - 1.1 * STEADY_SHARE) != batch


@given(st.lists(st.floats(0.0, 3.0), min_size=1))
def test_it_is_never_smaller_than_the_load_asks_for_and_no_larger_than_by_the_margin(shares):
    asked = max(batch for share, batch in STEPS if shares[-1] >= share)
    most = max(batch for share, batch in STEPS if shares[-1] + STEADY_SHARE >= share)
    assert asked <= after(*shares) <= most


def test_the_cpu_time_of_the_process_is_what_counts():
    used_s = [0.0]
    overload = Overload(cpu_s=lambda: used_s[0])
    ladder = overload.join(0, 0.0)
    ladder.step(0.1, 0.0)
    used_s[0] = 0.9 * METER_S
    ladder.step(0.1, METER_S)
    assert ladder.batch == overload.batch == Batch(4, 0.32)
    ladder.step(0.1, 2 * METER_S)
    assert ladder.batch == SMALLEST
