"""bit_rate: what picture, sound and both take a second, against limits and against the stream's own past."""

import statistics
from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Input, PacketInfo, Reading, Severity
from vqa_ray.detectors.base import NOTHING, DetectorSpec, PacketReader, RaiseAfter, SeverityOf

SPAN_S = 1.0
TOTAL = "total"
LEARNT = 20  # seconds after which the past tells what is usual

Rate = Annotated[float, msgspec.Meta(ge=0, le=10_000_000, description="kb/s of all tracks together; 0: no limit")]


class BitRateSpec(DetectorSpec, frozen=True, kw_only=True):
    """The bit rate collapses to next to nothing of what is usual, or leaves its limits; kept for each second."""

    id: ClassVar[str] = "bit_rate"
    inputs: ClassVar[tuple[Input, ...]] = (Input.PACKET,)
    unit: ClassVar[str] = "kb/s"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black", "freeze", "silence")
    lower_is_worse: ClassVar[bool] = True
    adapts: ClassVar[str] = (
        f"collapse and spike are measured against the median of the last memory_s seconds, from {LEARNT} s on; "
        "min_kbps and max_kbps do not adapt"
    )

    raise_after_s: RaiseAfter = 5.0
    severity: SeverityOf = Severity.INFO
    collapse_share: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="bad below this share of the usual rate of the track; 0: never")
    ] = 0.01
    spike_factor: Annotated[
        float, msgspec.Meta(ge=0, le=1000, description="bad above so many times the usual rate; 0: never")
    ] = 0.0
    memory_s: Annotated[
        int, msgspec.Meta(ge=LEARNT, le=3600, description="seconds whose median rate is the usual one")
    ] = 300
    min_kbps: Rate = 0.0
    max_kbps: Rate = 0.0

    def build(self) -> "BitRateDetector":
        """A fresh detector with these options."""
        return BitRateDetector(self)


class Count:
    """Bytes of one track in the second under way, and its rates before."""

    __slots__ = ("end_s", "past", "size", "start_s")

    def __init__(self, at_s: float, memory_s: int) -> None:
        self.size = 0
        self.past: deque[float] = deque(maxlen=memory_s)
        self.restart(at_s)

    def restart(self, at_s: float) -> None:
        """Begin a second."""
        self.start_s, self.end_s = at_s, at_s + SPAN_S


class BitRateDetector(PacketReader):
    """Counts each track by its own time; both together while the one that came first goes on by a second."""

    def __init__(self, spec: BitRateSpec) -> None:
        self._spec = spec
        self._tracks: dict[str, Count] = {}
        self._leader = ""
        self._total = 0

    def read_all(self, packets: Sequence[PacketInfo]) -> Sequence[Reading]:
        """`value`: the rate of a whole second; what is left at the end of a connection is not told."""
        out: Sequence[Reading] = NOTHING
        for packet in packets:
            at_s = packet.at_s
            track = self._tracks.get(packet.kind)
            if track is None:
                if at_s is None:
                    continue
                self._leader = self._leader or packet.kind
                track = self._tracks[packet.kind] = Count(at_s, self._spec.memory_s)
            if at_s is None or at_s < track.end_s:
                track.size += packet.size_bytes
            else:
                out = [*out, *self._second(packet.kind, track, at_s, packet.size_bytes)]
        return out

    def _second(self, kind: str, track: Count, at_s: float, size: int) -> Sequence[Reading]:
        """A second is over; the packet at `at_s` belongs to the next one, or to one behind a gap."""
        self._total += track.size
        out = [self._judged(kind, track, track.size)]
        if kind == self._leader:
            together = self._tracks.get(TOTAL)
            if together is None:
                together = self._tracks[TOTAL] = Count(track.start_s, self._spec.memory_s)
            together.restart(track.start_s)
            out.append(self._judged(TOTAL, together, self._total))
            self._total = 0
        track.size = size
        track.restart(track.end_s if at_s < track.end_s + SPAN_S else at_s)
        return out

    def _judged(self, part: str, count: Count, size: int) -> Reading:
        spec, kbps = self._spec, 8e-3 * size / SPAN_S
        bad = part == TOTAL and (kbps < spec.min_kbps or kbps > (spec.max_kbps or float("inf")))
        if (spec.collapse_share or spec.spike_factor) and not bad and len(count.past) >= LEARNT:
            usual = statistics.median(count.past)
            bad = kbps < spec.collapse_share * usual or kbps > (spec.spike_factor or float("inf")) * usual
        count.past.append(kbps)
        return Reading(count.start_s, count.end_s, kbps, bad, part)
