"""Loudness after ITU-R BS.1770-5, EBU R128 and EBU Tech 3342, on blocks of 0.1 s.

K-weighting is applied to the power spectrum of each block instead of the wave (Parseval): the difference, what leaks
between lines at the edges of a block, is below 0.2 LU unless there is nothing but deep bass.
"""

import functools
import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

OFFSET_LU = -0.691  # BS.1770: a sine of 997 Hz at 0 dBFS in one front channel reads -3.01 LKFS
SILENT_LUFS = -120.0  # what is said of silence
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
RANGE_GATE_LU = -20.0  # Tech 3342
RANGE_PERCENTILES = (0.10, 0.95)
MOMENTARY_BLOCKS = 4  # 400 ms
SHORT_BLOCKS = 30  # 3 s
STEP_LU = 0.1  # of the histograms, which keep hours in little memory
STEPS = 900  # from the absolute gate to +20 LUFS
OVERSAMPLING = 4  # of true peak, BS.1770 Annex 2
SURROUND = frozenset({"SL", "SR", "BL", "BR", "BC", "TBL", "TBR"})
SURROUND_GAIN = 1.41
# Biquads at 48 kHz: numerator and denominator of the shelf (head) and of the high-pass (RLB).
_FILTERS = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)


def k_gain(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power gain of K-weighting at these frequencies."""
    z = np.exp(-2j * np.pi * np.minimum(hz, 24_000.0) / 48_000.0)
    gain = np.ones(hz.shape)
    for top, bottom in _FILTERS:
        gain *= np.abs(np.polyval(top[::-1], z) / np.polyval(bottom[::-1], z)) ** 2
    return gain


@functools.lru_cache(maxsize=64)
def k_weights(samples: int, rate_hz: int) -> F32:
    """What each of `AudioBlock.powers` of so many samples counts in their mean square, K-weighted, (samples,)."""
    line = (np.arange(samples, dtype=np.float64) + 1) // 2
    sides = np.where((line == 0) | ((samples % 2 == 0) & (line == samples // 2)), 1.0, 2.0)
    return np.asarray(k_gain(np.asarray(line * (rate_hz / samples), np.float64)) * sides / samples**2, np.float32)


@functools.lru_cache(maxsize=64)
def channel_gains(names: tuple[str, ...]) -> F32:
    """BS.1770, table 3: surround counts more, the low-frequency channel not at all."""
    gains = [0.0 if name.startswith("LFE") else SURROUND_GAIN if name in SURROUND else 1.0 for name in names]
    return np.asarray(gains, np.float32)


def k_power(powers: F32, rate_hz: int, names: tuple[str, ...]) -> float:
    """K-weighted mean square of a block, channels summed with their gains."""
    return float(channel_gains(names) @ (powers @ k_weights(powers.shape[1], rate_hz)))


def lufs(power: float) -> float:
    """Loudness of a K-weighted mean square."""
    return max(SILENT_LUFS, OFFSET_LU + 10.0 * math.log10(power)) if power > 0.0 else SILENT_LUFS


def true_peak(samples: F32) -> float:
    """Largest absolute value between samples too, linear, from four times as many made with the spectrum."""
    count = samples.shape[1]
    if count < 2:
        return float(np.abs(samples).max(initial=0.0))
    finer = np.fft.irfft(np.fft.rfft(samples, axis=1), n=OVERSAMPLING * count, axis=1) * OVERSAMPLING
    edge = OVERSAMPLING * min(16, count // 4)  # the transform takes the block for periodic
    return float(max(np.abs(finer[:, edge:-edge]).max(), np.abs(samples).max()))


class Meter:
    """Loudness of a stream from K-weighted block powers, in LUFS and LU."""

    def __init__(self) -> None:
        self._powers: deque[float] = deque(maxlen=SHORT_BLOCKS)
        self._gated = [0] * STEPS  # how often each momentary loudness occurred
        self._short = [0] * STEPS  # the same of short-term loudness

    def add(self, power: float) -> None:
        """One more block of 0.1 s."""
        self._powers.append(power)
        if len(self._powers) >= MOMENTARY_BLOCKS:
            _count(self._gated, self.momentary)
        if len(self._powers) == SHORT_BLOCKS:
            _count(self._short, self.short_term)

    @property
    def momentary(self) -> float:
        """Of the last 0.4 s."""
        last = list(self._powers)[-MOMENTARY_BLOCKS:]
        return lufs(sum(last) / MOMENTARY_BLOCKS)

    @property
    def short_term(self) -> float:
        """Of the last 3 s."""
        return lufs(sum(self._powers) / SHORT_BLOCKS)

    @property
    def integrated(self) -> float:
        """Of all since the start, gated."""
        return _mean(self._gated, _mean(self._gated, ABSOLUTE_GATE_LUFS) + RELATIVE_GATE_LU)

    @property
    def range(self) -> float:
        """Loudness range, LU."""
        gate = _mean(self._short, ABSOLUTE_GATE_LUFS) + RANGE_GATE_LU
        counts = [n if _level(step) >= gate else 0 for step, n in enumerate(self._short)]
        low, high = (_percentile(counts, share) for share in RANGE_PERCENTILES)
        return high - low


def _count(histogram: list[int], loudness: float) -> None:
    step = int((loudness - ABSOLUTE_GATE_LUFS) / STEP_LU)
    if loudness > ABSOLUTE_GATE_LUFS:
        histogram[min(step, STEPS - 1)] += 1


def _level(step: int) -> float:
    return ABSOLUTE_GATE_LUFS + (step + 0.5) * STEP_LU


def _mean(histogram: Sequence[int], gate: float) -> float:
    """Loudness of the mean power of what is above the gate."""
    counted = [(n, _level(step)) for step, n in enumerate(histogram) if n and _level(step) >= gate]
    total = sum(n for n, _ in counted)
    if not total:
        return SILENT_LUFS
    return 10.0 * math.log10(sum(n * 10.0 ** (level / 10.0) for n, level in counted) / total)


def _percentile(histogram: Sequence[int], share: float) -> float:
    """The level that a share of what was counted does not exceed."""
    left = share * max(0, sum(histogram) - 1)
    for step, n in enumerate(histogram):
        left -= n
        if n and left < 0.0:
            return _level(step)
    return 0.0
