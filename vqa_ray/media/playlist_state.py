"""What a live HLS playlist says from one look to the next (RFC 8216). Values only."""

import re
from urllib.parse import urljoin

import msgspec

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


class Listed(msgspec.Struct, frozen=True):
    """A media playlist: the number of its first segment, how many there are, its target duration, whether it ended."""

    sequence: int
    count: int
    target_s: float
    ended: bool


class Rendition(msgspec.Struct, frozen=True):
    """A media playlist that a master playlist names; bandwidth 0 of sound and subtitles."""

    name: str
    url: str
    bandwidth: int = 0


def listed(text: str) -> Listed | None:
    """A media playlist; None for what is none."""
    if not text.lstrip("\ufeff \r\n").startswith("#EXTM3U") or "#EXTINF" not in text:
        return None
    lines = text.splitlines()
    target_s = _number(lines, "#EXT-X-TARGETDURATION:", 0)
    if target_s <= 0:
        return None
    count = sum(line.startswith("#EXTINF") for line in lines)
    ended = any(line.startswith("#EXT-X-ENDLIST") for line in lines)
    return Listed(_number(lines, "#EXT-X-MEDIA-SEQUENCE:", 0), count, float(target_s), ended)


def renditions(text: str, url: str) -> list[Rendition]:
    """What the master playlist at `url` names, the best first; nothing of other texts."""
    found: list[Rendition] = []
    lines = [line.strip() for line in text.splitlines()]
    for n, line in enumerate(lines):
        about = {key: value.strip('"') for key, value in _ATTRIBUTE.findall(line.partition(":")[2])}
        if line.startswith("#EXT-X-STREAM-INF:"):
            target = next((one for one in lines[n + 1 :] if one and not one.startswith("#")), None)
            digits = about.get("BANDWIDTH", "")
            bandwidth = int(digits) if digits.isdigit() else 1
            if target is not None:
                name = f"{about.get('RESOLUTION', 'variant')} {bandwidth // 1000}k"
                found.append(Rendition(name, urljoin(url, target), max(1, bandwidth)))
        elif line.startswith("#EXT-X-MEDIA:") and about.get("URI"):
            name = " ".join(filter(None, (about.get("TYPE", "").lower(), about.get("NAME"))))
            found.append(Rendition(name, urljoin(url, about["URI"])))
    unique = {one.url: one for one in reversed(found)}
    return sorted(unique.values(), key=lambda one: -one.bandwidth)


class Advance(msgspec.Struct, frozen=True):
    """What became of a playlist since the look before: how long its end has stood still, how many numbers were skipped.

    skipped: negative when it went back.
    """

    still_s: float
    skipped: int


class Follower:
    """Follows one media playlist over many looks."""

    def __init__(self) -> None:
        self._end: int | None = None  # number behind the last segment
        self._moved_s = self._looked_s = 0.0

    def step(self, now: Listed, at_s: float) -> Advance:
        """Compare with the look before. A player that looks as often sees what is skipped only when we do, too."""
        before, end = self._end, now.sequence + now.count
        late = at_s - self._looked_s > max(2.0, now.count - 1) * now.target_s  # what was listed meanwhile is unknown
        self._looked_s = at_s
        if before == end:
            return Advance(at_s - self._moved_s, 0)
        self._end, self._moved_s = end, at_s
        if before is None:
            return Advance(0.0, 0)
        if end < before:
            return Advance(0.0, end - before)
        return Advance(0.0, 0 if late else max(0, now.sequence - before))


def _number(lines: list[str], tag: str, default: int) -> int:
    text = next((line.removeprefix(tag).strip() for line in lines if line.startswith(tag)), "")
    whole = text.partition(".")[0]
    return int(whole) if whole.isdigit() and len(whole) < 19 else default
