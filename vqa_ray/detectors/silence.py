"""silence: no channel has sound.

Peak level in slots of 10 ms, over all channels, with two thresholds: sound below `enter_dbfs` becomes silence,
and only a slot at `exit_dbfs` or more ends it, so that a noise floor near one threshold does not flap.
-60 dBFS is the default of FFmpeg's silencedetect; a noise floor of -78 dBFS RMS peaks near -66.

The room between two sentences is as quiet as a noise floor, but no pause lasts long: what is quiet without being dead
counts as silence only after `sure_s`, and its readings are held back as long.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import AudioBlock, dbfs
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, DetectorSpec, RaiseAfter

DEAD_SLOTS = 5
BREAK_S = 0.05  # a hole in the sound as long as this ends a quiet stretch


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

    dead_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="slots with a peak below this are digital silence, not a pause")
    ] = -75.0
    sure_s: Annotated[
        float, msgspec.Meta(ge=0, le=2, description="seconds after which a low noise floor is silence, not a pause")
    ] = 1.2

    def build(self) -> "SilenceDetector":
        """A fresh detector with these options."""
        return SilenceDetector(self)


class SilenceDetector:
    """Holds back what is said of a quiet stretch until it is clear that it is silence."""

    def __init__(self, spec: SilenceSpec) -> None:
        self._enter, self._dead = linear(spec.enter_dbfs), linear(spec.dead_dbfs)
        self._exit = max(self._enter, linear(spec.exit_dbfs))
        self._sure_s = spec.sure_s
        self._quiet = False
        self._silent = False  # quiet, and sure of it
        self._dead_slots = 0  # of the quiet stretch
        self._waiting: list[Reading] = []

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading for each run of quiet or sounding slots, quiet ones late; `value` is the peak of the run."""
        if block.samples.size == 0:
            return NOTHING
        released = self._end() if self._waiting and block.at_s - self._waiting[-1].until_s > BREAK_S else []
        loudest = [max(slot) for slot in zip(*block.levels, strict=True)]
        if not self._quiet and min(loudest) >= self._enter:  # nearly always
            return [*released, Reading(block.at_s, block.until_s, dbfs(max(loudest)), False)]
        slot_s = block.slot_samples / block.rate_hz
        for first, last, quiet in runs(loudest, self._quiet, self._enter, self._exit):
            run = loudest[first:last]
            until_s = block.until_s if last == len(loudest) else block.at_s + last * slot_s
            reading = Reading(block.at_s + first * slot_s, until_s, dbfs(max(run)), quiet)
            released += self._hush(reading, run) if quiet else [*self._end(), reading]
            self._quiet = quiet
        return released

    def finish(self) -> Sequence[Reading]:
        """A quiet end that is not sure to be silence counts as sound."""
        return self._end()

    def _hush(self, reading: Reading, levels: list[float]) -> list[Reading]:
        self._waiting.append(reading)
        self._dead_slots += sum(level < self._dead for level in levels)
        long_enough = reading.until_s - self._waiting[0].at_s >= self._sure_s
        self._silent = self._silent or long_enough or self._dead_slots >= DEAD_SLOTS
        return self._release() if self._silent else []

    def _end(self) -> list[Reading]:
        """The quiet stretch is over."""
        readings = self._release()
        self._quiet = self._silent = False
        self._dead_slots = 0
        return readings

    def _release(self) -> list[Reading]:
        readings = [Reading(r.at_s, r.until_s, r.value, self._silent) for r in self._waiting]
        self._waiting.clear()
        return readings


def linear(level_dbfs: float) -> float:
    """A level in dBFS as a share of full scale."""
    return float(10.0 ** (level_dbfs / 20.0))


def runs(levels: list[float], quiet: bool, enter: float, leave: float) -> Iterator[tuple[int, int, bool]]:
    """(first, last, quiet) of each run of slots, in order, last exclusive; `quiet` is how it was before.

    levels: linear peaks of the slots; a run becomes quiet below `enter` and sounding at `leave` or above.
    """
    first = 0
    for number, level in enumerate(levels):
        if (level >= leave) if quiet else (level < enter):
            if number > first:
                yield first, number, quiet
            first, quiet = number, not quiet
    if first < len(levels):
        yield first, len(levels), quiet
