"""The kinds of inputs, a row each: a scheme's libav options, and the protocols that may be opened behind its URL."""

import ipaddress
import math
from urllib.parse import urlsplit

import msgspec

from vqa_ray.core.urls import redact, scheme
from vqa_ray.errors import ForbiddenProtocol, UnsupportedSource
from vqa_ray.media.options import SourceOptions

# Protocols that only carry others: no URL of a playlist can reach anything with them that their rows do not allow.
PLUMBING = frozenset({"tcp", "tls", "udp", "rtp", "crypto", "data", "httpproxy", "rtmphttp"})
NEVER_OVERRIDDEN = frozenset({"protocol_whitelist", "protocol_blacklist", "whitelist"})
HTTP = ("http", "https", "tcp", "tls", "crypto", "data", "httpproxy")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One scheme.

    needs: libav protocols that it opens, itself and what its playlists may name; options: fixed libav options;
    open_limit, read_limit: names of the options that take the time limits, in microseconds; tap: MPEG-TS may be read as
    bytes, so that its continuity counters can be checked; listen: options that make it wait for a sender; native_limit:
    libav waits in loops of its own, which only the interrupt callback ends.
    """

    needs: tuple[str, ...]
    options: dict[str, str] = {}
    read_limit: tuple[str, ...] = ("rw_timeout",)
    tap: bool = False
    listen: dict[str, str] | None = None
    native_limit: bool = False


_RTSP = Row(
    needs=("rtsp", "rtsps", "rtp", "rtcp", "srtp", "udp", "tcp", "tls", "http", "https"),
    read_limit=("timeout",),
    listen={"rtsp_flags": "listen"},
    native_limit=True,
)
_RTMP = Row(
    needs=("rtmp", "rtmps", "rtmpt", "rtmpts", "rtmphttp", "tcp", "tls", "http", "https"),
    native_limit=True,
    listen={"listen": "1"},
)
_HTTP = Row(
    needs=HTTP,
    options={"live_start_index": "-1", "reconnect": "0", "http_persistent": "1"},
    tap=True,
    listen={"listen": "1"},
    native_limit=True,
)
# libav's own look at 20 pictures for their rate keeps a live stream waiting for 0.8 s, RTMP for 1.6 s; their packets
# say it. A stream that is taken over is analysed so much sooner. A file is looked at in full.
_RATE_LOOKS = {"fpsprobesize": "5"}
_UDP_OPTIONS = {"fifo_size": "11156", "overrun_nonfatal": "1", "buffer_size": "1048576"}  # 2 MiB between us and the net

SCHEMES: dict[str, Row] = {
    "file": Row(needs=("file", "crypto", "data"), read_limit=(), tap=True),
    "http": _HTTP,
    "https": _HTTP,
    "udp": Row(needs=("udp",), options=_UDP_OPTIONS, read_limit=("timeout",), tap=True),
    "rtp": Row(needs=("rtp", "udp"), read_limit=("timeout",), native_limit=True),
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "rtmp": _RTMP,
    "rtmps": _RTMP,
    "tcp": Row(needs=("tcp",), read_limit=("timeout",), tap=True, listen={"listen": "1"}),
}
SENT_TO_US = frozenset({"udp", "rtp"})  # of two sockets at one address of ours only one gets the datagrams
_BRIDGES = {
    "srt": "run `srt-live-transmit '{url}' udp://127.0.0.1:PORT` beside it and watch udp://127.0.0.1:PORT",
    "rist": "run `ristreceiver -i '{url}' -o udp://127.0.0.1:PORT` beside it and watch udp://127.0.0.1:PORT",
    "whep": "let the server offer the same stream over RTSP or HLS",
    "webrtc": "let the server offer the same stream over RTSP or HLS",
    "mms": "let the server offer the same stream over HTTP",
}


def serves_one(url: str, options: SourceOptions) -> bool:
    """Whether a second connection beside the first would get nothing, or take it away."""
    if options.single_client is not None:
        return options.single_client
    return options.listen or (scheme(url) in SENT_TO_US and not _multicast(url))


def _multicast(url: str) -> bool:
    try:
        return ipaddress.ip_address((urlsplit(url).hostname or "").rpartition("@")[2]).is_multicast
    except ValueError:
        return False


def row_of(url: str, options: SourceOptions, *, live: bool) -> Row:
    """The row of a URL that the profile allows.

    Raises UnsupportedSource, with what to do instead, for a scheme that libav lacks here, and for a URL that can name
    nothing; ForbiddenProtocol for a scheme that the profile does not allow.
    """
    name = scheme(url)
    row = SCHEMES.get(name)
    if row is None:
        raise UnsupportedSource(f"{redact(url)}: {_instead(name, url)}")
    names = allowed(options, live=live)
    if name not in names:
        raise ForbiddenProtocol(f"{redact(url)}: the profile does not allow {name} (but {', '.join(sorted(names))})")
    if name != "file" and "${" not in url and (wrong := _wrong_address(url)):
        raise UnsupportedSource(f"{redact(url)}: {wrong}")
    return row


def _wrong_address(url: str) -> str:
    """What is wrong with the host and port of a URL, "" if nothing."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no address: {error}"
    if parts.hostname is None and scheme(url) not in ("udp", "rtp", "tcp"):  # there: any address of this machine
        return "names no host"
    return "names no port" if port is None and scheme(url) in ("udp", "rtp", "tcp") else ""


def allowed(options: SourceOptions, *, live: bool) -> frozenset[str]:
    """The URL schemes that may be opened; a live profile never holds `file`, whatever it says."""
    names = frozenset(SCHEMES) if options.protocols is None else frozenset(options.protocols)
    return names - {"file"} if live else names


def whitelist(row: Row, options: SourceOptions, *, live: bool) -> str:
    """libav's `protocol_whitelist` for an input of this kind: it holds for playlists and redirects too."""
    schemes = allowed(options, live=live)
    known = {name for name in row.needs if name in SCHEMES and name not in PLUMBING}
    return ",".join(name for name in row.needs if name not in known or name in schemes)


def libav_options(url: str, options: SourceOptions, *, live: bool) -> dict[str, str]:
    """All options that `av.open` is given for this URL."""
    row = row_of(url, options, live=live)
    chosen = row.options | (_RATE_LOOKS if live else {})
    for name in () if options.listen and row.native_limit else row.read_limit:  # there it limits the wait for a sender
        chosen[name] = str(round(options.read_timeout_s * 1e6))
    if scheme(url) in ("rtsp", "rtsps") and not options.listen:
        chosen["rtsp_transport"] = options.rtsp_transport
    if options.listen and row.listen is not None:
        chosen |= row.listen
        if "rtsp_flags" in row.listen:  # its default of -1 is refused by libav's own tcp
            chosen["listen_timeout"] = str(math.ceil(options.open_timeout_s))
    chosen |= {name: value for name, value in options.options.items() if name not in NEVER_OVERRIDDEN}
    chosen["protocol_whitelist"] = whitelist(row, options, live=live)
    return chosen


def _instead(name: str, url: str) -> str:
    if name in _BRIDGES:
        return f"this libav has no {name.upper()}: " + _BRIDGES[name].format(url=redact(url))
    return f"scheme {name!r} is not known (known: {', '.join(SCHEMES)})"
