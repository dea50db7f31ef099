"""freeze: the picture stands still though it should move.

What is frozen before it is encoded is not the same in each decoded frame: the codec goes on refining it, key frames
"pop" to another rendering of it, and there may be noise. What is live may differ less from frame to frame than that:
one small thing that moves on a locked-off shot. Two things tell them apart:

* change adds up while things move, and does not while they stand. So each frame is compared with the one that is held
  (a *thumb*: means of 4x4 pixels of the small luma, which leaves little of noise and refinement), key frames with the
  first key frame since;
* a freeze begins at once, in the middle of movement and not at a cut: what follows changes less by far than the half
  second before it did. A still scene that begins at a cut, or comes to rest, has to stand still for longer and more
  exactly (so a slate or a title card, which does stand still, is found).

Readings of a still stretch are held back until it is long enough to tell, so that a freeze starts at the held frame.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, DetectorSpec, RaiseAfter
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.motion import UNKNOWN, Before, Move, Moves, largest, mean

STOP_RATIO = 8.0  # a stop is sudden when the change that adds up drops to an eighth,
STEP_RATIO = 3.0  # and that between frames to a third
EXACT = 2.0  # grey levels; what a codec refines after a clean freeze stays below
REPEATS = 3  # frames that must repeat the held one, at any frame rate
POP = 4.0  # grey levels; a key frame may differ by this, or twice what others may
PLAIN = 32.0  # grey levels; single samples of a frozen picture change less, other than at a key frame
FIRST = 20.0  # the same for the first repeat of a frame whose thumb was not made
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


class Shown(NamedTuple):
    """A frame of which nothing was said yet; `change`: from the one before it."""

    at_s: float
    until_s: float
    change: float
    key: bool


class Still:
    """A held frame, how things moved before it, and its repeats."""

    def __init__(self, shown: Shown, thumb: Plane) -> None:
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

    def limit(self, spec: FreezeSpec, key: bool) -> float:
        """Up to what change a frame repeats the held one."""
        stop = 0.0 if self.before is None else self.before.change / STOP_RATIO
        if self._frozen:
            limit = min(spec.tolerance, max(EXACT, 2 * stop))
        elif self._repeats == 0 and stop:
            limit = min(2 * spec.tolerance, stop)
        else:
            limit = max(spec.still_tolerance, min(spec.tolerance, stop))
        return max(POP, 2 * limit) if key else limit

    def repeated(self, change: float, step: float, key: bool, spec: FreezeSpec) -> bool:
        """Whether a frame repeats the held one; change: from that, step: from the frame before."""
        if change > self.limit(spec, key):
            return False
        if key or self._frozen or self._repeats == 0 or self.before is None or not self.before.change:
            return True
        return step <= max(spec.still_tolerance, self.before.step / STEP_RATIO)

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
        exact = bool(self.before and self.before.change) and self._worst <= EXACT
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
    """Keeps the last frame, and what is to be said since it is held, until it is clear whether it stands still.

    Sketches tell what plainly moves, which is nearly always all there is to be known of a frame. Thumbs are made of
    the others, and now and then, to tell how far things moved in the last half second.
    """

    def __init__(self, spec: FreezeSpec) -> None:
        self._spec = spec
        self._sketch: Plane | None = None  # of the frame before
        self._thumb: Plane | None = None  # of the frame before, where it was made
        self._shown: Shown | None = None  # the frame before, while nothing was said of it
        self._until_s = 0.0
        self._moves = Moves()
        self._still: Still | None = None
        self._cadence = Cadence()

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Readings up to the frame before while things move, later while they may stand; `value` is the change."""
        sketch = picture.sketch
        last, self._sketch = self._sketch, sketch
        broken = picture.at_s - self._until_s > BREAK_S
        self._until_s = picture.until_s
        if last is None or broken or last.shape != sketch.shape:
            self._moves.clear()
            self._thumb = None
            return self._show(picture, 0.0)
        change = largest(sketch, last)
        if change > PLAIN and not picture.key:
            thumb = picture.thumb if self._cadence.due(picture.at_s) else None
            return self._move(picture, thumb, Move(picture.at_s, mean(sketch, last), math.inf, thumb), change)
        return self._compare(picture, last, change)

    def finish(self) -> Sequence[Reading]:
        """What is held back."""
        shown, self._shown = self._shown, None
        still, self._still = self._still, None
        if still is not None:
            return still.release()
        return NOTHING if shown is None else (Reading(shown.at_s, shown.until_s, shown.change, False),)

    def _compare(self, picture: Picture, last_sketch: Plane, change: float) -> Sequence[Reading]:
        """A frame that may repeat the one before."""
        thumb, last = picture.thumb, self._thumb
        still = self._still
        if still is None and self._shown is not None and (last is not None or change <= FIRST):
            still = Still(self._shown, thumb if last is None else last)
        step = largest(thumb, last) if last is not None else 0.0
        if still is not None and (self._still is not None or picture.key or step <= 2 * self._spec.tolerance):
            since = still.change(thumb, thumb if last is None else last, picture.key)
            if still.before is None:
                before = self._moves.before(still.held)
                still.before = before if before.change > STOP_RATIO * self._spec.still_tolerance else UNKNOWN
            if still.repeated(since, step, picture.key, self._spec):
                self._thumb, self._still, self._shown = thumb, still, None
                return still.repeat(picture, thumb, since, self._spec)
        moved = Move(picture.at_s, mean(picture.sketch, last_sketch), step if last is not None else math.inf, thumb)
        return self._move(picture, thumb, moved, step if last is not None else change)

    def _move(self, picture: Picture, thumb: Plane | None, move: Move, change: float) -> Sequence[Reading]:
        self._thumb = thumb
        self._moves.add(move)
        return self._show(picture, change)

    def _show(self, picture: Picture, change: float) -> Sequence[Reading]:
        """Another picture than the one before, of which all can be said now."""
        released = self.finish()
        self._shown = Shown(picture.at_s, picture.until_s, change, picture.key)
        return released
