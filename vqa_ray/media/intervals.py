"""What a transport stream must send often enough, and whether it does (ETSI TR 101 290, 5.2: 1.3, 1.5, 1.6, 2.5)."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.reading import Indicator
from vqa_ray.media.breaks import Break
from vqa_ray.media.pcr import PcrClock
from vqa_ray.media.tables import PAT_PID, TableWatch

LIMITS_S = {Indicator.PAT: 0.5, Indicator.PMT: 0.5, Indicator.PID: 5.0, Indicator.PTS: 0.7}
# Stream types of picture and sound; everything else may be silent for as long as it likes.
STEADY_TYPES = frozenset({
    0x01, 0x02, 0x03, 0x04, 0x0F, 0x10, 0x11, 0x1B, 0x1C, 0x21, 0x24, 0x32, 0x33, 0x42, 0x80, 0x81, 0x84, 0x87, 0xD1,
    0xEA,
})  # fmt: skip
WAITING = 4096  # occurrences behind the last PCR; without PCRs nothing is timed

Key = tuple[Indicator, int]


class _Watch(msgspec.Struct):
    """When something last came by the clock, and up to when its absence was told."""

    last_s: float
    told_s: float
    waiting: list[int]  # bytes at which it came behind the last PCR


class IntervalWatch:
    """Tables, packets and time stamps that are late, by the stream's own clock. A span is told from when it was due.

    The time before the first PCR and behind the last one is unknown: there nothing is late.
    """

    def __init__(self, clock: PcrClock, tables: TableWatch) -> None:
        self._clock = clock
        self._tables = tables
        self._watches: dict[Key, _Watch] = {}
        self._announcements = 0
        self._maps: frozenset[int] = frozenset()
        self._steady: tuple[int, ...] = ()
        self._from_s = 0.0  # the clock before the block

    def look(self, pids: NDArray[np.uint16], starts: NDArray[np.intp], base: int, size: int) -> list[Break]:
        """Faults in a block whose tables and PCRs were looked at; starts: packets in which a time stamp is."""
        self._choose()
        self._take_tables()
        rough = self._clock.now_s - self._from_s < 0.8 * LIMITS_S[Indicator.PID]  # in this, no PID can be late
        start_pids = pids[starts]
        for pid in self._steady:
            self._came((Indicator.PTS, pid), starts[start_pids == pid], base, size)
            where = (pids == pid).nonzero()[0]
            self._came((Indicator.PID, pid), where[[0, -1]] if rough and where.size else where, base, size)
        found: list[Break] = []
        if self._clock.positions:
            horizon = self._clock.positions[-1]
            for key, watch in self._watches.items():
                self._judge(key, watch, horizon, found)
            self._from_s = self._clock.now_s
        return found

    def _take_tables(self) -> None:
        for pid, began in self._tables.began.items():
            watch = self._watches.get((Indicator.PAT if pid == PAT_PID else Indicator.PMT, pid))
            if watch is not None and len(watch.waiting) < WAITING:
                watch.waiting += began
            began.clear()

    def _came(self, key: Key, where: NDArray[np.intp], base: int, size: int) -> None:
        waiting = self._watches[key].waiting
        if len(waiting) < WAITING:
            waiting += (where * size + base).tolist()

    def _choose(self) -> None:
        """Watch what the tables announce, from now on."""
        announced = self._tables.announced
        maps = self._tables.maps
        if len(announced) == self._announcements and maps == self._maps and self._watches:
            return
        self._announcements, self._maps = len(announced), maps
        types = announced[-1].types if announced else {}
        self._steady = tuple(pid for pid, kind in types.items() if kind in STEADY_TYPES)
        chosen: dict[Key, int] = {(Indicator.PAT, PAT_PID): 0}  # and from which byte on
        chosen |= {(Indicator.PMT, pid): self._tables.mapped_pos for pid in sorted(maps)}
        chosen |= {(what, pid): announced[-1].pos for pid in self._steady for what in (Indicator.PID, Indicator.PTS)}
        self._watches = {key: self._watches.get(key) or self._watch(pos) for key, pos in chosen.items()}

    def _watch(self, pos: int) -> _Watch:
        at_s = self._clock.at([pos])[0] if self._clock.positions else 0.0
        return _Watch(at_s, at_s, [])

    def _judge(self, key: Key, watch: _Watch, horizon: int, found: list[Break]) -> None:
        """Its occurrences up to the last PCR, and how long it has been absent there."""
        limit_s, now_s = LIMITS_S[key[0]], self._clock.now_s
        count = len(watch.waiting)
        while count and watch.waiting[count - 1] > horizon:
            count -= 1
        came, watch.waiting = watch.waiting[:count], watch.waiting[count:]
        if now_s - watch.last_s <= limit_s:  # nothing can be late
            if came:
                watch.last_s = self._clock.at(came[-1:])[0]
            return
        for at_s, pos in zip(self._clock.at(came), came, strict=True):
            if at_s - watch.last_s > limit_s:
                self._late(key, watch, at_s, pos, found)
            watch.last_s = at_s
        if now_s - watch.last_s > limit_s:
            self._late(key, watch, now_s, horizon, found)

    def _late(self, key: Key, watch: _Watch, at_s: float, pos: int, found: list[Break]) -> None:
        due_s = max(watch.last_s + LIMITS_S[key[0]], watch.told_s)
        if at_s > due_s:
            found.append(Break(self._clock.position(due_s), key[1], key[0], pos, at_s - watch.last_s))
            watch.told_s = at_s
