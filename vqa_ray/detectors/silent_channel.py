"""silent_channel: one channel is silent while another has sound, as when a cable or a mapping is wrong.

Each channel is its own part. While all are silent nothing is said of any: a pause neither raises nor clears.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import AudioBlock, dbfs
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, Immediate, RaiseAfter, SeverityOf


class SilentChannelSpec(DetectorSpec, frozen=True, kw_only=True):
    """One of the watched channels is silent while another has sound."""

    id: ClassVar[str] = "silent_channel"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "dBFS"
    lower_is_worse: ClassVar[bool] = True
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "silence")

    raise_after_s: RaiseAfter = 15.0
    clear_after_s: ClearAfter = 2.0
    severity: SeverityOf = Severity.MINOR
    channels: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            max_length=64,
            description="names of the channels watched; surround, centre and LFE are silent by nature in much content",
        ),
    ] = ("FL", "FR")
    silent_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="a channel whose peak is below this is silent")
    ] = -60.0
    sound_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="a channel whose peak is at least this has sound")
    ] = -45.0

    def build(self) -> "SilentChannelDetector":
        """A fresh detector with these options."""
        return SilentChannelDetector(self)


class SilentChannelDetector(Immediate):
    """Judges each block by itself."""

    def __init__(self, spec: SilentChannelSpec) -> None:
        self._watched = frozenset(spec.channels)
        self._silent = 10.0 ** (spec.silent_dbfs / 20.0)
        self._sound = 10.0 ** (spec.sound_dbfs / 20.0)

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a watched channel; `value` is its peak. Nothing of mono, and nothing without sound."""
        if len(block.channels) < 2 or block.samples.size == 0:
            return NOTHING
        peaks = [max(levels) for levels in block.levels]
        if max(peaks) < self._sound:
            return NOTHING
        return [
            Reading(block.at_s, block.until_s, dbfs(peak), peak < self._silent, name)
            for name, peak in zip(block.channels, peaks, strict=False)
            if name in self._watched
        ]
