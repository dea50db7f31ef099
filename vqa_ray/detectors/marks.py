"""Flashes and beeps of a sync test signal: short, out of calm; found to the frame and to the sample."""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.audio import SLOT_S, AudioBlock
from vqa_ray.core.picture import Picture

LONGEST_S = 0.6  # of a flash and of a beep
LIFT = 12.0  # grey levels of the mean luma, from one picture to the next
OUT_OF = 5.0  # a beep is so many times (14 dB) louder than the 60 ms before it
CALM_SLOTS = 6
LEAST = 0.01  # -40 dBFS
OVER = 0.25  # of its peak, below which a beep is over
EDGE = 0.5  # of its peak, which the first sample of a beep reaches; what codecs smear ahead of it does not


class Flashes:
    """Finds when the picture as a whole, or a good part of it, lit up for a moment."""

    def __init__(self) -> None:
        self._before: float | None = None
        self._base = self._peak = self._start_s = 0.0
        self._lit = False

    def see(self, picture: Picture) -> float | None:
        """When the flash began that is over with this picture; 3 µs."""
        level = cv2.mean(picture.sketch)[0]
        before, self._before = self._before, level
        if not self._lit:
            if before is not None and level - before >= LIFT:
                self._lit, self._base, self._peak, self._start_s = True, before, level, picture.at_s
            return None
        self._peak = max(self._peak, level)
        length_s = picture.at_s - self._start_s
        if level - self._base < 0.5 * (self._peak - self._base):
            self._lit = False
            return self._start_s if 0.0 < length_s <= LONGEST_S else None
        self._lit = 0.0 <= length_s <= LONGEST_S
        return None


class Beeps:
    """Finds when a short sound began."""

    def __init__(self) -> None:
        self._calm: deque[float] = deque(maxlen=CALM_SLOTS)
        self._peak = 0.0
        self._slots = 0  # that the beep has lasted; 0: there is none
        self._start_s: float | None = None
        self._edge: tuple[float, NDArray[np.float32]] | None = None  # start and size of the samples that it began in

    def hear(self, block: AudioBlock) -> list[float]:
        """When the beeps began that are over within this block; 5 µs where there is none."""
        found: list[float] = []
        slot = block.slot_samples
        for index, level in enumerate(block.loudest):
            if not self._slots:
                if level >= LEAST and level >= OUT_OF * max(self._calm, default=0.0):
                    self._slots, self._peak, self._start_s = 1, level, None
                    self._edge = (block.at_s + index * SLOT_S, np.abs(block.samples[:, index * slot :]).max(axis=0))
                else:
                    self._calm.append(level)
                continue
            self._slots += 1
            self._peak = max(self._peak, level)
            if self._slots == 2:
                self._find_edge(block, index)
            if level < OVER * self._peak:
                if self._start_s is not None and self._slots * SLOT_S <= LONGEST_S:
                    found.append(self._start_s)
                self._rest(level)
            elif self._slots * SLOT_S > LONGEST_S:
                self._rest(level)
        return found

    def _find_edge(self, block: AudioBlock, index: int) -> None:
        """The first sample that is as loud as half the peak of the first two slots."""
        assert self._edge is not None
        start_s, sizes = self._edge
        if index == 0:  # the first slot was the last of the block before
            sizes = np.concatenate([sizes, np.abs(block.samples[:, : block.slot_samples]).max(axis=0)])
        sizes = sizes[: 2 * block.slot_samples]
        self._start_s = start_s + int(np.argmax(sizes >= EDGE * sizes.max())) / block.rate_hz
        self._edge = None

    def _rest(self, level: float) -> None:
        self._slots, self._peak, self._edge = 0, 0.0, None
        self._calm.clear()
        self._calm.append(level)
