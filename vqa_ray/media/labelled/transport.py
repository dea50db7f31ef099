"""Damage of a real transport stream: packets lost, bits flipped, timestamps that jump. Bytes in, bytes out."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from vqa_ray.media.synthetic.transport import TS_BYTES, VIDEO_PID, pid_of

AUDIO_PID = VIDEO_PID + 1
CLOCK_HZ = 90_000
WRAP = 1 << 33


class Place(NamedTuple):
    """A packet of the transport stream: its number, and the time of the coded picture or sound that it carries."""

    number: int
    pts: int
    starts: bool  # a picture (or block of sound) begins here


def places(data: bytes, pid: int) -> list[Place]:
    """The packets of one PID, each with the timestamp of what it carries, in units of 90 kHz."""
    found: list[Place] = []
    pts = None
    for number in range(len(data) // TS_BYTES):
        packet = data[number * TS_BYTES : (number + 1) * TS_BYTES]
        if pid_of(packet) != pid:
            continue
        at = _pes(packet)
        if at is not None:
            pts = read_stamp(packet, at + 9)
        if pts is not None:
            found.append(Place(number, pts, at is not None))
    return found


def within(found: list[Place], start_s: float, end_s: float, fps: Fraction) -> list[Place]:
    """Those of the pictures from `start_s` on and before `end_s`, counted from the first; half a frame of grace."""
    zero = min(place.pts for place in found)
    low, high = ((at_s - 0.5 / fps) * CLOCK_HZ + zero for at_s in (start_s, end_s))
    return [place for place in found if low <= place.pts < high]


def lose(data: bytes, numbers: set[int]) -> bytes:
    """Without the packets of these numbers."""
    keep = np.ones(len(data) // TS_BYTES, np.bool_)
    keep[list(numbers)] = False
    return np.frombuffer(data, np.uint8)[: keep.size * TS_BYTES].reshape(-1, TS_BYTES)[keep].tobytes()


def flip(data: bytes, chosen: list[Place], bits: int, rng: np.random.Generator) -> bytes:
    """Single bits changed in the payload of packets in which nothing begins; their headers stay whole."""
    changed = bytearray(data)
    inner = [place for place in chosen if not place.starts]
    for _ in range(bits if inner else 0):
        start = inner[int(rng.integers(len(inner)))].number * TS_BYTES
        header = 4 + (1 + data[start + 4] if data[start + 3] & 0x20 else 0)
        if header < TS_BYTES:
            changed[start + int(rng.integers(header, TS_BYTES))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def jump(data: bytes, at_pts: int, shift_s: float) -> bytes:
    """All timestamps and clock references from the key frame at `at_pts` on later by `shift_s`, without any notice."""
    shift, changed = round(shift_s * CLOCK_HZ), bytearray(data)
    behind = False  # the picture's key frame was passed
    for start in range(0, len(data), TS_BYTES):
        packet = data[start : start + TS_BYTES]
        at = _pes(packet)
        if at is not None:
            behind = behind or (pid_of(packet) == VIDEO_PID and read_stamp(packet, at + 9) >= at_pts)
            late = behind if pid_of(packet) == VIDEO_PID else read_stamp(packet, at + 9) >= at_pts
            if late:
                _shift_stamps(changed, start, at, shift)
        if behind and packet[3] & 0x20 and packet[4] > 6 and packet[5] & 0x10:
            base = int.from_bytes(packet[6:12]) >> 15
            rest = int.from_bytes(packet[6:12]) & 0x7FFF
            changed[start + 6 : start + 12] = ((base + shift) % WRAP << 15 | rest).to_bytes(6)
    return bytes(changed)


def read_stamp(packet: bytes, at: int) -> int:
    """The 33 bits of a timestamp that begins at byte `at` (ISO/IEC 13818-1, 2.4.3.7)."""
    b = packet[at : at + 5]
    return (b[0] >> 1 & 7) << 30 | b[1] << 22 | b[2] >> 1 << 15 | b[3] << 7 | b[4] >> 1


def _shift_stamps(data: bytearray, start: int, at: int, shift: int) -> None:
    """Move PTS, and DTS where there is one, of the header that begins `at` bytes into the packet at `start`."""
    for offset in (9, 14) if data[start + at + 7] & 0x40 else (9,):
        where = start + at + offset
        value = (read_stamp(bytes(data[where : where + 5]), 0) + shift) % WRAP
        mark = data[where] & 0xF0
        data[where : where + 5] = bytes(
            part & 255 for part in (mark | value >> 29 | 1, value >> 22, value >> 14 | 1, value >> 7, value << 1 | 1)
        )


def _pes(packet: bytes) -> int | None:
    """Where a PES header with a timestamp begins in the packet, None without any."""
    if not packet[1] & 0x40 or not packet[3] & 0x10:
        return None
    at = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    whole = at + 14 <= TS_BYTES and packet[at : at + 3] == b"\x00\x00\x01"
    return at if whole and packet[at + 3] >= 0xBD and packet[at + 7] & 0x80 else None


def slices(packet: bytes) -> tuple[bytes, list[bytes]]:
    """H.264 in Annex B: everything up to the first slice, and each slice with its start code."""
    starts = []
    at = packet.find(b"\x00\x00\x01")
    while at >= 0:
        starts.append(at - 1 if at and packet[at - 1] == 0 else at)
        at = packet.find(b"\x00\x00\x01", at + 3)
    units = [packet[a:b] for a, b in zip(starts, [*starts[1:], len(packet)], strict=True)]
    coded = [unit for unit in units if unit[3 if unit[2] == 1 else 4] & 0x1F in (1, 5)]
    return b"".join(unit for unit in units if unit not in coded), list(coded)
