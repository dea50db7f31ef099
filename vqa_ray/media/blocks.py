"""Decoded sound as blocks of 0.1 s, cut anew at a gap and at a change of rate or channels; nothing is resampled."""

import msgspec
import numpy as np
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


class BlockMaker:
    """Collects the frames of one audio track into blocks."""

    def __init__(self) -> None:
        self._key: tuple[int, int, str] | None = None
        self._layout: SampleLayout | None = None
        self._samples: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._filled = 0
        self._at_s = 0.0  # of the block's first sample
        self._next_s: float | None = None  # where the next sample belongs

    def add(self, frame: AudioFrame, at_s: float | None) -> list[AudioBlock]:
        """Blocks that `frame` completes. at_s: of its first sample, None when it carries no timestamp."""
        out: list[AudioBlock] = []
        key = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if key != self._key:
            out += self.flush()
            self._key, self._layout = key, _layout(frame)
            self._next_s = None
        layout = self._layout
        if layout is None or frame.samples == 0:
            return out
        if at_s is None:
            at_s = self._next_s or 0.0
        elif self._next_s is not None and abs(at_s - self._next_s) > GAP_S:
            out += self.flush()
        self._next_s = at_s + frame.samples / layout.rate_hz
        self._copy(frame, layout, at_s, out)
        return out

    def flush(self) -> list[AudioBlock]:
        """The block under way, shorter than the others, if there is one."""
        if not self._filled:
            return []
        return [self._cut()]

    def _copy(self, frame: AudioFrame, layout: SampleLayout, at_s: float, out: list[AudioBlock]) -> None:
        """Spread the frame over blocks, converting on the way."""
        count, done = frame.samples, 0
        sources = _sources(frame, layout, count)
        while done < count:
            if not self._filled:
                self._samples = np.empty((layout.count, max(1, round(layout.rate_hz * BLOCK_S))), np.float32)
                self._at_s = at_s + done / layout.rate_hz
            start = self._filled
            take = min(count - done, self._samples.shape[1] - start)
            for row, source in enumerate(sources):
                self._samples[row, start : start + take] = source[done : done + take]
            if layout.scale != 1.0:
                part = self._samples[:, start : start + take]
                if layout.middle:
                    part -= layout.middle
                part *= np.float32(1.0 / layout.scale)
            self._filled += take
            done += take
            if self._filled == self._samples.shape[1]:
                out.append(self._cut())

    def _cut(self) -> AudioBlock:
        layout = self._layout
        assert layout is not None
        samples = self._samples if self._filled == self._samples.shape[1] else self._samples[:, : self._filled]
        until_s = self._at_s + self._filled / layout.rate_hz
        self._filled = 0
        return AudioBlock(samples, at_s=self._at_s, until_s=until_s, rate_hz=layout.rate_hz, channels=layout.channels)


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
        return [np.frombuffer(AudioPlane(frame, n), layout.dtype, count) for n in range(layout.count)]
    packed = np.frombuffer(AudioPlane(frame, 0), layout.dtype, count * layout.count)
    return [packed[n :: layout.count] for n in range(layout.count)]
