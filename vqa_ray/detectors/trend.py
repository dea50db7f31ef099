"""A measure of the picture about once a second against the stream's own past: for what grows worse slowly."""

from collections import deque
from statistics import median

RECENT = 9  # looks whose median is what it is now: a scene, or a title, is no trend
FEWEST = 30  # looks after which the past tells what is usual
MEMORY = 300  # looks that are remembered


class Trend:
    """What is usual and what is now; what is bad is not learnt, unless it lasts for `settle_s`."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._past: deque[float] = deque(maxlen=MEMORY)
        self._bad_s: float | None = None  # since when

    def add(self, value: float) -> tuple[float | None, float | None]:
        """Take a look; the median of the last ones, and what was usual before them. None while too little is known."""
        self._recent.append(value)
        now = median(self._recent) if len(self._recent) == RECENT else None
        return now, median(self._past) if len(self._past) >= FEWEST else None

    def judged(self, at_s: float, bad: bool) -> None:
        """What was made of it: good looks are learnt once they are no longer recent; so is what was bad for long."""
        if not bad:
            self._bad_s = None
            if len(self._recent) == RECENT:
                self._past.append(self._recent[0])
            return
        self._bad_s = at_s if self._bad_s is None else self._bad_s
        if at_s - self._bad_s >= self._settle_s:
            self._bad_s = None
            self._past.clear()
            self._past.extend(FEWEST * [median(self._recent)])
