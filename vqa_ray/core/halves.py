"""A stream too heavy for one core, watched in two halves: which tells what, and when that pays. Pure.

Each half decodes for itself, and tells of its own detectors. The causes of these it judges too, where they are the
other half's, and says nothing of them: so what the halves tell is what the whole would tell.

A half is assigned under a name of its own: the first under the stream's, the second under that and `SECOND`, which no
declared id can end in.
"""

import enum
from collections.abc import Collection, Iterable, Mapping

import msgspec

from vqa_ray.core.hold import Rule

SECOND = "~2"
PART = "second half"  # part of what is said of the second half alone
GAIN = 0.15  # of the whole, that the heavier half must save: less is not worth decoding twice
TOGETHER = 0.8  # of an analyzer's capacity: if the halves take less in all, the whole has room there


def second(stream_id: str) -> str:
    """The name under which the stream's second half is assigned."""
    return stream_id + SECOND


def whole(name: str) -> str:
    """The stream's id, of a name under which it or a half of it is assigned."""
    return name.removesuffix(SECOND)


def is_second(name: str) -> bool:
    """Whether it is the name of a second half."""
    return name.endswith(SECOND)


class Half(msgspec.Struct, frozen=True, kw_only=True):
    """One of a stream's halves. moved: the detectors of which the second half tells; the first tells of all others."""

    moved: tuple[str, ...]
    second: bool

    def tells(self, detector: str) -> bool:
        """Whether it is this half that tells of the detector."""
        return (detector in self.moved) is self.second


class Stage(enum.StrEnum):
    """Where a stream is between halves and whole. Legal moves are down the list, and off its end."""

    SPLIT = "split"  # each half has a place, or waits for one
    JOINING = "joining"  # the second half is let go
    WHOLE = "whole"  # the first half is to be let go; then the whole goes on from what both said


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that is watched in halves. moved: see Half."""

    moved: tuple[str, ...]
    stage: Stage = Stage.SPLIT


def causes(rules: Iterable[Rule], hears: str) -> dict[str, frozenset[str]]:
    """Of each detector all others by which its incidents are hidden or made worse, directly or by way of others.

    hears: the detector that tells whether there is sound.
    """
    direct = {rule.detector: _direct(rule, hears) for rule in rules}
    return {name: _closure(name, direct) for name in direct}


def _direct(rule: Rule, hears: str) -> set[str]:
    heard = () if rule.severity_with_sound is None else (hears,)
    return {*rule.hidden_by, *rule.worse_with, *heard}


def _closure(name: str, direct: Mapping[str, Collection[str]]) -> frozenset[str]:
    found: set[str] = set()
    ahead = [name]
    while ahead:
        new = {cause for cause in direct[ahead.pop()] if cause in direct} - found
        found |= new
        ahead += new
    return frozenset(found - {name})


def needed(told: Iterable[str], causes: Mapping[str, Collection[str]]) -> frozenset[str]:
    """The detectors that a half has at work to tell of these."""
    return frozenset(name for one in told if one in causes for name in (one, *causes[one]))


def divide(causes: Mapping[str, Collection[str]], weights: Mapping[str, float]) -> tuple[str, ...] | None:
    """The detectors that the second half tells of, by name, so that neither half has much more to do than the other.

    weights: share of the stream's time that each takes. The heaviest first, each to the half that is lighter with it
    and its causes. None: there is nothing to divide.
    """
    told: tuple[set[str], set[str]] = (set(), set())
    for name in sorted(causes, key=lambda name: (-weights.get(name, 0.0), name)):
        costs = [weight(half | {name}, causes, weights) for half in told]
        told[costs.index(min(costs))].add(name)
    return tuple(sorted(told[1])) if all(told) else None


def weight(told: Collection[str], causes: Mapping[str, Collection[str]], weights: Mapping[str, float]) -> float:
    """Share of the whole's time that the detectors of a half take, which tells of these."""
    return sum(weights.get(name, 0.0) for name in sorted(needed(told, causes)))


def parts(
    moved: Collection[str], causes: Mapping[str, Collection[str]], weights: Mapping[str, float]
) -> tuple[float, float]:
    """What the halves are expected to take, as shares of what the whole takes: all but detectors is done twice."""
    rest = 1.0 - sum(weights.get(name, 0.0) for name in causes)
    first, other = [name for name in causes if name not in moved], [name for name in causes if name in moved]
    return rest + weight(first, causes, weights), rest + weight(other, causes, weights)


def pays(share: float, capacity: float, expected: tuple[float, float]) -> bool:
    """Whether a stream that takes `share` of a core is to be divided: it is too heavy for an analyzer, and it helps."""
    return share > capacity and max(expected) <= 1.0 - GAIN


def fits_together(shares: Iterable[float], capacity: float) -> bool:
    """Whether an analyzer has room for the whole again: it takes less than its halves do together."""
    return sum(shares) <= TOGETHER * capacity
