"""Continuity counters of an MPEG transport stream, checked on its raw packets (ETSI TR 101 290, 1.4; ISO/IEC 13818-1).

libav skips over lost packets and hides the counters, so the bytes are looked at on their way to it: a few numpy
operations over some hundred packets at a time, nothing a packet.
"""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.reading import Indicator
from vqa_ray.media.breaks import Break
from vqa_ray.media.monitor import Monitor

SYNC = 0x47
SIZES = ((188, 0), (192, 4), (204, 0))  # packet bytes and where the sync byte is: plain, M2TS, with Reed-Solomon code
NULL_PID = 0x1FFF
UNKNOWN = 255  # no packet of this PID has been seen
KEPT_BREAKS = 4096  # faults not yet dated; more than this in the demuxer's read-ahead is noise

_PID_AND_ERROR = np.uint16(0x9FFF)  # an error puts the packet behind all PIDs

Bytes = NDArray[np.uint8]


class ContinuityCheck:
    """Follows the counters of all PIDs and the sync bytes, and shows the packets to the monitor. Feed it all in order.

    breaks: what was found and not yet taken; synced: whether this looks like a transport stream at all.
    """

    def __init__(self) -> None:
        self.breaks: deque[Break] = deque(maxlen=KEPT_BREAKS)
        self.monitor = Monitor()
        self.tables = self.monitor.tables
        self.checked = 0  # bytes looked at
        self.lost_sync = 0  # times that packets were not where they should be
        self._size, self._sync_at = 0, 0
        self.rest = b""
        self._counters: NDArray[np.uint8] = np.full(8192, UNKNOWN, np.uint8)
        self._repeated: set[int] = set()  # PIDs whose last packet was a repetition

    def feed(self, data: bytes) -> None:
        """Look at the next bytes of the stream."""
        data = self.rest + data if self.rest else data
        while data:
            if not self._size and not self._find_packets(data):
                keep = min(len(data), 5 * 204)
                self.checked += len(data) - keep
                self.rest = data[len(data) - keep :]
                self._tell_lost()
                return
            if self._skip:
                data, self.checked, self._skip = data[self._skip :], self.checked + self._skip, 0
            self._tell_lost(found=True)
            count = len(data) // self._size
            good = self._check(data, count)
            self.checked += good * self._size
            data = data[good * self._size :]
            if good == count or not self._out_of_sync(data):
                break
        self.rest = data

    _skip = 0
    _lost_at: int | None = None  # byte from which on no packets were found

    @property
    def packet_bytes(self) -> int:
        """Distance of packets, 0 before they were found."""
        return self._size

    def _find_packets(self, data: bytes) -> bool:
        """Where packets begin in `data`: three sync bytes in a row at one of the known distances."""
        found = find_sync(data, anywhere=True)
        if found is None:
            return False
        self._skip, self._size, self._sync_at = found
        return True

    def _out_of_sync(self, data: bytes) -> bool:
        """`data` begins with a packet without its sync byte: one is an error, two in a row a loss of sync (1.1, 1.2).

        False when it takes more bytes to tell.
        """
        following = self._size + self._sync_at
        if len(data) <= following:
            return False
        self.lost_sync += 1
        if data[following] == SYNC:
            pid = (data[self._sync_at + 1] & 0x1F) << 8 | data[self._sync_at + 2]
            self.breaks.append(Break(self.checked, pid, Indicator.SYNC_BYTE))
            self._skip = self._size
        else:
            self._lost_at, self._size = self.checked, 0
        return True

    def _tell_lost(self, *, found: bool = False) -> None:
        """How far there were no packets."""
        if self._lost_at is not None and self.checked > self._lost_at:
            self.breaks.append(Break(self._lost_at, NULL_PID, Indicator.SYNC_LOSS, self.checked))
            self._lost_at = self.checked
        if found:
            self._lost_at = None

    def _check(self, data: bytes, count: int) -> int:
        """Look at up to `count` packets; how many of them, from the start, are where they should be."""
        size, at = self._size, self._sync_at
        if not count:
            return 0
        heads = np.ndarray((count,), ">u4", data, at, (size,)).astype(np.uint32)
        union, common = int(np.bitwise_or.reduce(heads)), int(np.bitwise_and.reduce(heads))
        if union >> 24 != SYNC or common >> 24 != SYNC:
            count = int(np.argmin(heads >> np.uint32(24) == SYNC))
            if not count:
                return 0
            heads = heads[:count]
            union, common = int(np.bitwise_or.reduce(heads)), int(np.bitwise_and.reduce(heads))
        packets: Bytes = np.ndarray((count, 188), np.uint8, data, at, (size, 1))
        self.breaks.extend(self.monitor.look(packets, heads, union, self.checked, size))
        pids = (heads >> np.uint32(8)).astype(np.uint16) & _PID_AND_ERROR
        flags = heads.astype(np.uint8)
        order = pids.argsort(kind="stable")
        pids, flags = pids[order], flags[order]
        # The last PID in order tells whether there is any null packet, or one that is marked as damaged.
        if pids[-1] >= NULL_PID or not (flags & 0x30).all():
            keep = ((pids < NULL_PID) & ((flags & 0x30) != 0)).nonzero()[0]
            if not keep.size:
                return count
            order, pids, flags = order[keep], pids[keep], flags[keep]
        self._follow(packets, order, pids, flags)
        return count

    def _follow(self, packets: Bytes, order: Any, pids: Any, flags: Any) -> None:
        """Compare each counter with the one before it in its PID; packets are given in the order of their PIDs."""
        counters = flags & 15
        ends = (pids[1:] != pids[:-1]).nonzero()[0]
        before = np.empty_like(counters)
        before[1:] = counters[:-1]
        before[0] = self._counters[pids[0]]
        before[ends + 1] = self._counters[pids[ends + 1]]
        wrong = ((before + (flags >> 4 & 1) & 15) != counters).nonzero()[0]
        if wrong.size:
            wrong = wrong[before[wrong] != UNKNOWN]
        self._counters[pids[ends]] = counters[ends]
        self._counters[pids[-1]] = counters[-1]
        if wrong.size or self._repeated:
            self._judge(packets, order, pids, counters, before, wrong)

    def _judge(self, packets: Bytes, order: Any, pids: Any, counters: Any, before: Any, wrong: Any) -> None:
        """Of the counters that do not go on: announced discontinuities and single repetitions are no faults."""
        found: list[Break] = []
        repeated: set[int] = set()
        suspects = set(wrong.tolist())
        for n in sorted(suspects):
            packet, pid = packets[order[n]], int(pids[n])
            if packet[3] & 0x20 and packet[4] > 0 and packet[5] & 0x80:
                continue
            started = n == 0 or pids[n - 1] != pid
            twice = pid in self._repeated if started else (n - 1) in suspects and pid in repeated
            same = started or bool((packet[-100:] == packets[order[n - 1]][-100:]).all())
            if packet[3] & 0x10 and counters[n] == before[n] and same and not twice:
                repeated.add(pid)
                continue
            repeated.discard(pid)
            found.append(Break(self.checked + int(order[n]) * self._size, pid))
        ends = {int(pids[n]) for n in suspects if n + 1 == len(pids) or pids[n + 1] != pids[n]}
        self._repeated = (self._repeated - set(pids.tolist())) | (repeated & ends)
        self.breaks.extend(sorted(found, key=lambda item: item.pos))


def find_sync(data: bytes, *, anywhere: bool = False) -> tuple[int, int, int] | None:
    """Bytes to skip, packet size and offset of the sync byte in it, or None where no transport stream is.

    Four packets must follow each other, from within the first five of `data` on, unless it is `anywhere`.
    """
    for size, at in SIZES:
        view = np.frombuffer(data, np.uint8)
        span = 3 * size + at + 1
        if len(view) < span:
            continue
        last = len(view) - span if anywhere else min(len(view) - span, 4 * size)
        marks = view == SYNC
        starts = marks[at : at + last + 1].copy()
        for step in (1, 2, 3):
            starts &= marks[at + step * size : at + step * size + last + 1]
        if starts.any():
            return int(np.argmax(starts)), size, at
    return None
