"""What is told of a defect: the incident as a record, and the notice that alert channels are given."""

import enum
from datetime import datetime

import msgspec

from vqa_ray.core.reading import Severity


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A defect with a start and an end, in media time and in wall time.

    start_s, end_s: seconds on the stream's timeline (file: since its first video PTS; live: since the watch began,
    negative in media that was made before), of the first bad and the first good frame; end_s is None while it lasts.
    start_utc, end_utc: of a live stream, when that frame was due on air as far as is known: it arrived then, less what
    had gathered before we connected. Segmented media (HLS, DASH) is dated by the wall clock in its playlist, or else by
    the segments listed: right to half a segment and the delay on the way. Of a file: when it was analysed.
    start_pts_s: the timestamp in the container, None if unknown.
    severity: never falls while it lasts; severity_before: what it was before it rose, None if it did not.
    value: the worst reading so far, in `unit`. incident_id is the same whoever finds it: it is made of stream,
    detector, part and start only. evidence: address of the folder with its stills and clips, "" where none are kept;
    the first still is there within a second or so, the clip when it has come to its end.
    """

    incident_id: str
    stream_id: str
    detector: str
    severity: Severity
    start_s: float
    end_s: float | None
    start_utc: datetime
    end_utc: datetime | None
    value: float
    unit: str
    part: str = ""
    start_pts_s: float | None = None
    reason: str = ""  # words of the detector or the source, for a person
    labels: dict[str, str] = {}
    severity_before: Severity | None = None
    evidence: str = ""

    @property
    def open(self) -> bool:
        """Whether it lasts."""
        return self.end_s is None


class NoticeKind(enum.StrEnum):
    """What happened to the incident."""

    OPENED = "opened"
    CHANGED = "changed"  # its severity rose
    CLOSED = "closed"


RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What alert channels are told, at least once; `key` is the same each time, so that repeats can be dropped.

    sequence: of a CHANGED notice, from 1 on: the rank of its severity, or a number of its own where it is told again
    since it lasts; 0 for the others. why: more than the kind says, for a person. streams: all that the notice is of,
    where it is of several.
    """

    kind: NoticeKind
    incident: Incident
    noticed_utc: datetime
    sequence: int = 0
    why: str = ""
    streams: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Idempotency key: incident, kind and, for a change, its number."""
        suffix = f":{self.sequence}" if self.kind is NoticeKind.CHANGED else ""
        return f"{self.incident.incident_id}:{self.kind.value}{suffix}"


def notice_of(kind: NoticeKind, incident: Incident, noticed_utc: datetime) -> Notice:
    """The notice of a transition; whoever finds a change gives it the same number, since severity only rises."""
    sequence = RANKS[incident.severity] if kind is NoticeKind.CHANGED else 0
    return Notice(kind=kind, incident=incident, noticed_utc=noticed_utc, sequence=sequence)
