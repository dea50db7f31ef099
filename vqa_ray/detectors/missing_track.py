"""missing_track: fewer tracks of picture or sound are announced than expected, or none in an expected language.

`missing_audio` tells sound that is announced and does not come.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Coding, Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, Immediate, RaiseAfter, SeverityOf

Language = Annotated[str, msgspec.Meta(pattern="^[a-z]{2,3}$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=64, description="tracks of this kind, at least")]


class MissingTrackSpec(DetectorSpec, frozen=True, kw_only=True):
    """A track of picture or sound that is expected is not announced, or none in a language."""

    id: ClassVar[str] = "missing_track"
    inputs: ClassVar[tuple[Input, ...]] = (Input.CODING,)
    unit: ClassVar[str] = "tracks"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 3.0
    severity: SeverityOf = Severity.MAJOR
    video_tracks: Count = 1
    audio_tracks: Count = 1
    languages: Annotated[
        tuple[Language, ...],
        msgspec.Meta(description="languages of sound that must be there, as the input names them (ISO 639, eng)"),
    ] = ()

    def build(self) -> "MissingTrackDetector":
        """A fresh detector with these options."""
        return MissingTrackDetector(self)


class MissingTrackDetector(Immediate):
    """A part for each kind, and for each language that is expected."""

    def __init__(self, spec: MissingTrackSpec) -> None:
        self._expected = (("video", spec.video_tracks), ("audio", spec.audio_tracks))
        self._languages = tuple(dict.fromkeys(spec.languages))

    def read(self, coding: Coding) -> Sequence[Reading]:
        """`value`: how many tracks are missing."""
        kinds = [kind for kind, _ in coding.tracks]
        out = [self._reading(coding, kind, wanted - kinds.count(kind)) for kind, wanted in self._expected]
        heard = {language for kind, language in coding.tracks if kind == "audio"}
        return [*out, *(self._reading(coding, f"audio {one}", int(one not in heard)) for one in self._languages)]

    def _reading(self, coding: Coding, part: str, missing: int) -> Reading:
        return Reading(coding.at_s, coding.until_s, float(max(0, missing)), missing > 0, part)
