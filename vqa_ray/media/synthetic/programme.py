"""The test programme: moving pictures with sound, the same for the same seed, and cheap to make.

Everything costly (textures, noise, ten seconds of sound) is made once; a frame is a window that pans over a
texture, plus noise, a moving disc and a clock. All of it is drawn straight into 4:2:0 planes.
"""

import math
from typing import Annotated

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
SHAPES = 24  # in a texture; oval, since nothing in nature has edges along the grid of coded blocks
PAN_PIXELS = 96  # how far the window moves
PAN_PERIOD_S = 12.0
SCENE_S = 6.0  # a cut to another texture each so often
SCENES = 3
NOISES = 8
BLOCK = 1024  # samples of one AAC frame
LOOP_BLOCKS = 480  # 10.24 s at 48 kHz
RATE_HZ = 48_000


class Programme(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a synthetic source shows and how it is encoded. `name` is written into the picture."""

    name: str = "test"
    width: Annotated[int, msgspec.Meta(ge=32, multiple_of=2)] = 640
    height: Annotated[int, msgspec.Meta(ge=32, multiple_of=2)] = 360
    fps: Annotated[int, msgspec.Meta(ge=1, le=120)] = 25
    seed: int = 0
    picture: bool = True
    sound: bool = True
    channels: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
    key_every_s: float = 1.0
    b_frames: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0
    crf: Annotated[int, msgspec.Meta(ge=0, le=51)] = 26


class Pictures:
    """Draws frame n of a programme as planar yuv420p: (height * 3 / 2, width) uint8, written into one buffer."""

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        rng = np.random.default_rng(programme.seed)
        size = (programme.height + PAN_PIXELS, programme.width + PAN_PIXELS)
        self._luma = [_texture(rng, size, 40, 200) for _ in range(SCENES)]
        half = (size[0] // 2, size[1] // 2)
        self._chroma = [(_texture(rng, half, 90, 166), _texture(rng, half, 90, 166)) for _ in range(SCENES)]
        self._noise = [_noise(rng, (programme.height, programme.width)) for _ in range(NOISES)]
        self._buffer = np.empty((programme.height * 3 // 2, programme.width), np.uint8)

    def draw(self, n: int) -> U8:
        """Frame `n`. The buffer is used again by the next call."""
        p = self.programme
        at_s = n / p.fps
        scene = int(at_s / SCENE_S) % SCENES
        angle = 2 * math.pi * at_s / PAN_PERIOD_S
        x = int(PAN_PIXELS / 4 * (1 + math.cos(angle))) * 2
        y = int(PAN_PIXELS / 4 * (1 + math.sin(angle))) * 2
        luma = self._buffer[: p.height]
        cv2.add(self._luma[scene][y : y + p.height, x : x + p.width], self._noise[n % NOISES], dst=luma)
        self._draw_objects(luma, at_s)
        self._copy_chroma(scene, x // 2, y // 2)
        return self._buffer

    def black(self) -> U8:
        """A black picture (limited range)."""
        self._buffer[: self.programme.height] = 16
        self._buffer[self.programme.height :] = 128
        return self._buffer

    def _draw_objects(self, luma: U8, at_s: float) -> None:
        p = self.programme
        radius = max(4, p.height // 12)
        center = (int(p.width * (0.5 + 0.4 * math.sin(at_s * 1.7))), int(p.height * (0.5 + 0.3 * math.cos(at_s * 2.3))))
        cv2.circle(luma, center, radius, 225, -1)
        scale = p.height / 360
        text = f"{p.name}  {int(at_s) // 60:02d}:{at_s % 60:05.2f}"
        at = (int(16 * scale), p.height - int(20 * scale))
        cv2.putText(luma, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 235, max(1, round(2 * scale)))

    def _copy_chroma(self, scene: int, x: int, y: int) -> None:
        p = self.programme
        w, h = p.width // 2, p.height // 2
        planes = self._buffer[p.height :].reshape(-1)
        for k, texture in enumerate(self._chroma[scene]):
            planes[k * w * h : (k + 1) * w * h].reshape(h, w)[:] = texture[y : y + h, x : x + w]


def _texture(rng: np.random.Generator, size: tuple[int, int], low: int, high: int) -> U8:
    """Smooth noise of several sizes and shapes with hard edges, within [low, high]."""
    total = np.zeros(size, np.float32)
    for cell, weight in ((64, 1.0), (16, 0.5), (4, 0.2)):
        coarse = rng.random((size[0] // cell + 2, size[1] // cell + 2), np.float32)
        total += weight * cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    for _ in range(SHAPES):
        center = (int(rng.integers(0, size[1])), int(rng.integers(0, size[0])))
        axes = (int(rng.integers(4, max(5, size[1] // 10))), int(rng.integers(4, max(5, size[0] // 10))))
        shape = np.zeros(size, np.float32)
        cv2.ellipse(shape, center, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(-0.6, 0.6)), -1)
        total += shape
    scaled = cv2.normalize(total, np.empty_like(total), float(low), float(high), cv2.NORM_MINMAX)
    return np.asarray(scaled).astype(np.uint8)


def _noise(rng: np.random.Generator, size: tuple[int, int]) -> U8:
    return np.clip(rng.normal(2.0, 1.5, size), 0, 6).astype(np.uint8)


class Sounds:
    """Ten seconds of sound in a loop, cut into AAC frames: (channels, 1024) float32, full scale = 1."""

    def __init__(self, programme: Programme) -> None:
        self.channels = programme.channels
        rng = np.random.default_rng(programme.seed + 1)
        self._loop = np.stack([_sound(rng, 440.0 * (1 + 0.5 * c)) for c in range(programme.channels)])
        self._silence = np.zeros((programme.channels, BLOCK), np.float32)

    def block(self, k: int) -> F32:
        """Block `k`, which starts at k * 1024 / 48000 s."""
        start = (k % LOOP_BLOCKS) * BLOCK
        return self._loop[:, start : start + BLOCK]

    def silence(self) -> F32:
        """A block of digital silence."""
        return self._silence

    def last_channel_silent(self, k: int) -> F32:
        """Block `k` without its last channel."""
        block = self.block(k).copy()
        block[-1] = 0
        return block


def _sound(rng: np.random.Generator, tone_hz: float) -> F32:
    """A soft tone, noise with the rhythm of syllables (4 Hz), and a noise floor: about -20 dBFS, never silent."""
    t = np.arange(LOOP_BLOCKS * BLOCK) / RATE_HZ
    syllables = np.clip(np.sin(2 * np.pi * 4 * t) * np.sin(2 * np.pi * 0.3 * t + 1.0), 0, 1)
    tone = 0.08 * np.sin(2 * np.pi * tone_hz * t) * (0.7 + 0.3 * np.sin(2 * np.pi * 0.5 * t))
    noise = rng.normal(0, 1, t.size)
    speech = np.convolve(noise, np.ones(24) / 24, mode="same") * 0.5 * syllables
    mixed: F32 = np.clip(tone + speech + 0.002 * noise, -0.9, 0.9).astype(np.float32)
    return mixed
