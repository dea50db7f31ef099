"""cc_error: packets of an MPEG transport stream are missing, repeated or out of order (ETSI TR 101 290, 1.4)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Indicator, Input, Reading, Severity, TransportFault
from vqa_ray.detectors.base import NOTHING, DetectorSpec, Immediate, RaiseAfter, SeverityOf


class CcErrorSpec(DetectorSpec, frozen=True, kw_only=True):
    """Continuity counter errors of the transport stream, all PIDs together: one loss hits many and is told once."""

    id: ClassVar[str] = "cc_error"
    inputs: ClassVar[tuple[Input, ...]] = (Input.TRANSPORT,)
    unit: ClassVar[str] = "errors"

    raise_after_s: RaiseAfter = 0.0
    severity: SeverityOf = Severity.MINOR
    min_errors: Annotated[
        int, msgspec.Meta(ge=1, le=100000, description="discontinuities that a span must hold to be bad")
    ] = 1

    def build(self) -> "CcErrorDetector":
        """A fresh detector with these options."""
        return CcErrorDetector(self)


class CcErrorDetector(Immediate):
    """Puts the faults of all PIDs on one line of time."""

    def __init__(self, spec: CcErrorSpec) -> None:
        self._min_errors = spec.min_errors
        self._told_s = -float("inf")

    def read(self, fault: TransportFault) -> Sequence[Reading]:
        """One reading a span, cut where an earlier one already reached; `value` is its number of errors."""
        if fault.indicator is not Indicator.CONTINUITY:
            return NOTHING
        bad = fault.errors >= self._min_errors
        if fault.until_s <= self._told_s and not bad:
            return NOTHING
        at_s = max(fault.at_s, self._told_s)
        self._told_s = max(at_s, fault.until_s)
        return (Reading(at_s, self._told_s, float(fault.errors), bad),)
