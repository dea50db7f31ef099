"""av_drift: the timestamps of sound and picture run away from each other within a connection.

In a multiplex that is right, sound and picture of one moment arrive together, give or take buffering. So where the
sound has got to when a picture arrives, compared with the same at the beginning of the connection, tells how far
the clocks drifted apart. Interleaving, bursts and rate-controlled buffering make single distances swing by hundreds
of milliseconds: medians over seconds of media are compared, and the default tolerance stays above that swing.
It finds a clock that runs wrong, not a constant lip-sync error, which timestamps do not show.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Continuity, Input, PacketInfo, Reading
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, PacketReader, RaiseAfter

STEP_S = 1.0
STEADY = (Continuity.STEADY, Continuity.WRAP)


class AvDriftSpec(DetectorSpec, frozen=True, kw_only=True):
    """Sound drifts from picture: their distance in the multiplex changed since the connection began."""

    id: ClassVar[str] = "av_drift"
    inputs: ClassVar[tuple[Input, ...]] = (Input.PACKET,)
    unit: ClassVar[str] = "ms"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)
    adapts: ClassVar[str] = (
        "drift is how far the distance of sound and picture is from that at the start of the connection, or since the "
        "last gap; tolerance_ms bounds it"
    )

    raise_after_s: RaiseAfter = 10.0
    clear_after_s: ClearAfter = 10.0
    tolerance_ms: Annotated[
        float, msgspec.Meta(ge=10, le=60000, description="drift beyond this, in either direction, is bad")
    ] = 400.0
    window_s: Annotated[
        float, msgspec.Meta(ge=1, le=600, description="seconds of media over which the distance is a median")
    ] = 10.0

    def build(self) -> "AvDriftDetector":
        """A fresh detector with these options."""
        return AvDriftDetector(self)


class AvDriftDetector(PacketReader):
    """Compares the distance of late with that of the connection's first window."""

    def __init__(self, spec: AvDriftSpec) -> None:
        self._spec = spec
        self._audio_s: float | None = None  # end of the sound that came so far
        self._skews: list[float] = []  # of the pictures of this step
        self._steps: deque[float] = deque(maxlen=max(1, round(spec.window_s / STEP_S)))
        self._base_s: float | None = None
        self._step_at_s: float | None = None

    def read_all(self, packets: Sequence[PacketInfo]) -> Sequence[Reading]:
        """One reading a second of media, after the first window; `value` is the drift, whatever its direction."""
        out: Sequence[Reading] = NOTHING
        for packet in packets:
            at_s = packet.at_s
            if at_s is None:
                continue
            if packet.continuity not in STEADY:
                self._restart()
            if packet.kind == "audio":
                self._audio_s = at_s + packet.duration_s
            elif self._audio_s is not None:
                self._skews.append(self._audio_s - at_s)
                if self._step_at_s is None:
                    self._step_at_s = at_s
                elif at_s - self._step_at_s >= STEP_S:
                    out = [*out, *self._step(at_s)]
        return out

    def _step(self, at_s: float) -> Sequence[Reading]:
        start_s, self._step_at_s = self._step_at_s or at_s, at_s
        self._steps.append(median(self._skews))
        self._skews.clear()
        if len(self._steps) < (self._steps.maxlen or 1):
            return NOTHING
        now_s = median(self._steps)
        if self._base_s is None:
            self._base_s = now_s
        drift_ms = abs(now_s - self._base_s) * 1000.0
        return (Reading(start_s, at_s, drift_ms, drift_ms > self._spec.tolerance_ms),)

    def _restart(self) -> None:
        """A gap or another time base: what came before it says nothing of what follows."""
        self._audio_s = None
        self._skews.clear()
        self._steps.clear()
        self._base_s = None
        self._step_at_s = None
