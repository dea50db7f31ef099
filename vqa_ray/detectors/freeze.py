"""freeze: the same picture again and again."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import DetectorSpec, Immediate, RaiseAfter


class FreezeSpec(DetectorSpec, frozen=True, kw_only=True):
    """The picture stands still though it should move."""

    id: ClassVar[str] = "freeze"
    input: ClassVar[Input] = Input.VIDEO
    unit: ClassVar[str] = "grey levels"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss", "black")
    lower_is_worse: ClassVar[bool] = True

    raise_after_s: RaiseAfter = 4.0
    still_level: Annotated[
        float, msgspec.Meta(ge=0, le=64, description="largest block difference up to which a frame repeats the last")
    ] = 0.5

    def build(self) -> "FreezeDetector":
        """A fresh detector with these options."""
        return FreezeDetector(self)


class FreezeDetector(Immediate):
    """Compares each frame with the one before it."""

    def __init__(self, spec: FreezeSpec) -> None:
        self._spec = spec
        self._held: tuple[float, float] | None = None

    def read(self, picture: Picture) -> Sequence[Reading]:
        """The reading of the frame before, once it is known whether this one repeats it."""
        difference = picture.difference
        largest = 255.0 if difference is None else largest_block(difference)
        still = largest <= self._spec.still_level
        held, self._held = self._held, (picture.at_s, picture.until_s)
        return () if held is None else (Reading(held[0], picture.at_s, largest, still),)


def largest_block(difference: Plane) -> float:
    """The largest mean of a block of about 18x20 pixels; (h, w) uint8."""
    h, w = difference.shape
    return float(cv2.resize(difference, (max(1, w // 20), max(1, h // 18)), interpolation=cv2.INTER_AREA).max())
