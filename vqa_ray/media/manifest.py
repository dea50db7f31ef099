"""A DASH manifest (ISO/IEC 23009-1) read for its best picture and sound: which segments there are now."""

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from urllib.parse import urljoin

import msgspec

from vqa_ray.errors import NotMedia, UnsupportedSource

MOST_SEGMENTS = 20  # of a live manifest, the newest
LONGEST = 100_000  # segments of a recording

_DURATION = re.compile(r"(-?)P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$")
_FIELD = re.compile(r"\$(RepresentationID|Number|Time|Bandwidth|)(?:%0(\d+)d)?\$")


class Segment(msgspec.Struct, frozen=True):
    """One segment: its URL, that of its header (None: it is in it), both relative to the manifest.

    at_s: where it begins in the presentation, the same in each version of a live manifest; None where that is not told.
    """

    url: str
    header: str | None
    duration_s: float
    at_s: float | None = None


class Representation(msgspec.Struct, frozen=True):
    """One of the versions of picture or sound, with its segments in the newest period that has any."""

    name: str
    bandwidth: int
    segments: list[Segment]


class Manifest(msgspec.Struct):
    """What there is now. segments: of "video" and "audio"; update_s: how often a dynamic one is to be fetched again.

    origin_s: its availabilityStartTime as UNIX time, which a packager keeps for as long as its times go on.
    """

    dynamic: bool
    update_s: float
    segments: dict[str, list[Segment]]
    origin_s: float


class _Clock(msgspec.Struct, frozen=True):
    """Where in a period we are: where it starts, its length, and how much of it has been there; None where unknown."""

    start_s: float
    length_s: float | None
    elapsed_s: float | None
    depth_s: float


def parse(text: bytes, wall_s: float) -> Manifest:
    """The manifest in `text` as it is at `wall_s` (UNIX time).

    Raises NotMedia when it is none, UnsupportedSource when it is encrypted.
    """
    root = _root(text)
    dynamic = root.get("type") == "dynamic"
    found: dict[str, list[Segment]] = {}
    for period, clock in _periods(root, wall_s if dynamic else None):
        for kind in ("video", "audio"):
            found.setdefault(kind, []).extend(_of_kind(root, period, kind, clock))
    if dynamic:
        found = {kind: segments[-MOST_SEGMENTS:] for kind, segments in found.items()}
    update_s = _seconds(root.get("minimumUpdatePeriod")) or 2.0
    return Manifest(dynamic, update_s, found, _moment(root.get("availabilityStartTime")))


def representations(text: bytes, wall_s: float) -> list[Representation]:
    """All versions of picture and sound in a live manifest, picture first, the best first.

    Raises NotMedia when it is none.
    """
    root = _root(text)
    found: dict[str, Representation] = {}
    for period, clock in _periods(root, wall_s):
        for kind in ("video", "audio"):
            for bandwidth, group, one in sorted(_all_of_kind(period, kind), key=lambda entry: -entry[0]):
                height = one.get("height") or group.get("height")
                name = " ".join(filter(None, (kind, height and f"{height}p", one.get("id"))))
                if segments := _segments(root, period, group, one, clock):
                    found[name] = Representation(name, bandwidth, segments[-MOST_SEGMENTS:])
    return sorted(found.values(), key=lambda entry: (entry.name.startswith("audio"), -entry.bandwidth))


def _root(text: bytes) -> ET.Element:
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise NotMedia("a manifest with a document type is not read")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise NotMedia(f"the manifest is no XML: {error}") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if root.tag != "MPD":
        raise NotMedia(f"the manifest is a {root.tag}, no MPD")
    return root


def _periods(root: ET.Element, wall_s: float | None) -> list[tuple[ET.Element, _Clock]]:
    periods = root.findall("Period")
    total_s = _seconds(root.get("mediaPresentationDuration"))
    depth_s = _seconds(root.get("timeShiftBufferDepth")) or 60.0
    since_s = None if wall_s is None else wall_s - _moment(root.get("availabilityStartTime"))
    out, at_s = [], 0.0
    for n, period in enumerate(periods):
        start_s = _seconds(period.get("start"))
        at_s = at_s if start_s is None else start_s
        following = _seconds(periods[n + 1].get("start")) if n + 1 < len(periods) else total_s
        length_s = _seconds(period.get("duration")) or (None if following is None else following - at_s)
        out.append((period, _Clock(at_s, length_s, None if since_s is None else since_s - at_s, depth_s)))
        at_s += length_s or 0.0
    return out


def _of_kind(root: ET.Element, period: ET.Element, kind: str, clock: _Clock) -> list[Segment]:
    """Segments of the best representation of this kind in a period."""
    every = _all_of_kind(period, kind)
    if not every:
        return []
    _, group, one = max(every, key=lambda entry: entry[0])
    if group.find("ContentProtection") is not None or one.find("ContentProtection") is not None:
        raise UnsupportedSource("its media is encrypted: watch it before the encryption")
    return _segments(root, period, group, one, clock)


def _all_of_kind(period: ET.Element, kind: str) -> list[tuple[int, ET.Element, ET.Element]]:
    """Bandwidth, adaptation set and representation of each of this kind."""
    found = []
    for group in period.findall("AdaptationSet"):
        for one in group.findall("Representation"):
            about = " ".join(filter(None, (group.get("contentType"), group.get("mimeType"), one.get("mimeType"))))
            if kind in about:
                found.append((int(one.get("bandwidth") or 0), group, one))
    return found


def _segments(root: ET.Element, period: ET.Element, group: ET.Element, one: ET.Element, clock: _Clock) -> list[Segment]:
    """Segments of a representation."""
    levels = (root, period, group, one)
    base = ""
    for level in levels:
        base = urljoin(base, (level.findtext("BaseURL") or "").strip())
    return _listed(levels[1:], base, one, clock)


def _listed(levels: tuple[ET.Element, ...], base: str, one: ET.Element, clock: _Clock) -> list[Segment]:
    templates = [found for level in levels if (found := level.find("SegmentTemplate")) is not None]
    if templates:
        return _templated(templates, base, one, clock)
    lists = [found for level in levels if (found := level.find("SegmentList")) is not None]
    if lists:
        nearest = lists[-1]
        header = nearest.find("Initialization")
        start = None if header is None else urljoin(base, header.get("sourceURL") or "")
        duration_s = float(nearest.get("duration") or 1) / float(nearest.get("timescale") or 1)
        urls = [url for item in nearest.findall("SegmentURL") if (url := item.get("media"))]
        if urls:
            return [Segment(urljoin(base, url), start, duration_s) for url in urls]
    return [Segment(base, None, clock.length_s or 1.0)] if base else []


def _templated(templates: list[ET.Element], base: str, one: ET.Element, clock: _Clock) -> list[Segment]:
    told: dict[str, str] = {}
    for template in templates:
        told |= template.attrib
    scale, number = float(told.get("timescale", 1)), int(told.get("startNumber", 1))
    about = {"RepresentationID": one.get("id") or "", "Bandwidth": one.get("bandwidth") or ""}
    header = told.get("initialization")
    start = None if header is None else urljoin(base, _filled(header, about))
    timeline = next((found for t in reversed(templates) if (found := t.find("SegmentTimeline")) is not None), None)
    offset = 0.0
    if timeline is not None:
        offset = float(told.get("presentationTimeOffset", 0))
        end_s = clock.length_s if clock.length_s is not None else clock.elapsed_s
        spans = _timed(timeline, None if end_s is None else end_s * scale + offset)
        numbered: list[tuple[int, int, float]] = [(number + n, at, length) for n, (at, length) in enumerate(spans)]
    else:
        numbered = _counted(float(told.get("duration", scale)), scale, number, clock)
    media = told.get("media", "")
    out = []
    for n, at, length in numbered:
        url = urljoin(base, _filled(media, about | {"Number": str(n), "Time": str(at)}))
        out.append(Segment(url, start, length / scale, clock.start_s + (at - offset) / scale))
    return out


def _timed(timeline: ET.Element, end: float | None) -> list[tuple[int, float]]:
    """Start and length of each segment of a timeline, in its units; `end`: where an endless repetition stops."""
    out: list[tuple[int, float]] = []
    rows = timeline.findall("S")
    at = 0
    for n, row in enumerate(rows):
        at, length, repeat = int(row.get("t", at)), int(row.get("d") or 1), int(row.get("r") or 0)
        if repeat < 0:
            until = float(rows[n + 1].get("t") or 0) if n + 1 < len(rows) else (end if end is not None else at + length)
            repeat = max(0, int((until - at) / length) - 1)
        for _ in range(min(repeat, LONGEST) + 1):
            out.append((at, length))
            at += length
    return out


def _counted(length: float, scale: float, number: int, clock: _Clock) -> list[tuple[int, int, float]]:
    """Number, start and length of segments of equal length."""
    first, last = 0, 1
    if clock.elapsed_s is not None:
        seen_s = clock.elapsed_s if clock.length_s is None else min(clock.elapsed_s, clock.length_s)
        last = int(seen_s * scale / length)
        first = max(0, last - max(2, min(MOST_SEGMENTS, int(clock.depth_s * scale / length))))
    elif clock.length_s is not None:
        last = max(1, round(clock.length_s * scale / length + 0.49))
    return [(number + n, int(n * length), length) for n in range(first, min(last, first + LONGEST))]


def _filled(template: str, values: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, width = found.group(1), found.group(2)
        return "$" if not name else values.get(name, "").zfill(int(width or 0))

    return _FIELD.sub(value, template)


def _seconds(text: str | None) -> float | None:
    """An XML duration in seconds, None when there is none."""
    found = _DURATION.match(text or "")
    if found is None:
        return None
    sign, *parts = found.groups()
    years, months, days, hours, minutes, seconds = (float(part or 0) for part in parts)
    days += 365 * years + 30 * months
    return (-1.0 if sign else 1.0) * (((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _moment(text: str | None) -> float:
    """An XML date as UNIX time; 0 when there is none."""
    try:
        moment = datetime.fromisoformat((text or "1970-01-01T00:00:00Z").replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
