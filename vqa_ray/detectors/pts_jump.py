"""pts_jump: timestamps leave their time base: backward, or further forward than missing media explains."""

from collections.abc import Sequence
from typing import ClassVar

from vqa_ray.core.reading import Continuity, Input, PacketInfo, Reading, Severity
from vqa_ray.detectors.base import NOTHING, DetectorSpec, PacketReader, RaiseAfter, SeverityOf
from vqa_ray.detectors.timestamps import REORDER_S, Told, Track, placed


class PtsJumpSpec(DetectorSpec, frozen=True, kw_only=True):
    """The time base changes in mid-stream without a new connection; a wrap of the 33-bit counter does not count."""

    id: ClassVar[str] = "pts_jump"
    inputs: ClassVar[tuple[Input, ...]] = (Input.PACKET,)
    unit: ClassVar[str] = "s"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.0
    severity: SeverityOf = Severity.MINOR

    def build(self) -> "PtsJumpDetector":
        """A fresh detector with these options."""
        return PtsJumpDetector(self)


class PtsJumpDetector(PacketReader):
    """Tells the jump of the track that jumps first; those of the others within half a second are the same fault."""

    def __init__(self, spec: PtsJumpSpec) -> None:
        self._tracks: dict[int, Track] = {}
        self._told = Told()
        self._jump_s = -float("inf")

    def read_all(self, packets: Sequence[PacketInfo]) -> Sequence[Reading]:
        """Bad for the first packet in the new time base; `value` is how far it jumped, in either direction."""
        out: Sequence[Reading] = NOTHING
        steady_s: float | None = None
        for packet, at_s, track in placed(packets, self._tracks):
            track.recent.append(packet)
            if packet.continuity is not Continuity.JUMP or abs(at_s - self._jump_s) <= 2 * REORDER_S:
                steady_s = at_s
            else:
                out, steady_s = [*out, *self._jumped(track, packet, at_s)], None
        if steady_s is not None and self._told.due(steady_s):
            out = [*out, *self._told.steady(steady_s)]
        return out

    def _jumped(self, track: Track, packet: PacketInfo, at_s: float) -> Sequence[Reading]:
        self._jump_s = at_s
        shown_s = track.place(packet)
        return self._told.fault(shown_s, shown_s + packet.duration_s, abs(packet.gap_s))
