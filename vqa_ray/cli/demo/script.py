"""What the demo shows: which streams there are, and what goes wrong on each. Values only.

Nothing begins or ends around the moment when an analyzer is killed, but some faults last across it: whichever analyzer
dies, incidents are open in it, which its successor has to end without telling them anew.
"""

from collections.abc import Sequence

import msgspec

from vqa_ray.media.synthetic.script import Fault, FaultKind
from vqa_ray.media.synthetic.source import Kind

ROUND_S = 50.0  # all faults of one round begin and end within it
KILL_AT_S = 24.0
QUIET_S = (22.0, 33.0)  # around the kill: no fault begins or ends in here
LEAST_STREAMS = 8
LEAST_S = 60.0  # a round, and time to tell its last faults


class Part(msgspec.Struct, frozen=True):
    """The part that one stream plays."""

    name: str
    kind: Kind
    faults: tuple[Fault, ...]


_CAST: tuple[tuple[Kind, tuple[tuple[FaultKind, float, float], ...]], ...] = (
    (Kind.HLS, ((FaultKind.BLACK, 5, 6), (FaultKind.SILENCE, 35, 9))),
    (Kind.MULTICAST, ((FaultKind.FREEZE, 5, 9), (FaultKind.CORRUPTION, 37, 4))),
    (Kind.HTTP, ((FaultKind.SILENCE, 5, 9), (FaultKind.BLACK, 37, 6))),
    (Kind.RTMP, ((FaultKind.BLACK, 12, 24),)),
    (Kind.RTSP, ((FaultKind.FREEZE, 12, 24),)),
    (Kind.MULTICAST, ((FaultKind.CORRUPTION, 6, 4), (FaultKind.OUTAGE, 36, 6))),
    (Kind.HTTP, ((FaultKind.OUTAGE, 6, 6), (FaultKind.FREEZE, 35, 9))),
    (Kind.HLS, ((FaultKind.SILENCE, 12, 24),)),
)


def cast(streams: int, seconds: float) -> tuple[Part, ...]:
    """The parts of `streams` streams for `seconds` of watching: longer ones play their round again."""
    rounds = max(1, int(seconds // ROUND_S))
    return tuple(_part(number, rounds) for number in range(streams))


def _part(number: int, rounds: int) -> Part:
    kind, faults = _CAST[number % len(_CAST)]
    before = sum(1 for k in range(number) if _CAST[k % len(_CAST)][0] is kind)
    played = [Fault(what, start_s + k * ROUND_S, length_s) for k in range(rounds) for what, start_s, length_s in faults]
    return Part(f"{kind.value}-{before + 1}", kind, tuple(played))


def later(faults: Sequence[Fault], by_s: float) -> tuple[Fault, ...]:
    """The same faults, moved."""
    return tuple(Fault(fault.kind, fault.start_s + by_s, fault.duration_s) for fault in faults)
