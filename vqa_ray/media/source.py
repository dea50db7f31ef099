"""Open an input, whatever its scheme: the door to everything that can be watched."""

import time
from collections.abc import Callable
from typing import Any

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Discard

from vqa_ray.core.ladder import Tier
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.urls import is_live, redact, resolve, scheme
from vqa_ray.errors import NotMedia
from vqa_ray.media.connection import Connection, EndOfMedia, Item
from vqa_ray.media.failures import opening_failed
from vqa_ray.media.info import AudioInfo, SourceInfo, VideoInfo, choose, describe
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.ring import PacketRing, RingPacket
from vqa_ray.media.schemes import libav_options

__all__ = [
    "AudioInfo", "Connection", "EndOfMedia", "Item", "PacketRing", "RingPacket", "SourceInfo", "SourceOptions", "Tier",
    "VideoInfo", "is_live", "open_source", "probe",
]  # fmt: skip


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
    began_s = now()
    real = resolve(url)
    container = _open(real, url, options, live=live)
    try:
        video, audio = choose(container)
        if video is None and audio is None:
            raise NotMedia(f"{redact(url)}: holds no picture and no sound that can be decoded")
        _discard_others(container, video, audio)
        timeline.anchor(None if live else _first_pts_s(video, audio), late_s=now() - began_s if live else 0.0)
        info = describe(container, url, video, audio, live=live)
        return Connection(real, container, info, options, timeline, video=video, audio=audio, now=now)
    except BaseException:
        container.close()
        raise


def probe(url: str, options: SourceOptions | None = None, *, live: bool | None = None) -> SourceInfo:
    """What an input holds, with its first picture decoded; raises like `open_source`."""
    timeline = Timeline()
    timeline.connect(0.0)
    live = is_live(url) if live is None else live
    connection = open_source(url, options or SourceOptions(), timeline, live=live)
    try:
        for _ in range(PROBE_PACKETS if connection.info.video else 0):
            if any(item.__class__.__name__ == "Picture" for item in connection.read()):
                break
    except EndOfMedia:
        pass
    finally:
        connection.close()
    return connection.info


PROBE_PACKETS = 500  # looked at for the first picture


def _open(real: str, url: str, options: SourceOptions, *, live: bool) -> InputContainer:
    av.logging.set_level(None)  # no Python callback: it can deadlock between libav's threads
    chosen = libav_options(real, options, live=live)
    path = real.removeprefix("file://") if scheme(real) == "file" else real
    limits = (options.open_timeout_s, options.read_timeout_s) if live else None
    try:
        return av.open(path, options=chosen, timeout=limits)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise opening_failed(url, error, timeout_s=options.open_timeout_s) from None


def _discard_others(container: InputContainer, video: Any | None, audio: Any | None) -> None:
    """Tell libav not to fetch what is not watched: other renditions of HLS and DASH, other programmes."""
    for stream in container.streams:
        if stream is not video and stream is not audio:
            stream.discard = Discard.all


def _first_pts_s(video: Any | None, audio: Any | None) -> float | None:
    """Raw PTS that is 0 on the timeline: that of the first picture, or of the first sound."""
    stream = video if video is not None else audio
    return None if stream is None or stream.start_time is None else stream.start_time * float(stream.time_base)
