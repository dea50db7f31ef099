"""interlace: combs at the edges of what moves, in pictures that are said to be progressive.

Two fields of different moments woven into one picture leave zigzags over its lines: each line differs from both of its
neighbours in the same direction, while lines of one field agree. idet of FFmpeg measures the same over the whole
picture; here single bands of lines are looked at, about once a second and where things move.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import ClearAfter, DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.stretch import Stretch

LOOK_EACH = 6  # of the common looks: about once a second
BANDS = 24  # of five lines, over the height of the picture
STEP = 12  # grey levels from line to line
MOVING = 1.5  # grey levels of `Picture.change`: what stands still shows no combs
STILL = 3  # looks without movement, after which a verdict is out of date


class InterlaceSpec(DetectorSpec, frozen=True, kw_only=True):
    """Moving edges are combed, though the stream says that its pictures are progressive: fields were woven wrongly."""

    id: ClassVar[str] = "interlace"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "‰ of pixels"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "corruption")

    raise_after_s: RaiseAfter = 5.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.MINOR
    tolerance: Annotated[
        float, msgspec.Meta(ge=0.1, le=1000, description="combed pixels, per mille of those looked at")
    ] = 5.0

    def build(self) -> "InterlaceDetector":
        """A fresh detector with these options."""
        return InterlaceDetector(self.tolerance)


class InterlaceDetector:
    """A verdict holds until the next look at something that moves."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._cadence = Cadence(LOOK_EACH)
        self._still = 0
        self._combed = 0.0
        self._stretch = Stretch()
        self.finish = self._stretch.finish

    def read(self, picture: Picture) -> Sequence[Reading]:
        """A reading a second and at each change; `value` is how much of the picture is combed."""
        change = picture.change  # asked for at each picture, or there would be none to compare with
        if self._cadence.due(picture.at_s):
            if picture.interlaced:
                self._combed = 0.0
            elif MOVING <= change < math.inf:
                self._combed, self._still = combed(picture.luma, picture.bit_depth), 0
            else:
                self._still += 1
                self._combed = self._combed if self._still < STILL else 0.0
        return self._stretch.add(picture.at_s, picture.until_s, self._combed, self._combed > self._tolerance)


def combed(luma: Plane, bit_depth: int = 8) -> float:
    """Pixels between lines that zigzag, per mille of those in 24 bands of five lines; luma: (h, w)."""
    height = len(luma)
    every = height // BANDS
    if every < 5:
        return 0.0
    step = STEP << (bit_depth - 8)
    one, two, three, four, five = (luma[at : every * BANDS : every] for at in range(5))
    up = _above([(one, two), (three, two), (three, four), (five, four)], step)
    down = _above([(two, one), (two, three), (four, three), (four, five)], step)
    return 1000.0 * (cv2.countNonZero(up) + cv2.countNonZero(down)) / up.size


def _above(pairs: Sequence[tuple[Plane, Plane]], step: int) -> Plane:
    """Where the first of each pair is above the second by more than `step`."""
    least = cv2.subtract(*pairs[0])
    for pair in pairs[1:]:
        least = cv2.min(least, cv2.subtract(*pair))
    above: Plane = cv2.compare(least, step, cv2.CMP_GT)
    return above
