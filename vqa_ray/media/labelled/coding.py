"""From pictures and sound to a file, and back to pictures: one thread, and the same bytes for the same input."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
from av.video.frame import PictureType

from vqa_ray.media.labelled.material import F32, U8
from vqa_ray.media.synthetic.speech import RATE_HZ

AUDIO_BLOCK = 1152  # samples given to an encoder at once; it cuts them as it needs
AUDIO_BIT_RATE = 128_000
STEP_S = Fraction(1, 90_000)


class Coding(msgspec.Struct, frozen=True, kw_only=True):
    """How a file is coded. bit_rate: of the picture, in bits a second; 0 takes quality `crf` (qscale in MPEG-2)."""

    suffix: str = ".ts"
    codec: str = "libx264"
    audio: str = "aac"
    bit_rate: int = 0
    crf: int = 23
    preset: str = "veryfast"
    key_every: int = 50  # frames
    b_frames: int = 0
    slices: int = 1
    deblock: bool = True  # H.264's filter against block edges

    @property
    def name(self) -> str:
        """For people: container, codecs, rate."""
        rate = f"{self.bit_rate / 1e6:.2g} Mb/s" if self.bit_rate else f"quality {self.crf}"
        return f"{self.suffix[1:]} {self.codec} {rate} {self.audio}"


def as_transport(coding: Coding) -> Coding:
    """The same in an MPEG transport stream, with sound that can be begun anew without fading in (AAC and AC-3 do)."""
    codec = "libx264" if coding.codec == "libvpx-vp9" else coding.codec
    return msgspec.structs.replace(coding, suffix=".ts", codec=codec, audio="mp2")


Change = Callable[[Any], list[Any]]  # a coded packet of the picture to what is muxed instead


def encode(
    path: Path,
    pictures: Iterable[U8],
    sound: F32,
    fps: Fraction,
    coding: Coding,
    *,
    gaps: dict[int, float] | None = None,
    change: Change | None = None,
) -> Path:
    """Write a file. gaps: seconds by which all timestamps go on from that frame, which becomes a key frame.

    change: what becomes of each packet of the picture before it is muxed.
    """
    gaps = gaps or {}
    steps = Steps(gaps, fps)
    frames = iter(pictures)
    first = next(frames)
    flags = {"fflags": "+bitexact", "avoid_negative_ts": "make_zero"}
    with av.open(str(path), "w", options=flags) as container:
        video = _video(container, coding, fps, first)
        audio = container.add_stream(coding.audio, rate=RATE_HZ, layout="stereo")
        audio.codec_context.bit_rate = AUDIO_BIT_RATE
        audio.codec_context.thread_count = 1
        heard = 0
        for n, picture in enumerate(chain([first], frames)):
            for packet in video.encode(frame_of(picture, n, fps, key=n in gaps)):
                container.mux(steps.picture(packet) if change is None else change(steps.picture(packet)))
            while heard < min(sound.shape[1], (n + 1) / fps * RATE_HZ):
                block = sound[:, heard : heard + AUDIO_BLOCK]
                container.mux([steps.sound(packet) for packet in audio.encode(_block(block, heard))])
                heard += block.shape[1]
        for packet in video.encode(None):
            container.mux(steps.picture(packet) if change is None else change(steps.picture(packet)))
        container.mux([steps.sound(packet) for packet in audio.encode(None)])
    return path


class Steps:
    """Puts gaps into the timestamps of coded packets, in the order in which they leave their encoder."""

    def __init__(self, gaps: dict[int, float], fps: Fraction) -> None:
        self._at = sorted((Fraction(n) / fps, Fraction(gap).limit_denominator(90_000)) for n, gap in gaps.items())
        self._seen = 0  # gaps behind the picture

    def picture(self, packet: Any) -> Any:
        """A packet of the picture: a gap begins with its key frame, and holds for what is decoded after it."""
        if packet.pts is not None and packet.is_keyframe:
            at = packet.pts * packet.time_base
            self._seen = max(self._seen, sum(start <= at + STEP_S for start, _ in self._at))
        return _later(packet, sum((gap for _, gap in self._at[: self._seen]), Fraction(0)))

    def sound(self, packet: Any) -> Any:
        """A packet of the sound: by its time."""
        at = Fraction(0) if packet.pts is None else packet.pts * packet.time_base
        return _later(packet, sum((gap for start, gap in self._at if start <= at), Fraction(0)))


def _later(packet: Any, shift: Fraction) -> Any:
    if shift:
        ticks = round(shift / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
    return packet


def recoded(pictures: Iterable[U8], fps: Fraction, coding: Coding) -> Iterator[U8]:
    """The pictures after they were encoded and decoded, one for one, in order."""
    frames = iter(pictures)
    first = next(frames, None)
    if first is None:
        return
    encoder = _configured(av.CodecContext.create(coding.codec, "w"), coding, fps, first)
    decoder: Any = av.CodecContext.create(DECODERS[coding.codec], "r")
    decoder.thread_count = 1
    for n, picture in enumerate(chain([first], frames)):
        for packet in encoder.encode(frame_of(picture, n, fps)):
            yield from map(picture_of, decoder.decode(packet))
    for packet in encoder.encode(None):
        yield from map(picture_of, decoder.decode(packet))
    yield from map(picture_of, decoder.decode(None))


def decoded(path: Path) -> Iterator[tuple[Fraction, U8]]:
    """Time in the container and picture of all that can be decoded; libav conceals damage where it can."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        for packet in container.demux(video):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                if frame.pts is not None:
                    yield frame.pts * frame.time_base, picture_of(frame)


DECODERS = {"libx264": "h264", "libx265": "hevc", "mpeg2video": "mpeg2video", "mpeg4": "mpeg4"}


def frame_of(picture: U8, n: int, fps: Fraction, *, key: bool = False) -> av.VideoFrame:
    """A picture as frame `n`."""
    frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts, frame.time_base = n, 1 / fps
    if key:
        frame.pict_type = PictureType.I
    return frame


def picture_of(frame: av.VideoFrame) -> U8:
    """A decoded frame as a picture."""
    made = frame if frame.format.name == "yuv420p" else frame.reformat(format="yuv420p")
    return np.ascontiguousarray(made.to_ndarray())


def _block(samples: F32, at: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
    return frame


def _video(container: Any, coding: Coding, fps: Fraction, first: U8) -> Any:
    stream = container.add_stream(coding.codec, rate=fps)
    _configured(stream.codec_context, coding, fps, first)
    return stream


def _configured(context: Any, coding: Coding, fps: Fraction, first: U8) -> Any:
    context.width, context.height, context.pix_fmt = first.shape[1], first.shape[0] * 2 // 3, "yuv420p"
    context.time_base, context.framerate = 1 / fps, fps
    context.thread_count = 1
    context.gop_size = coding.key_every
    if coding.bit_rate:
        context.bit_rate = coding.bit_rate
    context.options = _options(coding)
    return context


def _options(coding: Coding) -> dict[str, str]:
    rate = coding.bit_rate
    if coding.codec == "libx264":
        params = f"keyint={coding.key_every}:scenecut=40:bframes={coding.b_frames}:slices={coding.slices}"
        params += ":cpu-independent=1"  # its faster code gives one of two results, as memory happens to lie
        params += "" if coding.deblock else ":no-deblock=1"
        limit = f":vbv-maxrate={rate * 3 // 2000}:vbv-bufsize={rate // 500}" if rate else ""
        made = {"preset": coding.preset, "forced-idr": "1", "x264-params": f"{params}:repeat-headers=1{limit}"}
        return made if rate else made | {"crf": str(coding.crf)}
    if coding.codec == "libx265":
        params = f"keyint={coding.key_every}:bframes={coding.b_frames}:pools=none:frame-threads=1:log-level=none"
        aim = f":bitrate={rate // 1000}" if rate else f":crf={coding.crf}"
        return {"preset": "ultrafast", "forced-idr": "1", "x265-params": f"{params}:repeat-headers=1{aim}"}
    if coding.codec == "libvpx-vp9":
        return {"deadline": "realtime", "cpu-used": "8", "row-mt": "0"} | ({} if rate else {"crf": str(coding.crf)})
    quality = {} if rate else {"qmin": str(coding.crf), "qmax": str(coding.crf), "flags": "+qscale"}
    return {"bf": str(coding.b_frames), **quality}
