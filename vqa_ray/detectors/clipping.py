"""clipping: the tops of the wave were cut off, at full scale or below it, before or after a lossy codec.

A block is looked at only when it is loud and its peaks are near its mean level, as those of clipped sound are; then
how often each level occurs in it and the half second before it tells (see `plateaus`). Noise that was cut off has no
such hump after a lossy codec, but peaks beyond full scale all the time. Up to 0.3 s between two clipped vowels count
with them, longer ones are joined by `merge_gap_s`. Less than about a fifth of clipped samples is often not found after
a lossy codec.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, MergeGap, RaiseAfter
from vqa_ray.detectors.plateaus import F32, FULL_SCALE, hump, is_tone, levels

BLOCKS = 5  # whose levels are counted together
FLAT = 2.2  # mean peak of 5 ms over the mean level (RMS); sound has 2 to 4, clipped sound 1.2 to 2.2
OWN_SHARE = 0.5  # of the hump's share: what the block itself must have of it
OVER = 1.05  # mean peak of 5 ms, full scale = 1: codecs exceed it now and then in sound mastered to the limit
GAP_S = 0.03  # blocks further apart are not one piece of sound
BRIDGE = 3  # blocks that are not clipped between two that are


class ClippingSpec(DetectorSpec, frozen=True, kw_only=True):
    """Hard clipping of a good part of the wave, also where it was encoded again since."""

    id: ClassVar[str] = "clipping"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "%"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 1.0
    clear_after_s: ClearAfter = 5.0
    merge_gap_s: MergeGap = 1.0
    ceiling_dbfs: Annotated[
        float, msgspec.Meta(ge=-9.5, le=0, description="blocks with no peak above this are not looked at")
    ] = -9.5
    hump_ratio: Annotated[
        float,
        msgspec.Meta(
            ge=1, le=100, description="how much more often the ceiling occurs than the rarest level below it, clipped"
        ),
    ] = 1.8
    hump_share: Annotated[
        float, msgspec.Meta(ge=0.01, le=1, description="least share of samples at the ceiling, clipped")
    ] = 0.05

    def build(self) -> "ClippingDetector":
        """A fresh detector with these options."""
        return ClippingDetector(self)


class ClippingDetector:
    """Counts levels of the last half second, and holds back what may lie between two clipped blocks."""

    def __init__(self, spec: ClippingSpec) -> None:
        self._ceiling = 10.0 ** (spec.ceiling_dbfs / 20.0)
        self._ratio, self._share = spec.hump_ratio, spec.hump_share
        self._counts: deque[F32 | None] = deque(maxlen=BLOCKS)
        self._was = False  # clipped, but for what waits
        self._until_s = 0.0
        self._waiting: list[Reading] = []

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a block, up to 0.3 s late; `value` is the percentage of a channel's samples at the ceiling."""
        if block.samples.size == 0:
            return NOTHING
        broken = abs(block.at_s - self._until_s) > GAP_S
        before = self.finish() if broken else NOTHING
        self._until_s = block.until_s
        share = self._clipped(block)
        reading = Reading(block.at_s, block.until_s, 100.0 * share, share > 0.0)
        if reading.bad:
            bridged = [Reading(r.at_s, r.until_s, r.value, True) for r in self._waiting]
            self._waiting, self._was = [], True
            return (*before, *bridged, reading)
        if not self._was:
            return (*before, reading)
        self._waiting.append(reading)
        return self.finish() if len(self._waiting) > BRIDGE else before

    def finish(self) -> Sequence[Reading]:
        """What is held back: it was not clipped."""
        told, self._waiting, self._was = self._waiting, [], False
        return told

    def _clipped(self, block: AudioBlock) -> float:
        peaks = float(block.halves.mean())
        mean = math.sqrt(sum(block.energies) / block.samples.size)
        if max(block.loudest) < self._ceiling or FLAT * mean < peaks < OVER:
            self._counts.append(None)
            return 0.0
        own = levels(block.samples)
        if any(counts is not None and counts.shape != own.shape for counts in self._counts):
            self._counts.clear()
        self._counts.append(own)
        counted = np.sum([counts for counts in self._counts if counts is not None], axis=0)
        found, channel = max((hump(row, self._share), n) for n, row in enumerate(counted))
        if peaks >= OVER:
            over = float(own[:, FULL_SCALE - 1 :].sum(axis=1).max())
            return over / int(block.samples.shape[1])
        if found.ratio < self._ratio or is_tone(block.lines):
            return 0.0
        share = float(own[channel, found.level - 1 : found.level + 2].sum()) / block.samples.shape[1]
        return share if share >= OWN_SHARE * self._share else 0.0
