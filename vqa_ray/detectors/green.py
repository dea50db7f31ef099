"""green: areas of a colour that no camera makes: what a decoder shows where data is missing.

A buffer that was never written is zero in all planes. U = V = 0 is a green that lies outside of what R, G and B can be:
the greenest green there is has U, V = 42, 26 in BT.709 and 54, 34 in BT.601 (limited range), which neither a lawn nor a
studio's green screen comes near. The opposite corner, U = V = 255, is as impossible a pink.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.cadence import ABRUPT
from vqa_ray.detectors.spans import Spans

CORNER_LIMITED = 30  # of U and V from either end of 8 bits: BT.709's green is 12 away in U, BT.2020's 17
CORNER_FULL = 16  # in full range BT.709's green has U, V = 30, 12


class GreenSpec(DetectorSpec, frozen=True, kw_only=True):
    """Green or pink areas where picture data is missing: chroma outside of what any RGB colour has."""

    id: ClassVar[str] = "green"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "share of the picture"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.2
    severity: SeverityOf = Severity.CRITICAL
    min_share: Annotated[
        float, msgspec.Meta(ge=0.002, le=1, description="share of the picture from which on it counts")
    ] = 0.01

    def build(self) -> "GreenDetector":
        """A fresh detector with these options."""
        return GreenDetector(self)


class GreenDetector:
    """Looks at each second frame, at each abrupt change and, while it is bad, at each frame.

    Chroma may be lost while luma goes on, so that nothing else tells when to look.
    """

    def __init__(self, spec: GreenSpec) -> None:
        self._min_share = spec.min_share
        self._spans = Spans()
        self._skip = False  # the frame to come

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Late while good, up to this frame while bad; `value` is the affected share of the picture, 0 to 1."""
        spans = self._spans
        if self._skip and picture.change <= ABRUPT:
            self._skip = False
            return spans.pass_by(picture)
        chroma = picture.chroma_sketch
        share = 0.0 if chroma is None else impossible(*chroma, CORNER_FULL if picture.full_range else CORNER_LIMITED)
        bad = share >= self._min_share
        self._skip = not bad
        return spans.turn(picture, share, bad)

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._spans.finish()


def impossible(u: Plane, v: Plane, corner: int) -> float:
    """Share of samples with both U and V within `corner` of 0, or both of 255; (h, w) uint8 each."""
    low, high, _, _ = cv2.minMaxLoc(u)
    share = 0.0
    if low <= corner:
        share += share_of_both(u <= corner, v <= corner)
    if high >= 255 - corner:
        share += share_of_both(u >= 255 - corner, v >= 255 - corner)
    return share


def share_of_both(one: Plane, other: Plane) -> float:
    """Share of places where both are true; (h, w) bool each."""
    return float((one & other).mean())
