"""What libav says, in the words of our tree of errors, without secrets."""

import errno

import av.error

from vqa_ray.core.urls import redact
from vqa_ray.errors import ForbiddenProtocol, NotMedia, SourceError, SourceUnavailable, UnsupportedSource

_UNSUPPORTED = (av.error.ProtocolNotFoundError, av.error.DemuxerNotFoundError)
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


def opening_failed(url: str, error: Exception, *, timeout_s: float, target: str | None = None) -> SourceError:
    """Why `url` could not be opened. target: what its playlist names and the profile does not allow."""
    shown = redact(url)
    if target is not None:
        return ForbiddenProtocol(f"{shown}: its playlist names {redact(target)}, which the profile does not allow")
    if isinstance(error, SourceError):
        return error if shown in str(error) else type(error)(f"{shown}: {error}")
    if isinstance(error, _UNSUPPORTED):
        return UnsupportedSource(f"{shown}: this libav has no such protocol or container")
    if isinstance(error, av.error.InvalidDataError):
        return NotMedia(f"{shown}: what came is no media that libav knows")
    return SourceUnavailable(f"{shown}: {_why(error, timeout_s, 'opening')}")


def reading_failed(url: str, error: Exception, *, timeout_s: float) -> SourceError:
    """Why `url` broke off."""
    shown = redact(url)
    if isinstance(error, SourceError):
        return error if shown in str(error) else type(error)(f"{shown}: {error}")
    return SourceUnavailable(f"{shown}: {_why(error, timeout_s, 'reading')}")


def _why(error: Exception, timeout_s: float, doing: str) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, (av.error.ExitError, TimeoutError)) or number in (errno.ETIMEDOUT, errno.EAGAIN):
        return f"no answer within {timeout_s:g} s of {doing}"
    words = _WORDS.get(number or 0) or getattr(error, "strerror", None) or type(error).__name__
    return redact(str(words)).lower() if words in _WORDS.values() else redact(str(words))
