"""The list of all placement policies. A new one is a file and one line here; the contract tests find it."""

from typing import TYPE_CHECKING, Literal, TypeAlias

from vqa_ray.core.policies.base import Policy
from vqa_ray.core.policies.pack import Pack
from vqa_ray.core.policies.spread import Spread

POLICIES: tuple[Policy, ...] = (
    Spread(),
    Pack(),
)
BY_NAME = {policy.name: policy for policy in POLICIES}

if TYPE_CHECKING:
    PolicyName: TypeAlias = str
else:
    PolicyName = Literal[tuple(BY_NAME)]
