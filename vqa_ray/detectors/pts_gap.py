"""pts_gap: media is missing: timestamps go on later than where the packet before ended."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Continuity, Input, PacketInfo, Reading, Severity
from vqa_ray.detectors.base import NOTHING, DetectorSpec, Immediate, RaiseAfter, SeverityOf
from vqa_ray.detectors.timestamps import REORDER_S, Presentation, Told

LONGEST_S = 10.0  # a track that is further behind than any gap has ended


class PtsGapSpec(DetectorSpec, frozen=True, kw_only=True):
    """A hole in the timestamps that is short enough to be missing media; holes in picture and sound are one fault."""

    id: ClassVar[str] = "pts_gap"
    input: ClassVar[Input] = Input.PACKET
    unit: ClassVar[str] = "s"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.0
    severity: SeverityOf = Severity.MINOR
    min_gap_s: Annotated[
        float, msgspec.Meta(ge=0, le=3600, description="holes shorter than this are jitter or single lost frames")
    ] = 0.5

    def build(self) -> "PtsGapDetector":
        """A fresh detector with these options."""
        return PtsGapDetector(self)


class PtsGapDetector(Immediate):
    """Follows each track, and tells all of them on one line of time."""

    def __init__(self, spec: PtsGapSpec) -> None:
        self._min_gap_s = spec.min_gap_s
        self._tracks: dict[int, Presentation] = {}
        self._told = Told()

    def read(self, packet: PacketInfo) -> Sequence[Reading]:
        """Bad from the end of what came before the gap to where it goes on; `value` is the length of the hole."""
        track = self._tracks.get(packet.stream)
        if track is None:
            track = self._tracks[packet.stream] = Presentation()
        before_s = track.end_s
        at_s = track.place(packet)
        if at_s is None:
            return NOTHING
        hole_s = packet.gap_s if packet.continuity is Continuity.GAP else 0.0
        if before_s is not None and packet.continuity is Continuity.STEADY and at_s - before_s > REORDER_S:
            hole_s = at_s - before_s  # decode times were made up and hide it
        if before_s is not None and hole_s >= self._min_gap_s and at_s > before_s:
            return self._told.fault(before_s, at_s, hole_s)
        return self._told.steady(self._slowest(at_s))

    def _slowest(self, at_s: float) -> float:
        """How far the track is that is furthest behind: what it lacks may yet turn out to be a gap."""
        ends = (track.end_s for track in self._tracks.values())
        return min(at_s, min(end_s for end_s in ends if end_s is not None and at_s - end_s <= LONGEST_S))
