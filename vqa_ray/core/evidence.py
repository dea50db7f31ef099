"""Proof of an incident: how much of it is kept, what it consists of, and where it lies in the store."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from vqa_ray.core.notice import Incident
from vqa_ray.core.urls import redact

FOLDER = "evidence"
START, END = "start", "end"
STRIP, FIRST, RECORD = ".jpg", "first.jpg", ".json"
MIB = 1 << 20

_Around = Annotated[float, msgspec.Meta(ge=0, le=120)]


class EvidenceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of each incident beside its record: stills and a clip of the original packets, in the store.

    before_s, after_s: media shown before and after its start, and its end where that comes later; before begins with
    the key frame there. Reaches back no further than `source.ring_s` and `ring_bytes`. max_bytes: of one clip.
    per_day_bytes: of one stream in a day (UTC). keep_days, keep_bytes: older evidence is removed, and the oldest while
    all together is more. url: address of the store's folder `evidence` for people, where a web server shows it; None
    gives alerts the place in the store.
    """

    enabled: bool = True
    before_s: _Around = 2.0
    after_s: _Around = 4.0
    max_bytes: Annotated[int, msgspec.Meta(ge=0, le=1024 * MIB)] = 16 * MIB
    per_day_bytes: Annotated[int, msgspec.Meta(ge=0)] = 512 * MIB
    keep_days: Annotated[float, msgspec.Meta(gt=0)] = 7.0
    keep_bytes: Annotated[int, msgspec.Meta(ge=0)] = 20 * 1024 * MIB
    url: Annotated[str, msgspec.Meta(min_length=1)] | None = None


class Point(msgspec.Struct, frozen=True, gc=False):
    """What a detector said from `at_s` on: lowest, mean and highest value; all the same of a single reading."""

    at_s: float
    low: float
    mean: float
    high: float


class ClipRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A clip as a file. from_s, until_s: on the stream's timeline; moment_s: where in the clip the moment is.

    whole: it begins with a key frame at or before the moment, and nothing was left out for its size.
    """

    file: str
    media_type: str
    size_bytes: int
    packets: int
    from_s: float
    until_s: float
    moment_s: float
    whole: bool


class StillRecord(msgspec.Struct, frozen=True):
    """A picture of the strip. exact: it was decoded again from the packets, and is the very frame of that time."""

    at_s: float
    exact: bool


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside the pictures and the clip of a moment as JSON. moment: `start` or `end` of the incident."""

    incident: Incident
    moment: str
    at_s: float
    strip: str
    first: str | None
    stills: tuple[StillRecord, ...]
    clip: ClipRecord | None
    curve: tuple[Point, ...]


def base(uri: str, options: EvidenceOptions) -> str:
    """The address of a store's folder of evidence, for people: without secrets, and absolute."""
    if options.url is not None:
        return options.url.rstrip("/")
    if "://" not in uri and not uri.startswith("file:"):
        uri = str(Path(uri).expanduser().absolute())
    return f"{redact(uri).rstrip('/')}/{FOLDER}"


def day_of(incident: Incident) -> str:
    """The day under which all of an incident's evidence lies: that of its start, in UTC."""
    return f"{incident.start_utc.astimezone(UTC):%Y-%m-%d}"


def place(incident: Incident) -> str:
    """The incident's folder below `evidence/`; the same whoever makes it."""
    return f"{stream_place(day_of(incident), incident.stream_id)}/{safe_name(incident.incident_id)}"


def stream_place(day: str, stream_id: str) -> str:
    """The folder of a stream's evidence of one day, below `evidence/`."""
    return f"date={day}/stream={safe_name(stream_id)}"


def safe_name(text: str) -> str:
    """`text` as one part of a path or URL: as it is where that is harmless, else with a digest in place of the rest."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", text):
        return text
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:60]
    return f"{plain}~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def day(text: str) -> datetime | None:
    """The beginning of a day as it is written in paths; None for what is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
