"""What is heard and seen of speech, on one grid of 50 Hz: mel bands of the sound, geometry of the lips."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
GRID_HZ = 50
BANDS, LOW_HZ, HIGH_HZ = 14, 100.0, 7000.0
HEAR_S = 0.032  # of sound in one spectrum
QUIET = 1e-7  # power that is added before the logarithm: -70 dB, below the noise of any microphone
STEADY_S = 1.02  # moving average that is taken off: what changes slower than a syllable says nothing of the lag

# Distances between landmarks (FaceMesh's numbering): four openings, two widths, nose to lip, lip to chin.
LIPS: tuple[tuple[int, int], ...] = (
    (13, 14), (82, 87), (312, 317), (0, 17), (61, 291), (78, 308), (2, 0), (17, 152),
)  # fmt: skip
EYES = (33, 263)


def lip_distances(points: F32) -> F64:
    """The eight distances of `LIPS` over the width of the eyes; (468, 2) -> (8,)."""
    first, second = (points[list(side)].astype(np.float64) for side in zip(*LIPS, strict=True))
    eyes = float(np.linalg.norm(points[EYES[0]] - points[EYES[1]]))
    return np.asarray(np.linalg.norm(first - second, axis=1) / max(eyes, 1e-3))


def on_grid(at_s: Sequence[float], values: F64, grid_s: F64) -> F64:
    """Values (n, d) at rising times, read off linearly at the grid's times; (m, d)."""
    return np.stack([np.interp(grid_s, at_s, column) for column in values.T], axis=1)


def mel_bands(samples: F32, rate_hz: int, start_s: float, grid_s: F64) -> F64:
    """Logarithm of the power in 14 mel bands around each time of the grid, (m, 14).

    samples: mono, beginning at `start_s`. Times whose window is not all there get NaN.
    """
    window, bank = _bank(rate_hz)
    firsts = np.rint((grid_s - start_s) * rate_hz).astype(np.int64) - len(window) // 2
    whole = (firsts >= 0) & (firsts + len(window) <= len(samples))
    bands = np.full((len(grid_s), BANDS), np.nan)
    if whole.any():
        pieces = samples[firsts[whole, None] + np.arange(len(window))] * window
        power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2 / len(window)
        bands[whole] = np.log(power @ bank + QUIET)
    return bands


def varying(values: F64) -> F64:
    """Values (n, d) without their moving average over a second, which is shorter at the ends."""
    size = min(len(values), round(STEADY_S * GRID_HZ) | 1)
    kernel = np.ones(size)
    count = np.convolve(np.ones(len(values)), kernel, "same")
    mean = np.stack([np.convolve(column, kernel, "same") for column in values.T], axis=1)
    return np.asarray(values - mean / count[:, None])


def standard(values: F64) -> F64:
    """Each column with mean 0 and standard deviation 1; a constant one stays 0."""
    centered = values - values.mean(axis=0)
    return np.asarray(centered / np.maximum(centered.std(axis=0), 1e-9))


@functools.lru_cache(maxsize=8)
def _bank(rate_hz: int) -> tuple[F32, F64]:
    """The window, and triangles between frequencies that lie evenly on the mel scale, (bins, 14)."""
    size = max(16, round(HEAR_S * rate_hz))
    top = 2595 * np.log10(1 + min(HIGH_HZ, rate_hz / 2) / 700)
    low = 2595 * np.log10(1 + LOW_HZ / 700)
    edges = 700 * (10 ** (np.linspace(low, top, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(size, 1 / rate_hz)
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rise, fall))
    return np.hanning(size).astype(np.float32), triangles / np.maximum(triangles.sum(axis=0), 1e-9)
