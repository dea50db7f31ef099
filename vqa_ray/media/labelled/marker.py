"""The sync test signal with a known error: the picture flashes and a tone beeps, and the tone is early or late."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np

from vqa_ray.media.labelled.coding import Coding, encode
from vqa_ray.media.labelled.material import F32, U8
from vqa_ray.media.synthetic.speech import RATE_HZ

FLASH_FRAMES = 2
BEEP_S, BEEP_HZ, BEEP = 0.08, 1000.0, 0.25  # length, pitch, amplitude (-12 dBFS)
NOISE = 0.0003  # -70 dBFS
DARK, CARD, BRIGHT = 16, 60, 235  # luma


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What is made. offset_s: of the beep behind the flash, negative when it comes early; drift: of that, a minute."""

    seconds: float
    offset_s: float = 0.0
    drift_s_per_min: float = 0.0
    every_s: float = 5.0
    first_s: float = 2.5
    fps: Fraction = Fraction(25)
    size: tuple[int, int] = (320, 180)
    share: float = 1.0  # of the picture's width that flashes

    @property
    def flashes(self) -> list[int]:
        """The frames that flash first."""
        times = np.arange(self.first_s, self.seconds - 0.2, self.every_s)
        return [round(float(at_s) * self.fps) for at_s in times]


def write_marker(path: Path, marker: Marker, coding: Coding | None = None) -> Path:
    """The signal as a file; its suffix names the format."""
    chosen = coding or Coding(suffix=path.suffix, preset="ultrafast")
    return encode(path, pictures(marker), sound(marker), marker.fps, chosen)


def pictures(marker: Marker) -> Iterator[U8]:
    """A card with a hand that goes round, and the flashes."""
    width, height = marker.size
    plain = np.full((height * 3 // 2, width), 128, np.uint8)
    plain[:height] = CARD
    plain[:height, : width // 4] = DARK
    lit = {first + n for first in marker.flashes for n in range(FLASH_FRAMES)}
    for n in range(round(marker.seconds * marker.fps)):
        made = plain.copy()
        at = n * 3 % (width - 8)
        made[height - 12 : height - 4, at : at + 8] = BRIGHT
        if n in lit:
            made[:height, : round(width * marker.share)] = BRIGHT
        yield made


def sound(marker: Marker, seed: int = 0) -> F32:
    """A beep for each flash, over a little noise; (2, n) float32."""
    made = NOISE * np.random.default_rng(seed).standard_normal((2, round(marker.seconds * RATE_HZ)))
    tone = BEEP * np.sin(2 * np.pi * BEEP_HZ * np.arange(round(BEEP_S * RATE_HZ)) / RATE_HZ)
    for at_s in beeps(marker, marker.flashes):
        first = round(at_s * RATE_HZ)
        if 0 <= first <= made.shape[1] - len(tone):
            made[:, first : first + len(tone)] += tone
    return made.astype(np.float32)


def beeps(marker: Marker, flashes: Sequence[int]) -> list[float]:
    """When the beep of each flash begins."""
    times = [float(n / marker.fps) for n in flashes]
    return [at_s + marker.offset_s + marker.drift_s_per_min * at_s / 60.0 for at_s in times]
