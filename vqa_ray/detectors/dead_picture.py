"""What equipment shows where it has no signal: one flat colour, or snow. See `flat` and `snow`."""

import math
from collections.abc import Sequence

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Reading
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.flat import Flat, flat_colour
from vqa_ray.detectors.snow import BEGINS, GOES_ON, is_snow
from vqa_ray.detectors.spans import Spans

GOES_ON_S = 0.3  # after snow was seen; one picture of it may be mush, while its encoder is short of bits
KEPT = 0.7  # of the change of the frame before: snow may be shown at half the frame rate
MOST = 255.0


class DeadPicture:
    """Looks at the common cadence and at each abrupt change, so that a cut is dated to the frame."""

    def __init__(self, part: str) -> None:
        self._cadence = Cadence()
        self._spans = Spans(part)
        self._flat: Flat | None = None  # at the last look
        self._snow_s = -math.inf  # when snow was last seen
        self._change = 0.0  # of late, grey levels
        self._since_s: float | None = None  # it is bad

    def picture(self, picture: Picture) -> Sequence[Reading]:
        """Late while good, up to this frame while bad; `value` is for how long it has been bad."""
        change = picture.change
        self._change = max(min(change, MOST), KEPT * self._change)
        if not self._cadence.looks(picture):
            return self._spans.pass_by(picture)
        before, self._flat = self._flat, flat_colour(picture)
        flat = self._flat is not None and (before is None or before.stays(self._flat))
        need = GOES_ON if picture.at_s - self._snow_s <= GOES_ON_S else BEGINS
        snow = self._flat is None and is_snow(picture, self._change, need)
        self._snow_s = picture.at_s if snow else self._snow_s
        bad = flat or snow
        if not bad:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = picture.at_s
        return self._spans.turn(picture, picture.until_s - self._since_s if self._since_s is not None else 0.0, bad)

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._spans.finish()
