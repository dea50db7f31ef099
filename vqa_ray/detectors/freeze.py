"""freeze: the picture stands still though it should move.

What is frozen before it is encoded is not the same in each decoded frame: the codec goes on refining it, key frames
"pop" to another rendering of it, and there may be noise. What is live may differ less from frame to frame than that:
one small thing that moves on a locked-off shot. Two things tell them apart:

* change adds up while things move, and does not while they stand. So each frame is compared with the one that is held
  (a *thumb*: means of 4x4 pixels of the small luma, which leaves little of noise and refinement), key frames with the
  first key frame since;
* a freeze begins at once, in the middle of movement and not at a cut. A still scene that begins at a cut, or comes to
  rest, has to stand still for longer and more exactly (so a slate or a title card, which does stand still, is found).

Readings of a still stretch are held back until it is long enough to tell, so that a freeze starts at the held frame.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import cv2
import msgspec
import numpy as np

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, DetectorSpec, RaiseAfter

AREA = cv2.INTER_AREA
RECENT_S = 0.5  # how far back movement tells whether a stop is sudden
STOP_RATIO = 8.0  # a stop is sudden when change drops to an eighth
CUT_RATIO = 4.0  # a cut changes the mean by four times what movement did
EXACT = 2.0  # grey levels; what a codec refines after a clean freeze stays below
REPEATS = 3  # frames that must repeat the held one, at any frame rate
POP = 4.0  # grey levels; a key frame may differ by this, or twice what others may
BREAK_S = 0.5  # a hole in time as long as this ends what is held


class FreezeSpec(DetectorSpec, frozen=True, kw_only=True):
    """The picture stands still: the same frame again and again, whatever codec and noise make of it."""

    id: ClassVar[str] = "freeze"
    input: ClassVar[Input] = Input.VIDEO
    unit: ClassVar[str] = "grey levels"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black")
    lower_is_worse: ClassVar[bool] = True

    raise_after_s: RaiseAfter = 4.0
    tolerance: Annotated[
        float,
        msgspec.Meta(ge=0, le=64, description="largest change from the held frame (grey levels), after a sudden stop"),
    ] = 6.0
    still_tolerance: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=64, description="the same where the stop was not sudden: at a cut, or hardly moving before"
        ),
    ] = 0.75
    exact_s: Annotated[
        float, msgspec.Meta(ge=0.1, le=2, description="seconds after which an exact stop is taken for a freeze")
    ] = 0.4
    sure_s: Annotated[
        float, msgspec.Meta(ge=0.1, le=2, description="seconds after which any other is; readings wait as long")
    ] = 0.9

    def build(self) -> "FreezeDetector":
        """A fresh detector with these options."""
        return FreezeDetector(self)


class Move(NamedTuple):
    """A frame that differs from the one before it: when, by how much at most, and both thumbs."""

    at_s: float
    largest: float
    thumb: Plane
    before: Plane

    @property
    def mean(self) -> float:
        """The mean absolute change."""
        return float(cv2.norm(self.thumb, self.before, cv2.NORM_L1)) / max(1, self.thumb.size)


class Still:
    """A held frame and its repeats; `level` is how much moved before a sudden stop, 0 if the stop was not sudden."""

    def __init__(self, picture: Picture, thumb: Plane, change: float, level: float | None) -> None:
        self.level = level  # None: not asked yet
        self.held = thumb  # what frames are compared with
        self._start_s = picture.at_s
        self._key: Plane | None = thumb if picture.key else None  # what key frames are compared with
        self._repeats = 0
        self._worst = 0.0
        self._frozen = False
        self._waiting = [(picture.at_s, picture.until_s, change)]

    def change(self, thumb: Plane, last: Plane, key: bool) -> float:
        """How much `thumb` differs from what is held; a first key frame from the frame before it."""
        if not key:
            return largest(thumb, self.held)
        return largest(thumb, last if self._key is None else self._key)

    def limit(self, spec: FreezeSpec, key: bool) -> float:
        """Up to what change a frame repeats the held one."""
        stop = (self.level or 0.0) / STOP_RATIO
        if self._frozen:
            limit = spec.tolerance if stop else EXACT
        elif self._repeats == 0 and stop:
            limit = min(2 * spec.tolerance, stop)
        else:
            limit = max(spec.still_tolerance, min(spec.tolerance, stop))
        return max(POP, 2 * limit) if key else limit

    def repeat(self, picture: Picture, thumb: Plane, change: float, spec: FreezeSpec) -> Sequence[Reading]:
        """Take a repeat of the held frame."""
        if self._repeats == 0 or picture.key:
            self.held = thumb  # the first repeat may be refined at once, a key frame is another rendering
        else:
            self._worst = max(self._worst, change)
        if picture.key and self._key is None:
            self._key = thumb
        self._repeats += 1
        self._waiting.append((picture.at_s, picture.until_s, change))
        exact = bool(self.level) and self._worst <= EXACT
        needed_s = spec.exact_s if exact else spec.sure_s
        lasted_s = picture.until_s - self._start_s
        self._frozen = self._frozen or (self._repeats >= REPEATS and lasted_s >= needed_s - 1e-6)
        return self.release() if self._frozen else NOTHING

    def release(self) -> Sequence[Reading]:
        """All that is held back, as it is known now."""
        readings = [Reading(at_s, until_s, change, self._frozen) for at_s, until_s, change in self._waiting]
        self._waiting.clear()
        return readings


class FreezeDetector:
    """Holds a frame, and what is to be said since, until it is clear whether the picture stands still."""

    def __init__(self, spec: FreezeSpec) -> None:
        self._spec = spec
        self._last: Plane | None = None  # thumb of the frame before
        self._until_s = 0.0
        self._moves: deque[Move] = deque()  # of the last half second
        self._still: Still | None = None

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Readings up to the frame before while things move, later while they may stand; `value` is the change."""
        thumb = shrink_twice(picture.small)
        last, self._last = self._last, thumb
        broken = picture.at_s - self._until_s > BREAK_S
        self._until_s = picture.until_s
        still = self._still
        if still is None or last is None or last.shape != thumb.shape or broken:
            self._moves.clear()
            return self._hold(picture, thumb, 0.0, 0.0)
        change = still.change(thumb, last, picture.key)
        if still.level is None and (picture.key or change <= self._highest_limit()):
            still.level = self._stop_level()
        if still.level is not None and change <= still.limit(self._spec, picture.key):
            return still.repeat(picture, thumb, change, self._spec)
        step = change if still.held is last else largest(thumb, last)
        self._moves.append(Move(picture.at_s, step, thumb, last))
        return self._hold(picture, thumb, step, None)

    def finish(self) -> Sequence[Reading]:
        """What is held back still."""
        return NOTHING if self._still is None else self._still.release()

    def _hold(self, picture: Picture, thumb: Plane, change: float, level: float | None) -> Sequence[Reading]:
        released = self.finish()
        self._still = Still(picture, thumb, change, level)
        while self._moves and self._moves[0].at_s < picture.at_s - RECENT_S:
            self._moves.popleft()
        return released

    def _highest_limit(self) -> float:
        """What the limit would be at most: spares the price of the exact one while things move."""
        return max(self._spec.still_tolerance, max((move.largest for move in self._moves), default=0.0) / STOP_RATIO)

    def _stop_level(self) -> float:
        """How much moved before the held frame, 0 if little is known of it or the frame is the first after a cut."""
        moves = after_cut(list(self._moves))
        if len(moves) < 2:
            return 0.0
        level = sorted(move.largest for move in moves)[-2]
        return level if level > STOP_RATIO * self._spec.still_tolerance else 0.0


def after_cut(moves: list[Move]) -> list[Move]:
    """The moves after the last cut: a cut changes the mean by four times what any move before it did."""
    start, highest = 0, math.inf
    for number, move in enumerate(moves):
        mean = move.mean
        if mean > CUT_RATIO * highest:
            start, highest = number + 1, math.inf
        else:
            highest = mean if highest == math.inf else max(highest, mean)
    return moves[start:]


def shrink_twice(luma: Plane) -> Plane:
    """`luma` (h, w) uint8 -> means of 4x4 pixels, (h // 4, w // 4) float32; smaller pictures are not reduced."""
    height, width = luma.shape
    if height < 8 or width < 8:
        return luma.astype(np.float32)
    half = cv2.resize(luma[: height // 4 * 4, : width // 4 * 4], (width // 4 * 2, height // 4 * 2), interpolation=AREA)
    thumb: Plane = cv2.resize(half.astype(np.float32), (width // 4, height // 4), interpolation=AREA)
    return thumb


def largest(a: Plane, b: Plane) -> float:
    """The largest absolute difference."""
    return float(cv2.norm(a, b, cv2.NORM_INF))
