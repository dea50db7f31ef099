"""What happens in the picture against what begins in the sound, where nobody is seen to speak: weak, never an alarm.

Cuts and bursts of motion often come with the sound that they make, or that an editor laid to them. Much does not; so
single takes say next to nothing, and what is said of a file adds up all of them.
"""

from typing import NamedTuple

import numpy as np

from vqa_ray.detectors.lipsync.agreement import LAGS, REACH, overlap
from vqa_ray.detectors.lipsync.signals import F64, GRID_HZ, standard, varying
from vqa_ray.detectors.lipsync.verdict import PEAK, STEP_MS

LEAST_S = 3.0
MOST = 4.0  # standard deviations that one event counts at most
CALM = 0.1  # grey levels of change that noise makes
WIDE = np.hanning(7) / 3.0  # of an event: 0.1 s
WORTH_TELLING = 1.8  # sureness that 1 stretch in 100 has of picture and sound that do not belong together


class Happened(NamedTuple):
    """Sum over all moments of how well events agree at each lag, (81,), and the seconds of them."""

    score: F64
    seconds: float

    def __add__(self, other: "Happened") -> "Happened":  # type: ignore[override]
        return Happened(self.score + other.score, self.seconds + other.seconds)

    @property
    def sureness(self) -> float:
        """As that of `verdict.Lag`, of these events."""
        mean = self.score / max(1.0, self.seconds * GRID_HZ)
        best = int(np.argmax(mean))
        second = float(mean[np.abs(np.arange(LAGS) - best) > PEAK].max())
        return max(0.0, (2.0 * float(mean[best]) - second) * float(self.seconds**0.5))

    @property
    def offset_ms(self) -> float:
        """The best lag, positive when the sound comes late."""
        return (int(np.argmax(self.score)) - REACH) * STEP_MS


def happened(change: F64, bands: F64) -> Happened | None:
    """Of the picture's change (n,), in grey levels, and mel bands (n, 14) on one grid; None of too little."""
    size = len(change)
    if size < LEAST_S * GRID_HZ:
        return None
    moved = _events(np.log(change + CALM)[:, None])
    begun = _events(np.maximum(0.0, np.gradient(bands, axis=0)))
    score = np.zeros(LAGS)
    for column, lag in enumerate(range(-REACH, REACH + 1)):
        seen, heard = overlap(size, lag)
        score[column] = float(moved[seen] @ begun[heard]) * size / max(1, size - abs(lag))
    return Happened(score, size / GRID_HZ)


def _events(values: F64) -> F64:
    """Where the mean of the columns rises above its surroundings, (n,), standardised."""
    wide = np.convolve(values.mean(axis=1), WIDE, "same")[:, None]
    return standard(np.minimum(standard(varying(wide)), MOST))[:, 0]
