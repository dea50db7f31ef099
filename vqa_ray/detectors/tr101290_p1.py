"""tr101290_p1: what a receiver needs in order to decode at all (ETSI TR 101 290, first priority)."""

from typing import Annotated, ClassVar, Literal

import msgspec

from vqa_ray.core.reading import Indicator, Input, Severity
from vqa_ray.detectors.base import ClearAfter, DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.indicators import Indicators

TABLES = frozenset({Indicator.PAT, Indicator.PMT})
TOLD = frozenset({Indicator.SYNC_LOSS, Indicator.SYNC_BYTE, Indicator.PID})


class Tr101290P1Spec(DetectorSpec, frozen=True, kw_only=True):
    """Sync of the transport stream lost, or its tables, picture or sound missing (ETSI TR 101 290, first priority)."""

    id: ClassVar[str] = "tr101290_p1"
    inputs: ClassVar[tuple[Input, ...]] = (Input.TRANSPORT,)
    unit: ClassVar[str] = "hits or s"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.MAJOR
    table_interval_s: Annotated[
        float, msgspec.Meta(ge=0.5, le=3600, description="PAT and PMT must come at least this often, in seconds")
    ] = 0.5
    pid_interval_s: Annotated[
        float,
        msgspec.Meta(ge=5, le=86400, description="seconds for which picture or sound of a programme may send nothing"),
    ] = 5.0
    tables: Annotated[
        Literal["told", "ignored"],
        msgspec.Meta(description="PAT and PMT that come too seldom: who joins waits"),
    ] = "told"

    def build(self) -> Indicators:
        """A fresh detector with these options."""
        tables_s = self.table_interval_s
        limits_s = {Indicator.PAT: tables_s, Indicator.PMT: tables_s, Indicator.PID: self.pid_interval_s}
        return Indicators(TOLD | TABLES if self.tables == "told" else TOLD, limits_s)
