"""The clock of a transport stream: its PCRs against byte positions (ISO/IEC 13818-1, 2.4.3.5; TR 101 290, 2.3)."""

from bisect import bisect_left, bisect_right

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.reading import Indicator
from vqa_ray.media.breaks import Break

TICKS_HZ = 27_000_000
WRAP = (1 << 33) * 300
REPEAT_S = 0.1  # the longest step that the standard allows
REPEAT = round(REPEAT_S * TICKS_HZ)
FIRST_S = 2.0  # how long a step may be before the rate is known
RATE_S = 2.0  # over which the rate is taken
PCR_FLAG, DISCONTINUITY = np.uint64(0x10 << 48), 0x80 << 48  # of an adaptation field's first eight bytes
NULL_PID = 0x1FFF
STEP_S = 0.5  # up to here a step is a PCR that is late, however few bytes there are between
STRETCH = 3.0  # so much more than the bytes suggest may a longer step be; more is missing media
TOLD_S = 0.25  # so much time passes in a step at most: where in it a packet lies is a guess, and must not make it late
KEPT = 64  # points of the clock before the bytes that are looked at
OTHERS = 200  # PCRs of other programmes in a row: the one that is followed has none any more


class _Base(msgspec.Struct):
    """The last PCR of a PID, and how many bytes of the whole stream came in its last second or so."""

    ticks: int
    pos: int
    span_s: float = 0.0
    span_bytes: float = 0.0


class PcrClock:
    """Seconds that have passed by the PCRs of one programme: always on, whatever the PCRs do. Feed it blocks in order.

    A wrap is no event. A step that is no passing of time (another time base, missing media) counts as what the bytes
    suggest. now_s: seconds that have passed at the last PCR; behind it times are unknown.
    """

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.seconds: list[float] = []
        self.now_s = 0.0
        self._bases: dict[int, _Base] = {}
        self._pid: int | None = None  # of the programme that is followed
        self._missed = 0  # PCRs of others since its last

    def look(
        self, packets: NDArray[np.uint8], pids: NDArray[np.uint16], adapted: NDArray[np.intp], base: int, size: int
    ) -> list[Break]:
        """Faults of the PCRs in packets of 188 bytes; adapted: those with an adaptation field."""
        if len(self.positions) > KEPT:
            del self.positions[:-KEPT], self.seconds[:-KEPT]
        words = packets[adapted, 4:12].view(">u8").ravel().astype(np.uint64)
        having = ((words & PCR_FLAG) != 0).nonzero()[0]
        found: list[Break] = []
        adapted = adapted[having]
        for n, pid, word in zip(adapted.tolist(), pids[adapted].tolist(), words[having].tolist(), strict=True):
            if 7 <= word >> 56 <= 183 and pid != NULL_PID:
                ticks = (word >> 15 & 0x1_FFFF_FFFF) * 300 + (word & 0x1FF)
                self._add(pid, base + n * size, ticks, word & DISCONTINUITY != 0, found)
        return found

    def at(self, positions: list[int]) -> list[float]:
        """Seconds passed at these bytes, which lie before the horizon."""
        if len(positions) < 4:
            return [_between(pos, self.positions, self.seconds) for pos in positions]
        times: list[float] = np.interp(positions, self.positions, self.seconds).tolist()
        return times

    def position(self, at_s: float) -> int:
        """The byte at which `at_s` had passed."""
        return round(_between(at_s, self.seconds, self.positions))

    def _add(self, pid: int, pos: int, ticks: int, announced: bool, found: list[Break]) -> None:
        base = self._bases.get(pid)
        if base is None:
            base = self._bases[pid] = _Base(ticks, pos)
        step, count = ticks - base.ticks, pos - base.pos
        if 0 < step <= REPEAT and not announced:
            step_s = step / TICKS_HZ
            base.span_s += step_s
            base.span_bytes += count
            if base.span_s > RATE_S:
                base.span_s *= 0.5
                base.span_bytes *= 0.5
        else:
            step_s = self._irregular(pid, base, pos, ticks, announced, found)
        base.ticks, base.pos = ticks, pos
        if pid != self._pid:
            if not self._leaves(pid):
                return
            step_s = 0.0
        self._missed = 0
        if not self.positions or pos > self.positions[-1]:
            self.positions.append(pos)
            self.now_s += step_s
            self.seconds.append(self.now_s)

    def _irregular(self, pid: int, base: _Base, pos: int, ticks: int, announced: bool, found: list[Break]) -> float:
        """A step that is none, longer than allowed, or back: what is wrong, and how much time that was."""
        step_s, count = ((ticks - base.ticks + WRAP // 2) % WRAP - WRAP // 2) / TICKS_HZ, pos - base.pos
        rate = base.span_bytes / base.span_s if base.span_s else 0.0
        passed_s = min(REPEAT_S, count / rate) if rate else 0.0
        if announced:
            return passed_s
        if 0.0 <= step_s <= REPEAT_S:  # twice the same, or the counter went round
            return step_s
        if 0.0 < step_s <= (max(STEP_S, STRETCH * count / rate) if rate else FIRST_S):
            due = base.pos + round(count * REPEAT_S / step_s)
            found.append(Break(due, pid, Indicator.PCR_REPETITION, pos, step_s))
            return min(step_s, TOLD_S)
        found.append(Break(pos, pid, Indicator.PCR_DISCONTINUITY))
        return passed_s

    def _leaves(self, pid: int) -> bool:
        """Whether to go on with another programme's PCRs: at first, and when there are no more of the one followed."""
        self._missed += 1
        if self._pid is not None and self._missed < OTHERS:
            return False
        self._pid = pid
        return True


def _between(at: float, known: list[int] | list[float], wanted: list[int] | list[float]) -> float:
    """Linear interpolation; the ends hold outside."""
    n = bisect_right(known, at)
    if n == 0 or n == len(known):
        n = bisect_left(known, at)
        return wanted[min(n, len(wanted) - 1)]
    low, high = known[n - 1], known[n]
    return wanted[n - 1] + (wanted[n] - wanted[n - 1]) * (at - low) / (high - low)
