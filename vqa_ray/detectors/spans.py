"""A verdict that holds from one close look at the picture to the next: few readings while good, all while bad."""

from collections.abc import Sequence

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Reading
from vqa_ray.detectors.base import NOTHING

STEP_S = 0.5  # good readings speak of at least this long
BREAK_S = 0.5  # a hole in time as long as this belongs to no verdict


class Spans:
    """Readings of one part. Good ones are told a half second later; bad ones at once, since they hide others."""

    def __init__(self, part: str = "") -> None:
        self._part = part
        self._start_s: float | None = None  # of the good frames that were not told yet
        self._until_s = -float("inf")  # end of the last frame
        self._value = 0.0
        self._bad = False

    def pass_by(self, picture: Picture) -> Sequence[Reading]:
        """A frame that was not looked at: the verdict is that of the last look."""
        if self._bad:
            return (self._tell(picture),)
        self._until_s = picture.until_s
        return NOTHING

    def turn(self, picture: Picture, value: float, bad: bool) -> Sequence[Reading]:
        """From this frame on it is as said; what is to be told of it and of the frames before."""
        broken = picture.at_s - self._until_s > BREAK_S
        if not (bad or broken) and (start_s := self._start_s) is not None and picture.at_s - start_s < STEP_S:
            self._value, self._until_s = value, picture.until_s
            return NOTHING
        told = self._good(self._until_s if broken else picture.at_s)
        self._value, self._bad = value, bad
        if bad:
            return (*told, self._tell(picture))
        self._start_s, self._until_s = picture.at_s, picture.until_s
        return told

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._good(self._until_s)

    def _good(self, until_s: float) -> Sequence[Reading]:
        start_s, self._start_s = self._start_s, None
        return (
            NOTHING if start_s is None else (Reading(start_s, max(start_s, until_s), self._value, False, self._part),)
        )

    def _tell(self, picture: Picture) -> Reading:
        self._until_s = picture.until_s
        return Reading(picture.at_s, picture.until_s, self._value, True, self._part)
