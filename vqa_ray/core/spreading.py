"""How streams are spread over analyzers, and how many of these there are: what the operator may choose."""

from typing import Annotated

import msgspec

from vqa_ray.core.policies.registry import PolicyName

_Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Spreading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How streams are spread over analyzers, and how many analyzers there are; in a fleet file under `cluster:`.

    policy: `spread` gives a stream to the least loaded analyzer and keeps loads even, `pack` fills one after the other.
    analyzers_min, analyzers_max: how many there may be; max null takes as many as Ray has cores.
    fill: share of an analyzer's cores that is given to streams, the rest is for bursts and Ray itself.
    target: share of that which is to be in use on the average; above it analyzers are started, at once.
    shrink_after_s: seconds for which fewer analyzers would have done, before one is emptied and ended; null: never.
    moves: at most so many streams at a time move without need, and five times as many off a machine that goes.
    split: a stream too heavy for one analyzer is watched in two halves, each with some of its detectors, where that
    helps.
    park_after: a stream whose process died so often with nothing else in it is parked; null: never.
    """

    policy: PolicyName = "spread"
    analyzers_min: Annotated[int, msgspec.Meta(ge=0)] = 1
    analyzers_max: Annotated[int, msgspec.Meta(ge=1)] | None = None
    fill: _Share = 0.85
    target: _Share = 0.8
    shrink_after_s: Annotated[float, msgspec.Meta(ge=0)] | None = 300.0
    moves: Annotated[int, msgspec.Meta(ge=1)] = 10
    split: bool = True
    park_after: Annotated[int, msgspec.Meta(ge=1)] | None = 3
