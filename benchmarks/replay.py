"""A live source that costs next to nothing: a recorded transport stream, sent again at the pace at which it was made.

One thread in a process of its own serves any number of receivers, over HTTP (an endless response) or UDP (datagrams of
seven packets). Nothing is encoded or multiplexed while others are measured, and the moment at which each picture was
sent is known. The process ends with its stdin, and says what it used as a line of JSON.
"""

import heapq
import json
import selectors
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import cpu_s
from vqa_ray.media.synthetic.transport import VIDEO_PID, pid_of, ts_packets

AUDIO_PID = VIDEO_PID + 1
DATAGRAM_BYTES = 7 * 188
LEAD_S = 0.3  # UDP starts this long after the sender is told to …
STAGGER_S = 0.43  # … and each further address this much later
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nCache-Control: no-store\r\n\r\n"


class Unit(NamedTuple):
    """A picture, or a run of sound: presentation time in the file, and the chunk that completes it."""

    pts_s: float
    chunk: int


class Reel(NamedTuple):
    """A transport stream cut where a picture starts. dues_s: when each chunk is sent, from the first on."""

    dues_s: list[float]
    chunks: list[bytes]
    pictures: list[Unit]
    sounds: list[Unit]

    @property
    def first_s(self) -> float:
        """Presentation time of the first picture."""
        return min(unit.pts_s for unit in self.pictures)


def cut(data: bytes) -> Reel:
    """The reel of a transport stream by libav's muxer (picture first); chunks are sent when they are to be decoded."""
    parts: list[list[bytes]] = [[]]
    dues_s: list[float] = []
    units: dict[int, list[Unit]] = {VIDEO_PID: [], AUDIO_PID: []}
    for packet in ts_packets(data):
        pid = pid_of(packet)
        found = units.get(pid)
        if found is not None and packet[1] & 0x40:
            pts_s, dts_s = times_of(packet)
            if pid == VIDEO_PID:
                if dues_s:
                    parts.append([])
                dues_s.append(dts_s)
            found.append(Unit(pts_s, len(parts) - 1))
        elif found:
            found[-1] = Unit(found[-1].pts_s, len(parts) - 1)
        parts[-1].append(packet)
    return Reel([due - dues_s[0] for due in dues_s], [b"".join(p) for p in parts], units[VIDEO_PID], units[AUDIO_PID])


def times_of(packet: bytes) -> tuple[float, float]:
    """PTS and DTS, in seconds, of the PES packet that starts in this transport packet (ISO/IEC 13818-1, 2.4.3.7)."""
    start = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
    pts = _ticks(packet[start + 9 : start + 14])
    dts = _ticks(packet[start + 14 : start + 19]) if packet[start + 7] & 0x40 else pts
    return pts / 90_000, dts / 90_000


def _ticks(field: bytes) -> int:
    a, b, c, d, e = field
    return (a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1


class Receiver:
    """Who is sent the reel, and how far it is. sent_s: monotonic clock at each chunk."""

    def __init__(self, name: str, began_s: float) -> None:
        self.name = name
        self.began_s = began_s
        self.next = 0
        self.sent_s: list[float] = []

    def send(self, data: bytes) -> bool:
        """Hand `data` to the network; False when the receiver is gone."""
        raise TypeError(f"{type(self).__name__} does not send")


class Client(Receiver):
    """An HTTP client. What it does not take now is sent with the next chunk: it is late, and that is measured."""

    def __init__(self, name: str, connection: socket.socket) -> None:
        super().__init__(name, time.monotonic())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._connection = connection
        self._rest = b""

    def send(self, data: bytes) -> bool:
        """As far as it goes."""
        data = self._rest + data
        try:
            self._rest = data[self._connection.send(data) :]
        except BlockingIOError:
            self._rest = data
        except OSError:
            return False
        return True


class Listener(Receiver):
    """A UDP address."""

    def __init__(self, name: str, port: int, delay_s: float) -> None:
        super().__init__(name, time.monotonic() + delay_s)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._address = ("127.0.0.1", port)

    def send(self, data: bytes) -> bool:
        """In datagrams; lost when nobody listens."""
        for start in range(0, len(data), DATAGRAM_BYTES):
            try:
                self._socket.sendto(data[start : start + DATAGRAM_BYTES], self._address)
            except OSError:
                continue  # an ICMP answer of the one before
        return True


class Sender:
    """The loop: accepts clients, sends what is due, ends with stdin."""

    def __init__(self, reel: Reel) -> None:
        self._reel = reel
        self._selector = selectors.DefaultSelector()
        self._door = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._selector.register(self._door, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._due: list[tuple[float, int, Receiver]] = []
        self.receivers: list[Receiver] = []

    @property
    def port(self) -> int:
        """Of HTTP."""
        return int(self._door.getsockname()[1])

    def add(self, receiver: Receiver) -> None:
        """Send it the reel from its start."""
        self.receivers.append(receiver)
        self._push(receiver)

    def run(self) -> None:
        """Until stdin ends."""
        while True:
            wait_s = self._due[0][0] - time.monotonic() if self._due else None
            for key, _ in self._selector.select(max(0.0, wait_s) if wait_s is not None else None):
                if key.fileobj is sys.stdin:
                    return
                self._accept()
            self._send_due()

    def _accept(self) -> None:
        connection, _ = self._door.accept()
        head = b""
        while b"\r\n\r\n" not in head and (part := connection.recv(4096)):
            head += part
        connection.sendall(ANSWER)
        self.add(Client(head.split(b" ", 2)[1].decode().lstrip("/"), connection))

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= (now_s := time.monotonic()):
            receiver = heapq.heappop(self._due)[2]
            receiver.sent_s.append(now_s)
            if receiver.send(self._reel.chunks[receiver.next]):
                receiver.next += 1
                self._push(receiver)

    def _push(self, receiver: Receiver) -> None:
        if receiver.next < len(self._reel.chunks):
            due_s = receiver.began_s + self._reel.dues_s[receiver.next]
            heapq.heappush(self._due, (due_s, id(receiver), receiver))


def send(path: str, udp: Mapping[str, int] | None = None, stamps: bool = True) -> dict[str, Any]:
    """The sender's process: prints its HTTP port, sends, and returns what it used.

    late_s: 99th percentile of how late chunks were sent; cpu_share: of one core; sent_s, with `stamps`: monotonic
    clock at each chunk, by receiver.
    """
    reel = cut(Path(path).read_bytes())
    sender = Sender(reel)
    for k, (name, port) in enumerate((udp or {}).items()):
        sender.add(Listener(name, port, delay_s=LEAD_S + k * STAGGER_S))
    print(json.dumps({"port": sender.port}), flush=True)
    before_s = cpu_s()
    began_s = time.monotonic()
    sender.run()
    lates = sorted(
        sent - (r.began_s + due) for r in sender.receivers for due, sent in zip(reel.dues_s, r.sent_s, strict=False)
    )
    return {
        "cpu_share": (cpu_s() - before_s) / (time.monotonic() - began_s),
        "late_s": lates[int(len(lates) * 0.99)] if lates else 0.0,
        "sent_s": {r.name: r.sent_s for r in sender.receivers} if stamps else {},
    }
