"""The strip of an incident as one image: stills side by side, and below them the detector's value over time."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from vqa_ray.core.evidence import Point
from vqa_ray.core.picture import Plane
from vqa_ray.core.still import Still, image

TILE_WIDTH, TILE_HEIGHT = 256, 144
HEAD, FOOT, CURVE = 26, 22, 110  # heights of the title, of the labels below stills, and of the curve
GAP = 4
LEAST_WIDTH = 4 * TILE_WIDTH
PAPER, INK, DIM, MARK = (24, 24, 24), (235, 235, 235), (150, 150, 150), (70, 70, 240)  # blue, green, red
LINE, BAND = (230, 180, 90), (70, 60, 40)
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.45


def choose(stills: Sequence[Still], at_s: float, *, before: int = 2, after: int = 3) -> list[Still]:
    """What a strip shows of stills in order of time: exact ones, and the best spread of others before and after."""
    exact = [still for still in stills if still.exact]
    others = [still for still in stills if not still.exact and all(abs(still.at_s - e.at_s) > 1e-3 for e in exact)]
    early = [still for still in others if still.at_s < at_s][-before:]
    late = _spread([still for still in others if still.at_s >= at_s], after + (0 if exact else 1))
    return sorted([*early, *exact, *late], key=lambda still: still.at_s)


def _spread(stills: list[Still], count: int) -> list[Still]:
    if len(stills) <= count or count < 2:
        return stills[:count]
    step = (len(stills) - 1) / (count - 1)
    return [stills[round(k * step)] for k in range(count)]


def draw(title: str, stills: Sequence[Still], curve: Sequence[Point], at_s: float, unit: str) -> Plane:
    """(h, w, 3) uint8, blue first. The still of the moment itself, the first at or after `at_s`, has a frame."""
    width = max(LEAST_WIDTH, len(stills) * (TILE_WIDTH + GAP) - GAP)
    tiles = TILE_HEIGHT + FOOT if stills else 0
    page = np.full((HEAD + tiles + CURVE, width, 3), PAPER, np.uint8)
    _write(page, title, 6, 18, INK)
    moment = next((k for k, still in enumerate(stills) if still.at_s >= at_s - 1e-3), None)
    for k, still in enumerate(stills):
        left, top = k * (TILE_WIDTH + GAP), HEAD
        _paste(page, image(still), left, top)
        label = f"{still.at_s - at_s:+.3f} s" if still.exact else f"{still.at_s - at_s:+.1f} s"
        _write(page, label, left + 4, top + TILE_HEIGHT + 16, MARK if k == moment else DIM)
        if k == moment:
            cv2.rectangle(page, (left, top), (left + TILE_WIDTH - 1, top + TILE_HEIGHT - 1), MARK, 2)
    _plot(page[HEAD + tiles :], curve, at_s, unit)
    return page


def _paste(page: Plane, pixels: Plane, left: int, top: int) -> None:
    """In its own shape, in the middle of its tile."""
    height, width = pixels.shape[:2]
    scale = min(TILE_WIDTH / width, TILE_HEIGHT / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    x, y = left + (TILE_WIDTH - w) // 2, top + (TILE_HEIGHT - h) // 2
    page[y : y + h, x : x + w] = cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA)


def _plot(area: Plane, curve: Sequence[Point], at_s: float, unit: str) -> None:
    """The curve of what a detector said; where it stands for a second, its lowest and highest value as a band."""
    height, width = area.shape[:2]
    points = [point for point in curve if math.isfinite(point.low) and math.isfinite(point.high)]
    if not points:
        _write(area, "no values", 6, height // 2, DIM)
        return
    first_s, last_s = min(points[0].at_s, at_s), max(points[-1].at_s + 0.04, at_s + 0.04)
    low, high = min(p.low for p in points), max(p.high for p in points)
    span = (high - low) or max(1e-9, abs(high))
    left, right, top, bottom = 80, width - 10, 10, height - 22

    def x(t: float) -> int:
        return int(left + (t - first_s) / (last_s - first_s) * (right - left))

    def y(value: float) -> int:
        return int(bottom - (value - low) / span * (bottom - top))

    line = []
    for point, end_s in zip(points, [*(p.at_s for p in points[1:]), last_s], strict=True):
        begin, end = x(point.at_s), x(end_s)
        if point.high > point.low:
            cv2.rectangle(area, (begin, y(point.high)), (end, y(point.low)), BAND, cv2.FILLED)
        line += [(begin, y(point.mean)), (end, y(point.mean))]
    cv2.polylines(area, [np.array(line, np.int32)], False, LINE, 1, cv2.LINE_AA)
    cv2.line(area, (x(at_s), top), (x(at_s), bottom), MARK, 1)
    _write(area, f"{high:.4g}", 4, top + 8, DIM)
    _write(area, f"{low:.4g}", 4, bottom, DIM)
    _write(area, unit, 4, (top + bottom) // 2 + 4, DIM)
    _write(area, f"{first_s - at_s:+.1f} s", left, height - 6, DIM)
    _write(area, f"{last_s - at_s:+.1f} s", right - 60, height - 6, DIM)


def _write(area: Plane, text: str, x: int, y: int, color: tuple[int, int, int]) -> None:
    """OpenCV's letters are ASCII only; what they cannot draw becomes a question mark."""
    cv2.putText(area, text.encode("ascii", "replace").decode(), (x, y), FONT, SIZE, color, 1, cv2.LINE_AA)
