"""What each detector takes of its stream's thread, by sample: no clock is read for the other items."""

import math

SAMPLED = 61  # one item of so many; a prime, so that it hits pictures and sound, key frames and others alike
HALF_LIFE_S = 30.0  # of media: some detectors look at a picture a second
LEAST_CPU_S = 1.0  # of the thread, before shares mean anything


class Toll:
    """Written by the stream's thread; `shares` may be asked by any."""

    def __init__(self) -> None:
        self._turn = 0
        self._spent_s: dict[str, float] = {}
        self._cpu_s = 0.0  # of the thread, faded
        self._seen_cpu_s = 0.0

    @property
    def due(self) -> bool:
        """Whether the item that comes is one to be timed; asked once for each."""
        self._turn = (self._turn + 1) % SAMPLED
        return not self._turn

    def took(self, detector: str, cpu_s: float) -> None:
        """A timed item took so long in that detector."""
        self._spent_s[detector] = self._spent_s.get(detector, 0.0) + cpu_s * SAMPLED

    def tick(self, span_s: float, cpu_s: float) -> None:
        """`span_s` later the thread has used `cpu_s` in all: what was before counts for less."""
        left = math.pow(0.5, span_s / HALF_LIFE_S)
        self._cpu_s = self._cpu_s * left + max(0.0, cpu_s - self._seen_cpu_s)
        self._seen_cpu_s = cpu_s
        self._spent_s = {name: spent_s * left for name, spent_s in self._spent_s.items()}

    def shares(self) -> dict[str, float]:
        """Of the thread's time, by detector; empty while too little was seen."""
        if self._cpu_s < LEAST_CPU_S:
            return {}
        return {name: spent_s / self._cpu_s for name, spent_s in self._spent_s.copy().items()}
