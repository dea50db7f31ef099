"""How many analyzers the measured load asks for: more at once, fewer only after a quiet time. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from vqa_ray.core.placement import Hall, Passenger, Seat

CALMER = 0.9  # of the target: so much less the load must be for fewer analyzers, so that they do not come and go


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What all streams take together. alone: analyzers that are kept for streams which crash others."""

    share: float
    size_bytes: int
    alone: int = 0


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What one analyzer can take, and how much of that is to be in use on the average."""

    capacity: float
    budget: int
    target: float


class Count(msgspec.Struct, frozen=True):
    """So many analyzers are right now; so many of those there are could go."""

    right: int
    surplus: int


def needed(load: Load, size: Size) -> int:
    """The analyzers that hold the load at the target; by CPU or by memory, whichever asks for more."""
    by_share = load.share / (size.capacity * size.target)
    by_bytes = load.size_bytes / (size.budget * size.target)
    return load.alone + math.ceil(max(by_share, by_bytes) - 1e-9)


class Scaler:
    """Remembers since when fewer analyzers would do."""

    def __init__(self) -> None:
        self._quiet_since_s: float | None = None

    def step(self, load: Load, size: Size, have: int, now_s: float, shrink_after_s: float | None) -> Count:
        """have: analyzers that are there or asked for, without those that are being emptied."""
        right = needed(load, size)
        calm = max(1, needed(load, msgspec.structs.replace(size, target=size.target * CALMER)))
        if calm >= have:
            self._quiet_since_s = None
            return Count(right, 0)
        if self._quiet_since_s is None:
            self._quiet_since_s = now_s
        quiet = shrink_after_s is not None and now_s - self._quiet_since_s >= shrink_after_s
        return Count(right, have - calm if quiet else 0)


def spare(hall: Hall, riders: Mapping[str, Sequence[Passenger]]) -> str | None:
    """The analyzer to end if one is to go: of the node with the least to do, so that its machine becomes free.

    hall: the analyzers that are ready; riders: what they have. None if no other ones have room for what it has.
    """
    nodes: dict[str, int] = {}
    for seat in hall.seats:
        nodes[seat.node] = nodes.get(seat.node, 0) + seat.load
    order = sorted(hall.seats, key=lambda s: (nodes[s.node], s.node, s.load, s.name))
    return next((s.name for s in order[:_LOOKED_AT] if _can_go(s, hall.seats, hall, riders)), None)


_LOOKED_AT = 3  # if not even the emptiest can be emptied, the others cannot


def _can_go(seat: Seat, seats: Iterable[Seat], hall: Hall, riders: Mapping[str, Sequence[Passenger]]) -> bool:
    if seat.suspects:
        return False
    others = [_copy(one) for one in seats if one is not seat]
    without = Hall(others, hall.policy)
    for rider in sorted(riders.get(seat.name, ()), key=lambda r: (-r.load, r.stream_id)):
        to = without.choose(rider, ready_only=True)
        if to is None or to.suspects or not to.holds(rider.load, rider.size_bytes):
            return False
        without.seat(rider, to)
    return True


def _copy(seat: Seat) -> Seat:
    made = Seat(seat.name, seat.capacity, seat.kind, budget=seat.budget, node=seat.node)
    made.load, made.used, made.clean, made.suspects = seat.load, seat.used, seat.clean, seat.suspects
    return made
