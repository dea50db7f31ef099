"""What libav says, in the words of our tree of errors, without secrets."""

import errno
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import av.error

from vqa_ray.core.urls import redact
from vqa_ray.errors import ForbiddenProtocol, NotMedia, SourceError, SourceUnavailable, UnsupportedSource

_UNSUPPORTED = (av.error.ProtocolNotFoundError, av.error.DemuxerNotFoundError)
_DIALOGUES = ("rtsp:", "rtsps:", "rtmp:", "rtmps:")  # what is no data there is no answer
_WORDS = {
    errno.ENOENT: "no such file",
    errno.EISDIR: "is a folder",
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "the network is unreachable",
    errno.EADDRINUSE: "the local port is in use",
    errno.EADDRNOTAVAIL: "the local address is not on this machine",
}


def opening_failed(
    url: str, error: Exception, *, timeout_s: float, took_s: float = 0.0, target: str | None = None
) -> SourceError:
    """Why `url` could not be opened, after `took_s`. target: what its playlist names and the profile does not allow."""
    shown = redact(url)
    if target is not None:
        return ForbiddenProtocol(f"{shown}: its playlist names {redact(target)}, which the profile does not allow")
    if isinstance(error, SourceError):
        return error if shown in str(error) else type(error)(f"{shown}: {error}")
    if isinstance(error, _UNSUPPORTED):
        return UnsupportedSource(f"{shown}: this libav has no such protocol or container")
    listed = PurePosixPath(urlsplit(url).path).suffix.lower() in (".m3u8", ".mpd")
    if isinstance(error, av.error.InvalidDataError) and not listed and not url.startswith(_DIALOGUES):
        return NotMedia(f"{shown}: what came is no media that libav knows")
    return SourceUnavailable(f"{shown}: {_why(error, timeout_s, took_s, 'opening')}")


def reading_failed(url: str, error: Exception, *, timeout_s: float, took_s: float = 0.0) -> SourceError:
    """Why `url` broke off, after waiting for `took_s`."""
    shown = redact(url)
    if isinstance(error, SourceError):
        return error if shown in str(error) else type(error)(f"{shown}: {error}")
    return SourceUnavailable(f"{shown}: {_why(error, timeout_s, took_s, 'reading')}")


def _why(error: Exception, timeout_s: float, took_s: float, doing: str) -> str:
    number = getattr(error, "errno", None)
    silent = isinstance(error, (av.error.ExitError, TimeoutError)) or number in (errno.ETIMEDOUT, errno.EAGAIN)
    if silent or took_s > 0.9 * timeout_s:
        return f"no answer within {timeout_s:g} s of {doing}"
    if isinstance(error, av.error.InvalidDataError):
        return "nothing that can be decoded came"
    if number in _WORDS:
        return _WORDS[number]
    return redact(str(getattr(error, "strerror", None) or type(error).__name__)).lower()
