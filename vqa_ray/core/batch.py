"""How much of a live input is taken at once: little while there is time, more the busier the process is. Pure.

Taken one by one, pictures of many streams cost more than those of a file: for each a thread wakes, and finds neither
its code nor its data in the caches. Several that are taken together share that, and come later. So a process with time
to spare tells at once, and a busy one holds more streams (`python -m benchmarks density`).
"""

from typing import NamedTuple

STEADY_SHARE = 0.15  # busier by less than this: larger batches make it less busy by themselves


class Batch(NamedTuple):
    """pictures: taken together, at most; every_s: how often the network is asked, in seconds."""

    pictures: int
    every_s: float

    @property
    def delay_s(self) -> float:
        """By how much it makes later what is taken: its first picture waits for the last."""
        return self.every_s if self.pictures > 1 else 0.0


STEPS = ((0.0, Batch(1, 0.04)), (0.5, Batch(2, 0.08)), (0.65, Batch(4, 0.16)), (0.8, Batch(4, 0.32)))
SMALLEST = STEPS[0][1]


class Batching:
    """The batch of all streams of one process."""

    def __init__(self) -> None:
        self._step = 0

    @property
    def batch(self) -> Batch:
        """What is taken at once now."""
        return STEPS[self._step][1]

    def look(self, busy_share: float) -> None:
        """busy_share: CPU seconds a second that the process uses; an analyzer has one core."""
        self._step = min(max(self._step, _step(busy_share)), _step(busy_share + STEADY_SHARE))


def _step(busy_share: float) -> int:
    """The last one that begins at this share or below."""
    return max(n for n, (share, _) in enumerate(STEPS) if busy_share >= share)
