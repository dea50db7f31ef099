"""blur: the picture has lost its sharpness: a lens out of focus, or a smaller picture that was scaled up on the way.

A slow trend: the edges are looked at about once a second (see `detail`), and it is judged by the stream's own past.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import ClearAfter, DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.detail import sharpness
from vqa_ray.detectors.stretch import Stretch
from vqa_ray.detectors.trend import FEWEST, MEMORY, RECENT, Trend

LOOK_EACH = 6  # of the common looks, at the same frames as `black`: each 0.96 s


class BlurSpec(DetectorSpec, frozen=True, kw_only=True):
    """The edges of the picture are much less sharp than the stream's own past has them."""

    id: ClassVar[str] = "blur"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "blur"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black", "bars", "corruption")
    adapts: ClassVar[str] = (
        f"the median sharpness of {RECENT} looks, about a second apart, must fall below share_of_usual of the median "
        f"of {MEMORY} before, from {FEWEST} on; what lasts for settle_s is usual then. min_sharpness does not adapt"
    )

    raise_after_s: RaiseAfter = 10.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.INFO
    share_of_usual: Annotated[
        float, msgspec.Meta(ge=0, le=0.95, description="sharpness below this share of what is usual is bad; 0: never")
    ] = 0.5
    min_sharpness: Annotated[
        float,
        msgspec.Meta(ge=0, le=1, description="part of its height that an edge rises in one pixel, at least; 0: any"),
    ] = 0.0
    settle_s: Annotated[
        float, msgspec.Meta(ge=10, le=86400, description="seconds after which another sharpness is the usual one")
    ] = 600.0

    def build(self) -> "BlurDetector":
        """A fresh detector with these options."""
        return BlurDetector(self)


class BlurDetector:
    """A verdict holds until the next look at a picture with edges."""

    def __init__(self, spec: BlurSpec) -> None:
        self._spec = spec
        self._cadence = Cadence(LOOK_EACH)
        self._trend = Trend(spec.settle_s)
        self._blur = 0.0
        self._bad = False
        self._stretch = Stretch()
        self.finish = self._stretch.finish

    def read(self, picture: Picture) -> Sequence[Reading]:
        """A reading a second and at each change; `value` is 1 - sharpness, 0 to 1, at the last look."""
        if self._cadence.due(picture.at_s) and (found := sharpness(picture.luma, picture.bit_depth)) is not None:
            self._judge(found, picture.at_s)
        return self._stretch.add(picture.at_s, picture.until_s, self._blur, self._bad)

    def _judge(self, found: float, at_s: float) -> None:
        now, usual = self._trend.add(found)
        limit = max(self._spec.min_sharpness, self._spec.share_of_usual * (usual or 0.0))
        self._blur, self._bad = 1.0 - found, now is not None and now < limit
        self._trend.judged(at_s, self._bad)
