"""Clean pictures and sound to put defects into: a synthetic programme, or a clip of the user's own.

Pictures are planar 4:2:0, (height * 3 / 2, width) uint8; sound is (2, n) float32 at 48 kHz.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from vqa_ray.errors import NotMedia, SourceUnavailable
from vqa_ray.media.synthetic.scenery import Scenery
from vqa_ray.media.synthetic.speech import RATE_HZ, speech

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
SPEECH_S = 60.0  # of synthetic sound, then it begins again
SIZES = ((640, 360), (512, 416), (640, 480), (480, 270), (720, 404))
RATES = (Fraction(25), Fraction(25), Fraction(30_000, 1001), Fraction(24), Fraction(30))
USUAL_RATES = (Fraction(25), Fraction(50), *(Fraction(n * 1000, d) for n in (24, 30, 60) for d in (1001, 1000)))
RATE_SLACK = 0.01  # the average of a short file is not exact, and MPEG-2 knows no other rates
GRAINS = (0.5, 0.7, 1.2, 1.8)
SEAM = RATE_HZ // 4
FADED = RATE_HZ // 33  # a coder begins and ends softly
NOTHING = 1e-5  # of full scale
PROGRAMMES = 24  # different synthetic ones; what is shown of each starts anywhere


class Material(Protocol):
    """Where clean pictures and sound come from; both go on for ever, and the same call gives the same."""

    @property
    def name(self) -> str:
        """What it is, for the manifest."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, both even."""

    @property
    def fps(self) -> Fraction:
        """Frames a second."""

    @property
    def length_s(self) -> float:
        """After how long it repeats itself."""

    def pictures(self, start_s: float) -> Iterator[U8]:
        """Pictures from `start_s` on; each may be kept and written to."""

    def sound(self, start_s: float, seconds: float) -> F32:
        """The sound of the same time."""


class Synthetic:
    """A programme of its own for each seed: `Scenery` and `speech`."""

    length_s = 600.0

    def __init__(self, seed: int) -> None:
        self.seed = seed % PROGRAMMES
        self.name = f"synthetic programme {self.seed}"
        self.size = SIZES[self.seed % len(SIZES)]
        self.fps = RATES[self.seed // 2 % len(RATES)]

    def pictures(self, start_s: float) -> Iterator[U8]:
        """As `Material` says."""
        scenery = _scenery(self.seed, self.size, float(self.fps))
        n = round(start_s * self.fps)
        while True:
            yield scenery.draw(n).copy()
            n += 1

    def sound(self, start_s: float, seconds: float) -> F32:
        """As `Material` says."""
        loop = _speech(self.seed)
        first = round(start_s * RATE_HZ)
        return loop[:, np.arange(first, first + round(seconds * RATE_HZ)) % loop.shape[1]]


@lru_cache(4)
def _scenery(seed: int, size: tuple[int, int], fps: float) -> Scenery:
    return Scenery(*size, fps, seed=seed, grain=GRAINS[seed % len(GRAINS)], oval=True)


@lru_cache(4)
def _speech(seed: int) -> F32:
    return speech(seed, SPEECH_S)


class Clip:
    """A file, from wherever one starts to its end and then from its beginning again.

    Pictures come at its average rate, whatever its timestamps do, cropped to an even size, in 8 bits. A file without
    sound gets the synthetic one. Raises SourceUnavailable or NotMedia when it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        with _opened(path) as container:
            if not container.streams.video:
                raise NotMedia(f"{path}: holds no picture")
            video = container.streams.video[0]
            self.size = video.width // 2 * 2, video.height // 2 * 2
            self.fps = _usual(Fraction(video.average_rate or 25))
            self._has_sound = bool(container.streams.audio)
            length = container.duration / av.time_base if container.duration else 0.0
        if min(self.size) < 64 or not 1 <= self.fps <= 120:
            raise NotMedia(
                f"{path}: {self.size[0]}×{self.size[1]} at {float(self.fps):.4g} frames a second is no video"
            )
        self.length_s = max(length, 1.0)

    def pictures(self, start_s: float) -> Iterator[U8]:
        """As `Material` says."""
        at_s = start_s % self.length_s
        while True:
            made = 0
            for picture in self._pass(at_s):
                yield picture
                made += 1
            if not made and at_s == 0.0:
                raise NotMedia(f"{self.path}: no picture can be decoded")
            at_s = 0.0

    def _pass(self, start_s: float) -> Iterator[U8]:
        """From `start_s` to the end, at a constant rate: a picture is shown until the next one is due."""
        with _opened(self.path) as container:
            video = container.streams.video[0]
            video.codec_context.thread_count = 1
            first_s = float((video.start_time or 0) * video.time_base) if video.time_base else 0.0
            if start_s > 0 and video.time_base:
                container.seek(int((first_s + start_s) / video.time_base), stream=video)
            due_s, shown = start_s, None
            for frame in container.decode(video):
                at_s = due_s if frame.time is None else frame.time - first_s
                while shown is not None and due_s + 0.5 / self.fps <= at_s:
                    yield shown.copy()
                    due_s += float(1 / self.fps)
                shown = self._planes(frame) if at_s + 1.0 / self.fps > start_s else None
                due_s = max(due_s, min(at_s, due_s + 1.0)) if shown is None else due_s
            if shown is not None:
                yield shown

    def _planes(self, frame: av.VideoFrame) -> U8:
        width, height = self.size
        made = frame.reformat(format="yuv420p")
        if made.width % 2 or made.height % 2 or (made.width, made.height) != self.size:
            made = made.reformat(width=width, height=height)
        return np.ascontiguousarray(made.to_ndarray())

    def sound(self, start_s: float, seconds: float) -> F32:
        """As `Material` says."""
        if not self._has_sound:
            return speech(0, seconds)
        whole = _sound(self.path, self.length_s)
        first = round((start_s % self.length_s) * RATE_HZ)
        return whole[:, np.arange(first, first + round(seconds * RATE_HZ)) % whole.shape[1]]


@lru_cache(2)
def _sound(path: Path, length_s: float) -> F32:
    """All sound of a file, placed by its timestamps from the first picture on."""
    whole = np.zeros((2, max(1, round(length_s * RATE_HZ))), np.float32)
    resampler = av.AudioResampler("fltp", "stereo", RATE_HZ)
    with _opened(path) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        zero_s = float((video.start_time or 0) * video.time_base) if video.time_base else 0.0
        at = None
        for frame in container.decode(audio):
            if at is None:
                at = round(((frame.time or 0.0) - zero_s) * RATE_HZ)
            for part in resampler.resample(frame):
                samples = part.to_ndarray()
                first, last = max(at, 0), min(at + samples.shape[1], whole.shape[1])
                if last > first:
                    whole[:, first:last] = samples[:, first - at : last - at]
                at += samples.shape[1]
    return closed(whole)


def closed(whole: F32) -> F32:
    """Sound that goes on from its end to its beginning: no hole where a track is some frames shorter than the picture.

    What is missing at either end, up to 0.25 s, and 30 ms more are filled with what is next to it, backwards.
    """
    sounding = np.flatnonzero(np.abs(whole).max(axis=0) > NOTHING)
    if not sounding.size:
        return whole
    for side, missing in ((whole, int(sounding[0])), (whole[:, ::-1], whole.shape[1] - 1 - int(sounding[-1]))):
        if missing <= min(SEAM, whole.shape[1] // 2 - FADED):
            missing += FADED
            side[:, :missing] = side[:, missing : 2 * missing][:, ::-1]
    return whole


def _usual(fps: Fraction) -> Fraction:
    """The usual frame rate next to it, if one is as near as rounding."""
    nearest = min(USUAL_RATES, key=lambda usual: abs(usual - fps))
    return nearest if abs(nearest - fps) <= RATE_SLACK * fps else fps


def _opened(path: Path) -> av.container.InputContainer:
    try:
        return av.open(str(path))
    except (OSError, ValueError) as error:
        raise SourceUnavailable(f"{path}: {error}") from None
