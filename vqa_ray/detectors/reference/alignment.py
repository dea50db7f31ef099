"""By how much one series of changes comes later than another, and how sure that is."""

from typing import NamedTuple

import cv2
import numpy as np

from vqa_ray.detectors.lipsync.signals import F32, F64
from vqa_ray.detectors.reference.fingerprint import RATE_HZ

PEAKS = 6  # that are looked at
APART = 15  # steps between two peaks
SHARE = 0.02  # of all there is, that must be known at a lag in both


class Peak(NamedTuple):
    """lag_s: positive when the second series comes later; height: correlation, at most 1."""

    lag_s: float
    height: float


class Curve(NamedTuple):
    """Correlation at each lag from `first` on, in steps of the grid."""

    first: int
    values: F64

    def within(self, low_s: float, high_s: float) -> "Curve":
        """The part from `low_s` to `high_s`."""
        low = max(0, int(np.floor(low_s * RATE_HZ)) - self.first)
        high = max(low, int(np.ceil(high_s * RATE_HZ)) - self.first + 1)
        return Curve(self.first + low, self.values[low:high])


def curve(one: F32, other: F32, overlap_s: float) -> Curve:
    """Correlation of (n, d) with (m, d) at all lags at which they overlap by `overlap_s`; by Fourier transform."""
    n, m = len(one), len(other)
    least = round(overlap_s * RATE_HZ)
    if min(n, m) < max(1, least):
        return Curve(0, np.zeros(0))
    size = cv2.getOptimalDFTSize(n + m)
    both = np.fft.irfft((np.conj(np.fft.rfft(one, size, axis=0)) * np.fft.rfft(other, size, axis=0)).sum(axis=1), size)
    lags = np.arange(least - n, m - least + 1)
    first_power, second_power = (np.r_[0.0, np.cumsum((v.astype(np.float64) ** 2).sum(axis=1))] for v in (one, other))
    start, end = np.maximum(0, -lags), np.minimum(n, m - lags)
    a = first_power[end] - first_power[start]
    b = second_power[end + lags] - second_power[start + lags]
    known = np.minimum(a / max(first_power[-1], 1e-9), b / max(second_power[-1], 1e-9)) > SHARE
    return Curve(int(lags[0]), np.where(known, both[lags % size] / np.sqrt(np.maximum(a * b, 1e-12)), 0.0))


def peaks(found: Curve) -> list[Peak]:
    """The highest peaks, highest first, at least 0.15 s apart."""
    values = found.values.copy()
    out: list[Peak] = []
    while len(out) < PEAKS and len(values) and (height := float(values.max())) > 0.0:
        best = int(np.argmax(values))
        out.append(Peak((found.first + best + _vertex(found.values, best)) / RATE_HZ, height))
        values[max(0, best - APART) : best + APART + 1] = -1.0
    return out


def _vertex(values: F64, best: int) -> float:
    """How far the top of the parabola through a peak and its neighbours lies from it, -0.5 to 0.5."""
    if not 0 < best < len(values) - 1:
        return 0.0
    left, top, right = (float(v) for v in values[best - 1 : best + 2])
    bend = left - 2.0 * top + right
    return max(-0.5, min(0.5, 0.5 * (left - right) / bend)) if bend < 0 else 0.0
