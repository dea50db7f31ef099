"""signal_loss: no programme: the source sends nothing, or what equipment shows where it has no signal itself.

Three parts: the source itself ("": no packets come, watched over all connections), its media (a hole in the timestamps
of all tracks) and its picture (one flat colour, or snow). Black is a detector of its own.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, PacketInfo, Reading, Severity, SourceState
from vqa_ray.detectors.base import NOTHING, DetectorSpec, Immediate, MergeGap, RaiseAfter, SeverityOf
from vqa_ray.detectors.dead_picture import DeadPicture
from vqa_ray.detectors.hole import MediaHole

UP = frozenset({"live", "ended"})
OPENING = "connecting"


class SignalLossSpec(DetectorSpec, frozen=True, kw_only=True):
    """No packet comes, media is missing for seconds, or the picture is a flat blue or grey, or snow: no signal."""

    id: ClassVar[str] = "signal_loss"
    inputs: ClassVar[tuple[Input, ...]] = (Input.SOURCE, Input.VIDEO, Input.PACKET)
    unit: ClassVar[str] = "s"

    raise_after_s: RaiseAfter = 2.0
    merge_gap_s: MergeGap = 0.3  # while the noise is coded with too few bits, single pictures of it are no noise
    severity: SeverityOf = Severity.CRITICAL
    grace_s: Annotated[
        float,
        msgspec.Meta(ge=0, le=3600, description="seconds that the first connection may take before it counts as loss"),
    ] = 10.0
    min_hole_s: Annotated[
        float,
        msgspec.Meta(ge=0.1, le=3600, description="seconds without any media from which on it is loss; see pts_gap"),
    ] = 1.5

    def build(self) -> "ProgrammeLoss":
        """A fresh detector of the media of one connection."""
        return ProgrammeLoss(self)

    def build_lasting(self) -> "SourceLoss":
        """A fresh detector of the source."""
        return SourceLoss(self)


class ProgrammeLoss:
    """Joins what packets and pictures tell."""

    def __init__(self, spec: SignalLossSpec) -> None:
        self._hole = MediaHole(spec.min_hole_s, "media")
        self._dead = DeadPicture("picture")

    def read_all(self, packets: Sequence[PacketInfo]) -> Sequence[Reading]:
        """Of packets in demux order; see `read`."""
        return self._hole.packets(packets)

    def read(self, item: Picture | PacketInfo) -> Sequence[Reading]:
        """Part "media": `value` is the length of the hole; part "picture": for how long it has been bad."""
        if isinstance(item, PacketInfo):
            return self._hole.packets((item,))
        hole, dead = self._hole.picture(item), self._dead.picture(item)
        return [*hole, *dead] if hole else dead

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._dead.finish()


class SourceLoss(Immediate):
    """Lives as long as its stream: over all its connections."""

    def __init__(self, spec: SignalLossSpec) -> None:
        self._grace_s = spec.grace_s
        self._opening = True  # nothing has come yet
        self._told_s: float | None = None  # end of the last reading

    def read(self, state: SourceState) -> Sequence[Reading]:
        """Bad from `since_s` on while no packet comes; `value` is for how long none has come.

        While the first connection is being made nothing is said, so that an incident taken over from another
        analyzer stays as it is.
        """
        if state.state in UP:
            self._opening = False
            return self._tell(state.at_s, state.at_s, 0.0, False)
        if self._opening and state.state == OPENING and state.silent_s <= self._grace_s:
            return NOTHING
        return self._tell(state.since_s, state.at_s, state.silent_s, True)

    def _tell(self, at_s: float, until_s: float, value: float, bad: bool) -> Sequence[Reading]:
        if self._told_s is not None:
            at_s = max(at_s, self._told_s)
        self._told_s = max(at_s, until_s)
        return (Reading(at_s, self._told_s, value, bad),)
