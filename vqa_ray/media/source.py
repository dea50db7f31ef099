"""Open an input, whatever its scheme: the door to everything that can be watched."""

import time
from collections.abc import Callable

from vqa_ray.core.ladder import Tier
from vqa_ray.core.picture import Picture, Plane
from vqa_ray.core.reading import Services
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.urls import is_live
from vqa_ray.errors import NotMedia
from vqa_ray.media.connection import Connection, EndOfMedia, Item
from vqa_ray.media.info import AudioInfo, SourceInfo, VideoInfo
from vqa_ray.media.opening import Opener
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.ring import PacketRing, RingPacket

__all__ = [
    "AudioInfo", "Connection", "EndOfMedia", "Item", "PacketRing", "RingPacket", "SourceInfo", "SourceOptions", "Tier",
    "VideoInfo", "is_live", "open_source", "picture_at", "probe",
]  # fmt: skip

PROBE_PACKETS = 500  # looked at for the first pictures


def open_source(
    url: str,
    options: SourceOptions,
    timeline: Timeline,
    *,
    live: bool,
    now: Callable[[], float] = time.monotonic,
) -> Connection:
    """Open `url` (`${NAME}` in it is resolved here) and find its tracks; returns within `open_timeout_s`.

    timeline: of the stream, with `connect` called just before. live: how it is treated; a live input never opens a
    local file. Raises ConfigError (a variable that is not set), UnsupportedSource, ForbiddenProtocol,
    SourceUnavailable, NotMedia.
    """
    opener = Opener(url, options, live=live, now=now)
    opened = opener.open()
    try:
        return Connection(opener, opened, options, timeline, live=live, now=now)
    except BaseException:
        opened.container.close()
        if opened.tap is not None:
            opened.tap.close()
        raise


def picture_at(url: str, at_s: float, options: SourceOptions | None = None) -> Plane:
    """The small luma, (h, w) uint8, of the first picture that is shown at `at_s` or later.

    Raises like `open_source`, and NotMedia where there is none.
    """
    timeline = Timeline()
    timeline.connect(0.0)
    connection = open_source(url, options or SourceOptions(), timeline, live=is_live(url))
    try:
        while True:
            for item in connection.read():
                if isinstance(item, Picture) and item.until_s > at_s:
                    return item.small.copy()
    except EndOfMedia:
        raise NotMedia(f"{connection.info.url}: has no picture at {at_s:g} s") from None
    finally:
        connection.close()


def probe(url: str, options: SourceOptions | None = None, *, live: bool | None = None) -> SourceInfo:
    """What an input holds, with its first pictures decoded and looked at for captions; raises like `open_source`."""
    timeline = Timeline()
    timeline.connect(0.0)
    live = is_live(url) if live is None else live
    connection = open_source(url, options or SourceOptions(), timeline, live=live)
    connection.tells_services = True
    try:
        for _ in range(PROBE_PACKETS):
            if any(isinstance(item, Services) for item in connection.read()):
                break
    except EndOfMedia:
        pass
    finally:
        connection.close()
    return connection.info
