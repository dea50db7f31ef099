"""Which lag a stretch of speech has, how sure that is, and where it changed."""

from typing import NamedTuple

import numpy as np

from vqa_ray.detectors.lipsync.agreement import REACH, Agreement
from vqa_ray.detectors.lipsync.signals import F64, GRID_HZ

STEP_MS = 1000.0 / GRID_HZ
LEAST_S = 3.0  # of speech below which nothing is said
PIECE = 4 * GRID_HZ  # shortest stretch that gets a lag of its own
PEAK = 8  # steps to either side of a peak that belong to it
DIFFERENT_MS = 100.0  # lags nearer to each other than this are one
KNOWN_SHARE = 0.3  # of a stretch that must have both lips and sound at a lag


class Lag(NamedTuple):
    """One lag of the moments `first` to `last` (exclusive). offset_ms: positive when the sound comes late.

    sureness: of lips that belong to other sound, 1 stretch in 50 reaches 1.1, 1 in 200 reaches 1.35.
    """

    first: int
    last: int
    offset_ms: float
    sureness: float


def lags(found: Agreement) -> list[Lag]:
    """The lags of a take, in order: one, or several where each is sure by itself and they differ by a syllable."""
    score, known = (np.cumsum(np.vstack([np.zeros((1, v.shape[1])), v]), axis=0) for v in found)
    return _split(score, known, 0, len(found.score))


def _split(score: F64, known: F64, first: int, last: int) -> list[Lag]:
    whole = lag_of(score, known, first, last)
    if last - first < 2 * PIECE:
        return [whole]
    at = change(score[first : last + 1] - score[first]) + first
    before, after = lag_of(score, known, first, at), lag_of(score, known, at, last)
    differ = abs(before.offset_ms - after.offset_ms) >= DIFFERENT_MS
    if not differ or min(before.sureness, after.sureness) < 1.0:
        return [whole]
    return _split(score, known, first, at) + _split(score, known, at, last)


def change(score: F64) -> int:
    """Where to cut a stretch in two so that the best lags of both parts agree best; cumulative, (n + 1, lags)."""
    before, after = score.max(axis=1), (score[-1] - score).max(axis=1)
    total = (before + after)[PIECE : len(score) - PIECE]
    return PIECE + int(np.argmax(total))


def lag_of(score: F64, known: F64, first: int, last: int) -> Lag:
    """The best lag of a stretch; its peak, interpolated by a parabola, against the next best elsewhere."""
    count = known[last] - known[first]
    curve = np.where(count >= KNOWN_SHARE * (last - first), (score[last] - score[first]) / np.maximum(count, 1.0), -1.0)
    best = int(np.argmax(curve))
    second = float(curve[np.abs(np.arange(len(curve)) - best) > PEAK].max())
    peak = float(curve[best])
    seconds = (last - first) / GRID_HZ
    sureness = (2.0 * peak - second) * seconds**0.5 if seconds >= LEAST_S else 0.0
    return Lag(first, last, (best + _vertex(curve, best) - REACH) * STEP_MS, max(0.0, sureness))


def _vertex(curve: F64, best: int) -> float:
    """How far the top of the parabola through the peak and its neighbours lies from it, -0.5 to 0.5."""
    if not 0 < best < len(curve) - 1:
        return 0.0
    left, top, right = (float(v) for v in curve[best - 1 : best + 2])
    bend = left - 2.0 * top + right
    return max(-0.5, min(0.5, 0.5 * (left - right) / bend)) if bend < 0 else 0.0
