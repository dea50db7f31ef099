"""MPEG-TS as bytes: a libav muxer into memory, and the loss of packets on the way."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.container import OutputContainer

if TYPE_CHECKING:
    from av.packet import Packet

    Coded = Packet[Any]  # generic in its stubs only

TS_BYTES = 188
SYNC = 0x47
PAT_PID = 0
VIDEO_PID = 256  # libav gives its streams 256, 257, … in order
LOSS = 0.04  # share of the picture's packets lost while the transport is damaged


class Collector:
    """A file for libav to write into; `take` gives what came since."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """libav's write callback."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Everything written since the last call."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def parts(self) -> list[bytes]:
        """The same, as it was written."""
        parts, self._parts = self._parts, []
        return parts


class TransportMuxer:
    """A libav MPEG-TS muxer whose packets can be lost on purpose, always the same ones for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._out = Collector()
        options = {"flush_packets": "1", "mpegts_flags": "pat_pmt_at_frames"}
        self.container: OutputContainer = av.open(self._out, "w", format="mpegts", options=options)
        self._rng = np.random.default_rng(seed)
        self._rest = b""

    def mux(self, packets: "list[Coded]", *, lossy: bool = False) -> bytes:
        """Whole TS packets, in order; `lossy` drops some of the picture's."""
        if packets:
            self.container.mux(packets)
        data = self._rest + self._out.take()
        whole = len(data) // TS_BYTES * TS_BYTES
        self._rest = data[whole:]
        return self.lose(data[:whole]) if lossy else data[:whole]

    def lose(self, data: bytes) -> bytes:
        """`data` with a share of the picture's packets missing."""
        return b"".join(p for p in ts_packets(data) if pid_of(p) != VIDEO_PID or self._rng.random() >= LOSS)

    def close(self) -> None:
        """Ends the muxer."""
        self.container.close()


def ts_packets(data: bytes) -> Iterator[bytes]:
    """The packets of 188 bytes that `data` is made of."""
    for start in range(0, len(data), TS_BYTES):
        yield data[start : start + TS_BYTES]


def pid_of(packet: bytes) -> int:
    """The packet's PID."""
    return (packet[1] & 0x1F) << 8 | packet[2]


def starts_key_frame(packet: bytes) -> bool:
    """Whether a picture that can be decoded by itself starts here (payload unit start + random access indicator)."""
    has_adaptation = packet[3] & 0x20 and packet[4] > 0
    return bool(packet[1] & 0x40 and has_adaptation and packet[5] & 0x40 and pid_of(packet) == VIDEO_PID)
