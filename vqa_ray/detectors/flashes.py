"""Flashes: opposing changes of luminance over a good part of the picture, after ITU-R BT.1702 and Ofcom's guidance.

The picture is taken in 6x10 cells. A cell turns when its luminance has changed by 10 % of the screen's peak against the
way it went before, and the darker of both is below 80 % of it. A turn of the picture is one of enough cells in the same
direction at about the same time; two turns in opposite directions are a flash.
"""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.picture import Plane

ROWS, COLUMNS = 6, 10
STEP = 0.10  # of peak luminance: 20 cd/m² on the screen of 200 cd/m² that the guidance supposes
BRIGHT = 0.80  # changes between brighter states do not count: 160 cd/m²
GAMMA = 2.4  # ITU-R BT.1886
TOGETHER_S = 0.1
WINDOW_S = 1.0

F32 = NDArray[np.float32]


def luminance_of(black: int, white: int) -> F32:
    """Relative luminance (0 to 1) of each 8-bit luma value on a BT.1886 display, (256,) float32."""
    luma = (np.arange(256) - black) / (white - black)
    return (np.clip(luma, 0.0, 1.0) ** GAMMA).astype(np.float32)


def cells(sketch: Plane, luminance: F32) -> F32:
    """Relative luminance of the mean luma of 60 cells, (60,) float32; sketch: (h, w) uint8.

    A few rows and columns at the edge are left out: blocks of whole pixels take 2 µs, others 8.
    """
    height, width = sketch.shape
    whole = sketch[: height // ROWS * ROWS or height, : width // COLUMNS * COLUMNS or width]
    means = cv2.resize(whole, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.LUT(means, luminance), np.float32).ravel()


class Turns:
    """The turns of the picture within the last second, in times_s; share: of the cells, that must turn together."""

    def __init__(self, share: float) -> None:
        self._least = max(1, int(np.ceil(share * ROWS * COLUMNS - 1e-9)))
        self._sign: F32 | None = None  # of each cell: +1 while it was rising, -1 while it was falling
        self._extreme: F32 = np.zeros(0, np.float32)  # where that led, times the sign
        self._turned_s = np.full(ROWS * COLUMNS, -np.inf)  # when each cell last turned
        self._late: deque[tuple[float, int]] = deque()  # when and how many cells turned, of late
        self._way = 0.0  # of the last turn of the picture: +1 it rose, -1 it fell
        self.times_s: deque[float] = deque()

    def take(self, light: F32, at_s: float) -> bool:
        """Whether the picture turned at this frame; light: see `cells`."""
        sign, extreme = self._sign, self._extreme
        if sign is None:
            self._sign, self._extreme = np.ones_like(light), light.copy()
            return False
        signed = light * sign
        np.maximum(extreme, signed, out=extreme)
        turned = (extreme - signed) >= STEP
        count = int(np.count_nonzero(turned))
        if not count:
            return False
        np.putmask(self._turned_s, turned, at_s)
        if light.max() >= BRIGHT:  # neither state is darker than that: it does not count
            np.putmask(self._turned_s, turned & (np.minimum(light, extreme * sign) >= BRIGHT), -np.inf)
        np.negative(sign, out=sign, where=turned)
        np.negative(signed, out=extreme, where=turned)
        return self._together(at_s, count) and self._turn(at_s)

    def _together(self, at_s: float, count: int) -> bool:
        """Whether enough cells turned of late, whichever way; nearly always not."""
        late = self._late
        late.append((at_s, count))
        while late[0][0] <= at_s - TOGETHER_S:
            late.popleft()
        return sum(number for _, number in late) >= self._least

    def _turn(self, at_s: float) -> bool:
        assert self._sign is not None
        late = self._turned_s > at_s - TOGETHER_S
        rose = int(np.count_nonzero(late & (self._sign > 0.0)))
        fell = int(np.count_nonzero(late)) - rose
        way = -self._way or (1.0 if rose > fell else -1.0)
        if (rose if way > 0.0 else fell) < self._least:
            return False
        self._way = way
        self.times_s.append(at_s)
        while self.times_s[0] <= at_s - WINDOW_S:
            self.times_s.popleft()
        return True
