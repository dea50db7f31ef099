"""How old the media is that a live HLS input begins with: by its playlist, since libav tells nothing of it.

A segment is listed once it is complete, so a player's first picture is older than the moment it connects by all that is
listed from there on, and by up to one segment more. Where the packager writes the wall clock
(EXT-X-PROGRAM-DATE-TIME, RFC 8216, 4.3.2.6), that counts instead.
"""

import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urljoin

import av.error
import msgspec

from vqa_ray.media.dash import NetFile

MOST_BYTES = 1 << 20
MOST_DELAY_S = 120.0  # of what is listed last; a wall clock further off is another one's, or that of a repeat
LONGEST_S = 3600.0  # a longer segment is a mistake
DATE = "#EXT-X-PROGRAM-DATE-TIME:"
VARIANT = re.compile(r"^#EXT-X-STREAM-INF:[^\n]*\n(?:\s*#[^\n]*\n|\s*\n)*([^#\s][^\n]*)", re.MULTILINE)


class Listed(msgspec.Struct, frozen=True):
    """A playlist's segments. dates: wall clock in seconds since 1970 at the start of each, None where it is unknown."""

    durations: tuple[float, ...]
    dates: tuple[float | None, ...]
    complete: bool  # nothing will be added

    def first(self, start_index: int) -> int:
        """The segment that libav begins with, given its `live_start_index`."""
        if self.complete:
            return 0
        count = len(self.durations)
        return min(count - 1, max(0, count + start_index if start_index < 0 else start_index))


def parse(text: str) -> Listed | None:
    """The segments of a media playlist; None if there are none, or it is something else."""
    if not text.lstrip("\ufeff \r\n").startswith("#EXTM3U"):
        return None
    durations: list[float] = []
    dates: list[float | None] = []
    date_s: float | None = None
    duration_s: float | None = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#EXTINF:"):
            duration_s = _number(line.removeprefix("#EXTINF:").partition(",")[0])
        elif line.startswith(DATE):
            date_s = _date(line.removeprefix(DATE).strip())
        elif line.startswith("#EXT-X-DISCONTINUITY") and not line.startswith("#EXT-X-DISCONTINUITY-SEQUENCE"):
            date_s = None
        elif line and not line.startswith("#") and duration_s is not None:
            durations.append(duration_s)
            dates.append(date_s)
            date_s = None if date_s is None else date_s + duration_s
            duration_s = None
    if not durations:
        return None
    return Listed(tuple(durations), tuple(dates), "#EXT-X-ENDLIST" in text)


def age_s(listed: Listed, start_index: int, now_utc_s: float) -> float:
    """How long ago the first picture that libav gives was live, at the moment when the playlist was read.

    Without a wall clock in the playlist this is right to half a segment, plus what packager and network take. Of a
    recording: its length, so that none of it lies in the future.
    """
    first = listed.first(start_index)
    ahead_s = sum(listed.durations[first:])
    if listed.complete:
        return ahead_s
    target_s = max(listed.durations)
    if (date_s := listed.dates[first]) is not None:
        said_s = now_utc_s - date_s
        if ahead_s - target_s <= said_s <= ahead_s + MOST_DELAY_S:
            return said_s
    return ahead_s + 0.5 * listed.durations[-1]


def fetch(url: str, options: dict[str, str], limit_s: float, now_s: Callable[[], float]) -> Listed | None:
    """The segments of the media playlist at `url`, or of the first variant of a master playlist; None if that fails."""
    deadline_s = now_s() + limit_s
    try:
        text = _read(url, options, limit_s)
        if (variant := VARIANT.search(text)) is not None:
            text = _read(urljoin(url, variant.group(1).strip()), options, max(0.1, deadline_s - now_s()))
    except (av.error.FFmpegError, OSError, ValueError):
        return None  # opening it will say what is wrong
    return parse(text)


def _read(url: str, options: dict[str, str], limit_s: float) -> str:
    file, data = NetFile(url, options, limit_s), b""
    try:
        while (part := file.read(1 << 15)) and len(data) < MOST_BYTES:
            data += part
    finally:
        file.close()
    return data.decode(errors="replace")


def _number(text: str) -> float:
    """A length in seconds; 0 for what is none."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds <= LONGEST_S else 0.0


def _date(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo is not None else None
