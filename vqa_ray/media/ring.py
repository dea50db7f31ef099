"""The last packets of a stream, compressed, for evidence: whole GOPs, bounded in bytes and in media time."""

from collections import deque
from typing import Any

import msgspec
from av.packet import Packet

ENTRY_BYTES = 1200  # what a packet costs beside its data: libav's structs, padding, allocation (measured: 500 to 1200)


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


Entry = tuple[str, "Packet[Any]", bool, float | None]  # kind, packet, whether it is a key frame, at_s


class PacketRing:
    """Holds libav's packets by reference: nothing is copied until evidence is wanted.

    Always starts with a key frame (any packet where there is no video). What does not fit is dropped a GOP at a time
    from the old end; a GOP larger than the ring alone empties it until the next key frame.
    """

    def __init__(self, limit_bytes: int, limit_s: float = float("inf"), *, video: bool = True) -> None:
        self.limit_bytes = limit_bytes
        self.limit_s = limit_s
        self.video = video
        self.size_bytes = 0
        self._packets: deque[Entry] = deque()
        self._keys: deque[float | None] = deque()  # at_s of each key frame held
        self._waiting = video  # for a key frame to start with

    def __len__(self) -> int:
        return len(self._packets)

    def add(self, kind: str, packet: "Packet[Any]", size: int, key: bool, at_s: float | None) -> None:
        """Take a demuxed packet of `size` bytes in."""
        starts = key and (kind == "video" or not self.video)
        if self._waiting and not starts:
            return
        self.size_bytes += size + ENTRY_BYTES
        self._packets.append((kind, packet, key, at_s))
        if starts:
            self._waiting = False
            self._keys.append(at_s)
            self._trim(at_s)
        elif self.size_bytes > self.limit_bytes:
            self._trim(at_s)

    def clear(self) -> None:
        """Drop everything; start again at the next key frame."""
        self._packets.clear()
        self._keys.clear()
        self.size_bytes = 0
        self._waiting = self.video

    def entries(self) -> tuple[Entry, ...]:
        """What is held, in demux order, from a key frame on, by reference; may be called from any thread."""
        return tuple(self._packets)

    def packets(self) -> tuple[RingPacket, ...]:
        """What is held, in demux order, from a key frame on; may be called from any thread."""
        return tuple(
            RingPacket(kind, p.stream_index, p.pts, p.dts, p.duration or 0, key, at_s, bytes(p))
            for kind, p, key, at_s in self.entries()
        )

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
            self.size_bytes -= self._packets.popleft()[1].size + ENTRY_BYTES
            if self._packets:
                kind, _, key, _ = self._packets[0]
                if key and (kind == "video" or not self.video):
                    return
