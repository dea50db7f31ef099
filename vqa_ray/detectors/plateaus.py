"""Hard clipping seen in how often each level occurs, which a lossy codec blurs but does not undo.

Levels of sound occur the more rarely the higher they are. What was cut off piles up at the ceiling: beyond a valley
there is a hump. A codec's ripple spreads it over some 2 dB around the ceiling, with peaks far above it. A limiter
leaves no hump: it turns the level down and keeps the form of the wave. A tone has one, and is told by its spectrum.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

BIN = 1 / 16  # of full scale
FULL_SCALE = 16  # its bin
BINS = 32  # up to twice full scale, which decoders reach after clipping; what is above is not counted
FIRST = 5  # lowest bin that is taken for a ceiling (-10 dBFS)
LEAST = 2  # from here on sound is expected to get rarer
TONE_LINES = 2  # beside the strongest line that belong to it
TONE_SHARE = 0.75  # of all power in one line: a tone


class Hump(NamedTuple):
    """ratio: how much more often than the rarest level below it; share: of all samples; level: its middle bin."""

    ratio: float
    share: float
    level: int


NO_HUMP = Hump(0.0, 0.0, BINS)


def levels(samples: F32) -> F32:
    """How many samples of (channels, n) are at each absolute level without their mean, (channels, BINS)."""
    counts = np.empty((len(samples), BINS), np.float32)
    for row, channel in enumerate(samples):
        steps = cv2.convertScaleAbs(channel, alpha=1 / BIN, beta=-cv2.mean(channel)[0] / BIN)
        cv2.calcHist([steps], [0], None, [BINS], [0, BINS], hist=counts[row])
    return counts


def hump(counts: F32, least_share: float) -> Hump:
    """The clearest hump of one channel that holds at least a share of its samples."""
    found = counts.tolist()
    total = max(1.0, sum(found))
    best, valley = NO_HUMP, min(found[LEAST:FIRST])
    for level in range(FIRST, BINS - 1):
        count = found[level]
        if count > valley * best.ratio and (share := sum(found[level - 1 : level + 2]) / total) >= least_share:
            best = Hump(count / max(valley, 1e-4 * total), share, level)
        valley = min(valley, count)
    return best


def is_tone(lines: F32) -> bool:
    """Whether nearly all power is in one line of the spectrum."""
    total = float(lines[1:].sum())
    strongest = int(lines[1:].argmax()) + 1
    beside = lines[max(1, strongest - TONE_LINES) : strongest + TONE_LINES + 1]
    return total > 0.0 and float(beside.sum()) > TONE_SHARE * total
