"""Readings of stretches in which the verdict stays the same, for detectors that need not speak of each frame."""

from collections.abc import Sequence

from vqa_ray.core.reading import Reading
from vqa_ray.detectors.base import NOTHING

LONGEST_S = 1.0
HOLE_S = 0.5  # time that nothing covers for as long as this is not spoken of


class Stretch:
    """The frames or blocks since the last reading, which all got the same verdict; at most a second of them."""

    def __init__(self, part: str = "") -> None:
        self._part = part
        self._start_s: float | None = None
        self._until_s = 0.0
        self._value = 0.0
        self._bad = False

    def add(self, at_s: float, until_s: float, value: float, bad: bool) -> Sequence[Reading]:
        """Take one frame or block; a reading of those before it, where one is due."""
        start_s = self._start_s
        if start_s is None:
            self._start_s, self._until_s, self._value, self._bad = at_s, until_s, value, bad
            return NOTHING
        hole = at_s - self._until_s
        if bad == self._bad and -HOLE_S < hole < HOLE_S and until_s - start_s <= LONGEST_S:
            self._until_s = max(self._until_s, until_s)
            self._value = max(self._value, value)
            return NOTHING
        end_s = self._until_s if abs(hole) >= HOLE_S else at_s
        found = (Reading(start_s, max(start_s, end_s), self._value, self._bad, self._part),)
        self._start_s, self._until_s, self._value, self._bad = max(at_s, found[0].until_s), until_s, value, bad
        return found

    def finish(self) -> Sequence[Reading]:
        """A reading of what was taken since the last."""
        start_s, self._start_s = self._start_s, None
        if start_s is None:
            return NOTHING
        return (Reading(start_s, max(start_s, self._until_s), self._value, self._bad, self._part),)
