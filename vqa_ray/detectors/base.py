"""What a detector is: a declared spec (options with default, range and meaning) and a class with one method."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Protocol

import msgspec

from vqa_ray.core.reading import Input, PacketInfo, Reading, Severity

NOTHING: tuple[Reading, ...] = ()

RaiseAfter = Annotated[
    float, msgspec.Meta(ge=0, le=86400, description="seconds that it must be bad before an incident opens")
]
ClearAfter = Annotated[
    float, msgspec.Meta(ge=0, le=86400, description="seconds that it must be good before the incident closes")
]
MergeGap = Annotated[
    float, msgspec.Meta(ge=0, le=86400, description="a good stretch up to this long does not restart raise_after_s")
]
SeverityOf = Annotated[Severity, msgspec.Meta(description="severity of its incidents")]


class Detector(Protocol):
    """The state of one detector on one connection of one stream; made anew after each reconnect.

    Readings of one detector and part come in time order and never overlap. They may be late by up to about a second:
    a detector that needs the next frames to judge this one holds its reading back.
    """

    def read(self, item: Any, /) -> Sequence[Reading]:
        """What it says of `item` (the type that its spec's `input` names), in time order; often nothing or one."""
        ...

    def finish(self) -> Sequence[Reading]:
        """What it still holds back when no item follows; called once, at the end of the connection."""
        ...


class DetectorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options that every detector has: when its readings become an incident, and how bad that is.

    inputs: kinds of items that it reads. What it says of the source (Input.SOURCE, Input.PLAYLIST) and of the media of
    a connection comes from two detectors, in parts of different names. How long a defect must last is not the
    detector's business: the incident machine applies these.
    """

    id: ClassVar[str]
    inputs: ClassVar[tuple[Input, ...]]
    unit: ClassVar[str]  # of Reading.value
    hidden_by: ClassVar[tuple[str, ...]] = ()  # ids of the root causes that hide this one
    lower_is_worse: ClassVar[bool] = False  # whether the worst reading is the smallest value
    adapts: ClassVar[str] = ""  # which threshold follows the stream's own normal, over how long, within what bounds
    worse_with: ClassVar[tuple[str, ...]] = ()  # ids of those that make this one critical, at the same time

    raise_after_s: RaiseAfter = 1.0
    clear_after_s: ClearAfter = 1.0
    merge_gap_s: MergeGap = 0.0
    severity: SeverityOf = Severity.MAJOR

    @property
    def severity_with_sound(self) -> Severity | None:
        """Severity of an incident that opens while sound is heard; None for the same as ever."""
        return None

    def build(self) -> Detector:
        """A fresh detector with these options, of all inputs that end with a connection."""
        raise TypeError(f"{type(self).__name__} declares no detector")

    def build_lasting(self) -> Detector:
        """A fresh detector of the source itself, which outlives connections."""
        return self.build()


class Immediate:
    """Base of detectors that hold nothing back."""

    def finish(self) -> Sequence[Reading]:
        """Nothing is held back."""
        return NOTHING


class PacketReader(Immediate):
    """Base of detectors that take packets as they come: several at once, since each call costs more than its work."""

    def read(self, packet: PacketInfo) -> Sequence[Reading]:
        """What it says of one packet."""
        return self.read_all((packet,))

    def read_all(self, packets: Sequence[PacketInfo]) -> Sequence[Reading]:
        """What it says of packets in demux order, often nothing."""
        raise TypeError(f"{type(self).__name__} reads no packets")
