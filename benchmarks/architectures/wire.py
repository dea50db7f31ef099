"""Pictures and sound as bytes, for architectures that hand them from process to process.

A picture is a header and its planes, one after the other, exactly as they were decoded (`raw`), as JPEG, or halved
until it is near 320x180 (`small`). What is read back is a view of the bytes: nothing is copied.
"""

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import msgspec
import numpy as np

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture, Plane, shrink

RAW, JPEG, SMALL = "raw", "jpeg", "small"
JPEG_QUALITY = 90
Buffer = bytes | bytearray | memoryview

_LENGTH = struct.Struct("<II")  # of the header and of what follows it


class PictureHead(msgspec.Struct, frozen=True, array_like=True):
    """All of a picture but its planes. decoded_s: monotonic clock when it had been decoded; shapes: of its planes."""

    seq: int
    at_s: float
    until_s: float
    bit_depth: int
    full_range: bool
    interlaced: bool
    key: bool
    corrupt: bool
    decoded_s: float
    shapes: tuple[tuple[int, int], ...]
    form: str


class BlockHead(msgspec.Struct, frozen=True, array_like=True):
    """All of a block of sound but its samples."""

    seq: int
    at_s: float
    until_s: float
    rate_hz: int
    channels: tuple[str, ...]
    samples: int


class Shown(NamedTuple):
    """A picture as it came over the wire."""

    head: PictureHead
    planes: tuple[Plane, ...]


_picture_head = msgspec.msgpack.Decoder(PictureHead)
_block_head = msgspec.msgpack.Decoder(BlockHead)


def pack_picture(seq: int, picture: Picture, decoded_s: float, form: str = RAW) -> bytes:
    """The picture as bytes."""
    planes = (picture.luma, *(picture.chroma or ()))
    if form == SMALL:
        planes = (shrink(picture.luma, picture.bit_depth), *(_halved(p, picture) for p in planes[1:]))
    head = PictureHead(
        seq=seq,
        at_s=picture.at_s,
        until_s=picture.until_s,
        bit_depth=8 if form == SMALL else picture.bit_depth,
        full_range=picture.full_range,
        interlaced=picture.interlaced,
        key=picture.key,
        corrupt=picture.corrupt,
        decoded_s=decoded_s,
        shapes=tuple((plane.shape[0], plane.shape[1]) for plane in planes),
        form=form,
    )
    parts = [_jpeg(plane) if form == JPEG else np.ascontiguousarray(plane).tobytes() for plane in planes]
    return _framed(msgspec.msgpack.encode(head), [*map(_sized, parts)] if form == JPEG else parts)


def unpack_pictures(data: Buffer) -> list[Shown]:
    """All pictures in a run of bytes."""
    return [_shown(head, body) for head, body in _unframed(data)]


def pack_block(seq: int, block: AudioBlock) -> bytes:
    """The block of sound as bytes."""
    head = BlockHead(seq, block.at_s, block.until_s, block.rate_hz, block.channels, block.samples.shape[1])
    return _framed(msgspec.msgpack.encode(head), [block.samples.tobytes()])


def unpack_blocks(data: Buffer) -> list[tuple[int, AudioBlock]]:
    """All blocks in a run of bytes, each with its number in the stream."""
    out = []
    for packed, body in _unframed(data):
        head = _block_head.decode(packed)
        samples = np.frombuffer(body, np.float32).reshape(len(head.channels), head.samples)
        block = AudioBlock(samples, at_s=head.at_s, until_s=head.until_s, rate_hz=head.rate_hz, channels=head.channels)
        out.append((head.seq, block))
    return out


class Chain:
    """Makes pictures of what came over the wire, each with what the one before it left, as the decoder's side does."""

    def __init__(self) -> None:
        self._shapes: tuple[tuple[int, int], ...] = ()
        self._small: Plane | None = None
        self._sketch: Plane | None = None
        self._last: Picture | None = None

    def picture(self, shown: Shown) -> Picture:
        """The next picture of the stream."""
        self.release()
        head = shown.head
        if head.shapes != self._shapes:
            self._shapes, self._small, self._sketch = head.shapes, None, None
        u_and_v = (shown.planes[1], shown.planes[2]) if len(shown.planes) == 3 else None
        self._last = Picture(
            shown.planes[0],
            at_s=head.at_s,
            until_s=head.until_s,
            bit_depth=head.bit_depth,
            full_range=head.full_range,
            interlaced=head.interlaced,
            key=head.key,
            corrupt=head.corrupt,
            chroma=lambda: u_and_v,
            before=self._small,
            sketch_before=self._sketch,
        )
        return self._last

    def release(self) -> None:
        """Keep of the last picture what the next one is given; its bytes are needed no more.

        In one process some detector has asked for each picture's sketch; here it may be another's process.
        """
        if self._last is not None:
            self._small, self._sketch = self._last._small, self._last.sketch
            self._last = None


def _halved(plane: Plane, picture: Picture) -> Plane:
    """A chroma plane, halved as often as the luma is."""
    factor = round(math.log2(max(1, picture.luma.shape[1] // max(1, shrink(picture.luma).shape[1]))))
    size = (max(1, plane.shape[1] >> factor), max(1, plane.shape[0] >> factor))
    smaller: Plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return smaller if picture.bit_depth == 8 else (smaller >> (picture.bit_depth - 8)).astype(np.uint8)


def _jpeg(plane: Plane) -> bytes:
    done, coded = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"a plane of {plane.shape} cannot be coded as JPEG")
    return coded.tobytes()


def _shown(packed: Buffer, body: memoryview) -> Shown:
    head = _picture_head.decode(packed)
    planes: list[Plane] = []
    dtype, start = np.dtype(np.uint8 if head.bit_depth == 8 else np.uint16), 0
    for height, width in head.shapes:
        if head.form == JPEG:
            size = int.from_bytes(body[start : start + 4], "little")
            coded = np.frombuffer(body[start + 4 : start + 4 + size], np.uint8)
            plane = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
            assert plane is not None
            planes.append(plane)
            start += 4 + size
        else:
            size = height * width * dtype.itemsize
            planes.append(np.frombuffer(body[start : start + size], dtype).reshape(height, width))
            start += size
    return Shown(head, tuple(planes))


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(4, "little") + part


def _framed(head: bytes, parts: Sequence[bytes]) -> bytes:
    return b"".join((_LENGTH.pack(len(head), sum(map(len, parts))), head, *parts))


def _unframed(data: Buffer) -> list[tuple[memoryview, memoryview]]:
    view, start, out = memoryview(data).cast("B"), 0, []
    while start < len(view):
        head, body = _LENGTH.unpack_from(view, start)
        start += _LENGTH.size
        out.append((view[start : start + head], view[start + head : start + head + body]))
        start += head + body
    return out
