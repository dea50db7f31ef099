"""Snow: the noise of a receiver without a signal. Each picture is another one, and none has any large shape.

Encoders that lack the bits for it turn snow into faint mush, so what has been snow may go on as less of it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from vqa_ray.core.picture import Picture, Plane

BLOCK = 16
FEWEST = 12  # blocks
SPREAD = 1.4826  # from the median deviation to the standard one, of normal values
PATCH = 128  # pixels, compared with the picture before
PANNED, SHIFT = 0.45, 1.0  # response of phase correlation (noise: < 0.3), and pixels, from which on a texture moves


class Need(NamedTuple):
    """contrast: standard deviation of pixels (grey levels), at least; renewed: mean change from frame to frame over
    that deviation, at least (1.13 of unrelated noise); shapeless: deviation of block means over it, at most (1/16 of
    white noise, 0.45-0.9 of pictures); rough: mean difference of neighbours over it, at least (1.13 of white noise,
    0.7 of noise three pixels wide, 0.1-0.4 of pictures, waves included); unrelated: the same of the sketch, whose
    pixels are further apart (0.2-0.7 of pictures, 0.5 of the mush that an encoder makes of snow)."""

    contrast: float
    renewed: float
    shapeless: float
    rough: float
    unrelated: float


BEGINS = Need(10.0, 0.55, 0.22, 0.55, 0.75)
GOES_ON = Need(2.5, 0.20, 0.45, 0.25, 0.5)


def is_snow(picture: Picture, change: float, need: Need) -> bool:
    """Whether it is noise all over; `change`: the largest mean change (grey levels) of the last frames."""
    if change < need.contrast * need.renewed:
        return False  # nearly always
    sketch = centre(picture.sketch)
    deviation = float(cv2.meanStdDev(sketch)[1][0, 0])
    if deviation < need.contrast or change < need.renewed * deviation:
        return False
    if cv2.norm(sketch[1:], sketch[:-1], cv2.NORM_L1) < need.unrelated * deviation * sketch[1:].size:
        return False
    before, small = picture.before, picture.small
    noise = centre(small)
    if shape_ratio(noise) > need.shapeless or roughness(noise) < need.rough:
        return False
    return before is None or before.shape != small.shape or not panned(before, small)


def centre(luma: Plane) -> Plane:
    """The middle 3/4 by 3/4 of a picture: without borders, clocks and logos; (h, w) -> (3h/4, 3w/4)."""
    height, width = luma.shape
    return luma[height // 8 : height - height // 8, width // 8 : width - width // 8]


def shape_ratio(luma: Plane) -> float:
    """Spread of the means of 16x16 blocks over the deviation of pixels, 0 (noise) to 1 (shapes); (h, w) uint8.

    The spread is taken around the median, so that a message over the noise does not matter.
    """
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    if rows * columns < FEWEST:
        return 1.0
    luma = luma[: rows * BLOCK, : columns * BLOCK]
    means = cv2.resize(luma, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    spread = SPREAD * middle(abs(means - middle(means)))
    deviation = float(cv2.meanStdDev(luma)[1][0, 0])
    return spread / deviation if deviation > 0.0 else 1.0


def roughness(luma: Plane) -> float:
    """Mean difference of neighbours over the deviation of pixels, in the smoother direction; (h, w) uint8."""
    deviation = float(cv2.meanStdDev(luma)[1][0, 0])
    across, down = (luma[:, 1:], luma[:, :-1]), (luma[1:], luma[:-1])
    steps = min(cv2.norm(one, other, cv2.NORM_L1) / max(1, one.size) for one, other in (across, down))
    return steps / deviation if deviation > 0.0 else 0.0


def middle(values: Plane) -> float:
    """The median, of an even number the upper one (numpy's own imports masked arrays, 12 ms, at its first call)."""
    return float(np.partition(values, values.size // 2, axis=None)[values.size // 2])


def panned(before: Plane, luma: Plane) -> bool:
    """Whether a texture (grass, gravel, a crowd) moves as a whole; (h, w) uint8 each."""
    top, left = max(0, (luma.shape[0] - PATCH) // 2), max(0, (luma.shape[1] - PATCH) // 2)
    one, other = (p[top : top + PATCH, left : left + PATCH].astype(np.float32) for p in (before, luma))
    (x, y), response = cv2.phaseCorrelate(one, other, cv2.createHanningWindow(one.shape[::-1], cv2.CV_32F))
    return response > PANNED and max(abs(x), abs(y)) >= SHIFT
