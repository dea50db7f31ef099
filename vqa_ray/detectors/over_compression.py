"""over_compression: detail disappears from the whole picture, since an encoder on the way has too few bits for it.

What codecs with a loop filter do then shows no blocks (see `blockiness`): faint texture turns into flat areas. A slow
trend: looked at about once a second (see `detail`), and judged by the stream's own past. How much texture there is
depends on the programme, too, so this is for channels of one kind.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import ClearAfter, DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.detail import erased_share
from vqa_ray.detectors.stretch import Stretch
from vqa_ray.detectors.trend import FEWEST, MEMORY, RECENT, Trend

LOOK_EACH = 6  # of the common looks, at the same frames as `black`: each 0.96 s


class OverCompressionSpec(DetectorSpec, frozen=True, kw_only=True):
    """Far more of the fine detail is gone than the stream's own past has it: the picture is coded too low."""

    id: ClassVar[str] = "over_compression"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of fine detail"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black", "bars", "green", "blockiness")
    adapts: ClassVar[str] = (
        f"the median of {RECENT} looks, about a second apart, must rise to rise times the median of the last "
        f"{MEMORY} before, from {FEWEST} looks on; what lasts for settle_s is usual then. max_share does not adapt"
    )

    raise_after_s: RaiseAfter = 20.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.INFO
    rise: Annotated[float, msgspec.Meta(ge=1.05, le=10, description="times what is usual, from which on it is bad")] = (
        1.4
    )
    max_share: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="a larger share is bad from the start; 1: never")
    ] = 1.0
    settle_s: Annotated[
        float, msgspec.Meta(ge=10, le=86400, description="seconds after which less detail is the usual")
    ] = 600.0

    def build(self) -> "OverCompressionDetector":
        """A fresh detector with these options."""
        return OverCompressionDetector(self)


class OverCompressionDetector:
    """A verdict holds until the next look at a picture with faint texture."""

    def __init__(self, spec: OverCompressionSpec) -> None:
        self._spec = spec
        self._cadence = Cadence(LOOK_EACH)
        self._trend = Trend(spec.settle_s)
        self._share = 0.0
        self._bad = False
        self._stretch = Stretch()
        self.finish = self._stretch.finish

    def read(self, picture: Picture) -> Sequence[Reading]:
        """A reading a second and at each change; `value` is the share that is gone, 0 to 1, at the last look."""
        if self._cadence.due(picture.at_s) and (found := erased_share(picture.luma, picture.bit_depth)) is not None:
            self._judge(found, picture.at_s)
        return self._stretch.add(picture.at_s, picture.until_s, self._share, self._bad)

    def _judge(self, found: float, at_s: float) -> None:
        now, usual = self._trend.add(found)
        limit = min(self._spec.max_share, 1.0 if usual is None else usual * self._spec.rise)
        self._share, self._bad = found, now is not None and now > limit
        self._trend.judged(at_s, self._bad)
