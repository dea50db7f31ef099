"""black_logo: the picture is black but for a logo, a clock or a message that is put over it behind the fault.

`black` leaves such pictures alone, since stars, credits and title cards are small and bright on black, too. Those stand
in the middle of the picture or all over it; what a channel puts over its programme stands in the corners.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.spans import Spans

DARK = 0.10  # of the luma range, as in `black`
LIT = 0.20  # of the luma range: plainly seen on black
DIM = 0.25  # of the luma range: no such picture is brighter, as a mean of samples
CELL = 16  # pixels of the small luma
SHAPE = 6.0  # grey levels, range of the means of all other cells: more is a dark scene
TINT, TINTED = 8, 0.04  # levels of chroma from grey, and share of the picture beside the logo that may have them
ROWS, COLUMNS = 0.3, 0.35  # of height and width, from either side: the corners
LOOK_EACH = 3  # of the common looks
FEWEST = 4  # cells in both directions


class BlackLogoSpec(DetectorSpec, frozen=True, kw_only=True):
    """The picture is black but for something small in the corners, such as the channel's logo or a clock."""

    id: ClassVar[str] = "black_logo"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of the picture"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)
    worse_with: ClassVar[tuple[str, ...]] = ("silence",)

    raise_after_s: RaiseAfter = 10.0
    severity: SeverityOf = Severity.MINOR
    where: Annotated[
        Literal["corners", "anywhere"],
        msgspec.Meta(description="where logo or clock may stand; anywhere: titles on black count, too"),
    ] = "corners"
    max_share: Annotated[
        float, msgspec.Meta(ge=0.005, le=0.5, description="share of the picture that logo and clock take at most")
    ] = 0.08

    def build(self) -> "BlackLogoDetector":
        """A fresh detector with these options."""
        return BlackLogoDetector(self)


class BlackLogoDetector:
    """Looks each 0.48 s and at each abrupt change, so that a cut is dated to the frame."""

    def __init__(self, spec: BlackLogoSpec) -> None:
        self._spec = spec
        self._cadence = Cadence(LOOK_EACH)
        self._spans = Spans()

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Late while good, up to this frame while bad; `value` is the share of the picture that is not black."""
        if not self._cadence.looks(picture):
            return self._spans.pass_by(picture)
        share = logo_share(picture, anywhere=self._spec.where == "anywhere")
        return self._spans.turn(picture, share, 0.0 < share <= self._spec.max_share)

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._spans.finish()


def logo_share(picture: Picture, *, anywhere: bool = False) -> float:
    """Share of 16x16 cells of the small luma that are lit while all others are black; 0 of any other picture."""
    low, span = picture.black_level, picture.white_level - picture.black_level
    sketch = picture.sketch
    if cv2.norm(sketch, cv2.NORM_L1) > (low + DIM * span) * sketch.size:
        return 0.0  # nearly always
    small = picture.small
    rows, columns = small.shape[0] // CELL, small.shape[1] // CELL
    if min(rows, columns) < FEWEST:
        return 0.0
    cells = small[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL)
    highest = cells.max(axis=(1, 3))
    lit = highest > low + DARK * span
    share = float(lit.mean())
    if not share or highest.max() <= low + LIT * span or not (anywhere or in_corners(lit)):
        return 0.0
    others = cells.mean(axis=(1, 3))[~lit]
    if not others.size or float(np.ptp(others)) > SHAPE or tinted(picture.chroma_sketch) > share + TINTED:
        return 0.0
    return share


def in_corners(lit: NDArray[np.bool_]) -> bool:
    """Whether all that is lit lies in the corners; (rows, columns) of cells."""
    rows, columns = lit.shape
    top, left = int(ROWS * rows), int(COLUMNS * columns)
    return not (lit[top : rows - top].any() or lit[:, left : columns - left].any())


def tinted(chroma: tuple[Plane, Plane] | None) -> float:
    """Share of samples that are plainly no grey; samples of U and V, (h, w) uint8 each."""
    if chroma is None:
        return 0.0
    u, v = (np.abs(plane.astype(np.int16) - 128) > TINT for plane in chroma)
    return float((u | v).mean())
