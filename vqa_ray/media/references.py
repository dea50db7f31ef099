"""Reference pictures that never came, told from the slice headers of H.264.

A picture that is lost as a whole leaves nothing that could fail to decode: libav shows those that build on it from
whatever it has, and flags none. But reference pictures are numbered (frame_num), so the next one tells: ITU-T H.264,
7.4.3, unless the sequence allows for gaps. A key frame may begin another numbering, where programmes are joined.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from av.packet import Packet

HEAD_BYTES = 4096  # of a packet: what precedes its first slice, the encoder's comments included
SLICE_BYTES = 24  # more than frame_num needs
SPS_BYTES = 64
LONGEST_CODE = 32  # leading zeros of an Exp-Golomb code; there are no longer ones
SLICE, SLICE_IDR, SPS = 1, 5, 7  # nal_unit_type
START_CODE = b"\0\0\1"
SLICE_BYTE = frozenset(bytes([idc << 5 | kind]) for idc in range(4) for kind in (SLICE, SLICE_IDR))  # a unit's first
HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128})  # their SPS says more of the picture's format
CHROMA_444 = 3


class Numbering(NamedTuple):
    """bits: length of frame_num; gaps: whether numbers may be left out."""

    bits: int
    gaps: bool


class References:
    """Follows frame_num over the packets of one track in decode order."""

    def __init__(self, extradata: bytes | None) -> None:
        config = extradata or b""
        self._length_bytes = (config[4] & 3) + 1 if len(config) > 8 and config[0] == 1 else 0  # 0: start codes
        self._numbering: Numbering | None = None
        self._last: int | None = None  # frame_num of the last reference picture
        if self._length_bytes:
            self._numbering = numbering(config[8 : 8 + int.from_bytes(config[6:8])])
        else:
            for unit in units(config, 0):
                if unit and unit[0] & 31 == SPS:
                    self._numbering = numbering(unit)

    def lost(self, packet: "Packet[Any]", key: bool) -> bool:
        """Whether a reference picture is missing between this packet and the one before it."""
        head = bytes(memoryview(packet)[:HEAD_BYTES])
        if not key and not self._length_bytes:  # nearly always, and for every picture: without cutting it all up
            at = head.find(START_CODE)
            while at >= 0 and head[at + 3 : at + 4] not in SLICE_BYTE:
                at = head.find(START_CODE, at + 3)
            unit = head[at + 3 : at + 3 + SLICE_BYTES]
            return at >= 0 and self._follows(unit, unit[0] & 31 == SLICE_IDR)
        for unit in units(head, self._length_bytes):
            kind = unit[0] & 31 if unit else 0
            if kind == SPS:
                self._numbering = numbering(unit)
            elif kind in (SLICE_IDR, SLICE):
                return self._follows(unit, key or kind == SLICE_IDR)
        return False

    def _follows(self, unit: bytes, key: bool) -> bool:
        form = self._numbering
        if form is None or form.gaps:
            return False
        number = frame_num(unit, form.bits)
        last, size = self._last, 1 << form.bits
        is_reference = unit[0] >> 5 & 3 != 0
        if number is None:
            self._last = None
            return False
        lost = not key and last is not None and (number - last) % size > 1
        if is_reference or key:
            self._last = number
        elif lost:
            self._last = (number - 1) % size
        return lost


class Bits:
    """Reads an RBSP from its first bit on; beyond its end there are zeros."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        """The next `count` bits, u(n)."""
        self._left -= count
        return (self._value >> self._left if self._left >= 0 else self._value << -self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next Exp-Golomb code, ue(v)."""
        left = max(0, self._left)
        zeros = min(LONGEST_CODE, left - (self._value & ((1 << left) - 1)).bit_length())
        return self.take(2 * zeros + 1) - 1 if zeros < LONGEST_CODE else (1 << zeros) - 1


def units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """NAL units as far as they are in `data`; length_bytes: of the length before each, 0: behind start codes."""
    if not length_bytes:
        yield from data.split(START_CODE)[1:]
        return
    at = 0
    while at + length_bytes < len(data):
        start = at + length_bytes
        at = start + int.from_bytes(data[at:start])
        yield data[start:at]


def numbering(sps: bytes) -> Numbering | None:
    """How a sequence numbers its reference pictures; None where that isn't known here (H.264, 7.3.2.1.1)."""
    bits = Bits(sps[1:SPS_BYTES])
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    if profile in HIGH_PROFILES:
        if bits.golomb() == CHROMA_444:
            bits.take(1)
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):  # scaling matrices
            return None
    length = bits.golomb() + 4
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        return None
    bits.golomb()
    return Numbering(length, bool(bits.take(1))) if length <= 16 else None


def frame_num(unit: bytes, length: int) -> int | None:
    """frame_num of a slice (H.264, 7.3.3); None of one that does not begin a picture."""
    head = unit[1:SLICE_BYTES].replace(b"\0\0\3", b"\0\0")
    value, left = int.from_bytes(head), 8 * len(head) - 1
    if left < 0 or not value >> left:  # first_mb_in_slice is not 0
        return None
    for _ in ("slice_type", "pic_parameter_set_id"):
        value &= (1 << left) - 1
        left -= 2 * (left - value.bit_length()) + 1
        if left < length:
            return None
    return value >> left - length & (1 << length) - 1
