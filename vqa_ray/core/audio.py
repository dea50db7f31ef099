"""A block of sound of fixed length as detectors see it, and what they share of it."""

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

SLOT_S = 0.010  # resolution of levels
FINE_S = 0.001  # resolution of edges
BLOCK_S = 0.100  # length of a block
FLOOR_DBFS = -120.0


class AudioBlock:
    """Consecutive samples of one audio track.

    samples: (channels, n) float32, full scale = 1.0; detectors never write to it nor keep it.
    rate_hz: samples a second; channels: names in the order of rows ("FL", "FR", …).
    """

    __slots__ = (
        "_correlation", "_energies", "_halves", "_levels", "_loudest", "_peaks", "_powers",
        "at_s", "channels", "rate_hz", "samples", "until_s",
    )  # fmt: skip

    def __init__(
        self, samples: NDArray[np.float32], *, at_s: float, until_s: float, rate_hz: int, channels: tuple[str, ...]
    ) -> None:
        self.samples = samples
        self.at_s = at_s
        self.until_s = until_s
        self.rate_hz = rate_hz
        self.channels = channels
        self._halves: NDArray[np.float32] | None = None
        self._peaks: NDArray[np.float32] | None = None
        self._levels: list[list[float]] | None = None
        self._loudest: list[float] | None = None
        self._energies: list[float] | None = None
        self._powers: NDArray[np.float32] | None = None
        self._correlation: float | None = None

    @property
    def slot_samples(self) -> int:
        """Samples in one slot of 10 ms."""
        return max(1, round(self.rate_hz * SLOT_S))

    @property
    def halves(self) -> NDArray[np.float32]:
        """Largest absolute sample of each half of a slot, (channels, halves) float32."""
        if self._halves is None:
            starts = half_starts(self.samples.shape[1], self.slot_samples)
            self._halves = np.maximum.reduceat(np.abs(self.samples), starts, axis=1)
        return self._halves

    @property
    def peaks(self) -> NDArray[np.float32]:
        """Largest absolute sample of each slot, (channels, slots) float32; a last, shorter slot counts as one."""
        if self._peaks is None:
            halves = self.halves
            self._peaks = np.maximum.reduceat(halves, slot_starts(halves.shape[1], 2), axis=1)
        return self._peaks

    @property
    def levels(self) -> list[list[float]]:
        """`peaks` as lists, one a channel: ten numbers are handled faster without numpy."""
        if self._levels is None:
            self._levels = self.peaks.tolist()
        return self._levels

    @property
    def loudest(self) -> list[float]:
        """Peak of each slot over all channels."""
        if self._loudest is None:
            levels = self.levels
            self._loudest = levels[0] if len(levels) == 1 else list(map(max, *levels)) if levels else []
        return self._loudest

    @property
    def energies(self) -> list[float]:
        """Sum of the squares of each channel."""
        if self._energies is None:
            self._energies = np.vecdot(self.samples, self.samples).tolist()
        return self._energies

    @property
    def correlation(self) -> float:
        """Of the first two channels, -1 to 1; 0 where one of them is silent or missing."""
        if self._correlation is None:
            left, right = [*self.energies, 0.0, 0.0][:2]
            shared = float(np.dot(self.samples[0], self.samples[1])) if left * right > 0.0 else 0.0
            self._correlation = shared / math.sqrt(left * right) if shared else 0.0
        return self._correlation

    @property
    def powers(self) -> NDArray[np.float32]:
        """Squares of the real and imaginary parts of each channel's spectrum, (channels, n) float32.

        In the order of OpenCV's packed transform: the constant part, then real and imaginary part of each line
        (rate_hz / n apart), last, if n is even, the real part at half the rate.
        """
        if self._powers is None:
            packed = cv2.dft(self.samples, flags=cv2.DFT_ROWS)
            self._powers = np.asarray(cv2.multiply(packed, packed), np.float32)
        return self._powers

    @property
    def lines(self) -> NDArray[np.float32]:
        """Power of each line of the spectrum over all channels, (n // 2 + 1,) float32; not kept."""
        powers = self.powers.sum(axis=0)
        paired = np.zeros(powers.size // 2 * 2 + 2, np.float32)
        paired[1 : powers.size + 1] = powers
        return paired[::2] + paired[1::2]


def envelope(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Peak of each millisecond over all channels, (ms,) float32; a last, shorter one counts."""
    step = max(1, round(rate_hz * FINE_S))
    return np.asarray(np.maximum.reduceat(np.abs(samples).max(axis=0), slot_starts(samples.shape[1], step)), np.float32)


@functools.lru_cache(maxsize=64)
def slot_starts(samples: int, slot_samples: int) -> NDArray[np.intp]:
    """Where the slots of a block begin."""
    return np.arange(0, samples, slot_samples)


@functools.lru_cache(maxsize=64)
def half_starts(samples: int, slot_samples: int) -> NDArray[np.intp]:
    """Where the halves of the slots of a block begin, two a slot but the last."""
    slots = np.arange(0, samples, slot_samples)
    starts = np.stack([slots, slots + slot_samples // 2], axis=1).ravel()
    return starts[starts < samples]


def dbfs(level: float) -> float:
    """A linear level (full scale = 1) in dBFS, not below -120."""
    return max(FLOOR_DBFS, 20.0 * math.log10(level)) if level > 0 else FLOOR_DBFS
