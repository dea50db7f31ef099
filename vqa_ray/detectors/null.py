"""null: reads the frame and says fine. What it costs is what any detector costs at least."""

from collections.abc import Sequence
from typing import ClassVar

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, Immediate, SeverityOf


class NullSpec(DetectorSpec, frozen=True, kw_only=True):
    """Finds nothing: the cost floor of a detector, for benchmarks."""

    id: ClassVar[str] = "null"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO,)
    unit: ClassVar[str] = "1"

    severity: SeverityOf = Severity.INFO

    def build(self) -> "NullDetector":
        """A fresh detector."""
        return NullDetector()


class NullDetector(Immediate):
    """One good reading a frame."""

    def read(self, picture: Picture) -> Sequence[Reading]:
        """Fine, whatever it shows."""
        return (Reading(picture.at_s, picture.until_s, 0.0, False),)
