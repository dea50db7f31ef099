"""dual_mono: both channels carry the same, as when a stereo programme was summed or one channel patched to both.

Much content is mono by intent (news, old films), so this detector is off in the shipped profiles: switch it on where
the channel is meant to be stereo.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, Immediate, RaiseAfter, SeverityOf

CERTAIN = 0.99  # correlation below which the difference is not looked at
MOST_DB = 120.0


class DualMonoSpec(DetectorSpec, frozen=True, kw_only=True):
    """Left and right are the same."""

    id: ClassVar[str] = "dual_mono"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "dB"
    lower_is_worse: ClassVar[bool] = True
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "silence")

    raise_after_s: RaiseAfter = 60.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.INFO
    side_db: Annotated[
        float,
        msgspec.Meta(ge=-120, le=0, description="mono when what differs between channels is so far below the sound"),
    ] = -50.0
    sound_dbfs: Annotated[
        float,
        msgspec.Meta(ge=-120, le=0, description="blocks with a channel whose level (RMS) is below are passed over"),
    ] = -50.0

    def build(self) -> "DualMonoDetector":
        """A fresh detector with these options."""
        return DualMonoDetector(self)


class DualMonoDetector(Immediate):
    """Judges each block by itself."""

    def __init__(self, spec: DualMonoSpec) -> None:
        self._side = spec.side_db
        self._sound = 10.0 ** (spec.sound_dbfs / 10.0)

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a block of a stereo pair with sound; `value` is the level of the side signal over the sum's."""
        count = block.samples.shape[1]
        if block.channels[:2] != ("FL", "FR") or count == 0 or min(block.energies[:2]) < self._sound * count:
            return NOTHING
        side_db = side_level(block) if block.correlation > CERTAIN else 0.0
        return (Reading(block.at_s, block.until_s, side_db, side_db < self._side),)


def side_level(block: AudioBlock) -> float:
    """Energy of left minus right over that of both, in dB, not below -120."""
    side = block.samples[0] - block.samples[1]
    share = float(np.dot(side, side)) / sum(block.energies[:2])
    return 10.0 * float(np.log10(share)) if share > 10.0 ** (-MOST_DB / 10.0) else -MOST_DB
