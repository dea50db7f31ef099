"""silence: no channel has sound.

Peak level in slots of 10 ms, over all channels, with two thresholds: sound below `enter_dbfs` becomes quiet, and only a
slot at `exit_dbfs` or more ends it, so that a noise floor near one threshold does not flap. (The peak of noise in a
slot lies 11 to 13 dB above its RMS level; -60 dBFS is the default of FFmpeg's silencedetect.)

The room between two sentences is as quiet as a noise floor, but no pause lasts long: what is quiet counts as silence
only after `sure_s`, and its readings are held back as long; unless it is dead, or hiss (see `hiss`) into which the
sound fell all at once: no room and no voice is cut off within 30 ms, nor is a room's own sound white.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import AudioBlock, dbfs
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, DetectorSpec, RaiseAfter
from vqa_ray.detectors.hiss import cut_off, is_hiss

DEAD_SLOTS = 5
HISS_BLOCKS = 2
BREAK_S = 0.05  # a hole in the sound as long as this ends a quiet stretch


class SilenceSpec(DetectorSpec, frozen=True, kw_only=True):
    """All channels are silent. A track that stops sending is the source's matter, not silence."""

    id: ClassVar[str] = "silence"
    inputs: ClassVar[tuple[Input, ...]] = (Input.AUDIO,)
    unit: ClassVar[str] = "dBFS"
    lower_is_worse: ClassVar[bool] = True

    raise_after_s: RaiseAfter = 5.0
    enter_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="a slot of 10 ms whose peak is below this is silent")
    ] = -57.0
    exit_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="silence ends with a slot whose peak is at least this")
    ] = -55.0

    dead_dbfs: Annotated[
        float, msgspec.Meta(ge=-120, le=0, description="slots with a peak below this are digital silence, not a pause")
    ] = -75.0
    sure_s: Annotated[
        float, msgspec.Meta(ge=0, le=2, description="seconds after which what is quiet is silence, not a pause")
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
        self._hiss_blocks = 0  # in a row, in it
        self._levels: list[float] = []  # of its slots
        self._before: list[float] = []  # of the last slots with sound
        self._waiting: list[Reading] = []

    def read(self, block: AudioBlock) -> Sequence[Reading]:
        """One reading for each run of quiet or sounding slots, quiet ones late; `value` is the peak of the run."""
        if block.samples.size == 0:
            return NOTHING
        released = self._end() if self._waiting and block.at_s - self._waiting[-1].until_s > BREAK_S else []
        loudest = block.loudest
        if not self._quiet and min(loudest) >= self._enter:  # nearly always
            self._before = loudest
            return [*released, Reading(block.at_s, block.until_s, dbfs(max(loudest)), False)]
        slot_s = block.slot_samples / block.rate_hz
        for first, last, quiet in runs(loudest, self._quiet, self._enter, self._exit):
            run = loudest[first:last]
            until_s = block.until_s if last == len(loudest) else block.at_s + last * slot_s
            reading = Reading(block.at_s + first * slot_s, until_s, dbfs(max(run)), quiet)
            if quiet:
                released += self._hush(reading, run, block)
            else:
                released += [*self._end(), reading]
                self._before = [*self._before, *run]
            self._quiet = quiet
        return released

    def finish(self) -> Sequence[Reading]:
        """A quiet end that is not sure to be silence counts as sound."""
        return self._end()

    def _hush(self, reading: Reading, run: list[float], block: AudioBlock) -> list[Reading]:
        self._waiting.append(reading)
        self._silent = self._silent or self._sure(reading, run, block)
        return self._release() if self._silent else []

    def _sure(self, reading: Reading, run: list[float], block: AudioBlock) -> bool:
        self._levels += run
        self._dead_slots += sum(level < self._dead for level in run)
        if reading.until_s - self._waiting[0].at_s >= self._sure_s or self._dead_slots >= DEAD_SLOTS:
            return True
        whole = len(run) == len(block.loudest)
        self._hiss_blocks = self._hiss_blocks + 1 if whole and is_hiss(block) else 0
        return self._hiss_blocks >= HISS_BLOCKS and cut_off(self._before, self._levels, max(run))

    def _end(self) -> list[Reading]:
        """The quiet stretch is over."""
        readings = self._release()
        self._quiet = self._silent = False
        self._dead_slots = self._hiss_blocks = 0
        self._levels.clear()
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
