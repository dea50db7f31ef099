"""tr101290_p2: what a transport stream should keep to (ETSI TR 101 290, second priority)."""

from typing import Annotated, ClassVar, Literal

import msgspec

from vqa_ray.core.reading import Indicator, Input, Severity
from vqa_ray.detectors.base import ClearAfter, DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.indicators import Indicators

CLOCKS = frozenset({Indicator.PCR_REPETITION, Indicator.PCR_DISCONTINUITY, Indicator.PTS})
TOLD = frozenset({Indicator.TRANSPORT, Indicator.CRC, Indicator.CAT})


class Tr101290P2Spec(DetectorSpec, frozen=True, kw_only=True):
    """Packets marked as damaged, broken tables, clocks or time stamps out of order (TR 101 290, second priority)."""

    id: ClassVar[str] = "tr101290_p2"
    inputs: ClassVar[tuple[Input, ...]] = (Input.TRANSPORT,)
    unit: ClassVar[str] = "hits or s"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.MINOR
    pcr_interval_s: Annotated[
        float, msgspec.Meta(ge=0.1, le=60, description="PCRs must come at least this often, in seconds")
    ] = 0.1
    pts_interval_s: Annotated[
        float, msgspec.Meta(ge=0.7, le=3600, description="time stamps must come at least this often, in seconds")
    ] = 0.7
    clocks: Annotated[
        Literal["told", "ignored"],
        msgspec.Meta(description="PCRs and time stamps that jump or come too seldom, as from many multiplexers"),
    ] = "ignored"

    def build(self) -> Indicators:
        """A fresh detector with these options."""
        limits_s = {Indicator.PCR_REPETITION: self.pcr_interval_s, Indicator.PTS: self.pts_interval_s}
        return Indicators(TOLD | CLOCKS if self.clocks == "told" else TOLD, limits_s)
