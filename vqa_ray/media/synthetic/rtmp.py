"""A small RTMP server that plays one live stream to any number of clients (Adobe RTMP 1.0, AMF 0).

Publishing, seeking and the encrypted variants are not spoken: a source only has to be played.
"""

import os
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np

from vqa_ray.media.synthetic.door import Door, Fanout
from vqa_ray.media.synthetic.encode import add_audio, add_video
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.transport import Collector

if TYPE_CHECKING:
    from vqa_ray.media.synthetic.transport import Coded

HANDSHAKE_BYTES = 1536
CHUNK_BYTES = 60_000
MESSAGE_LIMIT_BYTES = 1 << 20
SET_CHUNK_SIZE, USER_CONTROL, WINDOW_SIZE, PEER_BANDWIDTH, AUDIO, VIDEO, DATA, COMMAND = 1, 4, 5, 6, 8, 9, 18, 20
DAMAGED = 0.2  # share of coded pictures that are overwritten in part, as TCP loses nothing
DAMAGE_BYTES = 24


class Tag(NamedTuple):
    """One FLV tag, which is one RTMP message."""

    kind: int
    at_ms: int
    body: bytes

    @property
    def is_header(self) -> bool:
        """Metadata, or the decoder configuration of the picture or the sound."""
        return self.kind == DATA or (self.body[1] == 0 and (self.kind == AUDIO or self.body[0] & 0x0F == 7))

    @property
    def is_key(self) -> bool:
        """A coded picture with which a player can begin."""
        return self.kind == VIDEO and self.body[0] >> 4 == 1 and not self.is_header


class FlvReader:
    """Cuts the bytes of an FLV muxer into tags."""

    def __init__(self) -> None:
        self._data = b""
        self._head_seen = False

    def read(self, data: bytes) -> Iterator[Tag]:
        """The tags that are complete with `data`."""
        self._data += data
        if not self._head_seen and len(self._data) >= 13:
            self._data = self._data[13:]  # file header, and the size of no tag before it
            self._head_seen = True
        while self._head_seen and len(self._data) >= 11:
            size = int.from_bytes(self._data[1:4], "big")
            if len(self._data) < 11 + size + 4:
                return
            at_ms = int.from_bytes(self._data[7:8] + self._data[4:7], "big")
            yield Tag(self._data[0], at_ms, self._data[11 : 11 + size])
            self._data = self._data[11 + size + 4 :]


class RtmpOutlet:
    """An outlet that is played over RTMP."""

    playable = True

    def __init__(self, programme: Programme, host: str, port: int) -> None:
        self._out = Collector()
        options = {"flush_packets": "1", "flvflags": "no_duration_filesize"}
        self._container = av.open(self._out, "w", format="flv", options=options)
        self.video = add_video(self._container, programme) if programme.picture else None
        self.audio = add_audio(self._container, programme) if programme.sound else None
        self._reader = FlvReader()
        self._headers: tuple[Tag, ...] = ()
        self._tags: Fanout[Tag] = Fanout()
        self._rng = np.random.default_rng(programme.seed)
        self._door = Door(self._serve, host, port)

    @property
    def url(self) -> str:
        """What a player opens."""
        return f"rtmp://{self._door.host}:{self._door.port}/live/test"

    def send(self, packets: "list[Coded]", *, lossy: bool) -> None:
        """To all who watch."""
        for tag in self._mux(packets):
            self._tags.send(self._damaged(tag) if lossy else tag)

    def hold(self, packets: "list[Coded]") -> None:
        """Nothing is sent."""
        self._mux(packets)

    def leave_air(self) -> None:
        """Connections end, new ones are refused."""
        self._door.shut()
        self._tags.end_all()

    def enter_air(self) -> None:
        """Listens."""
        self._door.open()

    def close(self) -> None:
        """Lets everything go."""
        self.leave_air()
        self._container.close()

    def _mux(self, packets: "list[Coded]") -> list[Tag]:
        if packets:
            self._container.mux(packets)
        tags = list(self._reader.read(self._out.take()))
        self._headers += tuple(tag for tag in tags if tag.is_header)
        return [tag for tag in tags if not tag.is_header]

    def _damaged(self, tag: Tag) -> Tag:
        first = len(tag.body) // 2
        if tag.kind != VIDEO or first < 2 * DAMAGE_BYTES or self._rng.random() >= DAMAGED:
            return tag
        body = bytearray(tag.body)
        body[first : first + DAMAGE_BYTES] = self._rng.bytes(DAMAGE_BYTES)
        return Tag(tag.kind, tag.at_ms, bytes(body))

    def _serve(self, client: socket.socket) -> None:
        session = Session(client)
        session.until_play()
        pending = self._tags.items()
        started = False
        for tag in pending:
            if not started and self.video is not None and not tag.is_key:
                continue
            if not started:
                for header in self._headers:
                    session.send(header.kind, header.body, stream=1, at_ms=tag.at_ms)
                started = True
            session.send(tag.kind, tag.body, stream=1, at_ms=tag.at_ms)


class Session:
    """The talk with one client, until it wants to play."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._file = client.makefile("rb")
        self._chunk_bytes = 128
        self._partial: dict[int, tuple[int, int, bytes]] = {}  # chunk stream: (size, kind, what came)

    def until_play(self) -> None:
        """Handshake, connect, createStream, play; ValueError or EOFError if the client does otherwise."""
        self._shake_hands()
        for _ in range(64):
            kind, body = self._message()
            if kind == COMMAND and self._obey(*_command(body)):
                return
        raise ValueError("no play command")

    def send(self, kind: int, body: bytes, *, stream: int = 0, at_ms: int = 0) -> None:
        """One message, in chunks."""
        channel = {VIDEO: 6, AUDIO: 4}.get(kind, 3)
        short = min(at_ms, 0xFFFFFF)
        extended = struct.pack(">I", at_ms & 0xFFFFFFFF) if short == 0xFFFFFF else b""
        head = bytes([channel]) + short.to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind])
        data = [head, struct.pack("<I", stream), extended]
        for start in range(0, max(1, len(body)), CHUNK_BYTES):
            data += [bytes([0xC0 | channel]), extended] if start else []
            data.append(body[start : start + CHUNK_BYTES])
        self._client.sendall(b"".join(data))

    def _shake_hands(self) -> None:
        self._read(1)
        theirs = self._read(HANDSHAKE_BYTES)
        ours = bytes(8) + os.urandom(HANDSHAKE_BYTES - 8)
        self._client.sendall(b"\x03" + ours + theirs)
        self._read(HANDSHAKE_BYTES)

    def _obey(self, name: str, number: float) -> bool:
        if name == "connect":
            self.send(WINDOW_SIZE, struct.pack(">I", 2_500_000))
            self.send(PEER_BANDWIDTH, struct.pack(">IB", 2_500_000, 2))
            self.send(SET_CHUNK_SIZE, struct.pack(">I", CHUNK_BYTES))
            self._result(number, {"fmsVer": "FMS/3,0,1,123"}, _status("NetConnection.Connect.Success"))
        elif name == "createStream":
            self._result(number, None, 1.0)
        elif name == "play":
            self.send(USER_CONTROL, struct.pack(">HI", 0, 1))  # stream 1 begins
            self.send(COMMAND, _amf("onStatus", 0.0, None, _status("NetStream.Play.Start")), stream=1)
            return True
        return False

    def _result(self, number: float, *values: object) -> None:
        self.send(COMMAND, _amf("_result", number, *values))

    def _message(self) -> tuple[int, bytes]:
        while True:
            done = self._chunk()
            if done is None:
                continue
            kind, body = done
            if kind == SET_CHUNK_SIZE:
                self._chunk_bytes = max(1, int.from_bytes(body[:4], "big"))
                continue
            return kind, body

    def _chunk(self) -> tuple[int, bytes] | None:
        first = self._read(1)[0]
        form, channel = first >> 6, first & 0x3F
        if channel == 0:
            channel = 64 + self._read(1)[0]
        size, kind, body = self._partial.get(channel, (0, 0, b""))
        head = self._read((11, 7, 3, 0)[form])
        if form <= 1:
            size, kind = int.from_bytes(head[3:6], "big"), head[6]
        if form <= 2 and head[:3] == b"\xff\xff\xff":
            self._read(4)
        if size > MESSAGE_LIMIT_BYTES:
            raise ValueError("message too long")
        body += self._read(min(self._chunk_bytes, size - len(body)))
        done = len(body) >= size
        self._partial[channel] = (size, kind, b"" if done else body)
        return (kind, body) if done else None

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise EOFError
        return data


def _command(body: bytes) -> tuple[str, float]:
    """Name and number of a command: an AMF 0 string and number; ValueError if it is none."""
    if len(body) < 3 or body[0] != 2:
        raise ValueError("no command")
    end = 3 + int.from_bytes(body[1:3], "big")
    number = struct.unpack(">d", body[end + 1 : end + 9])[0] if len(body) >= end + 9 else 0.0
    return body[3:end].decode("utf-8", "replace"), number


def _status(code: str) -> dict[str, str]:
    return {"level": "status", "code": code, "description": code}


def _amf(*values: object) -> bytes:
    """Values in AMF 0: str, float, None, and objects of them."""
    return b"".join(_amf_value(value) for value in values)


def _amf_value(value: object) -> bytes:
    if isinstance(value, str):
        return b"\x02" + _amf_text(value)
    if isinstance(value, float):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, dict):
        pairs = b"".join(_amf_text(key) + _amf_value(item) for key, item in value.items())
        return b"\x03" + pairs + b"\x00\x00\x09"
    return b"\x05"


def _amf_text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
