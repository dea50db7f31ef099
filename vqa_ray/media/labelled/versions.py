"""Two versions of one programme with a known sync error between them, as they leave a studio and come out of a network.

The output has other size, rate, coding, levels and a logo, is delayed as a whole, and its sound is early or late.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import msgspec
import numpy as np

from vqa_ray.media.labelled.coding import Coding, encode
from vqa_ray.media.labelled.material import F32, U8
from vqa_ray.media.labelled.variation import joined, planes
from vqa_ray.media.synthetic.scenery import Scenery
from vqa_ray.media.synthetic.speech import RATE_HZ, speech

MASTER_SIZE, MASTER_FPS = (320, 180), 50.0
BEGIN_S = 10.0  # of the programme, where the reference begins
LOGO = 235


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """How one version differs. delay_s: of all of it; offset_s: of its sound beyond that; drift: of that, a minute.

    repeats: made of 25 pictures a second, each shown as often as the rate needs.
    """

    seconds: float = 30.0
    delay_s: float = 0.0
    offset_s: float = 0.0
    drift_s_per_min: float = 0.0
    fps: Fraction = Fraction(25)
    size: tuple[int, int] = MASTER_SIZE
    contrast: float = 1.0
    gain_db: float = 0.0
    logo: bool = False
    repeats: bool = False


def write_version(path: Path, seed: int, version: Version, coding: Coding | None = None) -> Path:
    """One version of programme `seed` as a file; its suffix names the format."""
    chosen = coding or Coding(suffix=path.suffix, preset="ultrafast")
    return encode(path, _pictures(seed, version), _sound(seed, version), version.fps, chosen)


def _pictures(seed: int, version: Version) -> Iterator[U8]:
    scenery = _scenery(seed)
    for n in range(round(version.seconds * version.fps)):
        frame = round((float(n / version.fps) + BEGIN_S - version.delay_s) * MASTER_FPS)
        frame -= frame % 2 if version.repeats else 0
        yield _changed(scenery.draw(frame), version)


def _changed(picture: U8, version: Version) -> U8:
    luma, u, v = planes(picture)
    width, height = version.size
    if version.size != MASTER_SIZE:
        luma = np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        u, v = (np.asarray(cv2.resize(p, (width // 2, height // 2)), np.uint8) for p in (u, v))
    if version.contrast != 1.0:
        luma = np.asarray(cv2.convertScaleAbs(luma, alpha=version.contrast, beta=16 * (1 - version.contrast)), np.uint8)
    if version.logo:
        luma = luma.copy()
        luma[height // 12 : height // 5, -width // 5 : -width // 16] = LOGO
    return joined(luma, u, v)


def _sound(seed: int, version: Version) -> F32:
    whole = _speech(seed)
    at_s = np.arange(round(version.seconds * RATE_HZ)) / RATE_HZ
    content_s = at_s * (1 - version.drift_s_per_min / 60.0) + BEGIN_S - version.delay_s - version.offset_s
    gain = 10 ** (version.gain_db / 20)
    times = np.arange(whole.shape[1]) / RATE_HZ
    return np.stack([gain * np.interp(content_s, times, channel) for channel in whole]).astype(np.float32)


@lru_cache(2)
def _scenery(seed: int) -> Scenery:
    return Scenery(*MASTER_SIZE, MASTER_FPS, seed=seed, oval=True)


@lru_cache(2)
def _speech(seed: int) -> F32:
    return speech(seed, 120.0)
