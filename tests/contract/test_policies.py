"""What every placement policy keeps to: found through the registry, so a new one is tested by being in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.policies.base import Policy
from vqa_ray.core.policies.registry import BY_NAME, POLICIES

every_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
free_lists = st.lists(st.integers(0, 9), max_size=12).map(lambda all_: sorted((n, -i) for i, n in enumerate(all_)))


def test_names_are_unique():
    assert len(BY_NAME) == len(POLICIES)


@every_policy
@given(free=free_lists, need=st.integers(0, 10))
def test_each_analyzer_with_room_is_offered_once_and_no_other(policy: Policy, free: list[tuple[int, int]], need: int):
    offered = list(policy.order(free, need))
    assert sorted(offered) == [index for index, (room, _) in enumerate(free) if room >= need]
