"""corruption: the picture was decoded from damaged data."""

from collections.abc import Sequence
from typing import ClassVar

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import DetectorSpec, Immediate, RaiseAfter


class CorruptionSpec(DetectorSpec, frozen=True, kw_only=True):
    """Damaged pictures: from a decoding error to the next clean key frame."""

    id: ClassVar[str] = "corruption"
    input: ClassVar[Input] = Input.VIDEO
    unit: ClassVar[str] = "share"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 0.2

    def build(self) -> "CorruptionDetector":
        """A fresh detector with these options."""
        return CorruptionDetector()


class CorruptionDetector(Immediate):
    """Tainted from a flagged frame to the next clean key frame."""

    def __init__(self) -> None:
        self._tainted = False

    def read(self, picture: Picture) -> Sequence[Reading]:
        """One reading a frame; `value` is 1 while tainted."""
        self._tainted = picture.corrupt or (self._tainted and not picture.key)
        return (Reading(picture.at_s, picture.until_s, float(self._tainted), self._tainted),)
