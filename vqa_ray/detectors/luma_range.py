"""luma_range: levels that the signal's range does not allow, and picture that is lost in white.

EBU R 103 lets 8-bit levels of limited range be 5 to 246, since filters and codecs overshoot, over all but 1 % of the
picture. More than that is a picture of full range that is said to be limited, or a level that is set wrongly. What was
clipped to white before stands at white or above it, in one flat piece; paper, sky and graphics do so too, so this part
takes a good share of the picture. Single samples tell shares to about half a percent.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, MergeGap, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.spans import Spans

CHROMA_OVER = 11  # levels beyond the nominal 16 to 240, as for luma


class LumaRangeSpec(DetectorSpec, frozen=True, kw_only=True):
    """Luma or chroma outside of the legal range, or clipped to white, over a share of the picture."""

    id: ClassVar[str] = "luma_range"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of the picture"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "green", "bars", "corruption")

    raise_after_s: RaiseAfter = 5.0
    clear_after_s: ClearAfter = 5.0
    merge_gap_s: MergeGap = 2.0
    severity: SeverityOf = Severity.MINOR
    lowest: Annotated[int, msgspec.Meta(ge=0, le=64, description="lowest legal luma in 8 bits, limited range")] = 5
    highest: Annotated[int, msgspec.Meta(ge=200, le=255, description="highest legal luma, likewise")] = 246
    illegal_share: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="share of the picture that may be outside; 1: not checked")
    ] = 0.01
    white_share: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="share that may stand at white or above; 1: not checked")
    ] = 0.4

    def build(self) -> "LumaRangeDetector":
        """A fresh detector with these options."""
        return LumaRangeDetector(self)


class LumaRangeDetector:
    """Looks at the common cadence and at abrupt changes; parts: range and white."""

    def __init__(self, spec: LumaRangeSpec) -> None:
        self._spec = spec
        self._cadence = Cadence()
        self._range, self._white = Spans("range"), Spans("white")

    def read(self, picture: Picture) -> Sequence[Reading]:
        """`value` is the share of the picture; a verdict holds until the next look."""
        if not self._cadence.looks(picture):
            return (*self._range.pass_by(picture), *self._white.pass_by(picture))
        spec, sketch = self._spec, picture.sketch
        illegal = 0.0 if picture.full_range else outside(sketch, spec.lowest, spec.highest)
        if not picture.full_range and (chroma := picture.chroma_sketch) is not None:
            illegal = max(illegal, *(outside(plane, 16 - CHROMA_OVER, 240 + CHROMA_OVER) for plane in chroma))
        white = outside(sketch, 0, picture.white_level - 1)
        return (
            *self._range.turn(picture, illegal, illegal > spec.illegal_share),
            *self._white.turn(picture, white, white > spec.white_share),
        )

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return (*self._range.finish(), *self._white.finish()) or NOTHING


def outside(samples: Plane, lowest: int, highest: int) -> float:
    """Share of the samples (h, w), uint8, below `lowest` or above `highest`."""
    return 1.0 - cv2.countNonZero(cv2.inRange(samples, lowest, highest)) / max(1, samples.size)
