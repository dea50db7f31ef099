"""Follows the level of a stream block by block: when it jumps against its own recent past, and when it is back."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from vqa_ray.detectors.gain_steps import F32, decibels, difference, gain_step, return_at

BEFORE = 30  # blocks that are the recent past, of which …
COMPARED = 20  # … the last that sound are compared; …
BEFORE_LEAST = 20  # … with fewer nothing is: a pause would be all that there was, …
SOUND_LEAST = 10  # … nor with fewer that sound, before and after, and one more for every two that are silent
AHEAD = 12  # blocks after the one that is judged, and, where a jump may be …
AHEAD_MOST = 24  # … and fewer of them sound, up to so many
PAUSE_LU = 20.0  # below the loudest of a stretch is a pause in it (EBU Tech 3342: the relative gate of the range)
SILENT_LUFS = -62.0  # below is what `silence` knows: noise whose peaks are at -57 dBFS, in two channels
MOST_DB = 32.0  # more is sound after silence, or silence
EDGE_LU = 3.0  # between the two blocks before and after: else bands are not looked at
LOUDEST = 0.4  # of a jump is in the loudest blocks: else the same
NEAR = 3  # blocks within which the steepest edge is the jump
SOUND_LUFS = -55.0  # quieter than this on both sides is background
BACK = 0.5  # of a jump is gone: the level is back; told from …
BACK_LU = 10.0  # … what is at most so far below the softer of both levels (BS.1770: the relative gate), …
BACK_LEAST = 8  # … of so many blocks; with fewer for AHEAD_MOST blocks it is over: a silence
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
    """Judges each block when the twelve after it are known, or more where a pause is among them.

    least_lu: smaller jumps are not told; forget_s: then the new level is what is normal.
    """

    def __init__(self, least_lu: float, forget_s: float) -> None:
        self._least_lu, self._forget_s = least_lu, forget_s
        self._past: deque[Row] = deque(maxlen=BEFORE)
        self._past_lufs: deque[float] = deque(maxlen=BEFORE)
        self._coming: deque[Row] = deque()
        self._coming_lufs: deque[float] = deque()
        self._jump_lu = 0.0
        self._from_s = 0.0
        self._due_lu = 0.0
        self._looked = self._mute = 0
        self._gate_lufs = 0.0  # below, while there is a jump, is a pause
        self._start_s: float | None = None  # when the jump that was found begins
        self._end_s: float | None = None  # when the level is back, once that is known
        self._normal: F32 | None = None  # before the jump

    def add(self, row: Row) -> Sequence[Judged]:
        """One more block; what is to be said of those that AHEAD blocks lie behind."""
        self._coming.append(row)
        self._coming_lufs.append(row.lufs)
        if len(self._coming) <= AHEAD:
            return ()
        told = []
        while len(self._coming) > AHEAD and (judged := self._next()) is not None:
            told.append(judged)
        return told

    def flush(self) -> Iterator[Judged]:
        """The blocks that nothing follows, as the last one; all is forgotten."""
        yield from (Judged(row, self._jump_lu) for row in self._coming)
        for rows in (self._coming, self._coming_lufs, self._past, self._past_lufs):
            rows.clear()
        self._settle()

    def _next(self) -> Judged | None:
        """What is to be said of the next block, None if that is not known yet."""
        row = self._coming[0]
        if not self._jump_lu:
            if not self._begin(row):
                return None
        elif self._end_s is None:
            self._look_for_end(row)
        self._coming.popleft()
        self._coming_lufs.popleft()
        if self._end_s is not None and row.at_s >= self._end_s:
            self._settle()
            self._past.clear()
            self._past_lufs.clear()
        self._past.append(row)
        self._past_lufs.append(row.lufs)
        return Judged(row, self._jump_lu)

    def _settle(self) -> None:
        self._jump_lu, self._start_s, self._end_s, self._normal = 0.0, None, None, None

    def _begin(self, row: Row) -> bool:
        """Whether a jump begins here, as far as that can be said; False if more must be known."""
        if self._start_s is not None:
            if row.at_s >= self._start_s:
                self._jump_lu, self._from_s, self._start_s = self._due_lu, row.at_s, None
            return True
        if len(self._past) < BEFORE_LEAST:
            return True
        loud = max(self._past_lufs)
        first = self._coming_lufs.popleft()
        louder = max(self._coming_lufs)
        self._coming_lufs.appendleft(first)
        if abs(louder - loud) < LOUDEST * self._least_lu or max(loud, louder) < SOUND_LUFS:  # nearly always
            return True
        after_gate = max(louder - PAUSE_LU, SILENT_LUFS)
        if row.lufs < after_gate:  # a pause: a jump is heard when it ends
            return True
        before = sounding(self._past, max(loud - PAUSE_LU, SILENT_LUFS))[-COMPARED:]
        after = [r for r in self._coming if r.lufs >= after_gate][1:]
        silent = sum(level < SILENT_LUFS for level in self._past_lufs)
        if len(before) < min(SOUND_LEAST + silent // 2, COMPARED) or len(after) < 2:
            return True
        edge = _edge(before[-2], before[-1], after[0], after[1])
        if edge * (louder - loud) < 0.0 or abs(edge) < EDGE_LU:
            return True
        if len(after) < SOUND_LEAST:
            return len(self._coming) > AHEAD_MOST
        normal = decibels([r.bands for r in before])
        height = gain_step(normal, decibels([r.bands for r in after]))
        if self._least_lu <= abs(height) <= MOST_DB:
            self._due_lu, self._normal, self._mute = height, normal, 0
            self._gate_lufs = max(r.lufs for r in before) + min(height, 0.0) - BACK_LU
            self._start_s = _steepest([*before[-2:], row, *after], height)
            return self._begin(row)
        return True

    def _look_for_end(self, row: Row) -> None:
        if row.at_s - self._from_s >= self._forget_s:
            self._end_s = row.at_s
            return
        self._looked = (self._looked + 1) % LOOK_EVERY
        if self._looked:
            return
        ahead = sounding(self._coming, self._gate_lufs)
        if len(ahead) < BACK_LEAST:
            self._mute += LOOK_EVERY
            self._end_s = row.at_s if self._mute > AHEAD_MOST else None
            return
        self._mute = 0
        coming = decibels([r.bands for r in ahead])
        if self._normal is None or difference(self._normal, coming) / self._jump_lu > BACK:
            return
        back = return_at(coming, self._normal, self._jump_lu)
        self._end_s = ahead[back].at_s if back < len(coming) else ahead[-1].until_s


def sounding(rows: Iterable[Row], gate_lufs: float) -> list[Row]:
    """Those that are no pause."""
    return [row for row in rows if row.lufs >= gate_lufs]


def _steepest(rows: Sequence[Row], height: float) -> float:
    """Where the jump is, from the third on."""
    edges = [_edge(*rows[n : n + 2], *rows[n + 3 : n + 5]) / height for n in range(NEAR + 1)]
    n = edges.index(max(edges))
    sides = [*rows[n : n + 2], *rows[n + 3 : n + 5]]
    before = (rows[n + 2].lufs - sum(row.lufs for row in sides) / 4.0) * height < 0.0
    return rows[n + 2 + before].at_s


def _edge(first: Row, second: Row, third: Row, fourth: Row) -> float:
    """How much louder the later two are, in LU."""
    return (third.lufs + fourth.lufs - first.lufs - second.lufs) / 2.0
