"""How sharp edges are and how much of the fine detail is gone, from single rows and columns of luma."""

import cv2
import numpy as np

from vqa_ray.core.picture import Plane

LINES = 24  # in each direction
REACH = 6  # pixels over which an edge is looked at
EDGE = 32  # grey levels over that: a plain edge
FEWEST_EDGES = 60
BEST = 75  # percentile: what is in focus, not what is behind it
FAINT = (3, 24)  # grey levels over that: texture and shading, which encoders give up first
FEWEST_FAINT = 400  # places


def sharpness(luma: Plane, bit_depth: int = 8) -> float | None:
    """How much of its height an edge rises from one pixel to the next, 0 (over 6 pixels) to 1; None without edges.

    The sharper of both directions counts, since movement blurs one. After the edge widths of Marziliano et al. (2002).
    """
    both = [found for lines in (rows(luma, bit_depth), columns(luma, bit_depth)) if (found := _steepness(lines))]
    return max(both, default=None)


def erased_share(luma: Plane, bit_depth: int = 8) -> float | None:
    """Share of neighbours that are equal where the picture is faintly textured or shaded, 0 to 1; None where it is not.

    0.15 to 0.30 in well coded pictures; H.264 at a CRF of 45 makes 1.3 to 2 times that.
    """
    equal = faint = 0
    for lines in (rows(luma, bit_depth), columns(luma, bit_depth)):
        if lines.shape[1] >= 4 * REACH:
            rises = cv2.absdiff(lines[:, REACH:], lines[:, :-REACH])
            places = cv2.inRange(rises, FAINT[0], FAINT[1])
            at = REACH // 2
            steps = cv2.compare(
                lines[:, at : at + rises.shape[1]], lines[:, at - 1 : at - 1 + rises.shape[1]], cv2.CMP_EQ
            )
            faint += cv2.countNonZero(places)
            equal += cv2.countNonZero(cv2.bitwise_and(steps, places))
    return equal / faint if faint >= FEWEST_FAINT else None


def rows(luma: Plane, bit_depth: int) -> Plane:
    """Some 24 rows, (n, w) uint8."""
    every = max(1, len(luma) // LINES)
    return _as_bytes(luma[every // 2 :: every], bit_depth)


def columns(luma: Plane, bit_depth: int) -> Plane:
    """Some 24 columns, turned, (n, h) uint8."""
    every = max(1, luma.shape[1] // LINES)
    return _as_bytes(luma[:, every // 2 :: every].T, bit_depth)


def _as_bytes(lines: Plane, bit_depth: int) -> Plane:
    return np.ascontiguousarray(lines) if bit_depth == 8 else (lines >> (bit_depth - 8)).astype(np.uint8)


def _steepness(lines: Plane) -> float | None:
    """The same along lines, (n, w) uint8."""
    if lines.shape[1] < 4 * REACH:
        return None
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    rises = cv2.absdiff(lines[:, REACH:], lines[:, :-REACH])
    edges = rises > EDGE
    if np.count_nonzero(edges) < FEWEST_EDGES:
        return None
    steepest = cv2.dilate(steps, np.ones((1, REACH), np.uint8), anchor=(0, 0))[:, : rises.shape[1]]
    ratio = np.minimum(steepest[edges].astype(np.float32) / rises[edges], 1.0)
    return (float(np.percentile(ratio, BEST)) - 1.0 / REACH) / (1.0 - 1.0 / REACH)
