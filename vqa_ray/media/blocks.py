"""Decoded sound as blocks of 0.1 s, cut anew at a gap and at a change of rate or channels; nothing is resampled."""

from typing import Any, cast

import msgspec
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

from vqa_ray.core.audio import BLOCK_S, AudioBlock

GAP_S = 0.03  # timestamps this far off the count of samples: sound is missing (or doubled), not rounded

_KINDS: dict[str, tuple[str, float, float]] = {  # sample format: numpy type, its middle, its full scale
    "u8": ("u1", 128.0, 128.0),
    "s16": ("i2", 0.0, 32768.0),
    "s32": ("i4", 0.0, 2147483648.0),
    "s64": ("i8", 0.0, 9223372036854775808.0),
    "flt": ("f4", 0.0, 1.0),
    "dbl": ("f8", 0.0, 1.0),
}

_USUAL = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


class SampleLayout(msgspec.Struct, frozen=True):
    """How the samples of a frame are stored."""

    rate_hz: int
    count: int
    channels: tuple[str, ...]
    planar: bool
    dtype: str
    middle: float
    scale: float

    @property
    def block(self) -> int:
        """Samples of a whole block."""
        return max(1, round(self.rate_hz * BLOCK_S))


class BlockMaker:
    """Collects the frames of one audio track into blocks.

    libav's FIFO holds the samples in between: a frame costs one call, and numpy is touched once a block.
    """

    def __init__(self) -> None:
        self._layout: SampleLayout | None = None
        self._fifo = AudioFifo()
        self._head_s = 0.0  # where the first sample in the FIFO belongs
        self._next_s: float | None = None  # where the next sample belongs

    def add(self, frame: AudioFrame, at_s: float | None) -> list[AudioBlock]:
        """Blocks that `frame` completes. at_s: of its first sample, None when it carries no timestamp."""
        if frame.samples == 0:
            return []
        out: list[AudioBlock] = []
        frame.pts = None  # the FIFO would refuse what does not follow to the sample
        if at_s is not None and self._next_s is not None and abs(at_s - self._next_s) > GAP_S:
            out = self.flush()
        before = self._fifo.samples
        if self._layout is None or not self._fits(frame):
            out += self._restart(frame)
            before = 0
        layout = self._layout
        if layout is None:
            return out
        if at_s is None:
            at_s = self._next_s or 0.0
        self._head_s = at_s - before / layout.rate_hz
        self._next_s = at_s + frame.samples / layout.rate_hz
        while self._fifo.samples >= layout.block:
            out.append(self._cut(layout.block))
        return out

    def flush(self) -> list[AudioBlock]:
        """The block under way, shorter than the others, if there is one."""
        return [self._cut(self._fifo.samples)] if self._fifo.samples else []

    def _fits(self, frame: AudioFrame) -> bool:
        """Take the frame in, if it is like those before it."""
        try:
            self._fifo.write(frame)
        except ValueError:
            return False
        return True

    def _restart(self, frame: AudioFrame) -> list[AudioBlock]:
        """Another rate, format or number of channels: what came before is a block of its own."""
        out = self.flush()
        self._fifo, self._layout = AudioFifo(), _layout(frame)
        if out:
            self._next_s = None
        if self._layout is not None:
            self._fifo.write(frame)
        return out

    def _cut(self, count: int) -> AudioBlock:
        layout = self._layout
        assert layout is not None
        frame = self._fifo.read(count)
        assert frame is not None
        samples = np.empty((layout.count, count), np.float32)
        for row, source in enumerate(_sources(frame, layout, count)):
            samples[row] = source
        if layout.scale != 1.0:
            samples -= np.float32(layout.middle)
            samples *= np.float32(1.0 / layout.scale)
        at_s, until_s = self._head_s, self._head_s + count / layout.rate_hz
        self._head_s = until_s
        return AudioBlock(samples, at_s=at_s, until_s=until_s, rate_hz=layout.rate_hz, channels=layout.channels)


def _layout(frame: AudioFrame) -> SampleLayout | None:
    form = frame.format
    kind = _KINDS.get(form.packed.name)
    if kind is None or not frame.sample_rate:
        return None
    count = frame.layout.nb_channels
    names = channel_names(frame.layout)
    return SampleLayout(frame.sample_rate, count, names, form.is_planar, *kind)


def channel_names(layout: AudioLayout) -> tuple[str, ...]:
    """Names of the channels in their order; of a track that names none, those usual for their number."""
    names = tuple(channel.name for channel in layout.channels)
    count = layout.nb_channels
    if len(names) == count == len(set(names)) and not any(name.startswith(("NONE", "UNK", "USR")) for name in names):
        return names
    usual = _USUAL.get(count)
    if usual is not None:
        return tuple(channel.name for channel in AudioLayout(usual).channels)
    return tuple(str(number) for number in range(1, count + 1))


def _sources(frame: AudioFrame, layout: SampleLayout, count: int) -> list[NDArray[np.generic]]:
    """A view of each channel's samples."""
    if layout.planar:
        return [np.frombuffer(cast(Any, AudioPlane(frame, n)), layout.dtype, count) for n in range(layout.count)]
    packed = np.frombuffer(cast(Any, AudioPlane(frame, 0)), layout.dtype, count * layout.count)
    return [packed[n :: layout.count] for n in range(layout.count)]
