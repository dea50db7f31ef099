"""click: impulses of a few samples, as from a broken clock, a lost sample or a cut in mid-wave.

The second difference of the wave at a click stands far out of what it is around it. Old recordings crackle and drums
click by nature, so this detector is off in the shipped profiles.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, Immediate, MergeGap, RaiseAfter, SeverityOf

PIECES = 16  # of a block: the level around a click is the median of theirs
FAINT = 1e-4  # of full scale: weaker second differences are rounding
LEAST_SAMPLES = 64


class ClickSpec(DetectorSpec, frozen=True, kw_only=True):
    """Clicks: single samples far out of the wave around them."""

    id: ClassVar[str] = "click"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "dB"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "audio_dropout")

    raise_after_s: RaiseAfter = 0.0
    clear_after_s: ClearAfter = 2.0
    merge_gap_s: MergeGap = 2.0
    severity: SeverityOf = Severity.MINOR
    contrast_db: Annotated[
        float, msgspec.Meta(ge=6, le=80, description="a click's second difference is so far above that around it")
    ] = 45.0

    def build(self) -> "ClickDetector":
        """A fresh detector with these options."""
        return ClickDetector(self)


class ClickDetector(Immediate):
    """Judges each block by itself."""

    def __init__(self, spec: ClickSpec) -> None:
        self._contrast_db = spec.contrast_db

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a block; `value` is how far its sharpest sample stands out."""
        if block.samples.shape[1] < LEAST_SAMPLES:
            return NOTHING
        contrast_db = sharpest(block)
        return (Reading(block.at_s, block.until_s, contrast_db, contrast_db >= self._contrast_db),)


def sharpest(block: AudioBlock) -> float:
    """Largest second difference over the median of the largest of each piece of the block, in dB."""
    bends = np.abs(np.diff(block.samples, 2, axis=1))
    count = bends.shape[1] // PIECES * PIECES
    pieces = bends[:, :count].reshape(len(bends), PIECES, -1).max(axis=2)
    usual = np.maximum(np.median(pieces, axis=1), FAINT)
    return max(0.0, 20.0 * float(np.log10(max(float((pieces.max(axis=1) / usual).max()), 1.0))))
