"""Programme tables of an MPEG transport stream (ISO/IEC 13818-1, 2.4.4): what it announces, and when that changes."""

import zlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.reading import Indicator
from vqa_ray.media.breaks import Break
from vqa_ray.media.services import services_of, streams_of

PAT_PID, CAT_PID = 0, 1
INFORMATION_PIDS = (0x10, 0x11)  # NIT, SDT: only their checksums are looked at
CHECKED = frozenset({0x00, 0x01, 0x02, 0x40, 0x41, 0x42, 0x46, 0x4A})  # by TR 101 290, 2.2
OWN = {PAT_PID: 0x00, CAT_PID: 0x01}  # the only table that these PIDs may carry
LONGEST = 4098  # bytes of a section
STUFFING = 0xFF  # instead of a table: there is no more in this packet

_MIRRORED = bytes(int(f"{n:08b}"[::-1], 2) for n in range(256))


class Announced(msgspec.Struct, frozen=True):
    """The programmes' streams: PID to stream type; `pos` is the byte from which on it holds."""

    pos: int
    types: dict[int, int]


class _Begun(msgspec.Struct, frozen=True, gc=False):
    """A section under way: where it began, the counter of its last packet, and what there is of it."""

    pos: int
    counter: int
    data: bytes


class TableWatch:
    """Reads the association table and the map tables, each time one differs from before.

    programs: number of programmes, 0 before the first association table; announced: what was announced, and each change
    of it, in order; maps: PIDs of the map tables, which hold from byte mapped_pos on; services: what is carried beside
    picture and sound; conditional: whether there is a conditional access table. began: PIDs of both tables, and the
    bytes at which one began; broken: what is wrong with sections; both since they were cleared.
    """

    def __init__(self) -> None:
        self.programs = 0
        self.announced: list[Announced] = []
        self.association = b""  # the packet of the association table
        self.association_pos = 0  # where it last was
        self.mapped_pos = 0
        self.conditional = False
        self.began: dict[int, list[int]] = {PAT_PID: []}
        self.broken: list[Break] = []
        self.watched: NDArray[np.bool_] = np.zeros(8192, np.bool_)
        self.watched[[PAT_PID, CAT_PID, *INFORMATION_PIDS]] = True
        self._whole: dict[int, bytes] = {}  # what follows the header of the last packet, if that was one good section
        self._begun: dict[int, _Begun] = {}
        self._good = True  # the sections that were taken last
        self._association: dict[int, bytes] = {}  # its sections
        self._maps: dict[int, dict[int, dict[int, int]]] = {}  # PID, programme: PID to type
        self._read_maps: dict[tuple[int, int], bytes] = {}  # PID and programme
        self._services: dict[tuple[int, int], frozenset[str]] = {}

    @property
    def maps(self) -> frozenset[int]:
        """PIDs of the map tables."""
        return frozenset(self._maps)

    @property
    def services(self) -> frozenset[str]:
        """What the maps announce beside picture and sound."""
        return frozenset().union(*self._services.values())

    def look(self, packets: NDArray[np.uint8], pids: NDArray[np.uint16], base: int, size: int) -> None:
        """Look at checked packets of 188 bytes; `base` is the first one's byte, `size` their distance."""
        start = 0
        while start < len(pids):
            start = self._look_on(packets, pids, base, size, start)

    def _look_on(self, packets: NDArray[np.uint8], pids: NDArray[np.uint16], base: int, size: int, start: int) -> int:
        """The same from packet `start` on, up to where the association table changes; the packet behind that."""
        maps = self._maps
        for n in (self.watched[pids[start:]].nonzero()[0] + start).tolist():
            packet = packets[n].tobytes()
            if packet[1] & 0x80:  # marked as damaged: not even its PID can be believed
                continue
            pid, pos = (packet[1] & 0x1F) << 8 | packet[2], base + n * size
            if pid == PAT_PID:
                self.association_pos = pos
            if self._whole.get(pid) == packet[4:]:
                if pid in self.began:
                    self.began[pid].append(pos)
                continue
            self._collect(pid, packet, pos)
            if self._maps is not maps:
                return int(n) + 1
        return len(pids)

    def _collect(self, pid: int, packet: bytes, pos: int) -> None:
        """Sections that end in this packet are read, one that does not is kept."""
        self._whole.pop(pid, None)
        begun = self._begun.pop(pid, None)
        start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        if not packet[3] & 0x10 or start >= 188:
            return
        counter, data = packet[3] & 15, packet[start:]
        goes_on = begun is not None and (begun.counter + 1) & 15 == counter
        if packet[1] & 0x40:
            if goes_on and begun is not None:
                self._cut(pid, begun.data + data[1 : 1 + data[0]], begun.pos, counter)
            self._begun.pop(pid, None)
            self._cut(pid, data[1 + data[0] :], pos, counter)
        elif goes_on and begun is not None:
            self._cut(pid, begun.data + data, begun.pos, counter)
        if pid not in self._begun and begun is None and self._good:
            self._whole[pid] = packet[4:]

    def _cut(self, pid: int, data: bytes, pos: int, counter: int) -> None:
        """Take the sections off `data`, which begins with one."""
        self._good = True
        while data and data[0] != STUFFING:
            length = 3 + ((data[1] & 0x0F) << 8 | data[2]) if len(data) > 2 else LONGEST
            if len(data) < length:
                self._begun[pid] = _Begun(pos, counter, data)
                return
            self._good &= self._take(pid, data[:length], pos)
            data = data[length:]

    def _take(self, pid: int, section: bytes, pos: int) -> bool:
        """Read a whole section, unless it is the same as the last of its kind; whether nothing is wrong with it."""
        table = section[0]
        if OWN.get(pid, table) != table:
            self.broken.append(Break(pos, pid, Indicator.PAT if pid == PAT_PID else Indicator.CAT))
            return False
        if (table == 2 or pid == PAT_PID) and pid in self.began:
            self.began[pid].append(pos)
        if table not in CHECKED:
            return table != 2 or pid not in self._maps
        if len(section) < 12 or not intact(section):
            self.broken.append(Break(pos, pid, Indicator.CRC))
            return False
        if section[5] & 1:  # current_next_indicator
            self._read(pid, section, pos)
        return pid != PAT_PID or section[7] == 0

    def _read(self, pid: int, section: bytes, pos: int) -> None:
        if pid == CAT_PID:
            self.conditional = True
        elif pid == PAT_PID:
            self._associate(section, pos)
        elif section[0] == 2 and pid in self._maps:
            key = pid, section[3] << 8 | section[4]
            if self._read_maps.get(key) != section:
                self._read_maps[key] = section
                self._maps[pid][key[1]] = _streams(section)
                self._services[key] = services_of(section)
                self._compare(pos)

    def _associate(self, section: bytes, pos: int) -> None:
        """Take in a section of the association table; the maps that are no longer in it are forgotten."""
        version, number, last = section[5] & 0x3E, section[6], section[7]
        if self._association.get(number) == section:
            return
        kept = {n: one for n, one in self._association.items() if n <= last and one[5] & 0x3E == version}
        self._association = dict(sorted((kept | {number: section}).items()))
        maps: dict[int, dict[int, dict[int, int]]] = {}
        programs: set[tuple[int, int]] = set()
        for one in self._association.values():
            for n in range(8, len(one) - 7, 4):
                program, pid = one[n] << 8 | one[n + 1], (one[n + 2] & 0x1F) << 8 | one[n + 3]
                if program:
                    maps[pid] = self._maps.get(pid, {})
                    programs.add((pid, program))
        self._maps = {pid: {n: map for n, map in known.items() if (pid, n) in programs} for pid, known in maps.items()}
        self._read_maps = {key: one for key, one in self._read_maps.items() if key in programs}
        self._services = {key: found for key, found in self._services.items() if key in programs}
        self.began = {pid: self.began.get(pid, []) for pid in (PAT_PID, *maps)}
        self.programs, self.mapped_pos = len(maps), pos
        self.watched[:] = False
        self.watched[[PAT_PID, CAT_PID, *INFORMATION_PIDS, *maps]] = True

    def _compare(self, pos: int) -> None:
        types = {
            pid: kind for maps in self._maps.values() for streams in maps.values() for pid, kind in streams.items()
        }
        if not self.announced or self.announced[-1].types != types:
            self.announced.append(Announced(pos, types))


def intact(section: bytes) -> bool:
    """Whether the checksum of a section holds: CRC-32/MPEG-2, which is zlib's with the bits of each byte mirrored."""
    return zlib.crc32(section.translate(_MIRRORED)) == 0xFFFFFFFF


def _streams(section: bytes) -> dict[int, int]:
    """PID to stream type; that of private data is told by its descriptors."""
    return {pid: kind if kind != 6 else 0x600 + sum(about) for kind, pid, about in streams_of(section)}
