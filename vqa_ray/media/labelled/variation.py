"""The same material looking and sounding otherwise: so that hours of clean time are not one minute many times over."""

import math
from collections.abc import Iterator

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.media.labelled.material import F32, U8, Material
from vqa_ray.media.synthetic.speech import RATE_HZ

BLACK_Y, WHITE_Y, GREY = 16, 235, 128
LEAST_SIDE = 176  # pixels; what would be smaller is not scaled


class Variation(msgspec.Struct, frozen=True, kw_only=True):
    """crop: share of each side cut off and scaled back; gain: of luma over black; hue: degrees; speed: of picture and
    sound; letterbox: share of the height that is black bars; volume: of the sound; scale: of width and height."""

    crop: float = 0.0
    flip: bool = False
    gain: float = 1.0
    hue: float = 0.0
    speed: float = 1.0
    letterbox: float = 0.0
    volume: float = 1.0
    scale: float = 1.0


def drawn(rng: np.random.Generator) -> Variation:
    """One at random: crop up to 25 %, gain 0.35 to 1.1, all hues, up to 1.5 times as fast, at times letterboxed or half
    the size.
    """
    return Variation(
        crop=float(rng.uniform(0.0, 0.25)),
        flip=bool(rng.random() < 0.5),
        gain=float(rng.choice([0.35, 0.6, 0.85, 1.0, 1.1])),
        hue=float(rng.uniform(-180, 180)) if rng.random() < 0.5 else 0.0,
        speed=float(rng.choice([1.0, 1.0, 1.25, 1.5])),
        letterbox=float(rng.choice([0.0, 0.0, 0.12, 0.22])),
        volume=float(rng.choice([0.4, 0.7, 1.0])),
        scale=float(rng.choice([1.0, 0.75, 0.5, 0.5])),
    )


class Varied:
    """Material under a variation."""

    def __init__(self, material: Material, variation: Variation) -> None:
        self._material = material
        self.variation = variation
        self.name = f"{material.name}, varied"
        scale = variation.scale if min(material.size) * variation.scale >= LEAST_SIDE else 1.0
        width, height = (round(side * scale / 2) * 2 for side in material.size)
        self.size, self.fps = (width, height), material.fps
        self.length_s = material.length_s / variation.speed
        levels = np.arange(256, dtype=np.float32)
        self._levels = np.clip(BLACK_Y + (levels - BLACK_Y) * variation.gain, 0, WHITE_Y).round().astype(np.uint8)

    def pictures(self, start_s: float) -> Iterator[U8]:
        """As `Material` says; when it is faster, some pictures are left out."""
        speed, due = self.variation.speed, 0.0
        for n, picture in enumerate(self._material.pictures(start_s * speed)):
            if n >= due:
                due += speed
                yield self._look(picture)

    def sound(self, start_s: float, seconds: float) -> F32:
        """As `Material` says; when it is faster, it is higher."""
        speed = self.variation.speed
        taken = self._material.sound(start_s * speed, seconds * speed + 0.01)
        at = np.arange(round(seconds * RATE_HZ)) * speed
        grid = np.arange(taken.shape[1])
        made = np.stack([np.interp(at, grid, channel) for channel in taken]) if speed != 1.0 else taken[:, : at.size]
        return (made * self.variation.volume).astype(np.float32)

    def _look(self, picture: U8) -> U8:
        width, height = self.size
        luma, u, v = planes(picture)
        luma = self._framed(cv2.LUT(luma, self._levels), (width, height), BLACK_Y)
        u, v = (self._framed(plane, (width // 2, height // 2), GREY) for plane in (u, v))
        if self.variation.hue:
            u, v = _turned(u, v, math.radians(self.variation.hue))
        return joined(luma, u, v)

    def _framed(self, plane: NDArray[np.uint8], size: tuple[int, int], bars: int) -> U8:
        height, width = plane.shape
        x, y = (int(side * self.variation.crop / 2) for side in (width, height))
        part = plane[y : height - y, x : width - x]
        if (part.shape[1], part.shape[0]) != size:
            way = cv2.INTER_AREA if part.shape[0] > size[1] else cv2.INTER_LINEAR
            part = np.asarray(cv2.resize(part, size, interpolation=way), np.uint8)
        plane = part[:, ::-1].copy() if self.variation.flip else part.copy()
        height = size[1]
        edge = int(height * self.variation.letterbox / 2)
        if edge:
            plane[:edge] = plane[height - edge :] = bars
        return plane


def planes(picture: U8) -> tuple[U8, U8, U8]:
    """Views of luma and both chroma planes."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    return picture[:height], chroma[0], chroma[1]


def joined(luma: U8, u: U8, v: U8) -> U8:
    """The planes as one picture."""
    made = np.empty((luma.shape[0] * 3 // 2, luma.shape[1]), np.uint8)
    for target, source in zip(planes(made), (luma, u, v), strict=True):
        target[:] = source
    return made


def _turned(u: U8, v: U8, angle: float) -> tuple[U8, U8]:
    a, b = math.cos(angle), math.sin(angle)
    both = cv2.merge([u, v])
    shift = GREY * (1 - a + b), GREY * (1 - a - b)
    turned = cv2.transform(both, np.array([[a, -b, shift[0]], [b, a, shift[1]]], np.float32))
    made = cv2.split(turned)
    return np.asarray(made[0], np.uint8), np.asarray(made[1], np.uint8)
