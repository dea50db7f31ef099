"""One decoded picture as detectors see it: the luma plane in place, and derived images made once.

Derived images are computed by whoever asks first and shared by all detectors of the stream.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]
SMALL_PIXELS = 320 * 180
SKETCH_ROWS, SKETCH_COLUMNS = 24, 80
CHROMA_ROWS, CHROMA_COLUMNS = 32, 48


def halvings(width: int, height: int) -> int:
    """How often a picture is halved in both directions to come near 320x180 pixels: 1080p twice, 720p twice, 360p once.

    Halving is what OpenCV's INTER_AREA is fast at: 1080p to 480x270 in two steps takes 0.33 ms, in one step 1.7 ms,
    and to 320x180 1.5 ms.
    """
    factor = (width * height / SMALL_PIXELS) ** 0.5
    return max(0, int(math.log2(factor) + 0.4)) if factor > 0 else 0


class Picture:
    """A view of one frame. Planes are read in place: detectors never write to them nor keep them.

    luma: (height, width), uint8, or uint16 with `bit_depth` significant low bits. Rows may be strided.
    full_range: black is 0 rather than 16 (of 255); interlaced: two fields woven into the frame;
    key: an intra picture that starts a GOP; corrupt: libav says that it was decoded with errors.
    chroma: gives the two chroma planes (height', width'), same depth, or None without colour.
    before: the small luma (uint8) of the picture before it on the same connection and of the same size, or None;
    sketch_before: its sketch, or None. Either is there only if it was asked for at that picture.
    """

    __slots__ = (
        "_change", "_chroma", "_chroma_sketch", "_difference", "_leap", "_sketch", "_small", "_thumb", "at_s",
        "before", "bit_depth", "corrupt", "full_range", "interlaced", "key", "luma", "sketch_before", "until_s",
    )  # fmt: skip

    def __init__(
        self,
        luma: Plane,
        *,
        at_s: float,
        until_s: float,
        bit_depth: int = 8,
        full_range: bool = False,
        interlaced: bool = False,
        key: bool = False,
        corrupt: bool = False,
        chroma: Callable[[], tuple[Plane, Plane] | None] | None = None,
        before: Plane | None = None,
        sketch_before: Plane | None = None,
    ) -> None:
        self.luma = luma
        self.at_s = at_s
        self.until_s = until_s
        self.bit_depth = bit_depth
        self.full_range = full_range
        self.interlaced = interlaced
        self.key = key
        self.corrupt = corrupt
        self.before = before
        self.sketch_before = sketch_before
        self._chroma = chroma
        self._small: Plane | None = None
        self._sketch: Plane | None = None
        self._thumb: Plane | None = None
        self._difference: Plane | None = None
        self._change: float | None = None
        self._leap: float | None = None
        self._chroma_sketch: tuple[Plane, Plane] | None = None

    @property
    def sketch(self) -> Plane:
        """Single luma samples on a grid of about 24x80, uint8: cheap, and tells what plainly moves or is bright."""
        if self._sketch is None:
            self._sketch = sample(self.luma, self.bit_depth)
        return self._sketch

    @property
    def change(self) -> float:
        """Mean |sketch - sketch before|, grey levels: how much of the picture changed; inf at the first of its kind."""
        if self._change is None:
            self._compare()
        return self._change  # type: ignore[return-value]

    @property
    def leap(self) -> float:
        """Largest |sketch - sketch before|, grey levels; inf at the first picture of its kind."""
        if self._leap is None:
            self._compare()
        return self._leap  # type: ignore[return-value]

    def _compare(self) -> None:
        """One difference for both: two norms of the two sketches take three times as long."""
        before, sketch = self.sketch_before, self.sketch
        if before is None or before.shape != sketch.shape:
            self._change = self._leap = math.inf
            return
        difference = cv2.absdiff(sketch, before)
        self._change = cv2.norm(difference, cv2.NORM_L1) / sketch.size
        self._leap = cv2.norm(difference, cv2.NORM_INF)

    @property
    def small(self) -> Plane:
        """The luma near 320x180, (h, w) uint8, each pixel the mean of a square of pixels; see `halvings`."""
        if self._small is None:
            self._small = shrink(self.luma, self.bit_depth)
        return self._small

    @property
    def thumb(self) -> Plane:
        """Means of 4x4 pixels of the small luma, (h // 4, w // 4) float32: little noise, and cheap to compare."""
        if self._thumb is None:
            self._thumb = thumbnail(self.small)
        return self._thumb

    @property
    def difference(self) -> Plane | None:
        """|small - small of the picture before|, (h, w) uint8; None at the first picture of its kind."""
        if self._difference is None and self.before is not None and self.before.shape == self.small.shape:
            self._difference = cv2.absdiff(self.small, self.before)
        return self._difference

    @property
    def chroma(self) -> tuple[Plane, Plane] | None:
        """The chroma planes U and V as they are stored, or None for a grey picture."""
        return self._chroma() if self._chroma is not None else None

    @property
    def chroma_sketch(self) -> tuple[Plane, Plane] | None:
        """Single samples of U and V on a grid of about 32x48, uint8, or None for a grey picture; 3.5 µs."""
        if self._chroma_sketch is None and (planes := self.chroma) is not None:
            u, v = planes
            self._chroma_sketch = (
                sample(u, self.bit_depth, CHROMA_ROWS, CHROMA_COLUMNS),
                sample(v, self.bit_depth, CHROMA_ROWS, CHROMA_COLUMNS),
            )
        return self._chroma_sketch

    @property
    def black_level(self) -> int:
        """Black in 8-bit units: 16 in limited range, 0 in full range (ITU-R BT.601, BT.709)."""
        return 0 if self.full_range else 16

    @property
    def white_level(self) -> int:
        """White in 8-bit units: 235 in limited range, 255 in full range."""
        return 255 if self.full_range else 235


def sketch_all(pictures: Sequence[Picture]) -> None:
    """Make the sketches of pictures that follow each other, and compare them: together that takes half as long.

    The first is compared with the one before it when it is asked. Nothing is done if they are not of one form.
    """
    first = pictures[0]
    shape, bit_depth = first.luma.shape, first.bit_depth
    if any(picture.luma.shape != shape or picture.bit_depth != bit_depth for picture in pictures):
        return
    grids = [_grid(picture.luma, bit_depth) for picture in pictures]
    sketches = np.empty((len(grids), *grids[0].shape), np.uint8)
    for sketch, grid in zip(sketches, grids, strict=True):
        sketch[:] = grid
    rows = sketches.reshape(len(grids), -1)
    differences = cv2.absdiff(rows[1:], rows[:-1])
    changes = cv2.reduce(differences, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    leaps = cv2.reduce(differences, 1, cv2.REDUCE_MAX)
    first._sketch = sketches[0]
    for number, change, leap in zip(
        range(1, len(grids)), changes.ravel().tolist(), leaps.ravel().tolist(), strict=True
    ):
        picture = pictures[number]
        picture._sketch, picture._change, picture._leap = sketches[number], change, float(leap)


def shrink(plane: Plane, bit_depth: int = 8) -> Plane:
    """`plane` halved until it is near 320x180 pixels, as uint8; (h, w) -> (h >> n, w >> n), at least 1x1."""
    height, width = plane.shape
    for _ in range(halvings(width, height)):
        height, width = max(1, plane.shape[0] // 2), max(1, plane.shape[1] // 2)
        plane = cv2.resize(plane[: height * 2, : width * 2], (width, height), interpolation=cv2.INTER_AREA)
    if bit_depth > 8:
        plane = (plane >> (bit_depth - 8)).astype(np.uint8)
    return np.ascontiguousarray(plane)


def sample(plane: Plane, bit_depth: int = 8, grid_rows: int = SKETCH_ROWS, grid_columns: int = SKETCH_COLUMNS) -> Plane:
    """Every n-th sample of every m-th row, as uint8; (h, w) -> about the grid, all of a smaller plane."""
    return np.ascontiguousarray(_grid(plane, bit_depth, grid_rows, grid_columns))


def _grid(plane: Plane, bit_depth: int, grid_rows: int = SKETCH_ROWS, grid_columns: int = SKETCH_COLUMNS) -> Plane:
    """The same, a view of a plane of 8 bits."""
    rows, columns = max(1, plane.shape[0] // grid_rows), max(1, plane.shape[1] // grid_columns)
    samples = plane[rows // 2 :: rows, columns // 2 :: columns]
    return samples if bit_depth == 8 else (samples >> (bit_depth - 8)).astype(np.uint8)


def thumbnail(small: Plane) -> Plane:
    """Means of 4x4 pixels, (h, w) uint8 -> (h // 4, w // 4) float32; what is smaller than 8 pixels is not reduced."""
    height, width = small.shape
    if height < 8 or width < 8:
        return small.astype(np.float32)
    half = cv2.resize(
        small[: height // 4 * 4, : width // 4 * 4], (width // 4 * 2, height // 4 * 2), interpolation=cv2.INTER_AREA
    )
    thumb: Plane = cv2.resize(half.astype(np.float32), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    return thumb
