"""The six colours of test patterns, and rows of samples in which they stand as patterns have them.

Colour bars of all kinds (EBU/PAL 75 % and 100 %, SMPTE EG 1, RP 219, ARIB STD-B28, those within Philips PM5544) show
yellow, cyan, green, magenta, red and blue in this order. The angle of their chroma hardly depends on the matrix
(BT.601, BT.709) or the level. Patterns of another order are told by all six in one row, equally wide, with little else.
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.picture import Plane

ANGLES = (172.9, -74.0, -129.2, 50.8, 106.0, -7.0)  # degrees, yellow to blue: between BT.601's and BT.709's
REACH = 13.0  # degrees
SATURATED = 55.0  # distance of chroma from grey: the palest of 75 % bars has 85
NEUTRAL = 20.0  # the same: white, grey and black bars
HUES = len(ANGLES)
GREY, OTHER = HUES, HUES + 1
ROOM = 40  # levels from grey that U and V of each pattern go beyond, both ways
FEWEST_SAMPLES = 2  # of a bar
FEWEST_HUES = 5  # a clock or a message may cover one
SPAN = 0.35  # of the width, from the middle of the first bar to that of the last
UNLIKE = 3.0  # the widest bar over the narrowest, of those in order
ALIKE = 0.8  # of the samples of a row that the row below repeats

Classes = NDArray[np.uint8]


def _table() -> Classes:
    v, u = np.meshgrid(np.arange(256) - 128.0, np.arange(256) - 128.0)
    distance, angle = np.hypot(u, v), np.degrees(np.arctan2(v, u))
    classes = np.full((256, 256), OTHER, np.uint8)
    classes[distance <= NEUTRAL] = GREY
    for number, hue in enumerate(ANGLES):
        apart = np.abs((angle - hue + 180.0) % 360.0 - 180.0)
        classes[(apart <= REACH) & (distance >= SATURATED)] = number
    return classes


CLASS_OF = _table()  # of each (U, V): one of the six hues, GREY or OTHER


def pattern_share(u: Plane, v: Plane) -> float:
    """Share of the rows of a picture that show bars; samples of U and V, (h, w) uint8 each."""
    if not (varied(u) and varied(v)):
        return 0.0  # nearly always
    classes = CLASS_OF[u, v]
    fewest = FEWEST_SAMPLES * FEWEST_SAMPLES
    if (np.bincount(classes.ravel(), minlength=OTHER + 1)[:HUES] >= fewest).sum() < FEWEST_HUES:
        return 0.0
    rows = [is_bars(row) for row in classes]
    repeated = (classes[:-1] == classes[1:]).mean(axis=1) >= ALIKE
    pairs = [bool(one and other and same) for (one, other), same in zip(pairwise(rows), repeated, strict=True)]
    found = sum(one or other for one, other in zip([*pairs, False], [False, *pairs], strict=True))
    return found / len(rows)


def varied(plane: Plane) -> bool:
    """Whether a chroma plane goes far from grey both ways; (h, w) uint8."""
    low, high, _, _ = cv2.minMaxLoc(plane)
    return low <= 128 - ROOM and high >= 128 + ROOM


def is_bars(row: Classes) -> bool:
    """Whether one row of classes, (w,), shows at least five of the bars in order, or all six in any."""
    counts: list[int] = np.bincount(row, minlength=OTHER + 1).tolist()
    present = [hue for hue in range(HUES) if counts[hue] >= FEWEST_SAMPLES]
    if len(present) < FEWEST_HUES or counts[OTHER] > row.size / 4:
        return False
    widths = [counts[hue] for hue in present]
    centres = [float(np.flatnonzero(row == hue).mean()) for hue in present]
    if max(centres) - min(centres) < SPAN * row.size:
        return False
    if in_order(centres) or in_order(centres[::-1]):
        return max(widths) <= UNLIKE * min(widths)
    solid = sum(widths) >= row.size / 2 and counts[OTHER] <= row.size / 8
    return len(present) == HUES and solid and max(widths) <= 2 * min(widths)


def in_order(values: Sequence[float]) -> bool:
    """Whether each is larger than the one before."""
    return all(one < other for one, other in pairwise(values))
