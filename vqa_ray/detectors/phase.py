"""phase: left and right are inverted against each other, so that whoever listens in mono hears nearly nothing.

Correlation of the two channels, as on a phase meter. Wide music goes below zero for moments, never for long near -1.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, Immediate, RaiseAfter, SeverityOf


class PhaseSpec(DetectorSpec, frozen=True, kw_only=True):
    """Left and right cancel each other in mono."""

    id: ClassVar[str] = "phase"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "correlation"
    lower_is_worse: ClassVar[bool] = True
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "silence")

    raise_after_s: RaiseAfter = 10.0
    clear_after_s: ClearAfter = 3.0
    severity: SeverityOf = Severity.MINOR
    least_correlation: Annotated[
        float, msgspec.Meta(ge=-1, le=0, description="below this the channels count as inverted")
    ] = -0.7
    sound_dbfs: Annotated[
        float,
        msgspec.Meta(ge=-120, le=0, description="blocks with a channel whose level (RMS) is below are passed over"),
    ] = -50.0

    def build(self) -> "PhaseDetector":
        """A fresh detector with these options."""
        return PhaseDetector(self)


class PhaseDetector(Immediate):
    """Judges each block by itself."""

    def __init__(self, spec: PhaseSpec) -> None:
        self._least = spec.least_correlation
        self._sound = 10.0 ** (spec.sound_dbfs / 10.0)

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a block of a stereo pair with sound in both channels; `value` is their correlation."""
        count = block.samples.shape[1]
        if block.channels[:2] != ("FL", "FR") or count == 0 or min(block.energies[:2]) < self._sound * count:
            return NOTHING
        return (Reading(block.at_s, block.until_s, block.correlation, block.correlation < self._least),)
