"""slate: one of the pictures that the operator named is on air: a technical slate, a standby card, an opening leader.

Pictures are compared by perceptual hash (DCT of a 32x32 luma, signs of its 64 lowest frequencies against their median;
after C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010): scaling, re-encoding and
a small clock change few of its bits, another picture about half of them.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import cv2
import msgspec
import numpy as np

from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter
from vqa_ray.detectors.cadence import Cadence
from vqa_ray.detectors.snow import middle
from vqa_ray.detectors.spans import Spans

BITS = 64
SIDE, LOWEST = 32, 8
PLAIN = 4.0  # deviation (grey levels): a picture without content has no hash worth comparing

Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class SlateSpec(DetectorSpec, frozen=True, kw_only=True):
    """A known picture is shown, such as a slate or a standby card; known by perceptual hash."""

    id: ClassVar[str] = "slate"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "bits"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)
    lower_is_worse: ClassVar[bool] = True

    raise_after_s: RaiseAfter = 2.0
    hashes: Annotated[
        tuple[Hash, ...],
        msgspec.Meta(description="perceptual hashes of the known pictures, 16 hexadecimal digits each"),
    ] = ()
    max_distance: Annotated[
        int, msgspec.Meta(ge=0, le=24, description="bits of 64 that may differ from a known hash")
    ] = 8

    def build(self) -> "SlateDetector":
        """A fresh detector with these options."""
        return SlateDetector(self)


class SlateDetector:
    """Looks at the common cadence and at each abrupt change, so that a cut is dated to the frame."""

    def __init__(self, spec: SlateSpec) -> None:
        self._known = tuple(int(known, 16) for known in spec.hashes)
        self._max_distance = spec.max_distance
        self._cadence = Cadence()
        self._spans = Spans()

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Late while good, up to this frame while bad; `value` is the distance from the nearest known picture."""
        if not self._cadence.looks(picture):
            return self._spans.pass_by(picture)
        distance = BITS
        if self._known and (seen := hash_of(picture.small)) is not None:
            distance = min((seen ^ known).bit_count() for known in self._known)
        return self._spans.turn(picture, float(distance), distance <= self._max_distance)

    def finish(self) -> Sequence[Reading]:
        """What was not told yet."""
        return self._spans.finish()


def perceptual_hash(luma: Plane) -> str | None:
    """What to put into `hashes` for this picture, None if it is too plain to be known again; (h, w) uint8."""
    found = hash_of(luma)
    return None if found is None else f"{found:016x}"


def hash_of(luma: Plane) -> int | None:
    """64 bits: which of the lowest frequencies are above their median; None of a plain picture."""
    tiny = cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if float(cv2.meanStdDev(tiny)[1][0, 0]) < PLAIN:
        return None
    lowest = cv2.dct(tiny)[:LOWEST, :LOWEST].ravel()
    lowest[0] = 0.0  # the mean: brightness does not matter
    return int.from_bytes(np.packbits(lowest > middle(lowest)).tobytes(), "big")
