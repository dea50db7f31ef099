"""A programme that goes on at another level: how a jump of the gain differs from what music and speech do.

Speech falls silent for a second, drums set in, a film cuts to a storm: the level jumps, but what sounds is another
thing, and its spectrum another. After a jump of the gain the same thing goes on: all bands move by about as many
decibels, the quiet moments as well as the loud ones, and at once.
"""

import functools
import itertools
import math

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

EDGES_HZ = (60, 150, 300, 500, 800, 1200, 1800, 2700, 4000, 6000, 9000, 14000)  # of the bands
FLOOR = 1e-9  # of the power in a band, full scale = 1
HIGH = 0.65  # this quantile of a stretch stands for it: above the pauses, below single beats
LOW = 0.35  # … this for its quiet moments …
LOUD = 0.9  # … and this for its loud ones, which a pause leaves as they are
EDGE_BLOCKS = 2  # on each side of a step, to tell how steep it is …
NEAR_BLOCKS = 5  # … and to tell it from a fade:
NEAR = 0.5  # of the step is between these
# What a step may differ by from one of the gain alone, each for one unit of oddness; from speech, music and atmosphere
# of which the gain was changed, and not: 90 % of the one are below ODD, and one in some minutes of the other.
BANDS_ODD = 0.18  # standard deviation over the bands, as a share of the step
QUIET_ODD = 0.21  # how much more or less the quiet moments move, as a share
PEAK_ODD = 0.11  # … and the loudest
EDGE_ODD = 0.57  # … and the blocks beside the step, as a logarithm
ODD = 6.0  # at most, of a jump of the gain, …
BANDS_MOST = 0.6  # … and this of the bands alone: 99 % of generated jumps are below, white noise over speech is not


@functools.lru_cache(maxsize=64)
def band_bounds(samples: int, rate_hz: int) -> NDArray[np.intp]:
    """Where the bands begin in `AudioBlock.powers`, and where the last one ends; of a short block fewer bands."""
    lines = np.minimum(np.array(EDGES_HZ) * samples // rate_hz, samples // 2)
    return np.array([first for first, _ in itertools.groupby(np.maximum(2 * lines - 1, 0).tolist())])


def band_powers(powers: F32, rate_hz: int) -> F32:
    """Mean square of a block in each band over all channels, (bands,)."""
    samples = powers.shape[1]
    bounds = band_bounds(samples, rate_hz)
    sums = np.add.reduceat(powers[:, : bounds[-1]].sum(axis=0), bounds[:-1])
    return np.asarray(sums * (2.0 / samples**2), np.float32)


def decibels(powers: list[F32]) -> F32:
    """Bands of several blocks, (blocks, bands) in dB."""
    return np.asarray(10.0 * np.log10(np.stack(powers) + FLOOR), np.float32)


def gain_step(before: F32, after: F32) -> float:
    """By how many dB the gain jumps between two adjacent stretches, 0 if it is anything else that changes.

    before, after: (blocks, bands) in dB, without the block that the jump may be in.
    """
    rises = _quantile(after, HIGH) - _quantile(before, HIGH)
    height = float(np.median(rises))
    if height == 0.0:
        return 0.0
    edge = float(np.median(after[:EDGE_BLOCKS].mean(axis=0) - before[-EDGE_BLOCKS:].mean(axis=0))) / height
    if edge <= 0.0:
        return 0.0
    near = float(np.median(after[:NEAR_BLOCKS].mean(axis=0) - before[-NEAR_BLOCKS:].mean(axis=0))) / height
    if near < NEAR:
        return 0.0
    quiet = float(np.median(_quantile(after, LOW) - _quantile(before, LOW))) / height
    few = min(len(before), len(after))  # the maximum of more is larger
    peaks = (before[:few].max(axis=0) + before[-few:].max(axis=0)) / 2.0
    loud = float(np.median(after.max(axis=0) - peaks)) / height
    uneven = float(rises.std()) / abs(height)
    odd = (
        uneven / BANDS_ODD + abs(quiet - 1.0) / QUIET_ODD + abs(loud - 1.0) / PEAK_ODD + abs(math.log(edge)) / EDGE_ODD
    )
    return height if odd <= ODD and uneven <= BANDS_MOST else 0.0


def return_at(levels: F32, normal: F32, height: float) -> int:
    """The row of (blocks, bands) in dB from which on the level is nearer to `normal` than to `height` dB beside it.

    The one that leaves the fewest rows, by their distance, on the wrong side.
    """
    away = np.median(levels - _quantile(normal, HIGH), axis=1) / height - 0.5
    return int(np.argmax(np.concatenate(([0.0], np.cumsum(np.clip(away, -1.0, 1.0))))))


def difference(before: F32, after: F32) -> float:
    """How far the loud moments of two stretches are apart in dB, whatever the reason; median over the bands."""
    return float(np.median(_quantile(after, LOUD) - _quantile(before, LOUD)))


def _quantile(levels: F32, share: float) -> F32:
    return np.asarray(np.sort(levels, axis=0)[int(share * (len(levels) - 1) + 0.5)], np.float32)
