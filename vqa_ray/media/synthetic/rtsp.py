"""A small RTSP server that plays one live stream (RFC 2326), interleaved in TCP or over UDP, to several clients."""

import base64
import re
import secrets
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from vqa_ray.media.synthetic.door import Door, Fanout
from vqa_ray.media.synthetic.encode import add_audio, add_video
from vqa_ray.media.synthetic.programme import RATE_HZ, Programme
from vqa_ray.media.synthetic.transport import LOSS, Collector

if TYPE_CHECKING:
    from vqa_ray.media.synthetic.transport import Coded

PACKET_BYTES = 1400
RTCP_KINDS = range(192, 224)  # second byte of an RTCP packet (RFC 5761, section 4)
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
Send = Callable[[bytes], object]


class Packet(NamedTuple):
    """One RTP or RTCP packet of a track."""

    track: int
    data: bytes

    @property
    def is_rtcp(self) -> bool:
        """Whether it is a report on the stream instead of a part of it."""
        return self.data[1] in RTCP_KINDS


class RtpMuxer:
    """A libav RTP muxer of one elementary stream into memory; each write is one packet."""

    def __init__(self, track: int, payload: int) -> None:
        self.track = track
        self._out = Collector()
        options = {"packetsize": str(PACKET_BYTES), "payload_type": str(payload), "max_delay": "20000"}
        self.container = av.open(self._out, "w", format="rtp", options=options)

    def mux(self, packets: "list[Coded]") -> list[Packet]:
        """What `packets` become."""
        if packets:
            self.container.mux(packets)
        return [Packet(self.track, part) for part in self._out.parts() if len(part) > 8]


class RtspOutlet:
    """An outlet that is played over RTSP."""

    playable = True

    def __init__(self, programme: Programme, host: str, port: int) -> None:
        self.video: VideoStream | None = None
        self.audio: AudioStream | None = None
        self._muxers: list[RtpMuxer] = []
        if programme.picture:
            self.video = add_video(self._track(96), programme)
        if programme.sound:
            self.audio = add_audio(self._track(97), programme)
        for muxer in self._muxers:
            muxer.container.start_encoding()
        self._packets: Fanout[Packet] = Fanout()
        self._rng = np.random.default_rng(programme.seed)
        self._udp = [_port_pair(host) for _ in self._muxers]
        self._door = Door(self._serve, host, port)

    def _track(self, payload: int) -> "av.container.OutputContainer":
        muxer = RtpMuxer(len(self._muxers), payload)
        self._muxers.append(muxer)
        return muxer.container

    @property
    def url(self) -> str:
        """What a player opens."""
        return f"rtsp://{self._door.host}:{self._door.port}/live"

    def send(self, packets: "list[Coded]", *, lossy: bool) -> None:
        """To all who watch."""
        for packet in self._mux(packets):
            lost = lossy and packet.track == 0 and not packet.is_rtcp and self._rng.random() < LOSS
            if not lost:
                self._packets.send(packet)

    def hold(self, packets: "list[Coded]") -> None:
        """Nothing is sent."""
        self._mux(packets)

    def leave_air(self) -> None:
        """Connections end, new ones are refused."""
        self._door.shut()
        self._packets.end_all()

    def enter_air(self) -> None:
        """Listens."""
        self._door.open()

    def close(self) -> None:
        """Lets everything go."""
        self.leave_air()
        for muxer in self._muxers:
            muxer.container.close()
        for pair in self._udp:
            for each in pair:
                each.close()

    def _mux(self, packets: "list[Coded]") -> list[Packet]:
        out: list[Packet] = []
        for muxer in self._muxers:
            out += muxer.mux([p for p in packets if p.stream in muxer.container.streams])
        return out

    def _serve(self, client: socket.socket) -> None:
        host = client.getpeername()[0]
        Session(client, host, self.sdp(), self._udp, self._packets).run()

    def sdp(self) -> str:
        """The description of the stream (RFC 4566; H.264: RFC 6184, AAC: RFC 3640)."""
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=test", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"]
        if self.video is not None:
            parts = re.split(b"\x00\x00\x00?\x01", self.video.codec_context.extradata or b"")
            sets = [base64.b64encode(part).decode() for part in parts if part and part[0] & 0x1F in (7, 8)]
            lines += ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000"]
            lines += [f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={','.join(sets)}", "a=control:track0"]
        if self.audio is not None:
            config = (self.audio.codec_context.extradata or b"").hex()
            channels = self.audio.codec_context.channels
            lines += ["m=audio 0 RTP/AVP 97", f"a=rtpmap:97 MPEG4-GENERIC/{RATE_HZ}/{channels}"]
            fields = "profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3"
            lines += [f"a=fmtp:97 {fields};config={config}", f"a=control:track{len(self._muxers) - 1}"]
        return "\r\n".join(lines) + "\r\n"


Pair = tuple[socket.socket, socket.socket]


def _port_pair(host: str) -> Pair:
    """Two UDP sockets on an even port and the one after it (RFC 3550, section 11)."""
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        if port % 2 == 0:
            try:
                rtcp.bind((host, port + 1))
            except OSError:
                rtcp.close()
            else:
                return rtp, rtcp
        rtp.close()
        rtcp.close()


class Session:
    """The talk with one client."""

    def __init__(self, client: socket.socket, host: str, sdp: str, udp: list[Pair], packets: Fanout[Packet]) -> None:
        self._client = client
        self._host = host
        self._sdp = sdp
        self._udp = udp
        self._packets = packets
        self._ways: dict[int, tuple[Send, Send]] = {}  # track: how its RTP and its RTCP go
        self._id = secrets.token_hex(4)
        self._lock = threading.Lock()

    def run(self) -> None:
        """Answers until the client leaves."""
        file = self._client.makefile("rb")
        while first := file.read(1):
            if first == b"$":
                head = file.read(3)
                file.read(int.from_bytes(head[1:3], "big"))  # a receiver report: of no interest
                continue
            line = (first + file.readline(4096)).decode("utf-8", "replace")
            headers = {}
            while (text := file.readline(4096).decode("utf-8", "replace").strip()) != "":
                name, _, value = text.partition(":")
                headers[name.strip().lower()] = value.strip()
            if not self._obey(line, headers):
                return

    def _obey(self, line: str, headers: dict[str, str]) -> bool:
        method, url = (*line.split(), "", "")[:2]
        extra, body = [f"Session: {self._id};timeout=60"], ""
        if method == "OPTIONS":
            extra = [f"Public: {METHODS}"]
        elif method == "DESCRIBE":
            extra, body = ["Content-Type: application/sdp", f"Content-Base: {url}/"], self._sdp
        elif method == "SETUP":
            extra.append(f"Transport: {self._set_up(url, headers.get('transport', ''))}")
        self._answer(headers.get("cseq", "0"), extra, body)
        if method == "PLAY":
            threading.Thread(target=self._play, name="rtsp-play", daemon=True).start()
        return method != "TEARDOWN"

    def _answer(self, cseq: str, extra: list[str], body: str) -> None:
        lines = ["RTSP/1.0 200 OK", f"CSeq: {cseq}", *extra]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self._send_all(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def _set_up(self, url: str, transport: str) -> str:
        track = int(url.rpartition("track")[2] or 0)
        if found := re.search(r"client_port=(\d+)-(\d+)", transport):
            rtp, rtcp = self._udp[track]
            to_rtp, to_rtcp = (self._host, int(found[1])), (self._host, int(found[2]))
            self._ways[track] = (lambda data: rtp.sendto(data, to_rtp), lambda data: rtcp.sendto(data, to_rtcp))
            ports = f"{rtp.getsockname()[1]}-{rtcp.getsockname()[1]}"
            return f"RTP/AVP/UDP;unicast;client_port={found[1]}-{found[2]};server_port={ports}"
        channel = 2 * track
        self._ways[track] = (self._interleaved(channel), self._interleaved(channel + 1))
        return f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"

    def _interleaved(self, channel: int) -> Send:
        return lambda data: self._send_all(b"$" + bytes([channel]) + len(data).to_bytes(2, "big") + data)

    def _play(self) -> None:
        try:
            for packet in self._packets.items():
                if way := self._ways.get(packet.track):
                    way[packet.is_rtcp](packet.data)
        except OSError:
            return  # the client is gone

    def _send_all(self, data: bytes) -> None:
        with self._lock:
            self._client.sendall(data)
