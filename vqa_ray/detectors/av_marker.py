"""av_marker: a flash-and-beep test signal, exact to the frame and the sample (trust class "marker": ±5 ms).

The picture, or a good part of it, lights up for at most 0.6 s, and a tone of at most 0.6 s comes out of quiet. Three
flashes in a row whose beeps lie at one and the same distance make it a test signal; nothing is said of other material.
Range ±2 s; of flashes at equal distances d only ±d / 2, since then nothing tells which beep belongs to which flash.
Parts: `late` and `early` with the signed offset of each flash, positive when the sound comes late; `drift`, its change
in ms a minute over the last minute; `pairs`, how many flashes had their beep in each 10 s, never bad.
What is tolerable: EBU R37 allows sound that is 40 ms early to 60 ms late from end to end.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, RaiseAfter
from vqa_ray.detectors.marks import LONGEST_S, Beeps, Flashes
from vqa_ray.detectors.pairs import IN_A_ROW, drift_ms_per_min, offsets

LATE, EARLY, DRIFT, PAIRS = "late", "early", "drift", "pairs"
RANGE_S = 2.0
SETTLED_S = RANGE_S + LONGEST_S + 0.5  # after a flash its beep is over, and has come through the multiplex
MOST_BEEPS = 100  # that are kept
DRIFT_S = 60.0
COUNT_S = 10.0
LASTS_S = 10.0  # a flash speaks of the time to the next one, or of so much


class AvMarkerSpec(DetectorSpec, frozen=True, kw_only=True):
    """Flashes and beeps of a sync test signal are apart, or drift apart; other material says nothing."""

    id: ClassVar[str] = "av_marker"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO, Input.AUDIO)
    unit: ClassVar[str] = "ms"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.0
    clear_after_s: ClearAfter = 0.0
    tolerance_ms: Annotated[
        float, msgspec.Meta(ge=5, le=2000, description="an offset beyond this, in either direction, is bad")
    ] = 40.0
    drift_ms_per_min: Annotated[
        float, msgspec.Meta(ge=1, le=10000, description="a drift beyond this many ms a minute is bad")
    ] = 20.0

    def build(self) -> "AvMarkerDetector":
        """A fresh detector with these options."""
        return AvMarkerDetector(self)


class AvMarkerDetector:
    """Collects flashes and beeps, pairs a flash when its beep must have come, and tells of it at the next flash."""

    def __init__(self, spec: AvMarkerSpec) -> None:
        self._spec = spec
        self._count = 0
        self._counted_s: float | None = None
        self._told_s = self._seen_s = float("-inf")
        self._restart()

    def _restart(self) -> None:
        self._flashes, self._beeps = Flashes(), Beeps()
        self._waiting: list[float] = []  # flashes whose beep may still come
        self._row: list[float] = []  # the last flashes that are settled
        self._heard: list[float] = []
        self._paired: list[tuple[float, float]] = []  # flash and offset, not yet told
        self._pairs: list[tuple[float, float]] = []  # of the last minute

    def read(self, item: Picture | AudioBlock) -> Sequence[Reading]:
        """A reading for each flash that has its beep, about 3 s later; what is counted, each 10 s."""
        if isinstance(item, AudioBlock):
            if found := self._beeps.hear(item):
                self._heard = [*self._heard, *found][-MOST_BEEPS:]
            return NOTHING
        at_s = item.at_s
        if at_s < self._seen_s - 1.0:
            self._restart()
        self._seen_s = max(self._seen_s, item.until_s)
        flash = self._flashes.see(item)
        if flash is not None:
            self._waiting.append(flash)
        if self._counted_s is None:
            self._counted_s = at_s
        due = self._waiting and at_s >= self._waiting[0] + SETTLED_S
        if not due and at_s - self._counted_s < COUNT_S:
            return NOTHING
        out = self._settle(self._waiting.pop(0)) if due else []
        return out + self._counts(at_s) if at_s - self._counted_s >= COUNT_S else out

    def finish(self) -> Sequence[Reading]:
        """What is known of the last flashes."""
        if self._counted_s is None:
            return NOTHING
        out: list[Reading] = []
        while self._waiting:
            out += self._settle(self._waiting.pop(0))
        out += self._tell(self._seen_s)
        out += self._counts(max(self._seen_s, self._counted_s))
        self._counted_s = None
        return out

    def _settle(self, flash_s: float) -> list[Reading]:
        """Pair a flash; tell of those before it, which now have an end."""
        out = self._tell(flash_s)
        self._row = [*self._row, flash_s][-IN_A_ROW:]
        found = offsets(self._row, self._heard, RANGE_S) if len(self._row) == IN_A_ROW else None
        if found is None:
            return out
        known = self._pairs[-1][0] if self._pairs else float("-inf")
        new = [pair for pair in zip(self._row, found, strict=True) if pair[0] > known]
        self._pairs = [pair for pair in self._pairs if pair[0] >= flash_s - DRIFT_S] + new
        self._paired = new
        self._count += len(new)
        return out

    def _tell(self, until_s: float) -> list[Reading]:
        """Readings of the flashes that were paired, each up to the next."""
        paired, self._paired = self._paired, []
        if not paired:
            return []
        out: list[Reading] = []
        ends = [*(at_s for at_s, _ in paired[1:]), until_s]
        drift = drift_ms_per_min(self._pairs)
        for (flash_s, offset_s), end_s in zip(paired, ends, strict=True):
            start_s = max(flash_s, self._told_s)
            self._told_s = end_s = max(start_s, min(end_s, flash_s + LASTS_S))
            value = offset_s * 1000.0
            bad = abs(value) > self._spec.tolerance_ms
            out += [
                Reading(start_s, end_s, value, bad and (value > 0) == (part == LATE), part) for part in (LATE, EARLY)
            ]
            if drift is not None:
                out.append(Reading(start_s, end_s, drift, abs(drift) > self._spec.drift_ms_per_min, DRIFT))
        return out

    def _counts(self, until_s: float) -> list[Reading]:
        assert self._counted_s is not None
        start_s, self._counted_s = self._counted_s, until_s
        count, self._count = self._count, 0
        return [Reading(start_s, max(start_s, until_s), float(count), False, PAIRS)]
