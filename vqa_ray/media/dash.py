"""DASH for a libav that was built without it: the manifest becomes HLS playlists, of which libav plays the segments.

libav's HLS demuxer is handed a callback that opens everything: playlists are written here, anew at each reload of a
live manifest; segments are read through libav's own protocols, under the whitelist and the limits of the input.
"""

import io
import math
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import av
import av.error
from av.container import InputContainer

from vqa_ray.core.urls import redact, scheme
from vqa_ray.errors import ForbiddenProtocol, NotMedia, SourceUnavailable
from vqa_ray.media.manifest import Segment, parse

MOST_BYTES = 1 << 23  # of a manifest
HERE = "http://manifest.invalid/"  # names of our playlists; nobody can be asked for them (RFC 2606)
PATIENCE = 3  # segments in a row that cannot be had before the input counts as broken
REFRESH_AT_LEAST_S = 1.0
LATE_AT_MOST_S = 4.0  # a packager that is behind the clock by which its newest segments are named
ASK_AGAIN_S = 0.1  # the first time; then twice as long each time
ORIGIN_SHIFT_S = 1.0  # a packager that was started again; less is its clock being set
# Segments of DASH may be called anything (.m4v, .dash, no suffix): `_target` is what guards their URLs here.
ANY_NAME = {"extension_picky": "0", "allowed_extensions": "ALL", "allowed_segment_extensions": "ALL"}


class NetFile:
    """A file behind a URL, read from its beginning to its end."""

    def __init__(self, url: str, options: dict[str, str], limit_s: float) -> None:
        self._container: InputContainer = av.open(
            url, format="data", options=options | {"raw_packet_size": "32768"}, timeout=limit_s
        )
        self._packets = self._container.demux()
        self._left = b""

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes; none at the end."""
        if not self._left:
            packet = next(self._packets, None)
            self._left = bytes(packet) if packet is not None and packet.size else b""
        data, self._left = self._left[:limit], self._left[limit:]
        return data

    def close(self) -> None:
        """Close the connection."""
        self._packets = iter(())
        self._container.close()


class DashSource:
    """A manifest and what it names. `open` gives a container of its best picture and its best sound."""

    def __init__(
        self, url: str, options: dict[str, str], limit_s: float, *, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._url = url
        self._options = options
        self._limit_s = limit_s
        self._wall_s = wall_s
        self._allowed = frozenset(options["protocol_whitelist"].split(","))
        self._text = self._fetch()
        self._manifest = parse(self._text, wall_s())
        self._fetched_s = time.monotonic()
        self._listed: dict[str, tuple[int, list[str]]] = {}  # kind: number of the first segment, URLs
        self._failures = 0

    def open(self, limits: tuple[float, float | None]) -> InputContainer:
        """The container; raises what libav raises, and our own errors."""
        options = self._options | ANY_NAME | {"http_persistent": "0"}
        container: InputContainer = av.open(
            HERE + "all.m3u8", format="hls", options=options, timeout=limits, io_open=self._open
        )
        return container

    def playlist(self) -> str:
        """The media playlist that libav is given, as it is now."""
        kinds = [kind for kind in ("video", "audio") if self._manifest.segments.get(kind)]
        return self._playlist(kinds[0]) if kinds else ""

    def _open(self, url: str, flags: int, options: dict[str, Any]) -> Any:
        if url == HERE + "all.m3u8":
            return io.BytesIO(self._all().encode())
        if url.startswith(HERE):
            return io.BytesIO(self._playlist(url.removeprefix(HERE).removesuffix(".m3u8")).encode())
        try:
            file = self._segment(url)
        except (av.error.FFmpegError, OSError) as error:
            self._failures += 1
            if self._failures > PATIENCE:
                raise SourceUnavailable("segments cannot be fetched") from error
            return io.BytesIO(b"")  # libav goes on with the next one
        self._failures = 0
        return file

    def _segment(self, url: str) -> NetFile:
        """A segment; one of the newest of a live manifest is waited for, as long as its packager may be late."""
        until_s = time.monotonic() + (LATE_AT_MOST_S if self._manifest.dynamic and not self._failures else 0.0)
        pause_s = ASK_AGAIN_S
        while True:
            try:
                return NetFile(url, self._options, self._limit_s)
            except av.error.HTTPNotFoundError:
                if time.monotonic() + pause_s > until_s or not self._is_new(url):
                    raise
            time.sleep(pause_s)
            pause_s *= 2.0

    def _is_new(self, url: str) -> bool:
        """Whether the segment ends so near to the end of its list that it may not have been written yet."""
        for segments in self._manifest.segments.values():
            left_s = 0.0
            for segment in reversed(segments):
                if left_s > LATE_AT_MOST_S:
                    break
                if urljoin(self._url, segment.url) == url:
                    return True
                left_s += segment.duration_s
        return False

    def _all(self) -> str:
        """The master playlist."""
        kinds = [kind for kind in ("video", "audio") if self._manifest.segments.get(kind)]
        if not kinds:
            raise NotMedia("the manifest names no picture and no sound that is there now")
        lines = ["#EXTM3U", "#EXT-X-VERSION:7"]
        group = ""
        if len(kinds) == 2:
            lines.append(f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="{HERE}audio.m3u8"')
            group = ',AUDIO="a"'
        return "\n".join([*lines, f"#EXT-X-STREAM-INF:BANDWIDTH=1000000{group}", f"{HERE}{kinds[0]}.m3u8", ""])

    def _playlist(self, kind: str) -> str:
        """The media playlist of "video" or "audio" as the manifest has it now."""
        self._refresh()
        segments = self._manifest.segments.get(kind, [])
        if not segments:
            raise SourceUnavailable("the manifest names no segments any more")
        longest_s = max(segment.duration_s for segment in segments)
        lines = ["#EXTM3U", "#EXT-X-VERSION:7", f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{self._number(kind, segments)}")
        header: str | None = None
        for segment in segments:
            if segment.header is not None and segment.header != header:
                lines += ["#EXT-X-DISCONTINUITY"] if header is not None else []
                lines.append(f'#EXT-X-MAP:URI="{self._target(segment.header)}"')
                header = segment.header
            lines += [f"#EXTINF:{segment.duration_s:.6f},", self._target(segment.url)]
        return "\n".join([*lines, *([] if self._manifest.dynamic else ["#EXT-X-ENDLIST"]), ""])

    def _number(self, kind: str, segments: list[Segment]) -> int:
        """The number of the first segment: it goes on where the list before has the same URL, or behind all of it."""
        urls = [segment.url for segment in segments]
        first, before = self._listed.get(kind, (0, []))
        number = first + (before.index(urls[0]) if urls[0] in before else len(before))
        self._listed[kind] = (number, urls)
        return number

    def _target(self, target: str) -> str:
        url = urljoin(self._url, target)
        if not set(scheme(url).split("+")) <= self._allowed:
            raise ForbiddenProtocol(f"its manifest names {redact(target)}, which the profile does not allow")
        return url

    def _refresh(self) -> None:
        """A live manifest as it is now: with what has come since, by the clock alone or by a new version of it.

        SourceUnavailable when its times began anew: a connection is an epoch, and libav would wait for the track whose
        times fell back to catch up, and leave the other one out until then.
        """
        if not self._manifest.dynamic:
            return
        age_s = time.monotonic() - self._fetched_s
        if age_s >= max(REFRESH_AT_LEAST_S, self._manifest.update_s):
            self._text, self._fetched_s = self._fetch(), time.monotonic()
        before, self._manifest = self._manifest, parse(self._text, self._wall_s())
        if abs(self._manifest.origin_s - before.origin_s) > ORIGIN_SHIFT_S:
            raise SourceUnavailable("the manifest began anew")

    def _fetch(self) -> bytes:
        file, text = NetFile(self._url, self._options, self._limit_s), b""
        try:
            while data := file.read(1 << 15):
                text += data
                if len(text) > MOST_BYTES:
                    raise NotMedia("the manifest is too large")
        finally:
            file.close()
        return text
