"""Opening an input: with libav alone, or with a look at the bytes where it is a transport stream."""

import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import av
import av.error
import av.logging
import msgspec
from av.container import InputContainer

from vqa_ray.core.urls import redact, resolve, scheme
from vqa_ray.errors import NotMedia, SourceError
from vqa_ray.media import edge
from vqa_ray.media.dash import DashSource
from vqa_ray.media.failures import opening_failed
from vqa_ray.media.feed import FileTap, NetFeed, Tap
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.playlist import forbidden_target
from vqa_ray.media.schemes import Row, libav_options, row_of

DEFAULT_START_INDEX = -3  # libav's own
LOOKS_S = 5.0  # libav's analyzeduration: for so long it may look at packets before it calls an input open
_OTHER_THAN_TS = frozenset({
    ".m3u8", ".m3u", ".mpd", ".mp4", ".m4v", ".m4a", ".mov", ".mkv", ".webm", ".flv", ".mp3", ".aac", ".ac3", ".ogg",
    ".oga", ".opus", ".wav", ".flac", ".avi", ".mxf",
})  # fmt: skip


class Opened(msgspec.Struct):
    """An open container, and the tap on its bytes if there is one.

    late_s: from when opening began until the first picture was live; negative of media that was made before, as HLS
    begins with. name: of the format, where it is not libav's.
    """

    container: InputContainer
    tap: Tap | None
    late_s: float
    name: str | None = None


class Opener:
    """Opens one URL, again where its programme turns into another one."""

    def __init__(
        self, url: str, options: SourceOptions, *, live: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        av.logging.set_level(None)  # no Python callback: it can deadlock between libav's threads
        self.url = url
        self._options = options
        self._live = live
        self._now = now
        self._real = resolve(url)
        self._row: Row = row_of(self._real, options, live=live)
        self._libav = libav_options(self._real, options, live=live)

    def open(self) -> Opened:
        """The input; raises the tree of SourceError within `open_timeout_s`."""
        began_s = self._now()
        try:
            if scheme(self._real) == "file" and not self._is(".mpd"):
                return self._file()
            tapped = self._tapped(began_s) if self._may_be_ts() else None
            if tapped is not None:
                return tapped
            left_s = self._left_s(began_s)
            if self._is(".mpd"):
                return self._manifest(left_s, began_s)
            late_s = self._first_live_s(began_s) if self._live and self._is(".m3u8") else None
            container = av.open(self._real, options=self._libav, timeout=self._limits(self._left_s(began_s)))
            if late_s is None:
                late_s = self._late_s(container, began_s)
            return Opened(container, None, late_s)
        except (av.error.FFmpegError, OSError, ValueError, SourceError) as error:
            raise self._failed(error, self._now() - began_s) from None

    def again(self, tap: Tap) -> InputContainer:
        """The rest of a transport stream, behind the place where its programme turned into another one."""
        if isinstance(tap, NetFeed):
            tap.deadline_s = self._now() + self._options.open_timeout_s
        began_s = self._now()
        try:
            return self._transport(tap.again())
        except (av.error.FFmpegError, OSError, ValueError, SourceError) as error:
            raise self._failed(error, self._now() - began_s) from None

    def _left_s(self, began_s: float) -> float:
        return max(0.5, self._options.open_timeout_s - (self._now() - began_s))

    def _late_s(self, container: InputContainer, began_s: float) -> float:
        """`Opened.late_s` of what libav opened by itself."""
        took_s = self._now() - began_s
        if not self._live or self._options.listen:
            return took_s
        if container.format.name == "hls":  # a playlist that does not look like one by its URL
            first_s = self._first_live_s(began_s)
            return took_s if first_s is None else first_s
        return max(0.0, took_s - LOOKS_S)  # pushed in real time, and kept while libav looked at it

    def _first_live_s(self, began_s: float) -> float | None:
        """`Opened.late_s` of HLS; None if its playlist does not tell."""
        limit_s = min(self._left_s(began_s), self._options.read_timeout_s)
        listed = edge.fetch(self._real, self._libav, limit_s, self._now)
        if listed is None:
            return None
        return self._now() - began_s - edge.age_s(listed, self._start_index, time.time())

    @property
    def _start_index(self) -> int:
        given = self._libav.get("live_start_index", "")
        return int(given) if given.lstrip("-").isdigit() else DEFAULT_START_INDEX

    def _file(self) -> Opened:
        path = self._real.removeprefix("file://").removeprefix("file:")
        container = av.open(path, options=self._libav)
        tap = FileTap(path) if container.format.name == "mpegts" else None
        return Opened(container, tap, 0.0)

    def _manifest(self, left_s: float, began_s: float) -> Opened:
        source = DashSource(self._real.removeprefix("file://"), self._libav, min(left_s, self._options.read_timeout_s))
        late_s = self._now() - began_s
        if self._live and (listed := edge.parse(source.playlist())) is not None:
            late_s -= edge.age_s(listed, self._start_index, time.time())
        container = source.open((self._left_s(began_s), self._options.read_timeout_s))
        return Opened(container, None, late_s, "dash")

    def _is(self, suffix: str) -> bool:
        return PurePosixPath(urlsplit(self._real).path).suffix.lower() == suffix

    def _may_be_ts(self) -> bool:
        """Whether to look at the bytes first. A sender that pushes comes once only: nothing is tried on it."""
        if not self._row.tap or (self._options.listen and self._row.listen is not None):
            return False
        return PurePosixPath(urlsplit(self._real).path).suffix.lower() not in _OTHER_THAN_TS

    def _tapped(self, began_s: float) -> Opened | None:
        limit_s = self._options.open_timeout_s
        read_limit_s = self._options.read_timeout_s if self._row.native_limit else None
        limits = (limit_s, min(limit_s, read_limit_s) if read_limit_s is not None else None)
        feed = NetFeed(self._real, self._libav, limits, deadline_s=began_s + limit_s, now=self._now)
        try:
            if feed.is_transport_stream():
                container = self._transport(feed)
                return Opened(container, feed, (feed.first_mono_s or began_s) - began_s)
        except BaseException:
            feed.close()
            raise
        feed.close()
        if scheme(self._real) == "udp":
            raise NotMedia(f"{redact(self.url)}: the datagrams hold no MPEG-TS (for RTP, write rtp:// for udp://)")
        return None

    def _transport(self, source: Any) -> InputContainer:
        options = {
            key: value
            for key, value in self._libav.items()
            if key in ("protocol_whitelist", "probesize", "fpsprobesize")
        }
        if isinstance(source, str):
            options["protocol_whitelist"] += ",subfile"
        container: InputContainer = av.open(source, format="mpegts", options=options)
        return container

    def _limits(self, open_s: float) -> tuple[float, float | None] | None:
        if not self._live and scheme(self._real) == "file":
            return None
        return open_s, (self._options.read_timeout_s if self._row.native_limit else None)

    def _failed(self, error: Exception, took_s: float) -> SourceError:
        target = forbidden_target(self._real, error, self._libav["protocol_whitelist"])
        return opening_failed(self.url, error, timeout_s=self._options.open_timeout_s, took_s=took_s, target=target)
