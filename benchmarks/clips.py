"""Clips to measure with: moving, noisy, cut content at a broadcast bit rate, made with PyAV and kept in a cache.

What decoding costs depends on what is coded. So these are not test cards: a locked-off camera, one that pans, one that
zooms and turns over a texture, objects that move against it, grain, cuts, and x264 with B-frames at the given bit
rate. Decoding the 1080p30 clip costs what a real programme encoded in the same way costs (measured: 9.2 ms a frame
against 9.1).
"""

import getpass
import hashlib
import math
import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.media.synthetic.programme import BLOCK, RATE_HZ, Programme, Sounds

U8 = NDArray[np.uint8]
VERSION = 5  # of what is drawn and how it is encoded: a new one makes cached clips void
MARGIN = 1.5  # size of a texture, in pictures
SCENE_S = 4.0
SCENES = 3
OBJECTS = 4


class ClipSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One clip. bit_rate: of the video, in bits a second; sound is stereo AAC at 128 kb/s."""

    name: str
    width: int
    height: int
    fps: int
    bit_rate: int
    seconds: float
    suffix: str = ".ts"
    grain: float = 0.7  # standard deviation of the noise, grey levels
    seed: int = 7


def hd(seconds: float) -> ClipSpec:
    """1080p30 at 6 Mb/s."""
    return ClipSpec(name="1080p30", width=1920, height=1080, fps=30, bit_rate=6_000_000, seconds=seconds)


def sd(seconds: float) -> ClipSpec:
    """360p25 at 1 Mb/s."""
    return ClipSpec(name="360p25", width=640, height=360, fps=25, bit_rate=1_000_000, seconds=seconds)


def cache() -> Path:
    """Where clips are kept between runs."""
    folder = Path(tempfile.gettempdir()) / f"vqa_ray-benchmarks-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def digest(spec: object) -> str:
    """Twelve hexadecimal digits that say what is in a cached file; `spec` is all that it was made from."""
    return hashlib.sha256(msgspec.json.encode((VERSION, spec))).hexdigest()[:12]


def make(spec: ClipSpec) -> Path:
    """The clip's file, from the cache or made now; a file in the cache is always whole."""
    path = cache() / f"{spec.name}-{spec.seconds:g}s-{digest(spec)}{spec.suffix}"
    if not path.exists():
        partial = path.with_name(f"{os.getpid()}-{path.name}")
        _encode(spec, partial)
        partial.replace(path)
    return path


def _encode(spec: ClipSpec, path: Path) -> None:
    scenery, sounds = Scenery(spec), Sounds(Programme(seed=spec.seed))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=spec.fps)
        video.width, video.height, video.pix_fmt = spec.width, spec.height, "yuv420p"
        video.codec_context.bit_rate = spec.bit_rate
        video.codec_context.options = {
            "preset": "veryfast",
            "x264-params": f"bframes=3:b-pyramid=normal:keyint={2 * spec.fps}:repeat-headers=1"
            f":vbv-maxrate={spec.bit_rate * 3 // 2000}:vbv-bufsize={spec.bit_rate * 2 // 1000}",
        }
        audio = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        audio.codec_context.bit_rate = 128_000
        for packet in _packets(spec, scenery, sounds, video, audio):
            container.mux(packet)


def _packets(
    spec: ClipSpec,
    scenery: "Scenery",
    sounds: Sounds,
    video: av.VideoStream,
    audio: av.AudioStream,
) -> Iterator[Any]:
    block = 0
    for n in range(round(spec.seconds * spec.fps)):
        frame = av.VideoFrame.from_ndarray(scenery.draw(n), format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, spec.fps)
        yield from video.encode(frame)
        while block * BLOCK < (n + 1) * RATE_HZ / spec.fps:
            sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(sounds.block(block)), "fltp", "stereo")
            sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, block * BLOCK, Fraction(1, RATE_HZ)
            yield from audio.encode(sound)
            block += 1
    yield from video.encode(None)
    yield from audio.encode(None)


class Scenery:
    """Draws frame n as planar yuv420p, (height * 3 / 2, width) uint8, into one buffer that is used again."""

    def __init__(self, spec: ClipSpec) -> None:
        self.spec = spec
        self._rng = np.random.default_rng(spec.seed)
        size = (round(spec.height * MARGIN), round(spec.width * MARGIN))
        self._luma = [_texture(self._rng, size, 30, 210) for _ in range(SCENES)]
        self._chroma = [[_texture(self._rng, (size[0] // 2, size[1] // 2), 90, 166) for _ in "uv"] for _ in self._luma]
        side = spec.height // 5
        self._objects = [_texture(self._rng, (side, side), 40, 235) for _ in range(OBJECTS)]
        grain = self._rng.normal(0.0, spec.grain, (spec.height + 64, spec.width + 64))
        self._lighter = np.clip(grain, 0, 255).astype(np.uint8)
        self._darker = np.clip(-grain, 0, 255).astype(np.uint8)
        self._buffer = np.empty((spec.height * 3 // 2, spec.width), np.uint8)

    def draw(self, n: int) -> U8:
        """Frame `n`."""
        spec, at_s = self.spec, n / self.spec.fps
        scene = int(at_s / SCENE_S) % SCENES
        luma = self._buffer[: spec.height]
        cv2.warpAffine(self._luma[scene], self._camera(scene, at_s, 1.0), (spec.width, spec.height), dst=luma)
        self._move_objects(luma, at_s)
        y, x = (int(value) for value in self._rng.integers(0, 64, 2))
        cv2.add(luma, self._lighter[y : y + spec.height, x : x + spec.width], dst=luma)
        cv2.subtract(luma, self._darker[y : y + spec.height, x : x + spec.width], dst=luma)
        self._colour(scene, at_s)
        return self._buffer

    def _camera(self, scene: int, at_s: float, scale: float) -> NDArray[np.float64]:
        """One scene is locked off, one pans, one also zooms and turns; `scale` is 0.5 for chroma."""
        spec = self.spec
        center = (spec.width * MARGIN * scale / 2, spec.height * MARGIN * scale / 2)
        moves, zooms = scene > 0, scene == 2
        angle, zoom = (1.5 * math.sin(at_s * 0.7), 1.0 + 0.08 * math.sin(at_s * 0.9)) if zooms else (0.0, 1.0)
        camera = cv2.getRotationMatrix2D(center, angle, zoom)
        camera[0, 2] += spec.width * scale * (0.5 + moves * 0.16 * math.sin(at_s * 0.5)) - center[0]
        camera[1, 2] += spec.height * scale * (0.5 + moves * 0.12 * math.cos(at_s * 0.3)) - center[1]
        return np.asarray(camera)

    def _move_objects(self, luma: U8, at_s: float) -> None:
        height, width = luma.shape
        for k, patch in enumerate(self._objects):
            side = patch.shape[0]
            x = int((width - side) * (0.5 + 0.5 * math.sin(at_s * (0.9 + 0.35 * k) + k)))
            y = int((height - side) * (0.5 + 0.5 * math.cos(at_s * (0.7 + 0.3 * k) + 2 * k)))
            luma[y : y + side, x : x + side] = patch

    def _colour(self, scene: int, at_s: float) -> None:
        spec = self.spec
        width, height = spec.width // 2, spec.height // 2
        planes = self._buffer[spec.height :].reshape(-1)
        camera = self._camera(scene, at_s, 0.5)
        for k, texture in enumerate(self._chroma[scene]):
            plane = planes[k * width * height : (k + 1) * width * height].reshape(height, width)
            cv2.warpAffine(texture, camera, (width, height), dst=plane)


def _texture(rng: np.random.Generator, size: tuple[int, int], low: int, high: int) -> U8:
    """Smooth noise of several sizes with hard edges, (h, w) uint8 within [low, high]."""
    total = np.zeros(size, np.float32)
    for cell, weight in ((96, 1.0), (24, 0.5), (6, 0.15)):
        coarse = rng.random((size[0] // cell + 2, size[1] // cell + 2), np.float32)
        total += weight * cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    for _ in range(30):
        y, x = (int(rng.integers(0, limit)) for limit in size)
        h, w = (int(rng.integers(4, max(5, limit // 6))) for limit in size)
        total[y : y + h, x : x + w] += float(rng.uniform(-0.6, 0.6))
    scaled = cv2.normalize(total, np.empty_like(total), float(low), float(high), cv2.NORM_MINMAX)
    return np.asarray(scaled).astype(np.uint8)
