"""Where sound breaks off and comes back at full level: how a hole differs from a pause.

A pause is approached: speech and music decay by 20 dB in 30 ms at the fastest, and before a plosive only the way back
is steep. What is cut out falls and rises between two samples; a codec blurs that to 2 or 3 ms, and leaves in the hole
what lies 25 dB (Opus, 20 ms) to 90 dB below its edges. Edges far below the level of late belong to a pause, where
nobody hears a hole, or to the joint between two recordings.

Where the hole is dead, digital silence, less is asked of its edges: between two pulses of a voice the level is 10 dB
and more below them, but it still does not fall to nothing within 10 ms.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

LOW = 0.02  # of the level of late (-34 dB): below this may be a hole
FAR = 0.022  # … (-33 dB): a hole with an edge below this is in a pause
NEAR = 0.1  # … (-20 dB): the mean of both edges is at this
FAINT = 0.003  # of full scale (-50 dBFS): no edge is below this, whatever the level of late
EDGE_MS = 10  # stretch on both sides that tells the level of the edges
STEEP_MS = 5  # within it the level must be back
BLUR_MS = 3  # of an edge, by codecs; …
BLUR_IF_DEAD_MS = 5  # … AAC and AC-3 leave something for longer where else is nothing
BELOW = 0.1  # of the lower edge (-20 dB): where the hole begins and ends
STEEP = 6.3  # times that (16 dB) within STEEP_MS …
FALL_IF_DEAD = 10.0  # … or, in digital silence, it falls to this part (-20 dB) from STEEP_MS outside to inside
DEEP = 18.0  # the lower edge is so many times (25 dB) all that is in the hole …
DEEP_IN_MEDIAN = 40.0  # … and so many (32 dB) half of it, …
DEEP_IF_DEAD = 14.0  # … or so many (23 dB) all of it if the median is …
DEAD = 1e-4  # … at most this (-80 dBFS): digital silence


class Hole(NamedTuple):
    """In milliseconds of the envelope, `last` exclusive; depth: lower edge over what is inside."""

    first: int
    last: int
    depth: float


def holes(envelope: F32, recent: float) -> list[Hole]:
    """The holes in an envelope of 1 ms, in order. recent: peak level of late."""
    low = np.flatnonzero(np.diff((envelope < LOW * recent).view(np.int8), prepend=0, append=0))
    found = (hole(envelope, int(first), int(last), recent) for first, last in zip(low[::2], low[1::2], strict=True))
    return [one for one in found if one is not None]


def hole(envelope: F32, first: int, last: int, recent: float) -> Hole | None:
    """The low stretch from `first` to `last` as a hole, None if it is a pause."""
    before, after = envelope[max(0, first - EDGE_MS) : first], envelope[last : last + EDGE_MS]
    if not before.size or not after.size:
        return None
    low, high = sorted((float(before.max()), float(after.max())))
    if low < max(FAINT, FAR * recent) or low * high < (NEAR * recent) ** 2:
        return None
    inside = envelope[first + BLUR_MS : last - BLUR_MS]
    if not inside.size:
        return None
    middling = float(np.median(inside))
    dead = middling <= DEAD
    if dead:
        inside = envelope[first + BLUR_IF_DEAD_MS : last - BLUR_IF_DEAD_MS]
    floor = float(inside.max(initial=0.0))
    if floor * (DEEP_IF_DEAD if dead else DEEP) > low or (not dead and middling * DEEP_IN_MEDIAN > low):
        return None
    edges = _edges(envelope, (first + last) // 2, max(2.0 * floor, BELOW * low), dead)
    return None if edges is None else Hole(*edges, low / max(floor, 1e-6))


def _edges(envelope: F32, middle: int, threshold: float, dead: bool) -> tuple[int, int] | None:
    """Where from `middle` the threshold is passed on both sides, if the level is back at once there."""
    loud = envelope >= threshold
    earlier, later = np.flatnonzero(loud[:middle]), np.flatnonzero(loud[middle:])
    if not earlier.size or not later.size:
        return None
    first, last = int(earlier[-1]) + 1, middle + int(later[0])
    sides = envelope[max(0, first - STEEP_MS) : first], envelope[last : last + STEEP_MS]
    if dead:
        within = envelope[first + STEEP_MS : middle][:STEEP_MS], envelope[middle : last - STEEP_MS][-STEEP_MS:]
        least = [FALL_IF_DEAD * float(part.max(initial=DEAD)) for part in within]
    else:
        least = [STEEP * threshold] * 2
    steep = all(float(side.max()) >= level for side, level in zip(sides, least, strict=True))
    return (first, last) if steep else None
