"""Pictures of one flat colour: what receivers, converters and mixers show where they have no signal."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.detectors.green import CORNER_FULL, CORNER_LIMITED
from vqa_ray.detectors.snow import middle

ROW_RANGE = 16  # grey levels within a row of samples; more is no flat picture
DARK = 4  # levels above black: borders
LUMA_RANGE = 5  # levels around the most frequent one, of saturated colours: analogue ones carry noise
GREY_RANGE = 3  # the same of grey, which fog and overcast skies come near to
CHROMA_RANGE = 6
SATURATED, GREYISH = 40.0, 6.0  # distance of chroma from grey
GREYS = (40, 200)  # darker ones are black's, brighter ones are skies, paper and fades to white
WRITING = 0.03  # share of the picture that a message may take
INK = 24  # levels from the flat colour: it is written
LIT = 0.25  # of a line of samples: less is noise in a border
TALLEST = 0.12  # of the picture's height, from top to bottom of a message; titles and graphics are larger
SMALLEST = 0.4  # share of the picture within black borders
MOVED = 3.0  # levels between looks: a fade


class Flat(NamedTuple):
    """A flat picture: its colour in 8-bit levels, and the share of the picture that has it."""

    y: float
    u: float
    v: float
    share: float

    def stays(self, other: "Flat") -> bool:
        """Whether the other has the same colour, and no fade is going on."""
        return max(abs(self.y - other.y), abs(self.u - other.u), abs(self.v - other.v)) <= MOVED


def flat_colour(picture: Picture) -> Flat | None:
    """The colour of a picture that has but one (a small message and black borders aside), None of any other.

    Receivers write a small line over their blue; title cards may be blue, too, and are written larger or fuller.
    White, black, and pale colours such as skies do not count, nor does what `green` finds.
    """
    sketch, dark = picture.sketch, picture.black_level + DARK
    if not maybe_flat(sketch, dark):
        return None  # nearly always
    colour = chroma_of(picture)
    if colour is None:
        return None
    u, v, chroma_share = colour
    saturation = float(np.hypot(u - 128.0, v - 128.0))
    corner = CORNER_FULL if picture.full_range else CORNER_LIMITED
    if GREYISH < saturation < SATURATED or max(u, v) <= corner or min(u, v) >= 255 - corner:
        return None
    grey = saturation <= GREYISH
    y, share, area, ink = luma_of(sketch, dark, GREY_RANGE if grey else LUMA_RANGE)
    if area < SMALLEST or (grey and not GREYS[0] <= y <= GREYS[1]):
        return None
    if share < 1.0 - WRITING or chroma_share < (1.0 - WRITING) * area - 0.02:
        return None
    written = np.flatnonzero(ink.any(axis=1))
    if written.size and written[-1] - written[0] >= TALLEST * len(sketch):
        return None  # a title card
    return Flat(y, u, v, share)


def maybe_flat(sketch: Plane, dark: int) -> bool:
    """Whether the middle of the row at 1/4 or 3/4 of the height is flat, noise aside; (h, w) uint8."""
    height, width = sketch.shape
    for row in (height // 4, height - 1 - height // 4):
        low, high, _, _ = cv2.minMaxLoc(sketch[row, width // 8 : width - width // 8])
        if low > dark and high - low <= ROW_RANGE:
            return True
    return False


def chroma_of(picture: Picture) -> tuple[float, float, float] | None:
    """Median U and V, and the share of samples near both; grey where there is no chroma."""
    planes = picture.chroma_sketch
    if planes is None:
        return 128.0, 128.0, 1.0
    u, v = (plane.astype(np.int16) for plane in planes)
    u0, v0 = middle(u), middle(v)
    near = (abs(u - u0) <= CHROMA_RANGE) & (abs(v - v0) <= CHROMA_RANGE)
    return u0, v0, float(near.mean())


def luma_of(sketch: Plane, dark: int, reach: int) -> tuple[float, float, float, NDArray[np.bool_]]:
    """Most frequent level within dark borders, share of samples within `reach` of it, share of the picture that the
    borders leave, and which samples within them are of another level altogether; (h, w) uint8."""
    lit = sketch > dark
    rows, columns = lit.mean(axis=1) > LIT, lit.mean(axis=0) > LIT
    inner = sketch[rows][:, columns]
    if not inner.size:
        return 0.0, 0.0, 0.0, inner > dark
    counts = np.bincount(inner.ravel(), minlength=256)
    peak = int(counts.argmax())
    near = counts[max(0, peak - reach) : peak + reach + 1].sum()
    ink = (np.abs(inner.astype(np.int16) - peak) > INK) & (inner > dark)
    return float(peak), float(near) / inner.size, inner.size / sketch.size, ink
