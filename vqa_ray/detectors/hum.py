"""hum: a tone that does not stop, of the mains (50 or 60 Hz and their harmonics) or any other.

The spectrum is looked at twice a second. A steady tone stands out of its neighbourhood in every look of six seconds;
notes, voices and engines do not stay on one line of 10 Hz with one level for so long. Line-up tone is steady by intent
and organ points and drones come near it, so this detector is off in the shipped profiles.
"""

from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.audio import BLOCK_S, AudioBlock
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, Immediate, RaiseAfter, SeverityOf

LOOK_EVERY = 5  # blocks
LOOKS = 12
STEADY_DB = 3.0  # a tone's level varies by no more over all looks
FIRST, LAST = 4, 1000  # lines (of 10 Hz) among which tones are looked for
AROUND = 8  # lines on both sides that are its neighbourhood
OWN = 2  # lines on both sides that belong to the tone itself


class HumSpec(DetectorSpec, frozen=True, kw_only=True):
    """A steady tone, such as mains hum, for many seconds."""

    id: ClassVar[str] = "hum"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "dB"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 10.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.MINOR
    contrast_db: Annotated[
        float, msgspec.Meta(ge=3, le=80, description="a tone is so far above the lines around it")
    ] = 15.0
    least_dbfs: Annotated[float, msgspec.Meta(ge=-120, le=0, description="weaker tones (RMS) are passed over")] = -60.0

    def build(self) -> "HumDetector":
        """A fresh detector with these options."""
        return HumDetector(self)


class HumDetector(Immediate):
    """Keeps the last looks."""

    def __init__(self, spec: HumSpec) -> None:
        self._contrast_db, self._least_dbfs = spec.contrast_db, spec.least_dbfs
        self._looks: deque[NDArray[np.float32]] = deque(maxlen=LOOKS)
        self._blocks = 0
        self._contrast = 0.0

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a block; `value` is how far the steadiest tone stands out, 0 without one."""
        if block.samples.shape[1] != round(block.rate_hz * BLOCK_S):
            return NOTHING
        if self._blocks % LOOK_EVERY == 0:
            self._look(block)
        self._blocks += 1
        return (Reading(block.at_s, block.until_s, self._contrast, self._contrast >= self._contrast_db),)

    def _look(self, block: AudioBlock) -> None:
        lines = block.lines[:LAST] * np.float32(2.0 / block.samples.size / block.samples.shape[1])
        if self._looks and self._looks[-1].shape != lines.shape:
            self._looks.clear()
        self._looks.append(lines)
        full = len(self._looks) == LOOKS
        self._contrast = steady_tone(np.stack(self._looks), self._least_dbfs) if full else 0.0


def steady_tone(looks: NDArray[np.float32], least_dbfs: float) -> float:
    """How many dB the clearest steady tone stands out of the lines around it, 0 without one. looks: (n, lines)."""
    levels = 10.0 * np.log10(looks + 1e-12)
    low, high = levels.min(axis=0), levels.max(axis=0)
    steady = np.flatnonzero((high - low <= STEADY_DB) & (low >= least_dbfs))
    steady = steady[(steady >= FIRST) & (steady < len(low) - AROUND)]
    middle = np.median(levels, axis=0)
    found = 0.0
    for line in steady.tolist():
        near = middle[max(1, line - AROUND) : line + AROUND + 1]
        apart = np.abs(np.arange(max(1, line - AROUND), line + AROUND + 1) - line) > OWN
        found = max(found, float(middle[line] - near[apart].max(initial=-120.0)))
    return found
