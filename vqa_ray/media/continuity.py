"""Continuity counters of an MPEG transport stream, checked on its raw packets (ETSI TR 101 290, 1.4; ISO/IEC 13818-1).

libav skips over lost packets and hides the counters, so the bytes are looked at on their way to it: a few numpy
operations over some hundred packets at a time, nothing a packet.
"""

from collections import deque
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.media.tables import TableWatch

SYNC = 0x47
SIZES = ((188, 0), (192, 4), (204, 0))  # packet bytes and where the sync byte is: plain, M2TS, with Reed-Solomon code
NULL_PID = 0x1FFF
UNKNOWN = 255  # no packet of this PID has been seen
KEPT_BREAKS = 4096  # faults not yet dated; more than this in the demuxer's read-ahead is noise

_PID_AND_ERROR = np.uint16(0x9FFF)  # an error puts the packet behind all PIDs

Bytes = NDArray[np.uint8]


class Break(msgspec.Struct, frozen=True, gc=False):
    """A counter that does not follow the one before it in its PID, in the packet at byte `pos` of the stream."""

    pos: int
    pid: int


class ContinuityCheck:
    """Follows the counters of all PIDs, and the programme tables. Feed it all bytes in order.

    breaks: what was found and not yet taken; synced: whether this looks like a transport stream at all.
    """

    def __init__(self) -> None:
        self.breaks: deque[Break] = deque(maxlen=KEPT_BREAKS)
        self.tables = TableWatch()
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
                return
            if self._size:
                skip = self._skip
                data, self.checked, self._skip = data[skip:], self.checked + skip, 0
            count = len(data) // self._size
            packets = np.frombuffer(data, np.uint8, count * self._size).reshape(count, self._size)
            good = self._in_sync(packets)
            self._check(packets[:good, self._sync_at : self._sync_at + 188])
            self.checked += good * self._size
            data = data[good * self._size :]
            if good == count:
                break
            self.lost_sync += 1
            self._size = 0
        self.rest = data

    _skip = 0

    @property
    def packet_bytes(self) -> int:
        """Distance of packets, 0 before they were found."""
        return self._size

    def _find_packets(self, data: bytes) -> bool:
        """Where packets begin in `data`: three sync bytes in a row at one of the known distances."""
        found = find_sync(data)
        if found is None:
            return False
        self._skip, self._size, self._sync_at = found
        return True

    def _in_sync(self, packets: Bytes) -> int:
        """How many packets from the start are where they should be."""
        marks = packets[:, self._sync_at] == SYNC
        return len(marks) if marks.all() else int(np.argmin(marks))

    def _check(self, packets: Bytes) -> None:
        if not len(packets):
            return
        pids = np.ascontiguousarray(packets[:, 1:3]).view(">u2").ravel() & _PID_AND_ERROR
        flags = packets[:, 3]
        self.tables.look(packets, pids, self.checked, self._size)
        order = pids.argsort(kind="stable")
        pids, flags = pids[order], flags[order]
        # The last PID in order tells whether there is any null packet, or one that is marked as damaged.
        if pids[-1] >= NULL_PID or not (flags & 0x30).all():
            keep = ((pids < NULL_PID) & ((flags & 0x30) != 0)).nonzero()[0]
            if not keep.size:
                return
            order, pids, flags = order[keep], pids[keep], flags[keep]
        self._follow(packets, order, pids, flags)

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


def find_sync(data: bytes) -> tuple[int, int, int] | None:
    """Bytes to skip, packet size and offset of the sync byte in it, or None where no transport stream is."""
    for size, at in SIZES:
        view = np.frombuffer(data, np.uint8)
        span = 3 * size + at + 1
        if len(view) < span:
            continue
        last = min(len(view) - span, 4 * size)
        marks = view == SYNC
        starts = marks[at : at + last + 1].copy()
        for step in (1, 2, 3):
            starts &= marks[at + step * size : at + step * size + last + 1]
        if starts.any():
            return int(np.argmax(starts)), size, at
    return None
