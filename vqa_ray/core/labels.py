"""What is known to be wrong in a file, and the manifest that says so of a whole set. Values only.

A manifest is JSON beside its files. Times are seconds from the file's first picture; `soft` intervals are those in
which a detection of that class counts neither way:

    {"files": [{"file": "a.ts", "fps": "25/1", "media_seconds": 12.0, "soft": [],
                "labels": [{"class": "black", "start": 3.0, "end": 4.5, "sub": "injected", "severity": "major"}]}]}
"""

from fractions import Fraction
from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=-86_400, le=864_000)]


class Event(msgspec.Struct, frozen=True):
    """A defect, labelled or detected; seconds from the first picture. value: what was measured; reason: in words."""

    kind: str = msgspec.field(name="class")
    start: Seconds
    end: Seconds
    value: float | None = None
    reason: str = ""


class Label(Event, frozen=True, omit_defaults=True):
    """A defect that is known to be there. sub: which form of it; offset_ms: of sound that is late (+) or early (-)."""

    sub: str = ""
    severity: str = ""
    stream: str = ""
    offset_ms: float | None = None


class Soft(msgspec.Struct, frozen=True):
    """Where a detection of a class counts neither way, and why."""

    kind: str = msgspec.field(name="class")
    start: Seconds
    end: Seconds
    why: str = ""


class LabelledFile(msgspec.Struct, frozen=True):
    """A file and what is wrong in it. media_seconds: what it holds, where timestamps jump and `duration` is no help."""

    file: str
    labels: tuple[Label, ...] = ()
    soft: tuple[Soft, ...] = ()
    duration: float = 0.0
    media_seconds: float | None = None
    fps: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How much media it holds."""
        return self.duration if self.media_seconds is None else self.media_seconds

    @property
    def frames_per_s(self) -> float | None:
        """Its frame rate, None where the manifest does not say it."""
        try:
            return float(Fraction(self.fps)) or None
        except (ValueError, ZeroDivisionError):
            return None


class Manifest(msgspec.Struct, frozen=True):
    """A labelled set, as its JSON file has it; other fields are left out."""

    files: tuple[LabelledFile, ...]
