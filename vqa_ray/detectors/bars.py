"""bars: colour bars or another test pattern on air. What makes one is in `hues`."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.hues import pattern_share
from vqa_ray.detectors.spans import Spans


class BarsSpec(DetectorSpec, frozen=True, kw_only=True):
    """Colour bars or a test pattern of such colours, with or without a clock, a box or text over it."""

    id: ClassVar[str] = "bars"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of rows"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 2.0
    min_share: Annotated[
        float, msgspec.Meta(ge=0.05, le=1, description="share of the picture's rows that show bars from which on it is")
    ] = 0.12

    def build(self) -> "BarsDetector":
        """A fresh detector with these options."""
        return BarsDetector(self)


class BarsDetector:
    """Looks at the common cadence and at each abrupt change, so that a cut is dated to the frame."""

    def __init__(self, spec: BarsSpec) -> None:
        self._min_share = spec.min_share
        self._cadence = Cadence()
        self._spans = Spans()

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Late while good, up to this frame while bad; `value` is the share of rows with bars."""
        if not self._cadence.looks(picture):
            return self._spans.pass_by(picture)
        chroma = picture.chroma_sketch
        share = 0.0 if chroma is None else pattern_share(*chroma)
        return self._spans.turn(picture, share, share >= self._min_share)

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._spans.finish()
