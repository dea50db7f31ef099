"""What a detector is: a declared spec (options with default, range and meaning) and a class with one method."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from vqa_ray.core.reading import Input, Reading, Seconds, Severity

NOTHING: tuple[Reading, ...] = ()


class Detector(Protocol):
    """The state of one detector on one connection of one stream; made anew after each reconnect."""

    def read(self, item: Any, /) -> Sequence[Reading]:
        """What it says of `item` (the type that its spec's `input` names), in time order; often nothing or one."""
        ...


class DetectorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that every detector has: when its readings become an incident, and how bad that is.

    How long a defect must last is not the detector's business: the incident machine applies these.
    """

    id: ClassVar[str]
    input: ClassVar[Input]
    unit: ClassVar[str]  # of Reading.value
    hidden_by: ClassVar[tuple[str, ...]] = ()  # ids of the root causes that hide this one

    raise_after_s: Seconds = 1.0
    clear_after_s: Seconds = 1.0
    merge_gap_s: Seconds = 0.0
    severity: Severity = Severity.MAJOR

    def build(self) -> Detector:
        """A fresh detector with these options."""
        raise TypeError(f"{type(self).__name__} declares no detector")
