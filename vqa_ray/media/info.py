"""What an input holds, as far as its container tells before decoding."""

from fractions import Fraction
from typing import Any

import msgspec
from av.container import InputContainer
from av.stream import Disposition, Stream

from vqa_ray.core.urls import redact
from vqa_ray.media.blocks import channel_names

TEXT_ART = frozenset({"tty", "bin", "xbin", "adf", "idf"})  # libav draws any .txt or .bin as a picture
SEGMENTED = ("hls", "dash")


class VideoInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The video track. rotation: degrees counterclockwise that a player turns it by, known after the first picture."""

    index: int
    codec: str
    profile: str | None
    width: int
    height: int
    fps: float | None
    pix_fmt: str | None
    bit_depth: int | None
    full_range: bool
    interlaced: bool | None
    bit_rate: int | None
    rotation: int = 0


class AudioInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The audio track; channels in the order of AudioBlock's rows."""

    index: int
    codec: str
    profile: str | None
    rate_hz: int
    layout: str
    channels: tuple[str, ...]
    sample_format: str | None
    bit_rate: int | None
    language: str | None = None


class SourceInfo(msgspec.Struct, kw_only=True):
    """One input. url: without secrets; duration_s: None for a live one; programs: of a transport stream, else None.

    services: captions and splice messages that it carries, as far as they were looked for.
    """

    url: str
    format: str
    live: bool
    video: VideoInfo | None
    audio: AudioInfo | None
    duration_s: float | None
    bit_rate: int | None = None
    programs: int | None = None
    tracks: int = 0
    services: tuple[str, ...] = ()

    @property
    def segmented(self) -> bool:
        """Whether its media come a segment at a time."""
        return any(name in self.format for name in SEGMENTED)


def choose(container: InputContainer) -> tuple[Any | None, Any | None]:
    """The best video track (cover art is none) and the best audio track of its programme, as libav ranks them."""
    if container.format.name in TEXT_ART:
        return None, None
    video = _best(container, "video", None)
    if video is not None and not _moving(video):
        moving = [stream for stream in container.streams.video if _moving(stream)]
        video = max(moving, key=lambda stream: stream.codec_context.width * stream.codec_context.height, default=None)
    return video, _best(container, "audio", video)


def describe(
    container: InputContainer, url: str, video: Any | None, audio: Any | None, *, live: bool, name: str | None = None
) -> SourceInfo:
    """The input's description from its open container."""
    duration = None if live or container.duration is None else container.duration / 1e6
    return SourceInfo(
        url=redact(url),
        format=name or container.format.name,
        live=live,
        video=video and _video(video),
        audio=audio and _audio(audio),
        duration_s=duration if duration is None or duration > 0 else None,
        bit_rate=container.bit_rate or None,
        tracks=len(container.streams),
    )


def _best(container: InputContainer, kind: Any, related: Stream | None) -> Any | None:
    best = container.streams.best(kind, related=related)
    if best is not None and best.codec_context is not None:
        return best
    streams = [stream for stream in container.streams if stream.type == kind and stream.codec_context is not None]
    return streams[0] if streams else None


def _moving(stream: Any) -> bool:
    return stream.codec_context is not None and not stream.disposition & (
        Disposition.attached_pic | Disposition.timed_thumbnails
    )


def _video(stream: Any) -> VideoInfo:
    context = stream.codec_context
    layout = context.format
    depth = max((part.bits for part in layout.components), default=8) if layout is not None else None
    field_order = getattr(context, "field_order", None)
    return VideoInfo(
        index=stream.index,
        codec=context.codec.canonical_name,
        profile=context.profile or None,
        width=context.width,
        height=context.height,
        fps=_rate(stream.average_rate) or _rate(stream.guessed_rate),
        pix_fmt=layout.name if layout is not None else None,
        bit_depth=depth,
        full_range=context.color_range == 2 or (layout is not None and layout.name.startswith("yuvj")),
        interlaced=None if field_order in (None, 0) else int(field_order) > 1,
        bit_rate=context.bit_rate or None,
    )


def _audio(stream: Any) -> AudioInfo:
    context = stream.codec_context
    return AudioInfo(
        index=stream.index,
        codec=context.codec.canonical_name,
        profile=context.profile or None,
        rate_hz=context.sample_rate,
        layout=context.layout.name,
        channels=channel_names(context.layout),
        sample_format=context.format.name if context.format is not None else None,
        bit_rate=context.bit_rate or None,
        language=stream.language,
    )


def _rate(rate: Fraction | None) -> float | None:
    return float(rate) if rate else None
