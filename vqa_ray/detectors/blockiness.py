"""blockiness: the picture falls into the blocks that it was coded in, since an encoder before us was starved of bits.

The grid of blocks is looked for about once a second (see `grid`). How plainly it shows depends on the scene and on
what the channel's encoder does at its best, so it is judged by the stream's own recent past: it must rise at once,
while the scene goes on. Right after a cut, or when nothing is known yet, only what no intact picture shows will do.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, DetectorSpec, RaiseAfter
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.grid import GridStrength, grid_strength
from vqa_ray.detectors.usual import RECENT, RISE, SEEN_STEP, SURE, Verdict

LOOK_EACH = 6  # of the common looks, at the same frames as `black`: each 0.96 s
CUT = 16.0  # grey levels of `Picture.change`: another scene, rather than movement,
CUT_RATIO = 3.0  # if it is so much more than at the frame before
HOLE_S = 0.5  # in time; ends what is held back
SOON_S = 0.8  # looks so close together may be of one group of pictures
AGAIN_S = 0.3  # to a second look: single key frames may show blocks, and where little is known
TURN = 2.0  # times what other frames change
STILL = 0.05  # grey levels of `Picture.change`, mean since the last look: it is the same picture
SAME = 0.9  # correlation with the sketch of the last look: blocks came or went, but the picture is the same
FLAT = 4.0  # grey levels, standard deviation of the sketch: black or one colour, on which no coding shows


class Look(NamedTuple):
    """When it was, and what it said."""

    at_s: float
    strength: float
    bad: bool


class BlockinessSpec(DetectorSpec, frozen=True, kw_only=True):
    """Coding blocks show all over the picture: an encoder up the line has too few bits for it."""

    id: ClassVar[str] = "blockiness"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "excess of steps on the grid"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black", "bars", "green")
    adapts: ClassVar[str] = (
        f"blocks must show {RISE:g} times more than in all but one of the last {RECENT} intact looks, never less than "
        f"tolerance and {SEEN_STEP:g} grey levels; after a cut {SURE:g} times tolerance. What is bad is not learnt"
    )

    raise_after_s: RaiseAfter = 2.0
    tolerance: Annotated[
        float,
        msgspec.Meta(
            ge=0.1, le=10, description="mean step of luma on the grid over those off it, minus 1, that is tolerated"
        ),
    ] = 0.25

    def build(self) -> "BlockinessDetector":
        """A fresh detector with these options."""
        return BlockinessDetector(self.tolerance)


class BlockinessDetector:
    """Judges single pictures; each stands for the time from and to where the picture changed most, or half-way."""

    def __init__(self, tolerance: float) -> None:
        self._cadence = Cadence(LOOK_EACH)
        self._verdict = Verdict(tolerance)
        self._seen: Look | None = None
        self._first: GridStrength | None = None  # of two looks that it takes
        self._again_s = math.inf  # when a look is due though the cadence has none
        self._turned_s = 0.0  # when it turned bad or good, if it did
        self._learnt_s = -math.inf  # when what was seen began to be learnt anew
        self._told_s: float | None = None
        self._until_s = 0.0  # end of the last picture
        self._sketch: Plane | None = None  # of the last look
        self._change = 0.0  # of the last picture
        self._key = False  # the last picture was one: what it shows of its blocks the next ones do not
        self._cut = False  # since the last look
        self._frames = 0  # since then,
        self._sum = 0.0  # how much they changed,
        self._most = 0.0  # which of them most,
        self._most_s = 0.0  # and when

    def read(self, picture: Picture) -> Sequence[Reading]:
        """A reading for each look, when the next one is taken; `value` is the strength of the grid."""
        found: Sequence[Reading] = NOTHING
        at_s, change = picture.at_s, picture.change
        if at_s - self._until_s > HOLE_S:
            found = self.finish()
        self._frames += 1
        self._sum += change
        if change > self._most:
            self._most, self._most_s = change, at_s
        if change > CUT and change > CUT_RATIO * self._change:
            self._cut = True
            self._again_s = min(self._again_s, at_s + AGAIN_S)
        self._change = change
        if self._cadence.due(at_s) or at_s >= self._again_s:
            if picture.key and not self._key:
                self._again_s = at_s
            else:
                found = [*found, *self._look(picture)]
        self._key = picture.key
        self._until_s = picture.until_s
        return found

    def finish(self) -> Sequence[Reading]:
        """What the last look says, up to the last picture."""
        found = self._tell(self._until_s)
        self._seen = self._told_s = self._first = self._sketch = None
        return found

    def _look(self, picture: Picture) -> Sequence[Reading]:
        if self._told_s is None:
            self._told_s = picture.at_s
        strength, cut = grid_strength(picture.luma, picture.bit_depth), self._cut
        same = self._same(picture.sketch)
        if self._first is None:
            self._turned_s = self._turn_s(picture.at_s)
            if self._verdict.rises(strength, cut, same=same):
                self._first, self._again_s = strength, picture.at_s + AGAIN_S
                return NOTHING
        else:
            strength, self._first = min(strength, self._first), None
        flat = _deviation(picture.sketch) < FLAT
        still, soon = self._sum < STILL * self._frames, picture.at_s - self._learnt_s < SOON_S
        bad = self._verdict.of(strength, cut, same=same, still=still, flat=flat, soon=soon)
        self._learnt_s = self._learnt_s if soon else picture.at_s
        turned = self._seen is not None and self._seen.bad != bad
        found = self._tell(self._turned_s if turned else picture.at_s)
        self._seen = Look(picture.at_s, max(0.0, strength.strength), bad)
        self._frames, self._sum, self._most, self._cut = 0, 0.0, 0.0, False
        self._again_s = math.inf if self._verdict.settled or flat else picture.at_s + AGAIN_S
        return found

    def _same(self, sketch: Plane) -> bool:
        """Whether the picture is that of the last look, moved a little, with blocks or without."""
        last, self._sketch = self._sketch, sketch
        if last is None or last.shape != sketch.shape:
            return False
        return float(cv2.matchTemplate(sketch, last, cv2.TM_CCOEFF_NORMED)[0, 0]) >= SAME

    def _turn_s(self, at_s: float) -> float:
        """Between the last look and this one: at the frame that changed much more than the others, else half-way."""
        if self._seen is None:
            return at_s
        others = (self._sum - self._most) / max(1, self._frames - 1)
        return self._most_s if self._most > TURN * others else (self._seen.at_s + at_s) / 2

    def _tell(self, until_s: float) -> Sequence[Reading]:
        start_s, seen = self._told_s, self._seen
        if start_s is None or seen is None or until_s < start_s:
            return NOTHING
        self._told_s = until_s
        return (Reading(start_s, until_s, seen.strength, seen.bad),)


def _deviation(plane: Plane) -> float:
    """Standard deviation of (h, w) uint8, in its units."""
    deviation: float = cv2.meanStdDev(plane)[1][0][0]
    return deviation
