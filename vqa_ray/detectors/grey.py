"""grey: areas of exact mid-grey: what decoders show where data, or the picture it refers to, is missing.

They fill slices that never came and reference pictures that are gone with half of the range in all planes (as ITU-T
H.265, 8.3.3.2, has it). That is not the grey of graphics: 50 % grey is 126 in limited range.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import cv2
import msgspec
import numpy as np

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.spans import Spans

MIDDLE = 128  # of 8 bits
CHROMA_OFF = 2  # levels from it: noise of another encoding
SAMPLE_OFF = 1  # the same, of single samples of luma
ENOUGH = 0.75  # of the least share, at a glance at samples
LUMA_OFF = 0.75  # the same, of a cell's mean,
LUMA_RANGE = 4  # and from the darkest to the brightest pixel of a cell
LOOK_EACH = 2  # of the common looks
CELL = 8  # pixels of the small luma: a macroblock of 360p, two of 720p


class GreySpec(DetectorSpec, frozen=True, kw_only=True):
    """Areas of exact mid-grey where picture data is missing: lost slices, pictures whose reference is gone."""

    id: ClassVar[str] = "grey"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of the picture"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "bars")

    raise_after_s: RaiseAfter = 0.5
    severity: SeverityOf = Severity.MAJOR
    min_share: Annotated[
        float, msgspec.Meta(ge=0.01, le=1, description="share of the picture from which on it counts")
    ] = 0.04

    def build(self) -> "GreyDetector":
        """A fresh detector with these options."""
        return GreyDetector(self)


class GreyDetector:
    """Looks each 0.32 s and at each abrupt change, so that what comes with one is dated to the frame."""

    def __init__(self, spec: GreySpec) -> None:
        self._min_share = spec.min_share
        self._cadence = Cadence(LOOK_EACH)
        self._spans = Spans()

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Late while good, up to this frame while bad; `value` is the affected share of the picture, 0 to 1."""
        if not self._cadence.looks(picture):
            return self._spans.pass_by(picture)
        share = missing_share(picture, self._min_share)
        return self._spans.turn(picture, share, share >= self._min_share)

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._spans.finish()


def missing_share(picture: Picture, least: float) -> float:
    """Share of cells of 8x8 pixels of the small luma that are mid-grey all over, 0 where it is plainly below `least`.

    Nothing is said of a picture without chroma planes.
    """
    sketch = picture.sketch
    middle = cv2.inRange(sketch, MIDDLE - SAMPLE_OFF, MIDDLE + SAMPLE_OFF)
    if cv2.countNonZero(middle) < ENOUGH * least * sketch.size:
        return 0.0  # nearly always
    chroma = picture.chroma_sketch
    if chroma is None:
        return 0.0
    neutral = cv2.bitwise_and(*(cv2.inRange(plane, MIDDLE - CHROMA_OFF, MIDDLE + CHROMA_OFF) for plane in chroma))
    if cv2.countNonZero(neutral) < ENOUGH * least * neutral.size:
        return 0.0
    small = picture.small
    rows, columns = small.shape[0] // CELL, small.shape[1] // CELL
    if not (rows and columns):
        return 0.0
    means = cv2.resize(small[: rows * CELL, : columns * CELL], (columns, rows), interpolation=cv2.INTER_AREA)
    near = np.abs(means.astype(np.int16) - MIDDLE) <= 1
    if near.mean() < least:
        return 0.0
    near &= cv2.resize(neutral, (columns, rows), interpolation=cv2.INTER_AREA) >= MIDDLE
    return flat_share(small, near)


def flat_share(small: Plane, chosen: Plane) -> float:
    """Share of cells that are chosen and hold nothing but mid-grey; small: (h, w) uint8, chosen: (rows, columns)."""
    rows, columns = chosen.shape
    cells = small[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).swapaxes(1, 2)[chosen]
    if not len(cells):
        return 0.0
    cells = cells.reshape(len(cells), -1)
    level = np.abs(cells.mean(axis=1) - MIDDLE) <= LUMA_OFF
    flat = np.ptp(cells, axis=1) <= LUMA_RANGE
    return float((level & flat).sum()) / chosen.size
