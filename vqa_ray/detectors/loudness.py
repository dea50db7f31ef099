"""loudness: the programme goes on at another level, or is louder than a limit.

A jump is one of the gain (see `gain_steps`): the same programme louder or quieter, at once and in all bands. What
music, speech and film do by themselves, a pause or a sudden chorus, is none; one within a pause begins when sound is
back. It ends when the level is back, or after `forget_s`, when the new level is what is normal. Limits are those of
EBU R128 (see `bs1770`), each a part of its own; they are off by default since they depend on the country and the
channel. Music with great contrasts does jump now and then, so the profile for live monitoring leaves this detector out.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import BLOCK_S, AudioBlock, dbfs
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.bs1770 import ABSOLUTE_GATE_LUFS, Meter, k_power, lufs, true_peak
from vqa_ray.detectors.gain_steps import band_powers
from vqa_ray.detectors.level_jumps import BEFORE, Judged, LevelJumps, Row

GAP_S = 0.03  # blocks further apart are not one piece of sound
OFF = 20.0  # LUFS or dBTP: a limit that nothing reaches
MEASURED_S = 30.0  # integrated loudness of less says nothing,
RANGED_S = 60.0  # nor does the range (EBU R128)


class LoudnessSpec(DetectorSpec, frozen=True, kw_only=True):
    """The level jumps against its own recent past, or is above a limit of EBU R128."""

    id: ClassVar[str] = "loudness"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "LU"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)
    adapts: ClassVar[str] = (
        f"a jump is measured against the {BEFORE * BLOCK_S:g} s before it, and is over when forget_s has passed: the "
        "new level is normal then; jump_lu is the least. Limits of EBU R128 do not adapt"
    )

    raise_after_s: RaiseAfter = 2.0
    clear_after_s: ClearAfter = 1.0
    severity: SeverityOf = Severity.MINOR
    jump_lu: Annotated[float, msgspec.Meta(ge=6, le=30, description="smaller jumps of the level are not told")] = 10.0
    forget_s: Annotated[
        float, msgspec.Meta(ge=2, le=3600, description="seconds after which the level after a jump is the normal one")
    ] = 30.0
    max_momentary_lufs: Annotated[
        float, msgspec.Meta(ge=-70, le=OFF, description="momentary loudness is at most this; 20: no limit")
    ] = OFF
    max_short_term_lufs: Annotated[
        float, msgspec.Meta(ge=-70, le=OFF, description="short-term loudness is at most this; 20: no limit")
    ] = OFF
    max_true_peak_dbtp: Annotated[
        float, msgspec.Meta(ge=-70, le=OFF, description="true peak is at most this; 20: no limit, and not measured")
    ] = OFF
    max_range_lu: Annotated[
        float, msgspec.Meta(ge=0, le=100, description="loudness range (EBU Tech 3342) is at most this; 0: no limit")
    ] = 0.0
    target_lufs: Annotated[
        float, msgspec.Meta(ge=-70, le=OFF, description="what integrated loudness ought to be; 20: not checked")
    ] = OFF
    tolerance_lu: Annotated[
        float, msgspec.Meta(ge=0, le=20, description="how far integrated loudness may be from its target")
    ] = 1.0

    def build(self) -> "LoudnessDetector":
        """A fresh detector with these options."""
        return LoudnessDetector(self)


class LoudnessDetector:
    """Follows the level and, where limits are set, measures."""

    def __init__(self, spec: LoudnessSpec) -> None:
        self._spec = spec
        self._jumps = LevelJumps(spec.jump_lu, spec.forget_s)
        limits = spec.max_momentary_lufs, spec.max_short_term_lufs, spec.max_true_peak_dbtp, spec.target_lufs
        self._limits = min(limits) < OFF or spec.max_range_lu > 0.0
        self._ranged_s = RANGED_S  # how much must be measured before the range is taken again
        self._range_lu = 0.0
        self.meter = Meter()
        self._measured_s = 0.0
        self._until_s = 0.0
        self._form: tuple[int, tuple[str, ...]] | None = None

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading a block, 1.2 s late, up to 2.4 s where a pause follows a jump: how many LU it is from before.

        One a limit that is set, at once.
        """
        if block.samples.shape[1] * 2 < block.rate_hz * BLOCK_S:  # too short for a spectrum
            return NOTHING
        form = (block.rate_hz, block.channels)
        broken = form != self._form or abs(block.at_s - self._until_s) > GAP_S
        told = self.finish() if broken else ()
        self._form, self._until_s = form, block.until_s
        power = k_power(block.powers, *form)
        row = Row(block.at_s, block.until_s, lufs(power), band_powers(block.powers, block.rate_hz))
        told = (*told, *map(_reading, self._jumps.add(row)))
        return (*told, *self._limited(block, power)) if self._limits else told

    def finish(self) -> Sequence[Reading]:
        """What was not yet told, as the last."""
        return tuple(map(_reading, self._jumps.flush()))

    def _limited(self, block: AudioBlock, power: float) -> Iterator[Reading]:
        """How far above its limit each measure is; negative below it."""
        spec = self._spec
        self.meter.add(power)
        self._measured_s += block.until_s - block.at_s
        span = block.at_s, block.until_s
        if spec.max_momentary_lufs < OFF:
            over = self.meter.momentary - spec.max_momentary_lufs
            yield Reading(*span, over, over > 0.0, "momentary")
        if spec.max_range_lu > 0.0 and self._measured_s >= RANGED_S:
            if self._measured_s >= self._ranged_s:
                self._ranged_s, self._range_lu = self._measured_s + 1.0, self.meter.range
            over = self._range_lu - spec.max_range_lu
            yield Reading(*span, over, over > 0.0, "range")
        if spec.max_short_term_lufs < OFF:
            over = self.meter.short_term - spec.max_short_term_lufs
            yield Reading(*span, over, over > 0.0, "short_term")
        if spec.max_true_peak_dbtp < OFF:
            over = dbfs(true_peak(block.samples)) - spec.max_true_peak_dbtp
            yield Reading(*span, over, over > 0.0, "true_peak")
        if spec.target_lufs < OFF and self._measured_s >= MEASURED_S:
            integrated = self.meter.integrated
            if integrated > ABSOLUTE_GATE_LUFS:
                over = abs(integrated - spec.target_lufs) - spec.tolerance_lu
                yield Reading(*span, over, over > 0.0, "integrated")


def _reading(judged: Judged) -> Reading:
    row, jump_lu = judged
    return Reading(row.at_s, row.until_s, abs(jump_lu), jump_lu != 0.0)
