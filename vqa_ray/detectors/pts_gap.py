"""pts_gap: media is missing: timestamps go on later than where the packet before ended."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Continuity, Input, PacketInfo, Reading, Severity
from vqa_ray.detectors.base import NOTHING, DetectorSpec, PacketReader, RaiseAfter, SeverityOf
from vqa_ray.detectors.timestamps import REORDER_S, Told, Track, placed

LONGEST_S = 10.0  # a track that is further behind than any gap has ended


class PtsGapSpec(DetectorSpec, frozen=True, kw_only=True):
    """A hole in the timestamps that is short enough to be missing media; holes in picture and sound are one fault."""

    id: ClassVar[str] = "pts_gap"
    inputs: ClassVar[tuple[Input, ...]] = (Input.PACKET,)
    unit: ClassVar[str] = "s"

    raise_after_s: RaiseAfter = 0.0
    severity: SeverityOf = Severity.MINOR
    min_gap_s: Annotated[
        float, msgspec.Meta(ge=0, le=3600, description="holes shorter than this are jitter or single lost frames")
    ] = 0.5

    def build(self) -> "PtsGapDetector":
        """A fresh detector with these options."""
        return PtsGapDetector(self)


class PtsGapDetector(PacketReader):
    """Follows each track, and tells all of them on one line of time."""

    def __init__(self, spec: PtsGapSpec) -> None:
        self._min_gap_s = spec.min_gap_s
        self._tracks: dict[int, Track] = {}
        self._told = Told()

    def read_all(self, packets: Sequence[PacketInfo]) -> Sequence[Reading]:
        """Bad from the end of what came before the gap to where it goes on; `value` is the length of the hole."""
        out: Sequence[Reading] = NOTHING
        steady_s: float | None = None
        for packet, at_s, track in placed(packets, self._tracks):
            ahead_s = track.add(packet, at_s)
            hole_s = packet.gap_s if packet.continuity is Continuity.GAP else 0.0
            if packet.continuity is Continuity.STEADY and REORDER_S < ahead_s <= LONGEST_S:
                hole_s = ahead_s  # decode times were made up and hide it
            if hole_s >= self._min_gap_s and hole_s > 0.0:
                out = [*out, *self._fault(track, packet, hole_s)]
                steady_s = None
            else:
                steady_s = at_s
        if steady_s is not None and self._told.due(steady_s):
            out = [*out, *self._told.steady(self._slowest(steady_s))]
        return out

    def _fault(self, track: Track, packet: PacketInfo, hole_s: float) -> Sequence[Reading]:
        before_s, at_s = track.end_before(packet), track.place(packet)
        return NOTHING if before_s is None or at_s <= before_s else self._told.fault(before_s, at_s, hole_s)

    def _slowest(self, at_s: float) -> float:
        """How far the track is that is furthest behind: what it lacks may yet turn out to be a gap."""
        latest = (track.latest_s for track in self._tracks.values())
        return min(at_s, min(latest_s for latest_s in latest if at_s - latest_s <= LONGEST_S))
