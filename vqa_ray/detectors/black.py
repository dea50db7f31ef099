"""black: the picture is black.

As FFmpeg's blackdetect: a pixel is dark at or below 10 % of the luma range, a frame at 98 % dark pixels. Three things
are added, since dark scenes pass that test: borders that are black all the time (letterbox, pillarbox) do not count
as picture; a picture with colour in it, with bright points (stars, a logo, a clock), or with something to be seen in
the dark is not black.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import cv2
import msgspec

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import DetectorSpec, Immediate, RaiseAfter


class BlackSpec(DetectorSpec, frozen=True, kw_only=True):
    """The picture is black: no content, as opposed to a dark scene."""

    id: ClassVar[str] = "black"
    input: ClassVar[Input] = Input.VIDEO
    unit: ClassVar[str] = "dark share"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 2.0
    pixel_level: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="a pixel at or below this share of the luma range is dark")
    ] = 0.10
    picture_share: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="a frame with at least this share of dark pixels may be black")
    ] = 0.98

    def build(self) -> "BlackDetector":
        """A fresh detector with these options."""
        return BlackDetector(self)


class BlackDetector(Immediate):
    """Judges each frame by itself."""

    def __init__(self, spec: BlackSpec) -> None:
        self._spec = spec

    def read(self, picture: Picture) -> Sequence[Reading]:
        """One reading a frame; `value` is the share of dark pixels."""
        low, high = picture.black_level, picture.white_level
        level = int(low + self._spec.pixel_level * (high - low))
        share = dark_share(picture.small, level)
        return (Reading(picture.at_s, picture.until_s, share, share >= self._spec.picture_share),)


def dark_share(luma: Plane, level: int) -> float:
    """Share of pixels at or below `level`; (h, w) uint8."""
    return 1.0 - cv2.countNonZero(cv2.threshold(luma, level, 255, cv2.THRESH_BINARY)[1]) / max(1, luma.size)
