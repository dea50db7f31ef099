"""What a clip has by itself and nobody put there: silence, flat tops, black, a still. It counts neither way.

Looked for in the samples and pixels themselves, not with the detectors that are to be judged.
"""

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.labels import Soft
from vqa_ray.media.labelled.material import F32, U8
from vqa_ray.media.labelled.sounds import level_db
from vqa_ray.media.synthetic.speech import RATE_HZ

SLOT_S = 0.02
SLOT = round(SLOT_S * RATE_HZ)
SILENT_DBFS = -58.0  # root mean square
QUIET = 10 ** (SILENT_DBFS / 20)
SILENT_S = 0.2
FULL = 0.98
FLAT = 3  # samples in a row at the peak
DARK_Y, DARK_SHARE = 40, 0.97
SAME = 0.5  # mean absolute difference of every fourth pixel, grey levels
STILL_S, BLACK_S = 0.4, 0.08
JUMP_DB, JUMP_S = 6.0, 4.0  # less than any jump that is told, and longer than it lasts
PATCHES = (20, 18)  # of a picture, across and down
STIRS = 5.0  # grey levels; the patches of a frozen picture change by up to 4.7 while its coder refines it (measured)


def natural_sound(samples: F32) -> list[Soft]:
    """Silences of 0.2 s and more, and the whole of a sound with flat tops at full scale."""
    slots = samples[:, : samples.shape[1] // SLOT * SLOT].reshape(samples.shape[0], -1, SLOT)
    quiet = np.sqrt(np.square(slots).mean(axis=2)).max(axis=0) < QUIET
    step = SLOT / RATE_HZ
    found = [
        Soft(kind, first * step, last * step, why="the clip's own silence")
        for first, last in runs(quiet, round(SILENT_S / step))
        for kind in ("silence", "audio_dropout")
    ]
    full = np.abs(samples) >= FULL * max(FULL, float(np.abs(samples).max(initial=0.0)))
    if any(runs(channel, FLAT) for channel in full):
        found.append(Soft("clipping", 0.0, samples.shape[1] / RATE_HZ, why="the clip's own flat tops"))
    return found


def begins_again(samples: F32, length_s: float, start_s: float) -> list[Soft]:
    """Where a clip of `length_s`, entered at `start_s`, begins again at quite another level: a jump of its own."""
    found: list[Soft] = []
    for at_s in map(float, np.arange(length_s - start_s % length_s, samples.shape[1] / RATE_HZ, length_s)):
        at = round(at_s * RATE_HZ)
        found += jump_at(at_s, samples[:, max(0, at - RATE_HZ) : at], samples[:, at : at + RATE_HZ])
    return found


def jump_at(at_s: float, before: F32, after: F32) -> list[Soft]:
    """What is said of `at_s`, where one second of sound follows another: nothing where it goes on at its level."""
    if min(before.shape[1], after.shape[1]) < RATE_HZ // 2:
        return []
    jump_db = abs(level_db(after) - level_db(before))
    if jump_db < JUMP_DB:
        return []
    return [Soft("loudness", at_s - 1.0, at_s + JUMP_S, why=f"the clip begins again, {jump_db:.0f} dB off")]


def stands_still(pictures: Iterable[U8]) -> bool:
    """Whether these might as well be the first of them, held: no patch ever differs by more than a coder makes it."""
    held: NDArray[np.float32] | None = None
    for picture in pictures:
        luma = picture[: picture.shape[0] * 2 // 3].astype(np.float32)
        patches = cv2.resize(luma, PATCHES, interpolation=cv2.INTER_AREA)
        if held is None:
            held = patches
        elif cv2.norm(patches, held, cv2.NORM_INF) > STIRS:
            return False
    return True


class Watch:
    """Follows the clean pictures of a clip, and tells where they are black or stand still by themselves."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = fps
        self._before: NDArray[np.int16] | None = None
        self._still: list[bool] = []
        self._dark: list[bool] = []

    def see(self, picture: U8) -> None:
        """The next one."""
        small = picture[: picture.shape[0] * 2 // 3 : 4, ::4].astype(np.int16)
        self._still.append(self._before is not None and float(np.abs(small - self._before).mean()) < SAME)
        self._dark.append(float((small < DARK_Y).mean()) >= DARK_SHARE)
        self._before = small

    def soft(self) -> list[Soft]:
        """What was seen of both."""
        found = []
        for kind, marks, least_s in (("freeze", self._still, STILL_S), ("black", self._dark, BLACK_S)):
            for first, last in runs(np.array(marks, np.bool_), max(1, round(least_s * self._fps))):
                start, end = (float(n / self._fps) for n in (max(0, first - 1), last + 1))
                found.append(Soft(kind, start, end, why="so in the clip itself"))
        return found


def runs(marks: NDArray[np.bool_], least: int) -> list[tuple[int, int]]:
    """Where `least` or more in a row are true: first, and first that is not."""
    edges = np.diff(np.concatenate([[0], marks.astype(np.int8), [0]]))
    starts, ends = (np.flatnonzero(edges == sign) for sign in (1, -1))
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if b - a >= least]
