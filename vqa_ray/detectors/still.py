"""A held frame: how far the frames after it may differ and still repeat it, and when it is clear that it is frozen."""

from collections.abc import Sequence
from typing import NamedTuple

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import ROUNDING_S, Reading
from vqa_ray.detectors.base import NOTHING
from vqa_ray.detectors.motion import Before, largest

STOP_RATIO = 8.0  # a stop is sudden when the change that adds up drops to an eighth,
STEP_RATIO = 3.0  # and that between frames to a third
EXACT = 2.0  # grey levels; what a codec refines after a clean freeze stays below, or
EXACT_RATIO = 32.0  # where things moved by so much more before it, up to twice as much
REPEATS = 3  # frames that must repeat the held one, at any frame rate
POP = 4.0  # grey levels; a key frame may differ by this, or twice what others may


class Shown(NamedTuple):
    """A frame of which nothing was said yet; `change`: from the one before it."""

    at_s: float
    until_s: float
    change: float
    key: bool


class Limits(NamedTuple):
    """The options of freeze that judge a held frame, see its spec."""

    tolerance: float
    still_tolerance: float
    exact_s: float
    sure_s: float


class Still:
    """A held frame, how things moved before it, and its repeats."""

    def __init__(self, shown: Shown, thumb: Plane, limits: Limits) -> None:
        self._limits = limits
        self.before: Before | None = None  # not asked yet
        self.held = thumb  # what frames are compared with
        self._start_s = shown.at_s
        self._key: Plane | None = thumb if shown.key else None  # what key frames are compared with
        self._repeats = 0
        self._worst = 0.0
        self._frozen = False
        self._waiting = [(shown.at_s, shown.until_s, shown.change)]

    def change(self, thumb: Plane, last: Plane, key: bool) -> float:
        """How much `thumb` differs from what is held; a first key frame from the frame before it."""
        if not key:
            return largest(thumb, self.held)
        return largest(thumb, last if self._key is None else self._key)

    def limit(self, key: bool) -> float:
        """Up to what change a frame repeats the held one."""
        stop = 0.0 if self.before is None else self.before.change / STOP_RATIO
        if self._frozen:
            limit = min(self._limits.tolerance, max(EXACT, 2 * stop))
        elif self._repeats == 0 and stop:
            limit = min(2 * self._limits.tolerance, stop)
        else:
            limit = max(self._limits.still_tolerance, min(self._limits.tolerance, stop))
        return max(POP, 2 * limit) if key else limit

    def repeated(self, change: float, step: float, key: bool) -> bool:
        """Whether a frame repeats the held one; change: from that, step: from the frame before."""
        if change > self.limit(key):
            return False
        if key or self._frozen or self._repeats == 0 or self.before is None or not self.before.change:
            return True
        return step <= max(self._limits.still_tolerance, self.before.step / STEP_RATIO)

    def repeat(self, picture: Picture, thumb: Plane, change: float) -> Sequence[Reading]:
        """Take a repeat of the held frame."""
        if self._repeats == 0 or picture.key:
            self.held = thumb  # the first repeat may be refined at once, a key frame is another rendering
        else:
            self._worst = max(self._worst, change)
        if picture.key and self._key is None:
            self._key = thumb
        self._repeats += 1
        self._waiting.append((picture.at_s, picture.until_s, change))
        moved = self.before.change if self.before is not None else 0.0
        exact = moved > 0.0 and self._worst <= min(2 * EXACT, max(EXACT, moved / EXACT_RATIO))
        needed_s = self._limits.exact_s if exact else self._limits.sure_s
        lasted_s = picture.until_s - self._start_s
        self._frozen = self._frozen or (self._repeats >= REPEATS and lasted_s >= needed_s - ROUNDING_S)
        return self.release() if self._frozen else NOTHING

    def release(self) -> Sequence[Reading]:
        """All that is held back, as it is known now."""
        readings = [Reading(at_s, until_s, change, self._frozen) for at_s, until_s, change in self._waiting]
        self._waiting.clear()
        return readings
