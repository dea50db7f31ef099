"""What one stream takes of an analyzer: CPU and memory, expected until it is measured. Pure.

A share is CPU seconds per second of wall time: 1.0 is one core kept busy.
"""

import math

import msgspec

UNKNOWN_SHARE = 0.10  # a stream of which nothing is known: 720p25 H.264, measured 0.11
UNKNOWN_BYTES = 30 << 20  # the same
HALF_LIFE_S = 10.0  # of a measured share: long enough for a GOP and a scene change, short enough for a new ladder step
_PER_PIXEL = 4.9e-9  # CPU seconds a decoded and analysed pixel, and
_PER_FRAME = 6.0e-4  # a frame: fits 360p25 at 0.043, 720p25 at 0.11 and 1080p30 at 0.32 of a core, measured
_OF_CODEC = {"h264": 1.0, "mpeg2video": 0.7, "hevc": 1.5, "vp9": 1.3, "av1": 1.5}  # coarse; measured within seconds
_BYTES = (
    12 << 20
)  # beside its pictures: packets, detectors, a thread; an added stream measured 11.3 MB over its decoder
_PICTURES = 12  # that a decoder keeps; 720p measured 18 MB in all
_PICTURE_BYTES = 1.5  # a pixel, 4:2:0 with 8 bits


class Shape(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a stream's picture before its cost was measured."""

    width: int
    height: int
    fps: float
    codec: str = "h264"


def expected_share(shape: Shape | None) -> float:
    """The share to reserve for a stream that was never measured."""
    if shape is None:
        return UNKNOWN_SHARE
    pixels = shape.width * shape.height * shape.fps
    return (pixels * _PER_PIXEL + shape.fps * _PER_FRAME) * _OF_CODEC.get(shape.codec, 1.0)


def expected_bytes(shape: Shape | None) -> int:
    """The memory to reserve for a stream; its threads share a process, so it is never measured alone."""
    if shape is None:
        return UNKNOWN_BYTES
    return _BYTES + int(_PICTURES * shape.width * shape.height * _PICTURE_BYTES)


def smoothed(before: float | None, measured: float, elapsed_s: float) -> float:
    """`before` moved towards `measured`, half the way in HALF_LIFE_S; the first measurement counts in full."""
    if before is None:
        return measured
    weight = 1.0 - math.pow(0.5, max(0.0, elapsed_s) / HALF_LIFE_S)
    return before + weight * (measured - before)
