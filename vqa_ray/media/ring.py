"""The last packets of a stream, compressed, for evidence: whole GOPs, bounded in bytes and in media time."""

from collections import deque

import msgspec
from av.packet import Packet

ENTRY_BYTES = 320  # what an entry costs beside its data: the struct, its numbers, the bytes object, the slot


class RingPacket(msgspec.Struct, frozen=True, gc=False):
    """One compressed packet. pts, dts and duration in units of its track's time base; at_s on the timeline."""

    kind: str  # "video" or "audio"
    stream: int
    pts: int | None
    dts: int | None
    duration: int
    key: bool
    at_s: float | None
    data: bytes


class PacketRing:
    """Holds the bytes of packets, not libav's packets: those can pin buffers of the demuxer many times as large.

    Always starts with a key frame (any packet where there is no video). What does not fit is dropped a GOP at a time
    from the old end; a GOP larger than the ring alone empties it until the next key frame.
    """

    def __init__(self, limit_bytes: int, limit_s: float = float("inf"), *, video: bool = True) -> None:
        self.limit_bytes = limit_bytes
        self.limit_s = limit_s
        self.video = video
        self.size_bytes = 0
        self._packets: deque[RingPacket] = deque()
        self._keys: deque[float | None] = deque()  # at_s of each key frame held
        self._waiting = video  # for a key frame to start with

    def __len__(self) -> int:
        return len(self._packets)

    def add(self, kind: str, packet: Packet, key: bool, at_s: float | None) -> None:
        """Take a demuxed packet's data in."""
        starts = key and (kind == "video" or not self.video)
        if self._waiting and not starts:
            return
        size = packet.size + ENTRY_BYTES
        if size > self.limit_bytes:
            self.clear()
            return
        if starts:
            self._waiting = False
            self._keys.append(at_s)
        duration = packet.duration or 0
        self._packets.append(
            RingPacket(kind, packet.stream_index, packet.pts, packet.dts, duration, key, at_s, bytes(packet))
        )
        self.size_bytes += size
        if self.size_bytes > self.limit_bytes or (starts and len(self._keys) > 1):
            self._trim(at_s)

    def clear(self) -> None:
        """Drop everything; start again at the next key frame."""
        self._packets.clear()
        self._keys.clear()
        self.size_bytes = 0
        self._waiting = self.video

    def packets(self) -> tuple[RingPacket, ...]:
        """What is held, in demux order, from a key frame on."""
        return tuple(self._packets)

    def _trim(self, now_s: float | None) -> None:
        while self.size_bytes > self.limit_bytes or self._stale(now_s):
            if len(self._keys) < 2:
                self.clear()
                return
            self._drop_first()

    def _stale(self, now_s: float | None) -> bool:
        """Whether what follows the oldest GOP alone reaches far enough back."""
        if len(self._keys) < 2 or now_s is None:
            return False
        second_s = self._keys[1]
        return second_s is None or not 0.0 <= now_s - second_s < self.limit_s

    def _drop_first(self) -> None:
        """The oldest GOP, and the sound between it and the next key frame."""
        self._keys.popleft()
        while self._packets:
            packet = self._packets.popleft()
            self.size_bytes -= len(packet.data) + ENTRY_BYTES
            if self._packets and self._packets[0].key and (self._packets[0].kind == "video" or not self.video):
                return
