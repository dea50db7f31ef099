"""corruption: pictures decoded from damaged data, or damaged before they were encoded again.

Two witnesses. Pictures are flagged that were decoded with errors (by libav: 7-24 % of the damaged ones, but at least
one in nearly every damaged stretch) or without a picture that they refer to (by the numbers in H.264's slices); so from
a flag to the next clean key frame pictures count as damaged. And the pixels: blocks from
elsewhere leave jumps of luma that lie on the grid of 16 pixels, short ones, and all of a sudden. Those are found
without any flag (HEVC sets none, and none survives another encoding).
"""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Annotated, ClassVar

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import ROUNDING_S, Input, Reading
from vqa_ray.detectors.base import NOTHING, DetectorSpec, RaiseAfter
from vqa_ray.detectors.blocks import block_edges, grid_jumps
from vqa_ray.detectors.cadence import LOOK_S, Cadence

LOOKS_SURE = 2
USUAL_LOOKS = 8  # whose median tells how many such edges the scene has by itself
MIN_LOOKS = 2
FEW_JUMPS = 2  # more than usual at a glance, or more
SIGMAS = 1.0  # than chance adds to what is usual: it is worth a close look
FULL_EACH = 16  # as is each sixteenth such glance, to know the scene
UNKNOWN_SCENE = 4.0  # per mille, taken for usual right after a cut: more than any intact scene of ours has
CUT_LEVEL = 20.0  # mean change of the sketch between looks
HOLE_S = 0.05  # between pictures that are not one after the other
HOLD_S = 1.0  # readings are not held back longer


class CorruptionSpec(DetectorSpec, frozen=True, kw_only=True):
    """Damaged pictures: decoding errors up to the next clean key frame, and damage that shows as displaced blocks."""

    id: ClassVar[str] = "corruption"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "‰ of block edges"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "bars")
    adapts: ClassVar[str] = (
        f"jumps on the block grid count beyond the median of the last {USUAL_LOOKS} intact looks of the scene; after a "
        f"cut {UNKNOWN_SCENE:g} ‰ are taken for usual; tolerance is the least excess. Decoder flags do not adapt"
    )

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
        self._from_s = self._until_s = -math.inf  # of the intact pictures since the last look

    def read(self, picture: Picture) -> Sequence[Reading]:
        """One reading a look, and one a frame while it is not intact, up to a second late; `value` is the excess of
        jumps on the grid."""
        tainted, pixels, at_s = self._taint.after(picture), self._pixels, picture.at_s
        looked = pixels.look(picture, tainted)
        found: Sequence[Reading] = NOTHING
        if at_s - self._until_s > HOLE_S:
            found, self._from_s = self._intact(self._until_s), at_s
        if tainted or pixels.suspect or pixels.damaged or self._waiting:
            doubtful = pixels.suspect and not (self._waiting or tainted)
            found = [*found, *self._intact((self._from_s + at_s) / 2 if doubtful else at_s)]
            found += self._watch(picture, tainted)
            self._from_s = picture.until_s
        elif looked:  # and nearly always this
            found, self._from_s = [*found, *self._intact(at_s)], at_s
        self._until_s = picture.until_s
        return found

    def _intact(self, until_s: float) -> list[Reading]:
        """What is said of the pictures since the last look; those after `until_s` are in doubt with the next ones."""
        start_s, end_s = self._from_s, min(until_s, self._until_s)
        if self._until_s - until_s > ROUNDING_S:
            self._waiting.append((until_s, self._until_s, self._pixels.excess, False))
        return [Reading(start_s, end_s, 0.0, False)] if end_s - start_s > ROUNDING_S else []

    def _watch(self, picture: Picture, tainted: bool) -> Sequence[Reading]:
        pixels = self._pixels
        self._waiting.append((picture.at_s, picture.until_s, pixels.excess, tainted))
        if pixels.suspect and not tainted and picture.until_s - self._waiting[0][0] < HOLD_S:
            return NOTHING
        return self._release()

    def finish(self) -> Sequence[Reading]:
        """What is held back, as it is known now."""
        intact = self._intact(self._until_s)
        self._from_s = self._until_s
        return self._release() or intact

    def _release(self) -> list[Reading]:
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
        self._jumps: deque[int] = deque(maxlen=USUAL_LOOKS)  # of late, at a glance
        self._glances = 0
        self._cadence = Cadence()
        self._skip = False  # each second look, as long as the scene is known and nothing is suspect
        self._base = 0.0  # what was usual when it became suspect
        self._hits = 0
        self._hit_s = 0.0
        self._suspect_s = 0.0  # since when
        self.suspect = False
        self.damaged = False
        self.excess = 0.0

    def look(self, picture: Picture, tainted: bool) -> bool:
        """Look at the pixels when it is time to, and say whether; while they are suspect also at a key frame, where
        damage ends."""
        active = self.suspect or self.damaged
        if self._cadence.due(picture.at_s):
            self._skip = not (self._skip or active) and len(self._usual) >= MIN_LOOKS
            if self._skip:
                return False
        elif not (active and picture.key):
            return False
        cut = self._cut(picture)
        if cut:
            self._usual.clear()
            self._jumps.clear()
        edges = self._edges(picture)
        if edges is None:
            return True
        calm = not (self.suspect or self.damaged)
        if edges == 0.0 and calm and not tainted:  # nearly always
            self.excess, self._hits = 0.0, 0
            self._usual.append(0.0)
            return True
        if cut or calm:
            self._base = median(self._usual) if len(self._usual) >= MIN_LOOKS else UNKNOWN_SCENE
        self.excess = max(0.0, edges - self._base)
        self._judge(edges, picture.at_s, tainted)
        return True

    def _edges(self, picture: Picture) -> float | None:
        """Jumps on the grid; None where a glance says that there are no more than usual, whatever that is."""
        if self.suspect or self.damaged:
            return block_edges(picture.luma, picture.bit_depth)
        jumps = grid_jumps(picture.luma, picture.bit_depth)
        usual = median(self._jumps) if self._jumps else 0.0
        self._jumps.append(jumps)
        if jumps < FEW_JUMPS:
            return 0.0
        self._glances += 1
        if (
            len(self._usual) < MIN_LOOKS
            or jumps >= usual + max(FEW_JUMPS, SIGMAS * usual**0.5)
            or self._glances % FULL_EACH == 0
        ):
            return block_edges(picture.luma, picture.bit_depth)
        return None

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

    def _cut(self, picture: Picture) -> bool:
        sketch, before = picture.sketch, self._sketch
        self._sketch = sketch
        if before is None or before.shape != sketch.shape:
            return True
        return cv2.norm(sketch, before, cv2.NORM_L1) > CUT_LEVEL * sketch.size
