"""Decoded frames as pictures: the luma plane in place, whatever the pixel format.

Planar YUV and grey of 8 to 16 bits, and the NV and P0 families, are viewed without a copy. Everything else (RGB,
palettes, packed YUV, big-endian, images stored upside down) is converted to planar YUV 4:4:4 in limited range first.
"""

from functools import partial
from typing import Any

import cv2
import msgspec
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, VideoReformatter

from vqa_ray.core.picture import Picture, Plane

LIMITED_RANGE, FULL_RANGE = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG


class PixelLayout(msgspec.Struct, frozen=True):
    """How a pixel format is read. native: without conversion; bit_depth: significant low bits of a sample."""

    native: bool
    dtype: Any = np.uint8
    item: int = 1  # bytes of a sample
    bit_depth: int = 8
    full_range: bool = False
    chroma: str = "planes"  # or "pairs" (NV12, P010), "none"


class PictureMaker:
    """Turns the frames of one connection into pictures; remembers the small luma of the one before."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)  # a stream has one thread; OpenCV's own would only fight over the cores
        self._layouts: dict[str, PixelLayout] = {}
        self._reformatter: VideoReformatter | None = None
        self._last: Picture | None = None
        self._before: Plane | None = None
        self._sketch_before: Plane | None = None
        self._shape = (0, 0)  # of the one before
        self._layout: PixelLayout | None = None
        self.form = (0, 0, "")  # width, height and pixel format of the frame before

    def release(self) -> None:
        """The last picture was looked at: keep what it left for the next, let go of its frame."""
        last = self._last
        if last is not None:
            self._before, self._sketch_before, self._shape = last._small, last._sketch, last.luma.shape
            self._last = None

    def show(self, picture: Picture) -> None:
        """`picture` is looked at next. Call `release` before each."""
        if picture.luma.shape == self._shape:
            picture.before, picture.sketch_before = self._before, self._sketch_before
        self._last = picture

    def make(self, frame: VideoFrame, at_s: float, until_s: float, damaged: bool) -> Picture:
        """A view of `frame`; damaged: data before it could not be decoded."""
        width, height, _ = form = frame.width, frame.height, frame.format.name
        if form != self.form:
            self.form = form
            self._layout = self._layout_of(frame)
        layout = self._layout
        assert layout is not None
        key, corrupt, interlaced = frame.key_frame, damaged or frame.is_corrupt, frame.interlaced_frame
        color_range = frame.color_range
        full_range = color_range == FULL_RANGE or (layout.full_range and color_range != LIMITED_RANGE)
        plane: Any = VideoPlane(frame, 0) if layout.native else None
        if plane is None or (line_size := plane.line_size) < 0:
            frame = self._planar(frame, layout)
            layout, full_range, plane = self._layout_of(frame), frame.color_range == FULL_RANGE, VideoPlane(frame, 0)
            line_size = plane.line_size
        return Picture(
            np.ndarray((height, width), layout.dtype, plane, 0, (line_size, layout.item)),
            at_s=at_s,
            until_s=until_s,
            bit_depth=layout.bit_depth,
            full_range=full_range,
            interlaced=interlaced,
            key=key,
            corrupt=corrupt,
            chroma=partial(chroma_planes, frame, layout),
        )

    def _layout_of(self, frame: VideoFrame) -> PixelLayout:
        name = frame.format.name
        if name not in self._layouts:
            self._layouts[name] = layout_of(frame)
        return self._layouts[name]

    def _planar(self, frame: VideoFrame, layout: PixelLayout) -> VideoFrame:
        if self._reformatter is None:
            self._reformatter = VideoReformatter()
        target = frame.format.name if layout.native else ("yuv444p" if layout.bit_depth == 8 else "yuv444p12le")
        if layout.native:  # stored upside down: only a real conversion turns it
            target = "yuv444p" if layout.bit_depth == 8 else "yuv444p16le"
        source = ColorRange.JPEG if frame.color_range == FULL_RANGE else ColorRange.MPEG
        return self._reformatter.reformat(
            frame, format=target, src_color_range=source, dst_color_range=ColorRange.MPEG, threads=1
        )


def layout_of(frame: VideoFrame) -> PixelLayout:
    """How frames of this pixel format are read."""
    form = frame.format
    name, parts = form.name, form.components
    depth = max(part.bits for part in parts)
    alone = sum(part.plane == parts[0].plane for part in parts) == 1
    native = alone and not form.is_rgb and not form.has_palette and not form.is_bit_stream and depth <= 16
    if not native or (depth > 8 and form.is_big_endian) or "f32" in name or "f16" in name:
        return PixelLayout(False, bit_depth=8 if depth <= 8 else 12)
    planes = {part.plane for part in parts[1:3]}
    chroma = "none" if len(parts) < 3 else ("planes" if len(planes) == 2 else "pairs")
    if name.startswith(("p0", "p2", "p4")):  # samples sit in the high bits: read as 16 bits they have the right scale
        depth = 16
    full_range = name.startswith(("yuvj", "gray"))  # unless the frame says otherwise, as swscale has it
    return PixelLayout(True, np.uint8 if depth <= 8 else np.uint16, 1 if depth <= 8 else 2, depth, full_range, chroma)


def chroma_planes(frame: VideoFrame, layout: PixelLayout) -> tuple[Plane, Plane] | None:
    """The chroma planes of a planar frame as they are stored, (h', w') each; None without colour."""
    if layout.chroma == "none":
        return None
    if layout.chroma == "pairs":
        both = _view(VideoPlane(frame, 1), layout, 2)
        u, v = np.ascontiguousarray(both[:, 0::2]), np.ascontiguousarray(both[:, 1::2])
        return (v, u) if frame.format.name in ("nv21", "nv42") else (u, v)
    return _view(VideoPlane(frame, 1), layout, 1), _view(VideoPlane(frame, 2), layout, 1)


def _view(plane: Any, layout: PixelLayout, samples: int) -> Plane:
    shape, strides = (plane.height, plane.width * samples), (plane.line_size, layout.item)
    return np.ndarray(shape, layout.dtype, plane, 0, strides)
