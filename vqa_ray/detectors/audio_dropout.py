"""audio_dropout: sound is missing for some hundredths of a second, as when packets are lost or a buffer runs dry.

Peaks of 5 ms tell when the level is far below that of late; only then is it looked at in steps of 1 ms (see `holes`),
so that start and end are exact to about 2 ms. Longer holes are silence. Speech from a synthesiser that puts zeros
between its sounds is full of holes: there this detector is to be switched off.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from vqa_ray.core.audio import FINE_S, AudioBlock, dbfs, envelope
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, MergeGap, RaiseAfter, SeverityOf
from vqa_ray.detectors.holes import EDGE_MS, F32, LOW, Hole, holes

RECENT_BLOCKS = 10  # whose peak is the level of late
SOUND_S = 0.02  # sound that is waited for after the longest hole
GAP_S = 0.03  # blocks further apart are not one piece of sound


class AudioDropoutSpec(DetectorSpec, frozen=True, kw_only=True):
    """Short holes in the sound of all channels: digital silence or a collapse of level between two abrupt edges."""

    id: ClassVar[str] = "audio_dropout"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "dB"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)
    adapts: ClassVar[str] = (
        f"the level is compared with the highest peak of the last {RECENT_BLOCKS / 10:g} s; what a hole is does not "
        "adapt"
    )

    raise_after_s: RaiseAfter = 0.0
    clear_after_s: ClearAfter = 10.0
    merge_gap_s: MergeGap = 10.0
    severity: SeverityOf = Severity.MINOR
    min_s: Annotated[float, msgspec.Meta(ge=0.005, le=1, description="shorter holes are not counted")] = 0.012
    max_s: Annotated[
        float, msgspec.Meta(ge=0.02, le=1, description="longer holes are left to the detector of silence")
    ] = 0.5

    def build(self) -> "AudioDropoutDetector":
        """A fresh detector with these options."""
        return AudioDropoutDetector(self)


class AudioDropoutDetector:
    """Follows the level; while it is low, collects the envelope and holds readings back."""

    def __init__(self, spec: AudioDropoutSpec) -> None:
        self._min_s, self._max_s = spec.min_s, spec.max_s
        self._peaks: deque[float] = deque(maxlen=RECENT_BLOCKS)
        self._recent_then = 0.0  # the highest while something is held back
        self._last: tuple[F32, int] | None = None  # end of the block before, and its rate
        self._parts: list[F32] = []  # envelopes of what is held back, the end of the block before it first
        self._skip_s = 0.0  # length of that end
        self._from_s = self._until_s = 0.0  # what is held back

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a block, more about a hole; `value` is how far the level fell, 0 where it did not."""
        if block.samples.size == 0:
            return NOTHING
        released: Sequence[Reading] = NOTHING
        if abs(block.at_s - self._until_s) > GAP_S:
            released, self._last = self.finish(), None
            self._peaks.clear()
        halves = block.halves.max(axis=0).tolist()
        self._peaks.append(max(halves))
        recent = max(self._peaks)
        self._until_s = block.until_s
        if self._parts or min(halves) < LOW * recent:
            self._hold(block, recent)
            if min(halves[-2:]) >= LOW * recent or block.until_s - self._from_s > self._max_s + SOUND_S:
                released = [*released, *self.finish()]
        else:  # nearly always
            released = [*released, Reading(block.at_s, block.until_s, 0.0, False)]
        self._last = block.samples[:, -(block.rate_hz * EDGE_MS // 1000) :].copy(), block.rate_hz
        return released

    def finish(self) -> Sequence[Reading]:
        """What is held back, judged."""
        if not self._parts:
            return NOTHING
        found = holes(np.concatenate(self._parts), self._recent_then)
        self._parts.clear()
        return list(self._told(found))

    def _hold(self, block: AudioBlock, recent: float) -> None:
        if not self._parts:
            self._from_s, self._skip_s, self._recent_then = block.at_s, 0.0, 0.0
            if self._last is not None and self._last[1] == block.rate_hz:
                self._parts.append(envelope(*self._last))
                self._skip_s = len(self._parts[0]) * FINE_S
        self._recent_then = max(self._recent_then, recent)
        self._parts.append(envelope(block.samples, block.rate_hz))

    def _told(self, found: list[Hole]) -> Iterator[Reading]:
        """The span that was held back, in readings that follow each other."""
        at_s = self._from_s
        for first, last, depth in found:
            start_s = max(at_s, self._from_s - self._skip_s + first * FINE_S)
            end_s = min(self._until_s, self._from_s - self._skip_s + last * FINE_S)
            if self._min_s <= end_s - start_s <= self._max_s:
                if start_s > at_s:
                    yield Reading(at_s, start_s, 0.0, False)
                yield Reading(start_s, end_s, dbfs(depth), True)
                at_s = end_s
        if at_s < self._until_s:
            yield Reading(at_s, self._until_s, 0.0, False)
