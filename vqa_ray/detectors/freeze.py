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
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, DetectorSpec, RaiseAfter
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.motion import UNKNOWN, Move, Moves, largest
from vqa_ray.detectors.still import STOP_RATIO, Limits, Shown, Still

PLAIN = 24.0  # grey levels; single samples of a frozen picture change less, other than at a key frame
FIRST = 16.0  # the same for the first repeat of a frame whose thumb was not made
BREAK_S = 0.5  # a hole in time as long as this ends what is held


class FreezeSpec(DetectorSpec, frozen=True, kw_only=True):
    """The picture stands still: the same frame again and again, whatever codec and noise make of it."""

    id: ClassVar[str] = "freeze"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "grey levels"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black", "bars", "green")
    lower_is_worse: ClassVar[bool] = True
    worse_with: ClassVar[tuple[str, ...]] = ("silence",)
    adapts: ClassVar[str] = (
        "how far things moved in the half second before a stop tells how exactly frames must repeat (an eighth of "
        "that), between still_tolerance and tolerance, at the first repeat twice that"
    )

    raise_after_s: RaiseAfter = 4.0
    with_sound: Annotated[
        Severity,
        msgspec.Meta(description="severity when it opens while there is sound (needs `silence`): stills may be meant"),
    ] = Severity.MAJOR
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

    @property
    def severity_with_sound(self) -> Severity:
        """As its option says, or less where all is said to be less."""
        return min(self.with_sound, self.severity, key=tuple(Severity).index)

    def build(self) -> "FreezeDetector":
        """A fresh detector with these options."""
        return FreezeDetector(self)


class FreezeDetector:
    """Keeps the last frame, and what is to be said since it is held, until it is clear whether it stands still.

    Sketches tell what plainly moves, which is nearly always all there is to be known of a frame. Thumbs are made of
    the others, and now and then, to tell how far things moved in the last half second.
    """

    def __init__(self, spec: FreezeSpec) -> None:
        self._spec = spec
        self._limits = Limits(spec.tolerance, spec.still_tolerance, spec.exact_s, spec.sure_s)
        self._sketch: Plane | None = None  # of the frame before
        self._thumb: Plane | None = None  # of the frame before, where it was made
        self._shown: Shown | None = None  # the frame before, while nothing was said of it
        self._until_s = 0.0
        self._moves = Moves()
        self._still: Still | None = None
        self._cadence = Cadence(2)

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Readings up to the frame before while things move, later while they may stand; `value` is the change."""
        sketch = picture.sketch
        last, self._sketch = self._sketch, sketch
        broken = picture.at_s - self._until_s > BREAK_S
        self._until_s = picture.until_s
        change = picture.leap
        if last is None or broken or change == math.inf:
            self._moves.clear()
            self._thumb = None
            return self._show(picture, 0.0)
        if change > PLAIN and not picture.key:
            thumb = picture.thumb if self._cadence.due(picture.at_s) else None
            return self._move(picture, thumb, Move(picture.at_s, sketch, last, math.inf, thumb), change)
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
            still = Still(self._shown, thumb if last is None else last, self._limits)
        step = largest(thumb, last) if last is not None else 0.0
        if still is not None and (self._still is not None or picture.key or step <= 2 * self._spec.tolerance):
            since = still.change(thumb, thumb if last is None else last, picture.key)
            if still.before is None:
                before = self._moves.before(still.held)
                still.before = before if before.change > STOP_RATIO * self._spec.still_tolerance else UNKNOWN
            if still.repeated(since, step, picture.key):
                self._thumb, self._still, self._shown = thumb, still, None
                return still.repeat(picture, thumb, since)
        moved = Move(picture.at_s, picture.sketch, last_sketch, math.inf if last is None else step, thumb)
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
