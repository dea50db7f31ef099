"""Where coded packets leave the source: the contract of an outlet, and MPEG-TS over UDP, HTTP and HLS."""

import re
import socket
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, NamedTuple, Protocol

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from vqa_ray.media.synthetic.door import Door, Fanout
from vqa_ray.media.synthetic.encode import add_audio, add_video
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.transport import PAT_PID, TransportMuxer, pid_of, starts_key_frame, ts_packets

if TYPE_CHECKING:
    from vqa_ray.media.synthetic.transport import Coded

DATAGRAM_BYTES = 7 * 188  # as every MPEG-TS over UDP does: the most that fits an Ethernet frame
BURST_DATAGRAMS = 8
HLS_SEGMENTS = 6
HLS_READY_SEGMENTS = 3  # players start three segments from the end


class Outlet(Protocol):
    """Sends coded packets to whoever watches. `video` and `audio` are the streams to encode with."""

    video: VideoStream | None
    audio: AudioStream | None

    @property
    def url(self) -> str:
        """What a player opens."""
        ...

    @property
    def playable(self) -> bool:
        """Whether a player that comes now gets something."""
        ...

    def send(self, packets: "list[Coded]", *, lossy: bool) -> None:
        """To all who watch; `lossy`: some of the picture is lost on the way."""
        ...

    def hold(self, packets: "list[Coded]") -> None:
        """The time of `packets` passes, and nothing is sent."""
        ...

    def leave_air(self) -> None:
        """As if the server had died."""
        ...

    def enter_air(self) -> None:
        """The server is there (again); no effect when it is."""
        ...

    def close(self) -> None:
        """Lets everything go."""
        ...


class Transmitter(Protocol):
    """Sends whole MPEG-TS packets."""

    @property
    def url(self) -> str: ...  # noqa: D102

    @property
    def playable(self) -> bool: ...  # noqa: D102

    def send(self, data: bytes) -> None: ...  # noqa: D102

    def leave_air(self) -> None: ...  # noqa: D102

    def enter_air(self) -> None: ...  # noqa: D102


class TransportOutlet:
    """An outlet of MPEG-TS, whatever carries it."""

    def __init__(self, programme: Programme, transmitter: Transmitter) -> None:
        self._muxer = TransportMuxer(programme.seed)
        self._transmitter = transmitter
        self.video = add_video(self._muxer.container, programme) if programme.picture else None
        self.audio = add_audio(self._muxer.container, programme) if programme.sound else None

    @property
    def url(self) -> str:
        """What a player opens."""
        return self._transmitter.url

    @property
    def playable(self) -> bool:
        """Whether a player that comes now gets something."""
        return self._transmitter.playable

    def send(self, packets: "list[Coded]", *, lossy: bool) -> None:
        """Muxes and sends."""
        self._transmitter.send(self._muxer.mux(packets, lossy=lossy))

    def hold(self, packets: "list[Coded]") -> None:
        """Muxes and throws away: continuity counters go on, as in a stream that was cut on the way."""
        self._muxer.mux(packets)

    def leave_air(self) -> None:
        """As if the server had died."""
        self._transmitter.leave_air()

    def enter_air(self) -> None:
        """The server is there."""
        self._transmitter.enter_air()

    def close(self) -> None:
        """Lets everything go."""
        self._transmitter.leave_air()
        self._muxer.close()


class Udp:
    """MPEG-TS in datagrams, to one address or to a group on the loopback interface (no privilege needed)."""

    def __init__(self, host: str, port: int, *, multicast: bool) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._address = (host, port)
        query = ""
        if multicast:
            local = socket.inet_aton("127.0.0.1")
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, local)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)  # does not leave the machine
            query = "?localaddr=127.0.0.1"
        self.url = f"udp://{host}:{port}{query}"
        self.playable = True

    def send(self, data: bytes) -> None:
        """Paced a little, so that a key frame does not overrun the receiver's buffer."""
        for k, start in enumerate(range(0, len(data), DATAGRAM_BYTES)):
            if k % BURST_DATAGRAMS == BURST_DATAGRAMS - 1:
                time.sleep(0.001)
            try:
                self._socket.sendto(data[start : start + DATAGRAM_BYTES], self._address)
            except ConnectionRefusedError:
                continue  # an ICMP answer of the last one: nobody listens, which is no fault of ours

    def leave_air(self) -> None:
        """Nothing to shut: silence is all that a receiver sees."""

    def enter_air(self) -> None:
        """Nothing to open."""


class HttpStream:
    """MPEG-TS as one endless HTTP response, to several clients."""

    def __init__(self, host: str, port: int) -> None:
        self._clients: Fanout[bytes] = Fanout()
        self._door = Door(self._serve, host, port)
        self.playable = True

    @property
    def url(self) -> str:
        """What a player opens."""
        return f"http://{self._door.host}:{self._door.port}/live.ts"

    def send(self, data: bytes) -> None:
        """To all clients."""
        if data:
            self._clients.send(data)

    def leave_air(self) -> None:
        """Connections end, new ones are refused."""
        self._door.shut()
        self._clients.end_all()

    def enter_air(self) -> None:
        """Listens."""
        self._door.open()

    def _serve(self, client: socket.socket) -> None:
        _read_head(client)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nCache-Control: no-store\r\n\r\n")
        for data in self._clients.items():
            client.sendall(data)


def _read_head(client: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        part = client.recv(4096)
        if not part or len(head) > 65536:
            raise EOFError
        head += part


class Segment(NamedTuple):
    """One file of the playlist."""

    number: int
    duration_s: float
    data: bytes
    after_a_break: bool


class Hls:
    """A live playlist of the last segments, one a GOP, kept in memory and served over HTTP."""

    def __init__(self, host: str, port: int) -> None:
        self._segments: deque[Segment] = deque(maxlen=HLS_SEGMENTS + 3)  # a few more than listed, for slow players
        self._lock = threading.Lock()
        self._number = 0
        self._current: list[bytes] | None = None
        self._program_head: list[bytes] = []
        self._started_s = 0.0
        self._after_a_break = False
        self._door = Door(self._serve, host, port)

    @property
    def url(self) -> str:
        """What a player opens."""
        return f"http://{self._door.host}:{self._door.port}/live.m3u8"

    @property
    def playable(self) -> bool:
        """Three segments are there."""
        return len(self._segments) >= HLS_READY_SEGMENTS

    def send(self, data: bytes) -> None:
        """Cuts at key frames, before the tables (PAT, PMT) that come right before one."""
        for packet in ts_packets(data):
            if starts_key_frame(packet):
                self._cut()
            if pid_of(packet) == PAT_PID:
                self._flush_head()
                self._program_head = [packet]
            elif self._program_head and len(self._program_head) < 2:
                self._program_head.append(packet)
            else:
                self._flush_head()
                self._append(packet)

    def _append(self, packet: bytes) -> None:
        if self._current is not None:
            self._current.append(packet)

    def _flush_head(self) -> None:
        if self._current is not None:
            self._current += self._program_head
        self._program_head = []

    def _cut(self) -> None:
        now = time.monotonic()
        if self._current is not None:
            self._publish(b"".join(self._current), now - self._started_s)
        self._current = []
        self._started_s = now

    def _publish(self, data: bytes, duration_s: float) -> None:
        with self._lock:
            self._segments.append(Segment(self._number, duration_s, data, self._after_a_break))
            self._number += 1
            self._after_a_break = False

    def leave_air(self) -> None:
        """Connections end, new ones are refused; what was published is gone, as after a crash of the packager."""
        self._door.shut()
        with self._lock:
            self._segments.clear()
            self._after_a_break = self._number > 0
        self._current = None

    def enter_air(self) -> None:
        """Listens."""
        self._door.open()

    def playlist(self) -> str | None:
        """The media playlist (RFC 8216), or None while there is no segment."""
        with self._lock:
            listed = list(self._segments)[-HLS_SEGMENTS:]
        if not listed:
            return None
        target = max(1, round(max(segment.duration_s for segment in listed)))
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{target}"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{listed[0].number}")
        for segment in listed:
            lines += ["#EXT-X-DISCONTINUITY"] if segment.after_a_break else []
            lines += [f"#EXTINF:{segment.duration_s:.3f},", f"segment-{segment.number}.ts"]
        return "\n".join(lines) + "\n"

    def segment(self, number: int) -> bytes | None:
        """The bytes of a segment that is still kept."""
        with self._lock:
            return next((s.data for s in self._segments if s.number == number), None)

    def _serve(self, client: socket.socket) -> None:
        hls = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self) -> None:
                kind, body = hls.answer(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        Handler(client, client.getpeername(), None)  # type: ignore[arg-type]  # the server object is never used

    def answer(self, path: str) -> tuple[str, bytes | None]:
        """Content type and body for a path; body None: no such thing."""
        if path.partition("?")[0] == "/live.m3u8":
            text = self.playlist()
            return "application/vnd.apple.mpegurl", text.encode() if text is not None else None
        found = re.fullmatch(r"/segment-(\d{1,9})\.ts", path)
        return "video/mp2t", self.segment(int(found[1])) if found else None
