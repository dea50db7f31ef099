"""Pictures with what makes a real programme hard to code and easy to get wrong: camera, objects, grain, cuts.

A locked-off camera, one that pans, one that zooms and turns over a texture, objects that move against it, grain, and a
cut each few seconds. Frame n is the same whatever was drawn before it.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
MARGIN = 1.5  # size of a texture, in pictures
SCENE_S = 4.0
SCENES = 3
OBJECTS = 4
GRAIN_PLACES = 251  # where the grain is cut from, in turn; a prime, so that it keeps no time with anything
GRAIN_MARGIN = 64


class Scenery:
    """Draws frame n as planar yuv420p, (height * 3 / 2, width) uint8, into one buffer that is used again."""

    def __init__(
        self, width: int, height: int, fps: float, *, seed: int = 0, grain: float = 0.7, oval: bool = False
    ) -> None:
        """`grain`: standard deviation of the noise, in grey levels; width and height are even. oval: no shape has a
        straight edge, as a detector of coded blocks asks for: nothing in nature lies on their grid."""
        self.width, self.height, self.fps = width, height, fps
        rng = np.random.default_rng(seed)
        size = (round(height * MARGIN), round(width * MARGIN))
        self._luma = [_texture(rng, size, 30, 210, oval) for _ in range(SCENES)]
        self._chroma = [[_texture(rng, (size[0] // 2, size[1] // 2), 90, 166, oval) for _ in "uv"] for _ in self._luma]
        side = height // 5
        self._objects = [_texture(rng, (side, side), 40, 235, oval) for _ in range(OBJECTS)]
        self._outline = _ellipse((side, side)) if oval else np.full((side, side), 255, np.uint8)
        noise = rng.normal(0.0, grain, (height + GRAIN_MARGIN, width + GRAIN_MARGIN))
        self._lighter = np.clip(noise, 0, 255).astype(np.uint8)
        self._darker = np.clip(-noise, 0, 255).astype(np.uint8)
        self._places = rng.integers(0, GRAIN_MARGIN, (GRAIN_PLACES, 2)).tolist()
        self._buffer = np.empty((height * 3 // 2, width), np.uint8)

    def draw(self, n: int) -> U8:
        """Frame `n`."""
        at_s = n / self.fps
        scene = int(at_s / SCENE_S) % SCENES
        luma = self._buffer[: self.height]
        cv2.warpAffine(self._luma[scene], self._camera(scene, at_s, 1.0), (self.width, self.height), dst=luma)
        self._move_objects(luma, at_s)
        y, x = self._places[n % GRAIN_PLACES]
        cv2.add(luma, self._lighter[y : y + self.height, x : x + self.width], dst=luma)
        cv2.subtract(luma, self._darker[y : y + self.height, x : x + self.width], dst=luma)
        self._colour(scene, at_s)
        return self._buffer

    def _camera(self, scene: int, at_s: float, scale: float) -> NDArray[np.float64]:
        """One scene is locked off, one pans, one also zooms and turns; `scale` is 0.5 for chroma."""
        center = (self.width * MARGIN * scale / 2, self.height * MARGIN * scale / 2)
        moves, zooms = scene > 0, scene == 2
        angle, zoom = (1.5 * math.sin(at_s * 0.7), 1.0 + 0.08 * math.sin(at_s * 0.9)) if zooms else (0.0, 1.0)
        camera = cv2.getRotationMatrix2D(center, angle, zoom)
        camera[0, 2] += self.width * scale * (0.5 + moves * 0.16 * math.sin(at_s * 0.5)) - center[0]
        camera[1, 2] += self.height * scale * (0.5 + moves * 0.12 * math.cos(at_s * 0.3)) - center[1]
        return np.asarray(camera)

    def _move_objects(self, luma: U8, at_s: float) -> None:
        height, width = luma.shape
        for k, patch in enumerate(self._objects):
            side = patch.shape[0]
            x = int((width - side) * (0.5 + 0.5 * math.sin(at_s * (0.9 + 0.35 * k) + k)))
            y = int((height - side) * (0.5 + 0.5 * math.cos(at_s * (0.7 + 0.3 * k) + 2 * k)))
            cv2.copyTo(patch, self._outline, luma[y : y + side, x : x + side])

    def _colour(self, scene: int, at_s: float) -> None:
        width, height = self.width // 2, self.height // 2
        planes = self._buffer[self.height :].reshape(-1)
        camera = self._camera(scene, at_s, 0.5)
        for k, texture in enumerate(self._chroma[scene]):
            plane = planes[k * width * height : (k + 1) * width * height].reshape(height, width)
            cv2.warpAffine(texture, camera, (width, height), dst=plane)


def _texture(rng: np.random.Generator, size: tuple[int, int], low: int, high: int, oval: bool) -> U8:
    """Smooth noise of several sizes with hard edges, (h, w) uint8 within [low, high]."""
    total = np.zeros(size, np.float32)
    for cell, weight in ((96, 1.0), (24, 0.5), (6, 0.15)):
        coarse = rng.random((size[0] // cell + 2, size[1] // cell + 2), np.float32)
        total += weight * cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    for _ in range(30):
        y, x = (int(rng.integers(0, limit)) for limit in size)
        h, w = (int(rng.integers(4, max(5, limit // 6))) for limit in size)
        step = float(rng.uniform(-0.6, 0.6))
        part = total[y : y + h, x : x + w]
        part += step * (_ellipse((part.shape[0], part.shape[1])) > 0) if oval else step
    scaled = cv2.normalize(total, np.empty_like(total), float(low), float(high), cv2.NORM_MINMAX)
    return np.asarray(scaled).astype(np.uint8)


def _ellipse(size: tuple[int, int]) -> U8:
    """255 within the ellipse that fills (h, w), 0 around it."""
    mask = np.zeros(size, np.uint8)
    height, width = size
    cv2.ellipse(mask, (width // 2, height // 2), (max(1, width // 2 - 1), max(1, height // 2 - 1)), 0, 0, 360, 255, -1)
    return mask
