"""A block of sound of fixed length as detectors see it, and what they share of it."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

SLOT_S = 0.010  # resolution of levels
BLOCK_S = 0.100  # length of a block
FLOOR_DBFS = -120.0


class AudioBlock:
    """Consecutive samples of one audio track.

    samples: (channels, n) float32, full scale = 1.0; detectors never write to it nor keep it.
    rate_hz: samples a second; channels: names in the order of rows ("FL", "FR", …).
    """

    __slots__ = ("_levels", "_peaks", "at_s", "channels", "rate_hz", "samples", "until_s")

    def __init__(
        self, samples: NDArray[np.float32], *, at_s: float, until_s: float, rate_hz: int, channels: tuple[str, ...]
    ) -> None:
        self.samples = samples
        self.at_s = at_s
        self.until_s = until_s
        self.rate_hz = rate_hz
        self.channels = channels
        self._peaks: NDArray[np.float32] | None = None
        self._levels: list[list[float]] | None = None

    @property
    def slot_samples(self) -> int:
        """Samples in one slot of 10 ms."""
        return max(1, round(self.rate_hz * SLOT_S))

    @property
    def peaks(self) -> NDArray[np.float32]:
        """Largest absolute sample of each slot, (channels, slots) float32; a last, shorter slot counts as one."""
        if self._peaks is None:
            self._peaks = np.maximum.reduceat(
                np.abs(self.samples), slot_starts(self.samples.shape[1], self.slot_samples), axis=1
            )
        return self._peaks

    @property
    def levels(self) -> list[list[float]]:
        """`peaks` as lists, one a channel: ten numbers are handled faster without numpy."""
        if self._levels is None:
            self._levels = self.peaks.tolist()
        return self._levels


@functools.lru_cache(maxsize=64)
def slot_starts(samples: int, slot_samples: int) -> NDArray[np.intp]:
    """Where the slots of a block begin."""
    return np.arange(0, samples, slot_samples)


def dbfs(level: float) -> float:
    """A linear level (full scale = 1) in dBFS, not below -120."""
    return max(FLOOR_DBFS, 20.0 * math.log10(level)) if level > 0 else FLOOR_DBFS
