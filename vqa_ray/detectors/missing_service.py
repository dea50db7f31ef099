"""missing_service: captions or splice messages that a stream is to carry are not there."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec

from vqa_ray.core.reading import CAPTIONS, SPLICES, Input, Reading, Services, Severity
from vqa_ray.detectors.base import DetectorSpec, Immediate, RaiseAfter, SeverityOf

OF: dict[str, frozenset[str]] = {"captions": CAPTIONS, "scte35": SPLICES}


class MissingServiceSpec(DetectorSpec, frozen=True, kw_only=True):
    """Captions of any kind, or SCTE 35, are neither announced nor in the picture, though they are expected."""

    id: ClassVar[str] = "missing_service"
    inputs: ClassVar[tuple[Input, ...]] = (Input.SERVICES,)
    unit: ClassVar[str] = "missing"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 10.0
    severity: SeverityOf = Severity.MINOR
    expect: Annotated[
        tuple[Literal["captions", "scte35"], ...], msgspec.Meta(min_length=1, description="what the stream is to carry")
    ] = ("captions",)

    def build(self) -> "MissingServiceDetector":
        """A fresh detector with these options."""
        return MissingServiceDetector(self)


class MissingServiceDetector(Immediate):
    """A part for each service that is expected."""

    def __init__(self, spec: MissingServiceSpec) -> None:
        self._expected = tuple(dict.fromkeys(spec.expect))

    def read(self, services: Services) -> Sequence[Reading]:
        """`value`: 1 while the service is missing."""
        out = []
        for name in self._expected:
            missing = not services.found & OF[name]
            out.append(Reading(services.at_s, services.until_s, float(missing), missing, name))
        return out
