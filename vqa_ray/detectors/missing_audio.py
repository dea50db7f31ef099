"""missing_audio: pictures come and no sound does, as when the audio PID is gone from the multiplex.

Streams without sound are many, so this detector is off in the shipped profiles: switch it on where sound is expected.
"""

from collections.abc import Sequence
from typing import ClassVar

from vqa_ray.core.reading import Input, PacketInfo, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, Immediate, RaiseAfter, SeverityOf

SAY_EVERY_S = 0.5
NORMAL_S = 1.0  # sound may lie so far behind the picture in the multiplex


class MissingAudioSpec(DetectorSpec, frozen=True, kw_only=True):
    """There are video packets and no audio packets."""

    id: ClassVar[str] = "missing_audio"
    inputs: ClassVar[tuple[Input, ...]] = (Input.PACKET,)
    unit: ClassVar[str] = "s"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 5.0
    clear_after_s: ClearAfter = 1.0
    severity: SeverityOf = Severity.MAJOR

    def build(self) -> "MissingAudioDetector":
        """A fresh detector with these options."""
        return MissingAudioDetector()


class MissingAudioDetector(Immediate):
    """Compares the time of the last audio packet with that of the pictures."""

    def __init__(self) -> None:
        self._sound_s: float | None = None  # end of the last audio packet; at first, where the pictures began
        self._said_s: float | None = None

    def read(self, packet: PacketInfo) -> Sequence[Reading]:
        """One reading each half second of video; `value` is how long no sound has come."""
        at_s = packet.at_s
        if at_s is None:
            return NOTHING
        if packet.kind == "audio":
            self._sound_s = max(at_s + packet.duration_s, self._sound_s or at_s)
            return NOTHING
        if self._sound_s is None or self._said_s is None or at_s < self._said_s - SAY_EVERY_S:
            self._sound_s = self._sound_s if self._sound_s is not None and self._sound_s <= at_s else at_s
            self._said_s = max(at_s, self._said_s or at_s)
            return NOTHING
        if at_s - self._said_s < SAY_EVERY_S:
            return NOTHING
        silent_s = max(0.0, at_s - self._sound_s)
        told = Reading(self._said_s, at_s, silent_s, silent_s > NORMAL_S)
        self._said_s = at_s
        return (told,)
