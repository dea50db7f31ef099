"""flicker: the picture flashes so often and over so much of it that it may harm viewers with photosensitive epilepsy.

A screen after the rules for general flashes of ITU-R BT.1702 and Ofcom (see `flashes`): more than three flashes within
a second over more than a quarter of the picture. It is no certification: saturated red, regular patterns, how large and
bright the viewer's screen is, and flashes over smaller parts are not judged.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, RaiseAfter
from vqa_ray.detectors.flashes import WINDOW_S, Turns, cells, luminance_of

STEADY = 16.0  # grey levels a second of `Picture.change`: a quarter of the picture does not turn by less
TELL_S = 0.25  # good readings speak of at least this long
BREAK_S = 0.5  # a hole in time as long as this ends all flashing
LIMITED, FULL = luminance_of(16, 235), luminance_of(0, 255)


class FlickerSpec(DetectorSpec, frozen=True, kw_only=True):
    """Flashes that may harm: more than three a second over a quarter of the picture; a screen, no certification."""

    id: ClassVar[str] = "flicker"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "flashes a second"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "corruption")

    raise_after_s: RaiseAfter = 0.0
    clear_after_s: ClearAfter = 2.0
    most_flashes: Annotated[int, msgspec.Meta(ge=1, le=30, description="flashes a second that are no harm")] = 3
    min_share: Annotated[
        float, msgspec.Meta(ge=0.05, le=1, description="share of the picture that flashes together")
    ] = 0.25

    def build(self) -> "FlickerDetector":
        """A fresh detector with these options."""
        return FlickerDetector(self)


class FlickerDetector:
    """Speaks of what is a second ago, since flashes are bad from their first on once there are too many."""

    def __init__(self, spec: FlickerSpec) -> None:
        self._spec = spec
        self._enough = 2 * (spec.most_flashes + 1)  # turns
        self._turns = Turns(spec.min_share)
        self._from_s: float | None = None  # nothing was said of what follows
        self._until_s = 0.0

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Readings of stretches, good ones a second late; `value` is the number of flashes in a second."""
        at_s, until_s = picture.at_s, picture.until_s
        told = self._restart() if abs(at_s - self._until_s) > BREAK_S else NOTHING
        from_s = self._from_s = at_s if self._from_s is None else self._from_s
        self._until_s = until_s
        if picture.change >= STEADY * (until_s - at_s):  # or there is no picture before it
            light = cells(picture.sketch, FULL if picture.full_range else LIMITED)
            if self._turns.take(light, at_s) and len(self._turns.times_s) >= self._enough:
                return (*told, *self._flashing(from_s, until_s))
        return (*told, *self._tell(until_s - WINDOW_S)) if until_s - from_s >= WINDOW_S + TELL_S else told

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._tell(self._until_s)

    def _flashing(self, from_s: float, until_s: float) -> Sequence[Reading]:
        """It is bad from the first turn of those within a second on."""
        turns = self._turns.times_s
        start_s = max(from_s, turns[0])
        told = self._tell(start_s) if start_s > from_s else NOTHING
        self._from_s = until_s
        return (*told, Reading(start_s, until_s, len(turns) / 2, True))

    def _tell(self, until_s: float) -> Sequence[Reading]:
        from_s = self._from_s
        if from_s is None or until_s <= from_s:
            return NOTHING
        self._from_s = until_s
        return (Reading(from_s, until_s, 0.0, False),)

    def _restart(self) -> Sequence[Reading]:
        told = self._tell(self._until_s)
        self._turns = Turns(self._spec.min_share)
        self._from_s = None
        return told
