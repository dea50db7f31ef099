"""What is gathered of one moment of an incident, and what becomes of it: a strip of stills, a clip, a record."""

import math
from typing import Protocol

import msgspec

from vqa_ray.core import strip
from vqa_ray.core.evidence import (
    END,
    FIRST,
    RECORD,
    STRIP,
    ClipRecord,
    EvidenceOptions,
    Point,
    Record,
    StillRecord,
)
from vqa_ray.core.notice import Incident
from vqa_ray.core.still import Still, image, jpeg
from vqa_ray.core.window import WINDOW_S
from vqa_ray.media import clip
from vqa_ray.media.clip import Clip
from vqa_ray.media.tape import Footage

LEAST_BEFORE_S = 5.0  # of the curve


class Exact:
    """The frames around a moment, decoded once for all that is made of it."""

    def __init__(self) -> None:
        self.stills: list[Still] | None = None
        self.told = False  # the first bad frame has its file


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a moment so far. moment: `start` or `end`; final: nothing more will come.

    rows, readings: what the detector said, by the second, and (time, value) of each while it mattered. exact: the same
    for all cases of a moment.
    """

    incident: Incident
    moment: str
    at_s: float
    footage: Footage | None
    stills: tuple[Still, ...]
    rows: tuple[Point, ...]
    readings: tuple[tuple[float, float], ...]
    final: bool
    exact: Exact

    @property
    def size_bytes(self) -> int:
        """What is held for it in memory, at most: packets and stills may be shared with other cases."""
        return (self.footage.held_bytes if self.footage else 0) + sum(still.size_bytes for still in self.stills)


class Keeper(Protocol):
    """Who makes files of cases and keeps them."""

    @property
    def options(self) -> EvidenceOptions:
        """What is kept; may change at any time."""
        ...

    def link(self, incident: Incident) -> str:
        """Where the incident's evidence will be."""
        ...

    def put(self, case: Case) -> bool:
        """Takes a case; False, counted, when there is no room for it."""
        ...


def pictures(case: Case, options: EvidenceOptions, *, decode: bool) -> list[tuple[str, bytes]]:
    """Names and data of the strip and, once, of the first bad frame on its own. decode: frames around the moment."""
    if case.exact.stills is None and decode and case.footage is not None:
        case.exact.stills = clip.frames_around(case.footage, case.at_s)
    exact = case.exact.stills or []
    drawn = strip.draw(title(case), shown(case), curve(case, options), case.at_s, case.incident.unit)
    files = [(f"{case.moment}{STRIP}", jpeg(drawn))]
    if exact and case.moment != END and not case.exact.told:
        files.append((FIRST, jpeg(image(exact[-1]))))
    return files


def shown(case: Case) -> list[Still]:
    """The stills of the strip."""
    return strip.choose([*case.stills, *(case.exact.stills or [])], case.at_s)


def curve(case: Case, options: EvidenceOptions) -> tuple[Point, ...]:
    """What the detector said around the moment, in order of time: readings, and seconds in which there are none."""
    from_s, until_s = case.at_s - max(options.before_s, LEAST_BEFORE_S), case.at_s + options.after_s
    fine = [Point(at_s, value, value, value) for at_s, value in sorted(case.readings) if from_s <= at_s <= until_s]
    seconds = {math.floor(point.at_s / WINDOW_S) for point in fine}
    coarse = [
        row for row in case.rows if from_s <= row.at_s <= until_s and math.floor(row.at_s / WINDOW_S) not in seconds
    ]
    return tuple(sorted([*coarse, *fine], key=lambda point: point.at_s))


def title(case: Case) -> str:
    """What a person reads first."""
    incident = case.incident
    what = f"{incident.detector} {incident.part}".rstrip()
    when = incident.end_utc if case.moment == END and incident.end_utc is not None else incident.start_utc
    words = f"{what} on {incident.stream_id}: {case.moment} {when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} UTC"
    return f"{words}, worst {incident.value:.4g} {incident.unit}".rstrip()


def clip_of(case: Case, options: EvidenceOptions) -> tuple[Clip, bool] | None:
    """The clip, and whether it is whole; None without packets, or where they would be too large."""
    limit = options.max_bytes
    for _ in range(2):
        if case.footage is None:
            return None
        excerpt = clip.cut(case.footage, case.at_s, before_s=options.before_s, after_s=options.after_s, max_bytes=limit)
        made = clip.mux(excerpt.footage) if excerpt is not None else None
        if made is None or excerpt is None:
            return None
        if len(made.data) <= options.max_bytes:
            return made, excerpt.whole
        limit = int(limit * options.max_bytes / len(made.data) * 0.95)  # a container adds to the packets
    return None


def record(case: Case, options: EvidenceOptions, made: tuple[Clip, bool] | None) -> tuple[str, bytes]:
    """The record as a file: everything about the pictures and the clip."""
    told = Record(
        incident=case.incident,
        moment=case.moment,
        at_s=case.at_s,
        strip=f"{case.moment}{STRIP}",
        first=FIRST if case.exact.stills and case.moment != END else None,
        stills=tuple(StillRecord(still.at_s, still.exact) for still in shown(case)),
        clip=_clip_record(case, *made) if made is not None else None,
        curve=curve(case, options),
    )
    return f"{case.moment}{RECORD}", msgspec.json.encode(told)


def _clip_record(case: Case, made: Clip, whole: bool) -> ClipRecord:
    return ClipRecord(
        file=f"{case.moment}{made.container.suffix}",
        media_type=made.container.media_type,
        size_bytes=len(made.data),
        packets=made.packets,
        from_s=made.from_s,
        until_s=made.until_s,
        moment_s=max(0.0, case.at_s - made.from_s),
        whole=whole,
    )
