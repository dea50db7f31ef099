"""corruption: pictures decoded from damaged data, or damaged before they were encoded again.

Two witnesses. libav flags pictures with decoding errors: 7-24 % of the damaged ones, but at least one in nearly every
damaged stretch; so from a flag to the next clean key frame pictures count as damaged. And the pixels: blocks from
elsewhere leave jumps of luma that lie on the grid of 16 pixels, short ones, and all of a sudden. Those are found
without any flag (HEVC sets none, and none survives another encoding).
"""

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Annotated, ClassVar

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter
from vqa_ray.detectors.blocks import block_edges
from vqa_ray.detectors.cadence import LOOK_S, Cadence

LOOKS_SURE = 2
USUAL_LOOKS = 8  # whose median tells how many such edges the scene has by itself
MIN_LOOKS = 2
UNKNOWN_SCENE = 4.0  # per mille, taken for usual right after a cut: more than any intact scene of ours has
CUT_LEVEL = 20.0  # mean change of the sketch between looks
HOLD_S = 1.0  # readings are not held back longer


class CorruptionSpec(DetectorSpec, frozen=True, kw_only=True):
    """Damaged pictures: decoding errors up to the next clean key frame, and damage that shows as displaced blocks."""

    id: ClassVar[str] = "corruption"
    input: ClassVar[Input] = Input.VIDEO
    unit: ClassVar[str] = "‰ of block edges"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.2
    tolerance: Annotated[
        float,
        msgspec.Meta(ge=0.1, le=1000, description="jumps on the block grid beyond what is usual in the scene"),
    ] = 2.0
    taint_s: Annotated[
        float,
        msgspec.Meta(ge=0, le=600, description="seconds after a flag at most, where no clean key frame comes"),
    ] = 10.0

    def build(self) -> "CorruptionDetector":
        """A fresh detector with these options."""
        return CorruptionDetector(self)


class CorruptionDetector:
    """Joins both witnesses; while pixels are suspect, readings are held back."""

    def __init__(self, spec: CorruptionSpec) -> None:
        self._taint = Taint(spec.taint_s)
        self._pixels = Pixels(spec.tolerance)
        self._waiting: list[tuple[float, float, float, bool]] = []

    def read(self, picture: Picture) -> Sequence[Reading]:
        """One reading a frame, up to a second late while suspect; `value` is the excess of jumps on the grid."""
        tainted = self._taint.after(picture)
        pixels = self._pixels
        pixels.look(picture, tainted)
        if not (self._waiting or pixels.suspect):  # nearly always
            bad = tainted or pixels.damaged
            return (Reading(picture.at_s, picture.until_s, pixels.excess, bad),)
        self._waiting.append((picture.at_s, picture.until_s, pixels.excess, tainted))
        if pixels.suspect and not tainted and picture.until_s - self._waiting[0][0] < HOLD_S:
            return ()
        return self.finish()

    def finish(self) -> Sequence[Reading]:
        """What is held back, as it is known now."""
        damaged = self._pixels.damaged
        readings = [Reading(at_s, until_s, value, damaged or bad) for at_s, until_s, value, bad in self._waiting]
        self._waiting.clear()
        return readings


class Taint:
    """From a flagged picture to the next clean key frame; nothing before the first, where decoders start in mid-GOP."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._started = False
        self._until_s = -float("inf")

    def after(self, picture: Picture) -> bool:
        """Whether `picture` is tainted."""
        if picture.key and not picture.corrupt:
            self._started = True
            self._until_s = -float("inf")
        elif picture.corrupt and self._started:
            self._until_s = picture.at_s + self._longest_s
        return picture.at_s <= self._until_s


class Pixels:
    """Follows how many jumps lie on the grid beyond what is usual in the scene."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._usual: deque[float] = deque(maxlen=USUAL_LOOKS)
        self._sketch: Plane | None = None
        self._cadence = Cadence()
        self._base = 0.0  # what was usual when it became suspect
        self._hits = 0
        self._hit_s = 0.0
        self._suspect_s = 0.0  # since when
        self.suspect = False
        self.damaged = False
        self.excess = 0.0

    def look(self, picture: Picture, tainted: bool) -> None:
        """Look at the pixels when it is time to, or at a key frame, where damage ends."""
        if not self._cadence.due(picture.at_s) and not picture.key:
            return
        cut = self._cut(picture.sketch)
        edges = block_edges(picture.luma, picture.bit_depth)
        if cut:
            self._usual.clear()
        if cut or not (self.suspect or self.damaged):
            self._base = median(self._usual) if len(self._usual) >= MIN_LOOKS else UNKNOWN_SCENE
        self.excess = max(0.0, edges - self._base)
        self._judge(edges, picture.at_s, tainted)

    def _judge(self, edges: float, at_s: float, tainted: bool) -> None:
        if self.damaged:
            self.damaged = self.excess >= self._tolerance / 2
        else:
            self._count(at_s)
            self.damaged = self._hits >= LOOKS_SURE
        suspect = not self.damaged and self.excess >= self._tolerance / 3
        if suspect and not self.suspect:
            self._suspect_s = at_s
        self.suspect = suspect and at_s - self._suspect_s < HOLD_S
        if self.damaged:
            self._hits = 0
        elif not (self.suspect or tainted):
            self._usual.append(edges)

    def _count(self, at_s: float) -> None:
        """Looks in a row that show damage; one at a key frame may come too soon after another to count."""
        if self.excess < self._tolerance:
            self._hits = 0
        elif self._hits == 0 or at_s - self._hit_s >= LOOK_S / 2:
            self._hits, self._hit_s = self._hits + 1, at_s

    def _cut(self, sketch: Plane) -> bool:
        before, self._sketch = self._sketch, sketch
        if before is None or before.shape != sketch.shape:
            return True
        return cv2.norm(sketch, before, cv2.NORM_L1) / sketch.size > CUT_LEVEL
