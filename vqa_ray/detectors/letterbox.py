"""letterbox: black borders around the picture appear, go, or become others, and that lasts.

A border is black in all of the last looks, and straight: the picture reaches it on a good part of its length, which
a dark scene with something bright in its middle does not.
"""

from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.stretch import Stretch

LOOK_EACH = 6  # of the common looks, at the same frames as `black`: about once a second
LOOKS = 4  # whose widest picture counts
BLACK = 0.06  # of the luma range, above black
STRAIGHT = 0.25  # of a line: as much of it is lit where the picture ends
DIFFERS = 0.02  # of width or height: less is noise at the edge

Borders = tuple[float, float, float, float]


class LetterboxSpec(DetectorSpec, frozen=True, kw_only=True):
    """The active picture changed: black bars above and below, at the sides or all around came, went or moved."""

    id: ClassVar[str] = "letterbox"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of the picture"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black")
    adapts: ClassVar[str] = (
        "borders are compared with those of before; others that last for settle_s are the normal ones from then on"
    )

    raise_after_s: RaiseAfter = 5.0
    severity: SeverityOf = Severity.INFO
    settle_s: Annotated[
        float,
        msgspec.Meta(ge=0, le=86400, description="seconds after which other borders are the normal ones"),
    ] = 30.0

    def build(self) -> "LetterboxDetector":
        """A fresh detector with these options."""
        return LetterboxDetector(self.settle_s)


class LetterboxDetector:
    """Compares the borders of the last looks with those that were usual."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._cadence = Cadence(LOOK_EACH)
        self._seen: deque[Borders] = deque(maxlen=LOOKS)
        self._usual: Borders | None = None
        self._shown: Borders | None = None
        self._since_s = 0.0
        self._bad = False
        self._share = 0.0
        self._stretch = Stretch()
        self.finish = self._stretch.finish

    def read(self, picture: Picture) -> Sequence[Reading]:
        """A reading a second and at each change; `value` is the share of the picture that borders take."""
        if self._cadence.due(picture.at_s):
            self._look(picture)
        return self._stretch.add(picture.at_s, picture.until_s, self._share, self._bad)

    def _look(self, picture: Picture) -> None:
        level = picture.black_level + BLACK * (picture.white_level - picture.black_level)
        found = borders(picture.small, int(level))
        if found is None:
            return
        self._seen.append(found)
        if len(self._seen) < LOOKS:
            return
        top, bottom, left, right = shown = tuple(map(min, zip(*self._seen, strict=True)))
        self._share = 1.0 - (1.0 - top - bottom) * (1.0 - left - right)
        if self._shown is None or differ(shown, self._shown):
            self._shown, self._since_s = shown, picture.at_s
        if self._usual is None or picture.at_s - self._since_s >= self._settle_s:
            self._usual = self._shown
        self._bad = differ(self._shown, self._usual)


def differ(one: Borders, other: Borders) -> bool:
    """Whether borders are others, by more than noise at an edge."""
    return any(abs(a - b) > DIFFERS for a, b in zip(one, other, strict=True))


def borders(luma: Plane, level: int) -> Borders | None:
    """Black borders above, below, left and right, as shares of height and width; None where that is not clear.

    luma: (h, w) uint8; pixels up to `level` are black.
    """
    lit = luma > level
    rows, columns = np.mean(lit, axis=1), np.mean(lit, axis=0)
    above, below = _edge(rows), _edge(rows[::-1])
    left, right = _edge(columns), _edge(columns[::-1])
    if above is None or below is None or left is None or right is None:
        return None
    return above, below, left, right


def _edge(shares: NDArray[np.float64]) -> float | None:
    """Where lines begin to be lit, as a share of all; None where they do so bit by bit."""
    lines = np.flatnonzero(shares > 0.0)
    if not lines.size:
        return None
    first = int(lines[0])
    if first and float(shares[first : first + 3].max()) < STRAIGHT:
        return None
    return first / len(shares)
