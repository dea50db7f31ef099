"""From a programme and its script to coded packets, frame by frame; who paces it decides whether it is live."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

from vqa_ray.media.synthetic.programme import BLOCK, RATE_HZ, Pictures, Programme, Sounds
from vqa_ray.media.synthetic.script import FaultKind, Script

if TYPE_CHECKING:
    from vqa_ray.media.synthetic.transport import Coded


def add_video(container: OutputContainer, programme: Programme) -> VideoStream:
    """An H.264 stream in `container`, made for low cost: one thread, ultrafast, headers with each key frame."""
    stream = container.add_stream("libx264", rate=programme.fps)
    stream.width, stream.height, stream.pix_fmt = programme.width, programme.height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, programme.fps)
    stream.codec_context.thread_count = 1
    keyint = max(1, round(programme.key_every_s * programme.fps))
    stream.codec_context.options = {
        "preset": "ultrafast",
        "crf": str(programme.crf),
        "x264-params": f"repeat-headers=1:scenecut=0:keyint={keyint}:min-keyint=1:bframes={programme.b_frames}"
        ":rc-lookahead=0:sync-lookahead=0:mbtree=0:sliced-threads=0",
    }
    return stream


def add_audio(container: OutputContainer, programme: Programme) -> AudioStream:
    """An AAC stream in `container`."""
    layout = "stereo" if programme.channels == 2 else "mono"
    stream = container.add_stream("aac", rate=RATE_HZ, layout=layout)
    stream.codec_context.options = {"aac_coder": "fast"}  # half the cost of the default
    stream.codec_context.bit_rate = 64_000 * programme.channels
    return stream


class Studio:
    """Makes a programme with its faults. `video` and `audio` are the streams that it encodes with, or None."""

    def __init__(
        self, programme: Programme, script: Script, video: VideoStream | None, audio: AudioStream | None
    ) -> None:
        self.programme = programme
        self.script = script
        self.video = video
        self.audio = audio
        self._pictures = Pictures(programme)
        self._sounds = Sounds(programme)
        self._frame = 0
        self._block = 0
        self._missing = False

    @property
    def at_s(self) -> float:
        """Media time of the next frame."""
        return self._frame / self.programme.fps

    def step(self) -> "list[Coded]":
        """The packets that come of the next frame and of the sound that belongs to it."""
        at_s = self.at_s
        missing = self._is_missing(at_s)
        packets = self._encode_picture(key=self._missing and not missing)
        self._missing = missing
        self._frame += 1
        while self._block * BLOCK / RATE_HZ < self.at_s:
            packets += self._encode_sound()
        if self.script.at(FaultKind.PTS_GAP, at_s):
            return []
        return [self._stamped(packet, at_s) for packet in packets]

    def rest(self) -> "list[Coded]":
        """What the encoders still hold."""
        at_s = self.at_s
        packets = [p for stream in (self.video, self.audio) if stream for p in stream.encode(None)]
        return [self._stamped(packet, at_s) for packet in packets]

    def _is_missing(self, at_s: float) -> bool:
        return any(self.script.at(kind, at_s) for kind in (FaultKind.PTS_GAP, FaultKind.OUTAGE, FaultKind.STALL))

    def _encode_picture(self, *, key: bool) -> "list[Coded]":
        if self.video is None:
            return []
        frame = av.VideoFrame.from_ndarray(self._draw(), format="yuv420p")
        frame.pts = self._frame
        frame.time_base = Fraction(1, self.programme.fps)
        if key:
            frame.pict_type = PictureType.I
        return list(self.video.encode(frame))

    def _draw(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        at_s = self.at_s
        if self.script.at(FaultKind.BLACK, at_s):
            return self._pictures.black()
        frozen = self.script.at(FaultKind.FREEZE, at_s)
        n = int(frozen.start_s * self.programme.fps) if frozen else self._frame
        return self._pictures.draw(n)

    def _encode_sound(self) -> "list[Coded]":
        k = self._block
        self._block += 1
        if self.audio is None:
            return []
        at_s = k * BLOCK / RATE_HZ
        samples = self._sounds.block(k)
        if self.script.at(FaultKind.SILENCE, at_s):
            samples = self._sounds.silence()
        elif self.script.at(FaultKind.SILENT_CHANNEL, at_s):
            samples = self._sounds.last_channel_silent(k)
        layout = "stereo" if self.programme.channels == 2 else "mono"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate = RATE_HZ
        frame.pts = k * BLOCK
        frame.time_base = Fraction(1, RATE_HZ)
        return list(self.audio.encode(frame))

    def _stamped(self, packet: "Coded", at_s: float) -> "Coded":
        shift_s = self.script.timestamp_shift_s(at_s)
        if packet.stream is self.audio:
            shift_s += self.script.drift_s(at_s)
        if shift_s and packet.time_base is not None:
            ticks = round(shift_s / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        return packet


def steps(studio: Studio, duration_s: float) -> "Iterator[list[Coded]]":
    """Packets of `duration_s` of programme, frame by frame, as fast as they are asked for, and the rest."""
    while studio.at_s < duration_s:
        yield studio.step()
    yield studio.rest()
