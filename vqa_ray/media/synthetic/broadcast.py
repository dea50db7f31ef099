"""Content at a broadcast bit rate, coded as broadcasters code it: what it costs to decode is what a programme costs.

What decoding costs depends on what is coded. So this is no test card: a locked-off camera, one that pans, one that
zooms and turns over a texture, objects that move against it, grain, cuts, and x264 with B-frames at the given bit
rate. Decoding 1080p30 of it costs what a real programme encoded in the same way costs (measured: 9.2 ms a frame
against 9.1).
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import av
import msgspec
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from vqa_ray.media.synthetic.programme import BLOCK, RATE_HZ, Programme, Sounds
from vqa_ray.media.synthetic.scenery import Scenery

if TYPE_CHECKING:
    from vqa_ray.media.synthetic.transport import Coded


class ClipSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One clip. bit_rate: of the video, in bits a second; sound is stereo AAC at 128 kb/s."""

    name: str
    width: int
    height: int
    fps: int
    bit_rate: int
    seconds: float
    suffix: str = ".ts"
    grain: float = 0.7  # standard deviation of the noise, grey levels
    seed: int = 7


class Blocks(Protocol):
    """Sound by AAC frames."""

    def block(self, k: int, /) -> Any:
        """Frame `k`, (channels, BLOCK) float32."""


def encode(spec: ClipSpec, path: Path, scenery: Scenery | None = None, sounds: Blocks | None = None) -> None:
    """Write the clip; scenery, sounds: instead of the usual ones."""
    shown = scenery or Scenery(spec.width, spec.height, spec.fps, seed=spec.seed, grain=spec.grain)
    heard = sounds or Sounds(Programme(seed=spec.seed))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=spec.fps)
        video.width, video.height, video.pix_fmt = spec.width, spec.height, "yuv420p"
        video.codec_context.bit_rate = spec.bit_rate
        video.codec_context.options = {
            "preset": "veryfast",
            "x264-params": f"bframes=3:b-pyramid=normal:keyint={2 * spec.fps}:repeat-headers=1"
            f":vbv-maxrate={spec.bit_rate * 3 // 2000}:vbv-bufsize={spec.bit_rate * 2 // 1000}",
        }
        audio = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        audio.codec_context.bit_rate = 128_000
        for packet in _packets(spec, shown, heard, video, audio):
            container.mux(packet)


def _packets(
    spec: ClipSpec, scenery: Scenery, sounds: Blocks, video: VideoStream, audio: AudioStream
) -> "Iterator[Coded]":
    block = 0
    for n in range(round(spec.seconds * spec.fps)):
        frame = av.VideoFrame.from_ndarray(scenery.draw(n), format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, spec.fps)
        yield from video.encode(frame)
        while block * BLOCK < (n + 1) * RATE_HZ / spec.fps:
            sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(sounds.block(block)), "fltp", "stereo")
            sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, block * BLOCK, Fraction(1, RATE_HZ)
            yield from audio.encode(sound)
            block += 1
    yield from video.encode(None)
    yield from audio.encode(None)
