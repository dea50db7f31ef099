"""A transport stream's packets against ETSI TR 101 290, priorities 1 and 2, as far as that needs no arrival times.

Continuity (1.4) and sync (1.1, 1.2) are in `continuity`. Not looked at: PCR_accuracy_error (2.4), which needs a
constant bit rate; the checksums of EIT and BAT, which change all the time; a programme that has no PCR at all.
"""

import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.reading import Indicator
from vqa_ray.media.breaks import Break
from vqa_ray.media.intervals import IntervalWatch
from vqa_ray.media.pcr import PcrClock
from vqa_ray.media.tables import CAT_PID, PAT_PID, TableWatch

DAMAGED, STARTS = np.uint32(0x800000), np.uint32(0x400000)  # of a packet's first four bytes
SCRAMBLED, ADAPTED, ADAPTED_STARTS = np.uint32(0xC0), np.uint32(0x20), np.uint32(0x400020)
MOST = 256  # faults of one kind in a block

Heads = NDArray[np.uint32]


class Monitor:
    """Looks at blocks of packets, in order."""

    def __init__(self) -> None:
        self.tables = TableWatch()
        self.clock = PcrClock()
        self._intervals = IntervalWatch(self.clock, self.tables)

    def look(self, packets: NDArray[np.uint8], heads: Heads, union: int, base: int, size: int) -> list[Break]:
        """Faults of packets of 188 bytes, in no order; heads: their first four bytes, union: all bits set in any."""
        pids = ((heads >> np.uint32(8)) & np.uint32(0x1FFF)).astype(np.uint16)
        found: list[Break] = []
        if union & int(DAMAGED):
            hit = (heads & DAMAGED).nonzero()[0][:MOST].tolist()
            found += [Break(base + n * size, int(pids[n]), Indicator.TRANSPORT) for n in hit]
            pids[(heads & DAMAGED) != 0] = 0x1FFF
        self.tables.look(packets, pids, base, size)
        if union & int(ADAPTED):
            adapted = (heads & ADAPTED).nonzero()[0]
            found += self.clock.look(packets, pids, adapted, base, size)
        if union & int(SCRAMBLED):
            found += self._scrambled(heads, pids, base, size)
        if self.tables.broken:
            found += self.tables.broken
            self.tables.broken.clear()
        return found + self._intervals.look(pids, _stamped(packets, heads), base, size)

    def _scrambled(self, heads: Heads, pids: NDArray[np.uint16], base: int, size: int) -> list[Break]:
        """Tables must not be scrambled, all else only where a table says how (TR 101 290: 1.3, 1.5, 2.6)."""
        hit = (heads & SCRAMBLED).nonzero()[0]
        found: list[Break] = []
        for pid in {PAT_PID, *self.tables.maps} & set(pids[hit].tolist()):
            kind = Indicator.PAT if pid == PAT_PID else Indicator.PMT
            found += [Break(base + n * size, pid, kind) for n in hit[pids[hit] == pid][:MOST].tolist()]
        others = hit[~self.tables.watched[pids[hit]] & (pids[hit] != 0x1FFF)]
        if others.size and not self.tables.conditional:
            end = base + int(others[-1]) * size
            found.append(Break(base + int(others[0]) * size, CAT_PID, Indicator.CAT, end))
        return found


def _stamped(packets: NDArray[np.uint8], heads: Heads) -> NDArray[np.intp]:
    """Packets in which a PES header with a PTS begins (ISO/IEC 13818-1, 2.4.3.6)."""
    starts = (heads & STARTS).nonzero()[0]
    at = np.where(heads[starts] & ADAPTED, packets[starts, 4] + np.intp(5), np.intp(4))
    fits = at < 180
    starts, at = starts[fits], at[fits]
    stamped: NDArray[np.intp] = starts[(packets[starts, at + 2] == 1) & (packets[starts, at + 7] > 0x7F)]
    return stamped
