"""stutter: pictures are repeated though things move, other than a steady conversion of the frame rate repeats them.

A conversion (3:2 and 2:2 pulldown, 24 to 25 a second, one of two) shows each picture for n or n + 1 frames. So it
stutters where intervals between new pictures differ by more, again and again; and where the rate of new pictures, or of
pictures at all, falls to less than half of what it was, however steady.
"""

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.stretch import Stretch

WINDOW_S = 1.0
STEP_S = 0.5  # from judgement to judgement
MOVING = 1.0  # grey levels of `Picture.change`, median of new pictures: less is a still scene
SAME = 0.15  # of that: what a codec makes of a repeated picture changes less
SAME_LEVEL = 0.6  # grey levels, the same at most
FEWEST = 5  # new pictures in a window, to tell their intervals by
USUAL_WINDOWS = 20


class StutterSpec(DetectorSpec, frozen=True, kw_only=True):
    """Movement jerks: pictures are held at irregular intervals, or far fewer come, or are new, than before."""

    id: ClassVar[str] = "stutter"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of held frames"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "freeze", "black")
    adapts: ClassVar[str] = (
        "the frame rate, and the share of new pictures, must fall below collapse_share of the median of the last "
        f"{USUAL_WINDOWS} good half seconds; irregular holds and min_fps do not adapt"
    )

    raise_after_s: RaiseAfter = 1.5
    severity: SeverityOf = Severity.MINOR
    irregular: Annotated[
        int,
        msgspec.Meta(ge=1, le=100, description="holds a second that are longer by 2 frames than others: it stutters"),
    ] = 2
    collapse_share: Annotated[
        float, msgspec.Meta(ge=0, le=0.9, description="frame rate below this share of what is usual is bad; 0: never")
    ] = 0.5
    min_fps: Annotated[
        float, msgspec.Meta(ge=0, le=120, description="frame rate below this is bad from the start; 0: not checked")
    ] = 0.0

    def build(self) -> "StutterDetector":
        """A fresh detector with these options."""
        return StutterDetector(self)


class StutterDetector:
    """Judges the last second twice a second; a verdict holds until the next one."""

    def __init__(self, spec: StutterSpec) -> None:
        self._spec = spec
        self._changes: deque[tuple[float, float]] = deque()  # when, and how much, each frame changed
        self._judged_s: float | None = None
        self._usual: deque[float] = deque(maxlen=USUAL_WINDOWS)  # shares of new pictures
        self._rates: deque[float] = deque(maxlen=USUAL_WINDOWS)  # frames a second
        self._held = 0.0
        self._bad = False
        self._stretch = Stretch()
        self.finish = self._stretch.finish

    def read(self, picture: Picture) -> Sequence[Reading]:
        """A reading a second and at each change; `value` is the share of frames that repeat the one before."""
        at_s, change = picture.at_s, picture.change
        changes = self._changes
        if change == math.inf or (changes and not 0.0 <= at_s - changes[-1][0] < WINDOW_S):
            changes.clear()
            self._judged_s = at_s
        changes.append((at_s, change))
        if self._judged_s is None or at_s - self._judged_s >= STEP_S:
            while changes and changes[0][0] <= at_s - WINDOW_S:
                changes.popleft()
            self._judge(at_s)
        return self._stretch.add(at_s, picture.until_s, self._held, self._bad)

    def _judge(self, at_s: float) -> None:
        self._judged_s = at_s
        changes = [change for _, change in self._changes]
        gaps = intervals(changes)
        self._held = 1.0 - len(gaps) / len(changes) if gaps else 0.0
        self._bad = self._slow() or self._jerks(gaps)

    def _slow(self) -> bool:
        """Whether far fewer frames come than used to."""
        count, span_s = len(self._changes) - 1, self._changes[-1][0] - self._changes[0][0]
        if count < 1 or span_s < STEP_S / 2:
            return False
        rate = count / span_s
        if rate < max(self._spec.min_fps, self._spec.collapse_share * usual(self._rates)):
            return True
        self._rates.append(rate)
        return False

    def _jerks(self, gaps: list[int]) -> bool:
        """Whether new pictures come at irregular intervals, or far fewer are new than used to be."""
        if len(gaps) < FEWEST:
            return False
        share = len(gaps) / sum(gaps)
        irregular = sum(gap >= min(gaps) + 2 for gap in gaps) >= self._spec.irregular
        if irregular or share < self._spec.collapse_share * usual(self._usual):
            return True
        self._usual.append(share)
        return False


def usual(past: deque[float]) -> float:
    """Median of what was good; 0 while too little is known."""
    return median(past) if len(past) == USUAL_WINDOWS else 0.0


def intervals(changes: Sequence[float]) -> list[int]:
    """Frames between new pictures, from how much each frame changed; none of a scene that hardly moves."""
    plain = [change for change in changes if change > SAME_LEVEL]
    if not plain or (moving := median(plain)) < MOVING:
        return []
    level = min(SAME_LEVEL, SAME * moving)
    new = [number for number, change in enumerate(changes) if change > level]
    return [b - a for a, b in pairwise(new)]
