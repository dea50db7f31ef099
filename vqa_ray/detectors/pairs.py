"""Which beep belongs to which flash, and how their distance drifts."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

IN_A_ROW = 3  # flashes that must have a beep at one and the same distance before anything is said
AGREE_S = 0.03  # by which their distances may differ
DRIFT_OVER_S, DRIFT_PAIRS = 30.0, 5  # least time and pairs from which a drift is told


def offsets(flashes: Sequence[float], beeps: Sequence[float], range_s: float) -> list[float] | None:
    """Seconds from each flash to its beep, all about the same and as small as possible; None if there is no such.

    At most `range_s`; of flashes at equal distances at most half of that, since beyond it another beep is nearer.
    """
    last = flashes[-1]
    gaps = [after - before for before, after in pairwise(flashes)]
    if max(gaps) - min(gaps) <= 2 * AGREE_S:
        range_s = min(range_s, (min(gaps) + AGREE_S) / 2)
    for offset_s in sorted((beep - last for beep in beeps if abs(beep - last) <= range_s), key=abs):
        found = [_nearest(flash + offset_s, beeps) - flash for flash in flashes]
        if all(abs(one - offset_s) <= AGREE_S for one in found):
            return found
    return None


def drift_ms_per_min(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Slope of the offsets (seconds) over time (seconds) by least squares, in ms a minute; None of too few pairs."""
    if len(pairs) < DRIFT_PAIRS or pairs[-1][0] - pairs[0][0] < DRIFT_OVER_S:
        return None
    at_s, offset_s = np.array(pairs).T
    at_s = at_s - at_s.mean()
    return float(at_s @ (offset_s - offset_s.mean()) / (at_s @ at_s)) * 60_000.0


def _nearest(at_s: float, beeps: Sequence[float]) -> float:
    return min(beeps, key=lambda beep: abs(beep - at_s))
