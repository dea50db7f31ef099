"""pts_jump: timestamps leave their time base: backward, or further forward than missing media explains."""

from collections.abc import Sequence
from typing import ClassVar

from vqa_ray.core.reading import Continuity, Input, PacketInfo, Reading, Severity
from vqa_ray.detectors.base import NOTHING, DetectorSpec, Immediate, RaiseAfter, SeverityOf
from vqa_ray.detectors.timestamps import REORDER_S, Told, Track


class PtsJumpSpec(DetectorSpec, frozen=True, kw_only=True):
    """The time base changes in mid-stream without a new connection; a wrap of the 33-bit counter does not count."""

    id: ClassVar[str] = "pts_jump"
    input: ClassVar[Input] = Input.PACKET
    unit: ClassVar[str] = "s"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.0
    severity: SeverityOf = Severity.MINOR

    def build(self) -> "PtsJumpDetector":
        """A fresh detector with these options."""
        return PtsJumpDetector(self)


class PtsJumpDetector(Immediate):
    """Tells the jump of the track that jumps first; those of the others within half a second are the same fault."""

    def __init__(self, spec: PtsJumpSpec) -> None:
        self._tracks: dict[int, Track] = {}
        self._told = Told()
        self._jump_s = -float("inf")

    def read(self, packet: PacketInfo) -> Sequence[Reading]:
        """Bad for the first packet in the new time base; `value` is how far it jumped, in either direction."""
        at_s = packet.at_s
        if at_s is None:
            return NOTHING
        track = self._tracks.get(packet.stream)
        if track is None:
            track = self._tracks[packet.stream] = Track()
        track.recent.append(packet)
        if packet.continuity is not Continuity.JUMP or abs(at_s - self._jump_s) <= 2 * REORDER_S:
            return self._told.steady(at_s)
        self._jump_s = at_s
        at_s = track.place(packet)
        return self._told.fault(at_s, at_s + packet.duration_s, abs(packet.gap_s))
