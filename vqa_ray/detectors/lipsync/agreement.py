"""How well lips and sound agree at each lag, moment by moment. Nothing here was trained.

Two witnesses are added up. What phonetics says of every speaker: open lips go with energy between 250 Hz and 4 kHz, and
lips that are drawn back or lifted from the teeth with hiss above 4 kHz rather than voice; and how fast these change.
And what this speaker does: a canonical correlation between all lip distances and all mel bands, fitted anew at each lag
to three quarters of the material and applied to the fourth quarter; only near the true lag does it carry over.
(Canonical correlation for lip-sync: Sargin et al., "Audiovisual Synchronization and Fusion Using CCA", 2007.)
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vqa_ray.detectors.lipsync.signals import F64, GRID_HZ, standard, varying

REACH = round(0.8 * GRID_HZ)  # largest lag, steps of the grid
LAGS = 2 * REACH + 1
WEIGHTS = np.array([1.0, 1.0, 0.5, 0.5]) / 3.0  # opening, its rate, spreading, its rate
OWN_WEIGHT = 0.35  # of the speaker's own correlation, over the weight of phonetics
PARTS, RIDGE, COMPONENTS = 4, 0.3, 3
APART = 10  # steps between what is fitted and what it is applied to
OWN_STEP = 2  # of the lag, where it is costly


class Agreement(NamedTuple):
    """Agreement of each moment at each lag, (n, 81), and whether both lips and sound are there, (n, 81) 0 or 1.

    Column `REACH + k` is for sound that comes k steps of 20 ms after the lips.
    """

    score: F64
    known: F64


def agreement(lips: F64, bands: F64) -> Agreement:
    """Of lip distances (n, 8) and mel bands (n, 14) on one grid, without holes."""
    seen, heard = standard(varying(lips)), standard(varying(bands))
    score, known = products(*phonetics(seen, heard), WEIGHTS)
    own = own_agreement(with_rates(seen), with_rates(heard))
    return Agreement(score + OWN_WEIGHT * own, known)


def phonetics(seen: F64, heard: F64) -> tuple[F64, F64]:
    """What of lips and sound goes together in every speaker, each (n, 4), standardised."""
    opening = seen[:, :4].mean(axis=1) - 0.5 * seen[:, 7]
    voice = heard[:, 2:12].mean(axis=1)
    rounding = seen[:, 6] - 0.5 * seen[:, 5]
    darkness = heard[:, 2:8].mean(axis=1) - heard[:, 10:14].mean(axis=1)
    return tuple(  # type: ignore[return-value]
        standard(np.stack([a, np.gradient(a), b, np.gradient(b)], axis=1))
        for a, b in ((opening, rounding), (voice, darkness))
    )


def with_rates(values: F64) -> F64:
    """Values and how fast they change, (n, d) -> (n, 2 d), standardised."""
    return np.concatenate([values, standard(np.gradient(values, axis=0))], axis=1)


def products(seen: F64, heard: F64, weights: F64) -> tuple[F64, F64]:
    """Weighted product of each moment's columns with those of the sound k steps later, (n, 81), and where it exists."""
    size = len(seen)
    score, known = np.zeros((size, LAGS)), np.zeros((size, LAGS))
    for column, lag in enumerate(range(-REACH, REACH + 1)):
        lips, sound = overlap(size, lag)
        score[lips, column] = (seen[lips] * heard[sound]) @ weights
        known[lips, column] = 1.0
    return score, known


def own_agreement(seen: F64, heard: F64) -> F64:
    """As `products`, of projections that fit this material: each moment judged by a fit to other moments; (n, 81)."""
    size = len(seen)
    lips, sound = whitened(seen), whitened(heard)
    lags = range(-REACH, REACH + 1, OWN_STEP)
    score = np.zeros((size, len(lags)))
    for column, lag in enumerate(lags):
        here, there = overlap(size, lag)
        score[here, column] = carried_over(lips[here], sound[there])
    nearest = np.arange(LAGS) / OWN_STEP
    low = np.floor(nearest).astype(int)
    high, share = np.minimum(low + 1, len(lags) - 1), nearest - low
    return np.asarray(score[:, low] * (1 - share) + score[:, high] * share)


def carried_over(lips: F64, sound: F64) -> F64:
    """Mean product of the first canonical pairs at each moment, fitted without the quarter that it lies in, (n,)."""
    size = len(lips)
    out = np.zeros(size)
    edges = np.linspace(0, size, PARTS + 1).astype(int)
    total = lips.T @ sound
    for first, last in pairwise(edges.tolist()):
        near = slice(max(0, first - APART), last + APART)
        left, _, right = np.linalg.svd(total - lips[near].T @ sound[near], full_matrices=False)
        if last - first > 1:
            a = standard(lips[first:last] @ left[:, :COMPONENTS])
            b = standard(sound[first:last] @ right[:COMPONENTS].T)
            out[first:last] = (a * b).mean(axis=1)
    return out


def whitened(values: F64) -> F64:
    """Values (n, d) turned so that their columns are uncorrelated, the weak ones held down by a ridge."""
    centered = values - values.mean(axis=0)
    spread = centered.T @ centered / len(values)
    spread += RIDGE * max(float(np.trace(spread)) / len(spread), 1e-9) * np.eye(len(spread))
    power, axes = np.linalg.eigh(spread)
    return np.asarray(centered @ (axes / np.sqrt(power)))


def overlap(size: int, lag: int) -> tuple[slice, slice]:
    """Moments of the lips, and those of the sound `lag` steps later, that both exist."""
    return slice(max(0, -lag), max(0, size - max(0, lag))), slice(max(0, lag), max(0, size - max(0, -lag)))
