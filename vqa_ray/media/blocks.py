"""Decoded sound as blocks of 0.1 s, cut anew at a gap and at a change of rate or channels; nothing is resampled."""

from typing import Any

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
    """Collects the frames of one audio track into blocks, in libav's own queue of samples."""

    def __init__(self) -> None:
        self._key: tuple[int, int, str] | None = None
        self._layout: SampleLayout | None = None
        self._fifo = AudioFifo()
        self._size = 0  # samples of a block
        self._held = 0  # samples in the queue
        self._next_s: float | None = None  # where the next sample belongs

    def add(self, frame: AudioFrame, at_s: float | None) -> list[AudioBlock]:
        """Blocks that `frame` completes. at_s: of its first sample, None when it carries no timestamp."""
        out: list[AudioBlock] = []
        key = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if key != self._key:
            out += self.flush()
            self._start(frame, key)
        layout, samples = self._layout, frame.samples
        if layout is None or samples == 0:
            return out
        if at_s is None:
            at_s = self._next_s or 0.0
        elif self._next_s is not None and not -GAP_S <= at_s - self._next_s <= GAP_S:
            out += self.flush()
        self._next_s = at_s + samples / layout.rate_hz
        frame.pts = None  # the queue would insist on timestamps without rounding
        self._fifo.write(frame)
        self._held += samples
        while self._held >= self._size:
            out.append(self._cut(layout, self._size))
        return out

    def flush(self) -> list[AudioBlock]:
        """The block under way, shorter than the others, if there is one."""
        return [self._cut(self._layout, self._held)] if self._held and self._layout is not None else []

    def _start(self, frame: AudioFrame, key: tuple[int, int, str]) -> None:
        self._key, self._layout, self._fifo, self._next_s = key, _layout(frame), AudioFifo(), None
        self._size = max(1, round(frame.sample_rate * BLOCK_S))

    def _cut(self, layout: SampleLayout, count: int) -> AudioBlock:
        at_s = (self._next_s or 0.0) - self._held / layout.rate_hz
        samples = _samples(self._fifo.read(count), layout, count)
        self._held -= count
        until_s = at_s + count / layout.rate_hz
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


def _samples(frame: Any, layout: SampleLayout, count: int) -> NDArray[np.float32]:
    """The samples as (channels, count) float32."""
    out = np.empty((layout.count, count), np.float32)
    plane: Any = AudioPlane  # a buffer, which its type does not say
    if layout.planar:
        for row in range(layout.count):
            out[row] = np.frombuffer(plane(frame, row), layout.dtype, count)
    else:
        out[:] = np.frombuffer(plane(frame, 0), layout.dtype, count * layout.count).reshape(count, layout.count).T
    if layout.middle:
        out -= np.float32(layout.middle)
    if layout.scale != 1.0:
        out *= np.float32(1.0 / layout.scale)
    return out
