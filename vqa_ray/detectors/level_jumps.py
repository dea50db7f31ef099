"""Follows the level of a stream block by block: when it jumps against its own recent past, and when it is back."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from vqa_ray.detectors.gain_steps import F32, decibels, difference, gain_step, return_at

BEFORE = 20  # blocks that are the recent past
BEFORE_LEAST = 20  # with fewer nothing is compared: a pause would be all that there was
AHEAD = 12  # blocks after the one that is judged
MOST_DB = 32.0  # more is sound after silence, or silence
EDGE_LU = 3.0  # between the two blocks before and after: else bands are not looked at
LOUDEST = 0.4  # of a jump is in the loudest blocks: else the same
NEAR = 3  # blocks within which the steepest edge is the jump
SOUND_LUFS = -55.0  # quieter than this on both sides is background
BACK = 0.5  # of a jump is gone: the level is back
LOOK_EVERY = 4  # blocks, whether it is


class Row(NamedTuple):
    """One block: its span, K-weighted loudness, and mean square in each band."""

    at_s: float
    until_s: float
    lufs: float
    bands: F32


class Judged(NamedTuple):
    """A block and how far the level is from that before a jump, in LU; 0 while there is none."""

    row: Row
    jump_lu: float


class LevelJumps:
    """Judges each block when the twelve after it are known.

    least_lu: smaller jumps are not told; forget_s: then the new level is what is normal.
    """

    def __init__(self, least_lu: float, forget_s: float) -> None:
        self._least_lu, self._forget_s = least_lu, forget_s
        self._past: deque[Row] = deque(maxlen=BEFORE)
        self._coming: deque[Row] = deque()
        self._jump_lu = 0.0
        self._from_s = 0.0
        self._due_lu = 0.0
        self._looked = 0
        self._start_s: float | None = None  # when the jump that was found begins
        self._end_s: float | None = None  # when the level is back, once that is known
        self._normal: F32 | None = None  # before the jump

    def add(self, row: Row) -> Judged | None:
        """One more block; what is to be said of the one that AHEAD blocks lie behind."""
        self._coming.append(row)
        return self._next() if len(self._coming) > AHEAD else None

    def flush(self) -> Iterator[Judged]:
        """The blocks that nothing follows, as the last one; all is forgotten."""
        yield from (Judged(row, self._jump_lu) for row in self._coming)
        self._coming.clear()
        self._past.clear()
        self._settle()

    def _next(self) -> Judged:
        row = self._coming.popleft()
        if not self._jump_lu:
            self._begin(row)
        elif self._end_s is None:
            self._look_for_end(row)
        if self._end_s is not None and row.at_s >= self._end_s:
            self._settle()
            self._past.clear()
        self._past.append(row)
        return Judged(row, self._jump_lu)

    def _settle(self) -> None:
        self._jump_lu, self._start_s, self._end_s, self._normal = 0.0, None, None, None

    def _begin(self, row: Row) -> None:
        past, coming = self._past, self._coming
        if self._start_s is not None:
            if row.at_s >= self._start_s:
                self._jump_lu, self._from_s, self._start_s = self._due_lu, row.at_s, None
            return
        if len(past) < BEFORE_LEAST:
            return
        edge = _edge(past[-2], past[-1], coming[0], coming[1])
        if -EDGE_LU < edge < EDGE_LU:  # nearly always
            return
        loud, louder = max(r.lufs for r in past), max(r.lufs for r in coming)
        change = louder - loud if edge > 0.0 else loud - louder
        if change < LOUDEST * self._least_lu or max(loud, louder) < SOUND_LUFS:
            return
        before = decibels([r.bands for r in past])
        height = gain_step(before, decibels([r.bands for r in coming]))
        if self._least_lu <= abs(height) <= MOST_DB:
            self._due_lu, self._normal = height, before
            self._start_s = self._steepest(row, height)
            self._begin(row)

    def _steepest(self, row: Row, height: float) -> float:
        """Where the jump is, from `row` on."""
        rows = [*list(self._past)[-2:], row, *self._coming]
        edges = [_edge(*rows[n : n + 2], *rows[n + 3 : n + 5]) / height for n in range(NEAR + 1)]
        return rows[2 + edges.index(max(edges))].at_s

    def _look_for_end(self, row: Row) -> None:
        if row.at_s - self._from_s >= self._forget_s:
            self._end_s = row.at_s
            return
        self._looked = (self._looked + 1) % LOOK_EVERY
        if self._looked:
            return
        coming = decibels([r.bands for r in self._coming])
        if self._normal is None or difference(self._normal, coming) / self._jump_lu > BACK:
            return
        back = return_at(coming, self._normal, self._jump_lu)
        self._end_s = self._coming[back].at_s if back < len(coming) else self._coming[-1].until_s


def _edge(first: Row, second: Row, third: Row, fourth: Row) -> float:
    """How much louder the later two are, in LU."""
    return (third.lufs + fourth.lufs - first.lufs - second.lufs) / 2.0
