"""Programme tables of an MPEG transport stream (ISO/IEC 13818-1, 2.4.4): what it announces, and when that changes."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray


class Announced(msgspec.Struct, frozen=True):
    """The programmes' streams: PID to stream type; `pos` is the byte from which on it holds."""

    pos: int
    types: dict[int, int]


class TableWatch:
    """Reads the association table and the map tables, each time one differs from before.

    programs: number of programmes, 0 before the first association table; announced: what was announced, and each change
    of it, in order. A table longer than one packet is not read.
    """

    def __init__(self) -> None:
        self.programs = 0
        self.announced: list[Announced] = []
        self.association = b""  # the packet of the association table
        self.association_pos = 0  # where it last was
        self._seen: dict[int, bytes] = {}
        self._maps: dict[int, dict[int, int]] = {}
        self._watched: NDArray[np.bool_] = np.zeros(8192, np.bool_)
        self._watched[0] = True

    def look(self, packets: NDArray[np.uint8], pids: NDArray[np.uint16], base: int, size: int) -> None:
        """Look at checked packets of 188 bytes; `base` is the first one's byte, `size` their distance."""
        pids = np.bitwise_and(pids, np.uint16(0x1FFF))
        start = 0
        while start < len(pids):
            start = self._look_on(packets, pids, base, size, start)

    def _look_on(self, packets: NDArray[np.uint8], pids: NDArray[np.uint16], base: int, size: int, start: int) -> int:
        """The same from packet `start` on, up to where the association table changes; the packet behind that."""
        for n in (self._watched[pids[start:]].nonzero()[0] + start).tolist():
            packet = packets[n].tobytes()
            pid = int(pids[n])
            if pid == 0:
                self.association_pos = base + n * size
            if self._seen.get(pid) != packet[4:]:
                self._seen[pid] = packet[4:]
                self._read(pid, packet, base + n * size)
                if pid == 0:
                    return int(n) + 1
        return len(pids)

    def _read(self, pid: int, packet: bytes, pos: int) -> None:
        section = _section(packet)
        if section is None or not section[5] & 1:  # current_next_indicator
            return
        if pid == 0 and section[0] == 0:
            self.association = packet
            pairs = [section[n : n + 4] for n in range(8, len(section) - 4, 4)]
            maps = {_pid(pair[2:]) for pair in pairs if pair[:2] != b"\0\0"}
            self.programs = len(maps)
            self._watched[:] = False
            self._watched[[0, *maps]] = True
            self._maps = {pid: types for pid, types in self._maps.items() if pid in maps}
        elif section[0] == 2:
            self._maps[pid] = _streams(section)
            self._compare(pos)

    def _compare(self, pos: int) -> None:
        types = {pid: kind for streams in self._maps.values() for pid, kind in streams.items()}
        if not self.announced or self.announced[-1].types != types:
            self.announced.append(Announced(pos, types))


def _section(packet: bytes) -> bytes | None:
    """The whole section that starts in this packet, None if it does not fit or is damaged."""
    start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    if not packet[1] & 0x40 or not packet[3] & 0x10 or start >= 188:
        return None
    start += 1 + packet[start]
    if start + 8 > 188:
        return None
    end = start + 3 + ((packet[start + 1] & 0x0F) << 8 | packet[start + 2])
    section = packet[start:end]
    return section if end <= 188 and len(section) > 12 and _crc(section) == 0 else None


def _streams(section: bytes) -> dict[int, int]:
    out: dict[int, int] = {}
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section) - 4:
        kind, pid = section[at], _pid(section[at + 1 :])
        length = (section[at + 3] & 0x0F) << 8 | section[at + 4]
        out[pid] = kind if kind != 6 else 0x600 + sum(section[at + 5 : at + 5 + length])  # private: told by descriptors
        at += 5 + length
    return out


def _pid(two: bytes) -> int:
    return (two[0] & 0x1F) << 8 | two[1]


def _crc(data: Any) -> int:
    """CRC-32/MPEG-2; 0 over a section with its checksum."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1
        crc &= 0xFFFFFFFF
    return crc
