"""The stream that all architectures watch: real content at a broadcast bit rate, with a fault of each kind in it.

As the clips of `cost` (decoding is what it costs in practice), with black, silence, a freeze, and lost transport
packets, so that architectures have incidents to agree on.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import clips
from vqa_ray.media.synthetic.broadcast import ClipSpec, encode
from vqa_ray.media.synthetic.programme import BLOCK, F32, RATE_HZ, Programme, Sounds
from vqa_ray.media.synthetic.scenery import U8, Scenery
from vqa_ray.media.synthetic.transport import VIDEO_PID, pid_of, ts_packets

LOST = 40  # packets of the picture in a row
SHORTEST_S = 9.0


class Span(NamedTuple):
    """Seconds of the clip, the end exclusive."""

    start_s: float
    end_s: float

    def holds(self, at_s: float) -> bool:
        """Whether it lies within."""
        return self.start_s <= at_s < self.end_s


BLACK, SILENCE, FREEZE, LOSS_S = Span(1.0, 2.6), Span(3.0, 4.8), Span(6.3, 8.4), 5.5


def make(spec: ClipSpec) -> Path:
    """The file, from the cache or made now; `spec.seconds` is at least SHORTEST_S."""
    made_of = clips.digest((spec, BLACK, SILENCE, FREEZE, LOSS_S))
    path = clips.cache() / f"faulty-{spec.name}-{spec.seconds:g}s-{made_of}.ts"
    if not path.exists():
        partial = path.with_name(f"{os.getpid()}-{path.name}")
        encode(spec, partial, _Scenery(spec), _Sounds(Sounds(Programme(seed=spec.seed))))
        partial.write_bytes(lossy(partial.read_bytes(), round(LOSS_S / spec.seconds * partial.stat().st_size)))
        partial.replace(path)
    return path


def lossy(data: bytes, start: int) -> bytes:
    """The transport stream without LOST packets of the picture from byte `start` on."""
    kept, at, lost = [], 0, 0
    for packet in ts_packets(data):
        gone = at >= start and lost < LOST and pid_of(packet) == VIDEO_PID
        at, lost = at + len(packet), lost + gone
        if not gone:
            kept.append(packet)
    return b"".join(kept)


class _Scenery(Scenery):
    """A programme that goes black, and stands still."""

    def __init__(self, spec: ClipSpec) -> None:
        super().__init__(spec.width, spec.height, spec.fps, seed=spec.seed, grain=spec.grain)

    def draw(self, n: int) -> U8:
        """Frame `n`."""
        at_s = n / self.fps
        if FREEZE.holds(at_s):
            n = round(FREEZE.start_s * self.fps) - 1
        shown = super().draw(n)
        if BLACK.holds(at_s):
            shown[: self.height], shown[self.height :] = 16, 128
        return shown


class _Sounds:
    """Its sound, with a hole."""

    def __init__(self, sounds: Sounds) -> None:
        self._sounds = sounds

    def block(self, k: int) -> F32:
        """Block `k`, (channels, BLOCK) float32."""
        samples = self._sounds.block(k)
        return np.zeros_like(samples) if SILENCE.holds(k * BLOCK / RATE_HZ) else samples
