"""black: the picture is black.

As in FFmpeg's blackdetect a pixel is dark at or below 10 % of the luma range, and a frame may be black with 98 % dark
pixels. Dark scenes pass that test too. So borders that stay dark while there is a picture (letterbox, pillarbox) do not
count, and a dark picture is not black when it has colour, bright points (stars, a clock, a logo), or shapes: blocks
of 16x16 pixels of the small luma that are not equally dark. This also ends a fade where something is to be seen again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import cv2
import msgspec
import numpy as np

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import DetectorSpec, Immediate, RaiseAfter
from vqa_ray.detectors.cadence import Cadence

BRIGHT_LEVEL = 0.20  # of the luma range: a point that is plainly seen on black
BRIGHT_SHARE = 0.0002  # of the picture: some stars; less is a hot pixel
SHAPE_BLOCK = 16
CHROMA_SHARE = 0.02
CHROMA_STRIDE = 4
LOOK_EACH = 6  # of the common looks: the borders are looked for about once a second
LOOKS = 8
SKETCH_ERROR = 0.08  # of the luma range: how far the mean of single samples may be off
SMALLEST_ACTIVE = 0.1  # of the picture: less is a logo, not a picture within borders


class BlackSpec(DetectorSpec, frozen=True, kw_only=True):
    """The picture is black: nothing is to be seen, as opposed to a dark scene."""

    id: ClassVar[str] = "black"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "darkness"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)
    worse_with: ClassVar[tuple[str, ...]] = ("silence",)
    adapts: ClassVar[str] = (
        f"borders that stay dark in the last {LOOKS} looks, about a second apart, do not count, unless they leave less "
        f"than {SMALLEST_ACTIVE:.0%} of the picture; the levels do not adapt"
    )

    raise_after_s: RaiseAfter = 2.0
    pixel_level: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="a pixel at or below this share of the luma range is dark")
    ] = 0.10
    picture_share: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="a frame with at least this share of dark pixels may be black")
    ] = 0.98
    max_shape: Annotated[
        float,
        msgspec.Meta(ge=0, le=255, description="range of block means (8-bit grey levels) up to which it is black"),
    ] = 6.0
    max_chroma: Annotated[
        float,
        msgspec.Meta(ge=0, le=128, description="distance of chroma from grey (8-bit levels) up to which it is black"),
    ] = 8.0

    def build(self) -> "BlackDetector":
        """A fresh detector with these options."""
        return BlackDetector(self)


class Box(NamedTuple):
    """Part of the small luma, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int


class BlackDetector(Immediate):
    """Judges each frame by itself, within the borders that the frames before it showed."""

    def __init__(self, spec: BlackSpec) -> None:
        self._spec = spec
        self._boxes: deque[Box] = deque(maxlen=LOOKS)
        self._active: Box | None = None
        self._shape: tuple[int, ...] = ()
        self._cadence = Cadence(LOOK_EACH)
        share = spec.picture_share
        self._dim = share * spec.pixel_level + (1.0 - share) + SKETCH_ERROR  # no black picture is brighter

    def read(self, picture: Picture) -> Sequence[Reading]:
        """One reading a frame; `value` is how dark the picture is, from 0 (white) to 1 (black)."""
        low, span = picture.black_level, picture.white_level - picture.black_level
        sketch = picture.sketch
        mean = cv2.norm(sketch, cv2.NORM_L1) / sketch.size
        level = int(low + self._spec.pixel_level * span)
        bad = mean <= low + self._dim * span and self._black(picture, level)
        if self._cadence.due(picture.at_s) and not bad:
            self._look(picture.small, level)
        return (Reading(picture.at_s, picture.until_s, min(1.0, max(0.0, 1.0 - (mean - low) / span)), bad),)

    def _black(self, picture: Picture, level: int) -> bool:
        luma = picture.small
        if (active := self._active) is not None and luma.shape == self._shape:
            luma = luma[active.top : active.bottom, active.left : active.right]
        return 1.0 - share_above(luma, level) >= self._spec.picture_share and self._empty(luma, picture)

    def _empty(self, luma: Plane, picture: Picture) -> bool:
        bright = picture.black_level + BRIGHT_LEVEL * (picture.white_level - picture.black_level)
        if share_above(luma, int(bright)) > BRIGHT_SHARE or shape_range(luma) > self._spec.max_shape:
            return False
        chroma = picture.chroma
        return chroma is None or not any(coloured(plane, picture.bit_depth, self._spec.max_chroma) for plane in chroma)

    def _look(self, luma: Plane, level: int) -> None:
        if luma.shape != self._shape:
            self._shape, self._active = luma.shape, None
            self._boxes.clear()
        box = lit(luma, level)
        if box is None or (box.bottom - box.top) * (box.right - box.left) < SMALLEST_ACTIVE * luma.size:
            return
        self._boxes.append(box)
        tops, bottoms, lefts, rights = zip(*self._boxes, strict=True)
        self._active = Box(min(tops), max(bottoms), min(lefts), max(rights))


def share_above(luma: Plane, level: int) -> float:
    """Share of pixels above `level`; (h, w) uint8."""
    return cv2.countNonZero(cv2.threshold(luma, level, 255, cv2.THRESH_BINARY)[1]) / max(1, luma.size)


def shape_range(luma: Plane) -> float:
    """Largest minus smallest mean of blocks of 16x16 pixels; (h, w) uint8."""
    height, width = luma.shape
    size = (max(1, width // SHAPE_BLOCK), max(1, height // SHAPE_BLOCK))
    low, high, _, _ = cv2.minMaxLoc(cv2.resize(luma, size, interpolation=cv2.INTER_AREA))
    return float(high - low)


def coloured(plane: Plane, bit_depth: int, limit: float) -> bool:
    """Whether 2 % of a chroma plane (h, w) are further than `limit` (8-bit levels) from grey."""
    grey, scale = 1 << (bit_depth - 1), 1 << (bit_depth - 8)
    sample = plane[::CHROMA_STRIDE, ::CHROMA_STRIDE].astype(np.int32)
    return float(np.mean(np.abs(sample - grey) > limit * scale)) > CHROMA_SHARE


def lit(luma: Plane, level: int) -> Box | None:
    """What encloses all pixels above `level`, None if there are none; (h, w) uint8."""
    rows = np.flatnonzero(luma.max(axis=1) > level)
    columns = np.flatnonzero(luma.max(axis=0) > level)
    if not rows.size or not columns.size:
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
