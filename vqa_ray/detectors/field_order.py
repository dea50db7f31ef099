"""field_order: the fields of interlaced pictures are shown in the wrong order: everything that moves shakes.

The pictures tell which field comes first. Of two pictures in a row, the second field of one and the first of the next
are nearest in time, so that they differ least where things move; the other mixed pair is three fields apart. FFmpeg's
idet tells it likewise. About one pair of pictures a second is looked at.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import cv2
import msgspec
import numpy as np

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Coding, Input, Reading, Severity
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.stretch import Stretch

LOOK_EACH = 6  # of the common looks: about once a second
BANDS = 24  # of four lines, over the height of the picture
MOVING = 1.5  # grey levels, mean difference of two pictures: what stands still has no order
CLEAR = 0.06  # how far both pairs differ, relative to their sum; progressive pictures have none
VOTES, MAJORITY = 5, 4  # looks with a clear order
TOP, BOTTOM = 1.0, -1.0
ORDERS = {"top": TOP, "bottom": BOTTOM, "": 0.0}
HOLE_S = 0.1  # between the end of a picture and the one behind it; a picture that is lost turns no order round


class FieldOrderSpec(DetectorSpec, frozen=True, kw_only=True):
    """The fields of interlaced pictures come in another order than the stream says, or than they did."""

    id: ClassVar[str] = "field_order"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO, Input.CODING)
    unit: ClassVar[str] = "share of looks"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "corruption", "freeze", "black")

    raise_after_s: RaiseAfter = 5.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.MINOR
    expect: Annotated[
        Literal["said", "top", "bottom"],
        msgspec.Meta(description="field that comes first; said: as the stream says, or, if it does not, as it began"),
    ] = "said"

    def build(self) -> "FieldOrderDetector":
        """A fresh detector with these options."""
        return FieldOrderDetector(self)


class FieldOrderDetector:
    """A verdict holds until the next look at something that moves."""

    def __init__(self, spec: FieldOrderSpec) -> None:
        self._expected = ORDERS.get(spec.expect, 0.0)
        self._asked = bool(self._expected)
        self._cadence = Cadence(LOOK_EACH)
        self._first: Plane | None = None  # lines of the picture before this one
        self._until_s = -math.inf  # end of that
        self._votes: deque[float] = deque(maxlen=VOTES)
        self._reversed = 0.0
        self._stretch = Stretch()
        self.finish = self._stretch.finish

    def read(self, item: Picture | Coding) -> Sequence[Reading]:
        """A reading a second and at each change; `value` is the share of the last looks with the other order."""
        if isinstance(item, Coding):
            if not self._asked and item.field_order:
                self._expected = ORDERS[item.field_order]
            return NOTHING
        if self._first is not None:
            self._look(item)
        elif item.interlaced and self._cadence.due(item.at_s):
            self._first, self._until_s = lines_of(item.luma, item.bit_depth), item.until_s
        bad = len(self._votes) == VOTES and self._reversed >= MAJORITY / VOTES
        return self._stretch.add(item.at_s, item.until_s, self._reversed, bad)

    def _look(self, second: Picture) -> None:
        """The picture behind one whose lines were kept."""
        first, self._first = self._first, None
        if first is None or abs(second.at_s - self._until_s) > HOLE_S:
            return
        lines = lines_of(second.luma, second.bit_depth)
        if lines is None or lines.shape != first.shape or cv2.norm(first, lines, cv2.NORM_L1) < MOVING * lines.size:
            return
        if abs(found := order(first, lines)) < CLEAR:
            return
        self._votes.append(math.copysign(TOP, found))
        if not self._expected and len(self._votes) == VOTES and abs(sum(self._votes)) == VOTES:
            self._expected = self._votes[0]
        if self._expected:
            self._reversed = sum(vote != self._expected for vote in self._votes) / len(self._votes)


def lines_of(luma: Plane, bit_depth: int = 8) -> Plane | None:
    """A copy of some 24 bands of four lines, the first of each of the upper field, (4, bands, w); None if too small."""
    every = len(luma) // BANDS // 2 * 2
    if every < 4:
        return None
    lines = np.stack([luma[at : every * BANDS : every] for at in range(4)])
    return lines if bit_depth == 8 else (lines >> (bit_depth - 8)).astype(np.uint8)


def order(first: Plane, second: Plane) -> float:
    """Above 0 if the upper field comes first, below if the lower one does, -1 to 1; near 0 of progressive pictures.

    Bands of two pictures in a row, see `lines_of`.
    """
    upper_first = _apart(second[2], first[1], first[3])
    lower_first = _apart(second[1], first[0], first[2])
    return (lower_first - upper_first) / (lower_first + upper_first + 1.0)


def _apart(line: Plane, above: Plane, below: Plane) -> float:
    """Mean difference (grey levels) of lines of one field from what lies between those of another."""
    return cv2.norm(line, cv2.addWeighted(above, 0.5, below, 0.5, 0.0), cv2.NORM_L1) / line.size
