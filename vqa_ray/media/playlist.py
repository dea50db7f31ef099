"""Why a playlist could not be used: whether it names a protocol that the profile does not allow.

Asked only after libav failed; what it was told not to open it did not open.
"""

import re
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit

import av
import av.error

from vqa_ray.core.urls import scheme

MOST_BYTES = 1 << 18
PATIENCE_S = 2.0
DEPTH = 2  # a master playlist, and what it names

_LINE = re.compile(r"^(?!#)\s*(\S.*?)\s*$", re.MULTILINE)
_ATTRIBUTE = re.compile(
    r"""\bURI="([^"]+)"|<BaseURL[^>]*>\s*([^<]+?)\s*</BaseURL>|\b(?:media|initialization)="([^"]+)\""""
)


def forbidden_target(url: str, error: Exception, whitelist: str) -> str | None:
    """The first target in the playlist at `url` that is not in `whitelist`, None if it is none or all is allowed."""
    silent = isinstance(error, (av.error.ExitError, av.error.ConnectionRefusedError, TimeoutError))
    if silent or scheme(url) not in ("http", "https", "file"):
        return None
    if PurePosixPath(urlsplit(url).path).suffix.lower() not in (".m3u8", ".m3u", ".mpd", ""):
        return None
    return _search(url, frozenset(whitelist.split(",")), DEPTH)


def targets(text: str) -> list[str]:
    """What a HLS playlist or a DASH manifest names, in order."""
    if text.lstrip().startswith("#EXTM3U"):
        found = [next(filter(None, match.groups())) for match in _ATTRIBUTE.finditer(text)]
        return found + [match.group(1) for match in _LINE.finditer(text)]
    if "<MPD" in text:
        return [next(filter(None, match.groups())) for match in _ATTRIBUTE.finditer(text)]
    return []


def _search(url: str, allowed: frozenset[str], depth: int) -> str | None:
    found = targets(_fetch(url, ",".join(sorted(allowed))))
    for target in found:
        if not set(_schemes(target, scheme(url))) <= allowed:
            return target
    if depth > 1:
        for target in [target for target in found if ".m3u8" in target][:3]:
            deeper = _search(urljoin(url, target), allowed, depth - 1)
            if deeper is not None:
                return deeper
    return None


def _schemes(target: str, default: str) -> list[str]:
    """The protocols that a target asks for; a nested one (`crypto+file`, `concat:file`) asks for each."""
    if "://" not in target and not re.match(r"[A-Za-z][A-Za-z0-9+]{2,}:", target):
        return [default]
    return scheme(target).split("+")


def _fetch(url: str, whitelist: str) -> str:
    options = {"protocol_whitelist": whitelist, "rw_timeout": str(round(PATIENCE_S * 1e6))}
    out = b""
    try:
        with av.open(url.removeprefix("file://"), format="data", options=options, timeout=PATIENCE_S) as container:
            for packet in container.demux():
                out += bytes(packet) if packet.size else b""
                if len(out) > MOST_BYTES:
                    break
    except (av.error.FFmpegError, OSError):
        pass
    return out.decode(errors="replace")
