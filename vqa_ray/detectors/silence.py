"""silence: no channel has sound.

Peak level in slots of 10 ms, over all channels, with two thresholds: sound below `enter_dbfs` becomes silence,
and only a slot at `exit_dbfs` or more ends it, so that a noise floor near one threshold does not flap.
-60 dBFS is the default of FFmpeg's silencedetect; a noise floor of -78 dBFS RMS peaks near -66.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.audio import AudioBlock, dbfs
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, DetectorSpec, Immediate, RaiseAfter


class SilenceSpec(DetectorSpec, frozen=True, kw_only=True):
    """All channels are silent. A track that stops sending is the source's matter, not silence."""

    id: ClassVar[str] = "silence"
    input: ClassVar[Input] = Input.AUDIO
    unit: ClassVar[str] = "dBFS"
    lower_is_worse: ClassVar[bool] = True
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 5.0
    enter_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="a slot of 10 ms whose peak is below this is silent")
    ] = -60.0
    exit_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="silence ends with a slot whose peak is at least this")
    ] = -58.0

    def build(self) -> "SilenceDetector":
        """A fresh detector with these options."""
        return SilenceDetector(self)


class SilenceDetector(Immediate):
    """Knows only whether it was silent."""

    def __init__(self, spec: SilenceSpec) -> None:
        self._enter = 10.0 ** (spec.enter_dbfs / 20.0)
        self._exit = max(self._enter, 10.0 ** (spec.exit_dbfs / 20.0))
        self._silent = False

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading for each run of silent or sounding slots; `value` is the peak of the run."""
        if block.samples.size == 0:
            return NOTHING
        loudest = block.peaks.max(axis=0)
        readings = []
        slot_s = block.slot_samples / block.rate_hz
        for first, last, silent in runs(loudest, self._silent, self._enter, self._exit):
            until_s = block.until_s if last == len(loudest) else block.at_s + last * slot_s
            level = dbfs(float(loudest[first:last].max()))
            readings.append(Reading(block.at_s + first * slot_s, until_s, level, silent))
            self._silent = silent
        return readings


def runs(levels: NDArray[np.float32], silent: bool, enter: float, leave: float) -> Iterator[tuple[int, int, bool]]:
    """(first, last, silent) of each run of slots, in order, last exclusive; `silent` is how it was before.

    levels: (slots,) linear peaks; a run becomes silent below `enter` and sounding at `leave` or above.
    """
    first = 0
    while first < len(levels):
        rest = levels[first:]
        changed = rest >= leave if silent else rest < enter
        step = int(changed.argmax())
        if not changed[step]:
            yield first, len(levels), silent
            return
        if step:
            yield first, first + step, silent
        first += step
        silent = not silent
