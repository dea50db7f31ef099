"""Small media made on the spot: any codec, pixel format, layout and container that the tests of `media/` need."""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

TS_BYTES = 188


def luma_of(number: int, width: int, height: int) -> np.ndarray:
    """A moving ramp in limited range, (height, width) uint8; `number` is written into the upper left block."""
    x = np.arange(width)[None, :] + 3 * number
    luma = np.broadcast_to(40 + x % 160, (height, width)).astype(np.uint8).copy()
    luma[: height // 4, : width // 4] = 16 + number % 200
    return luma


def frame_of(number: int, width: int, height: int, pix_fmt: str, luma: np.ndarray | None = None) -> av.VideoFrame:
    """A frame in `pix_fmt`; its luma is exact where the format is planar YUV."""
    plane = luma_of(number, width, height) if luma is None else luma
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    frame = av.VideoFrame(width, height, "yuv420p")
    for target, source in zip(frame.planes, (plane, chroma, chroma), strict=True):
        rows = np.zeros((target.height, target.line_size), np.uint8)
        rows[:, : target.width] = source
        target.update(rows.tobytes())
    if pix_fmt == "yuv420p":
        return frame
    return frame.reformat(format=pix_fmt, src_color_range="MPEG", dst_color_range="MPEG")


def tone(start: int, count: int, channels: int, rate_hz: int) -> np.ndarray:
    """A tone of 1 kHz at -20 dBFS, a little different in each channel, (channels, count) float32."""
    t = (start + np.arange(count)) / rate_hz
    return np.stack([0.1 * np.sin(2 * np.pi * (1000 + 100 * n) * t) for n in range(channels)]).astype(np.float32)


class Video:
    """What a video track is made of."""

    def __init__(
        self,
        codec: str = "libx264",
        *,
        size: tuple[int, int] = (160, 96),
        rate: Fraction | int = 25,
        pix_fmt: str = "yuv420p",
        gop: int = 12,
        bframes: int = 0,
        options: dict[str, str] | None = None,
        times: Sequence[float] | None = None,
        setup: Callable[[Any], None] | None = None,
        luma: Callable[[int, int, int], np.ndarray] = luma_of,
    ) -> None:
        self.codec, self.size, self.rate, self.pix_fmt = codec, size, Fraction(rate), pix_fmt
        self.gop, self.bframes, self.times, self.setup, self.luma = gop, bframes, times, setup, luma
        self.options = {"preset": "ultrafast"} if codec in ("libx264", "libx265") else {}
        if codec == "libx264":
            self.options |= {"x264-params": f"scenecut=0:bframes={bframes}:b-adapt=0:keyint={gop}:min-keyint={gop}"}
        if codec == "libx265":
            self.options |= {
                "x265-params": f"log-level=none:scenecut=0:bframes={bframes}:keyint={gop}:min-keyint={gop}"
            }
        self.options |= options or {}


class Audio:
    """What an audio track is made of."""

    def __init__(
        self, codec: str = "aac", *, layout: str = "stereo", rate_hz: int = 48000, sample_format: str | None = None
    ) -> None:
        self.codec, self.layout, self.rate_hz, self.sample_format = codec, layout, rate_hz, sample_format


def make(
    target: Path | str | io.BytesIO,
    *,
    seconds: float = 2.0,
    video: Video | None = None,
    audio: Audio | None = None,
    container: str | None = None,
    offset_s: float = 0.0,
    keep: Callable[[Any], bool] = lambda packet: True,
    options: dict[str, str] | None = None,
) -> None:
    """Write media to `target`. offset_s: added to all timestamps; keep: which packets are written."""
    where = str(target) if isinstance(target, Path) else target
    with av.open(where, "w", format=container, options=options or {}) as out:
        tracks: list[tuple[Any, Any]] = []
        if video is not None:
            tracks.append((_video_stream(out, video), _pictures(video, seconds)))
        if audio is not None:
            stream = out.add_stream(audio.codec, rate=audio.rate_hz, layout=audio.layout)
            if audio.sample_format:
                stream.format = audio.sample_format
            tracks.append((stream, _sounds(audio, stream, seconds)))
        packets = [packet for stream, frames in tracks for packet in _encoded(stream, frames)]
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            if offset_s:
                shift = round(offset_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            if keep(packet):
                out.mux(packet)


def transport(**kwargs: Any) -> bytes:
    """The same as the bytes of a transport stream."""
    target = io.BytesIO()
    make(target, container="mpegts", **kwargs)
    return target.getvalue()


def packets_of(data: bytes) -> list[bytes]:
    """The packets that a transport stream is made of."""
    return [data[start : start + TS_BYTES] for start in range(0, len(data), TS_BYTES)]


def pid_of(packet: bytes) -> int:
    """A transport packet's PID."""
    return (packet[1] & 0x1F) << 8 | packet[2]


def with_counters(data: bytes, start: dict[int, int] | None = None) -> bytes:
    """`data` with its continuity counters numbered anew, going on from `start` (the last counter of each PID)."""
    last = dict(start or {})
    out = []
    for packet in packets_of(data):
        pid, payload = pid_of(packet), packet[3] & 0x10
        if pid in last:
            last[pid] = (last[pid] + (1 if payload else 0)) & 15
        else:
            last[pid] = packet[3] & 15
        out.append(packet[:3] + bytes([packet[3] & 0xF0 | last[pid]]) + packet[4:])
    return b"".join(out)


def joined(*parts: bytes) -> bytes:
    """Transport streams one after the other, as if one multiplexer had made them: counters go on."""
    return with_counters(b"".join(parts))


def _video_stream(out: Any, video: Video) -> Any:
    stream = out.add_stream(video.codec, rate=video.rate)
    stream.width, stream.height = video.size
    stream.pix_fmt = video.pix_fmt
    stream.codec_context.gop_size = video.gop
    if video.codec == "mpeg2video":
        stream.codec_context.max_b_frames = video.bframes
        stream.bit_rate = 2_000_000
    stream.options = video.options
    stream.codec_context.thread_count = 1
    if video.times is not None:
        stream.codec_context.time_base = Fraction(1, 1000)
    if video.setup is not None:
        video.setup(stream)
    return stream


def _pictures(video: Video, seconds: float) -> Any:
    width, height = video.size
    times = (
        video.times if video.times is not None else [float(n / video.rate) for n in range(round(seconds * video.rate))]
    )
    for number, at_s in enumerate(times):
        frame = frame_of(number, width, height, video.pix_fmt, video.luma(number, width, height))
        base = Fraction(1, 1000) if video.times is not None else 1 / video.rate
        frame.pts, frame.time_base = round(at_s / base), base
        yield frame


def _sounds(audio: Audio, stream: Any, seconds: float) -> Any:
    layout, rate_hz = av.AudioLayout(audio.layout), audio.rate_hz
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(format=stream.format or "fltp", layout=audio.layout, rate=rate_hz)
    for start in range(0, round(seconds * rate_hz), size):
        samples = tone(start, size, layout.nb_channels, rate_hz)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=audio.layout)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        yield from resampler.resample(frame)


def _encoded(stream: Any, frames: Any) -> list[Any]:
    out = [packet for frame in frames for packet in stream.encode(frame)]
    return out + list(stream.encode(None))


def recoded(samples: np.ndarray, codec: str, *, bit_rate: int = 128_000, rate_hz: int = 48_000) -> np.ndarray:
    """(2, n) float32 after a lossy codec, in (2, n) float32; delayed where the container does not say by how much."""
    target = io.BytesIO()
    container = {"libopus": "webm", "mp2": "matroska"}.get(codec, "mp4")
    with av.open(target, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="stereo")
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format=stream.format or "fltp", layout="stereo", rate=rate_hz)
        for start in range(0, samples.shape[1], 1024):
            piece = np.ascontiguousarray(samples[:, start : start + 1024], np.float32)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            for made in resampler.resample(frame):
                out.mux(stream.encode(made))
        for made in resampler.resample(None):
            out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    target.seek(0)
    with av.open(target) as source:
        back = av.AudioResampler(format="fltp", layout="stereo", rate=rate_hz)
        pieces = [made.to_ndarray() for frame in source.decode(audio=0) for made in back.resample(frame)]
    return np.concatenate(pieces, axis=1)
