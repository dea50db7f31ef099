"""Pictures and sounds for the tests of detectors, drawn on the spot."""

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.hold import Edge, Hold
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Reading
from vqa_ray.detectors.base import Detector, DetectorSpec
from vqa_ray.pipeline.analysis import rule_of

FPS = 25


def texture(width: int = 640, height: int = 360, seed: int = 1) -> np.ndarray:
    """Something to look at: smooth noise between 40 and 200, (height, width) uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2)).astype(np.uint8)
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return (40 + smooth.astype(np.float32) * (160 / 255)).astype(np.uint8)


def panned(number: int, seed: int = 1, step: int = 6) -> np.ndarray:
    """Frame `number` of a texture that moves to the left."""
    return np.roll(texture(seed=seed), -step * number, axis=1)


def picture(luma: np.ndarray, number: int = 0, *, fps: float = FPS, **kwargs: Any) -> Picture:
    """`luma` as frame `number`; nothing may be written to it."""
    luma = luma.view()
    luma.flags.writeable = False
    return Picture(luma, at_s=number / fps, until_s=(number + 1) / fps, **kwargs)


def grey(u: int, v: int, shape: tuple[int, int] = (180, 320)) -> Any:
    """Chroma planes of one colour, as `Picture` takes them."""
    return lambda: (np.full(shape, u, np.uint8), np.full(shape, v, np.uint8))


def film(lumas: Iterable[np.ndarray], *, fps: float = FPS, keys: Sequence[int] = (), **kwargs: Any) -> list[Picture]:
    """Frames in a row, each with the small luma of the one before it."""
    pictures: list[Picture] = []
    for number, luma in enumerate(lumas):
        before, sketch = (pictures[-1].small, pictures[-1].sketch) if pictures else (None, None)
        pictures.append(
            picture(luma, number, fps=fps, key=number in keys, before=before, sketch_before=sketch, **kwargs)
        )
    return pictures


def sound(
    samples: np.ndarray, at_s: float = 0.0, *, rate_hz: int = 48_000, channels: tuple[str, ...] | None = None
) -> AudioBlock:
    """(channels, n) samples as a block; nothing may be written to them."""
    samples = np.ascontiguousarray(samples, np.float32)
    samples.flags.writeable = False
    names = channels or ("FL", "FR", "FC", "LFE", "BL", "BR")[: len(samples)]
    return AudioBlock(samples, at_s=at_s, until_s=at_s + samples.shape[1] / rate_hz, rate_hz=rate_hz, channels=names)


def blocks(samples: np.ndarray, *, rate_hz: int = 48_000, **kwargs: Any) -> list[AudioBlock]:
    """(channels, n) samples as blocks of 0.1 s."""
    size = rate_hz // 10
    return [
        sound(samples[:, n : n + size], n / rate_hz, rate_hz=rate_hz, **kwargs)
        for n in range(0, samples.shape[1], size)
    ]


def readings(detector: Detector, items: Iterable[Any]) -> list[Reading]:
    """All that it says of the items."""
    found = [reading for item in items for reading in detector.read(item)]
    return [*found, *detector.finish()]


def incidents(
    spec: DetectorSpec, items: Iterable[Any], part: str = "", *, lasting: bool = False
) -> list[tuple[float, float]]:
    """Start and end, to the millisecond, of what the items give with the holds of `spec`; lasting: of the source."""
    hold = Hold(rule_of(spec))
    found: list[tuple[float, float]] = []
    for reading in readings(spec.build_lasting() if lasting else spec.build(), items):
        if reading.part == part and Edge.CLOSED in hold.step(reading):
            found.append((round(hold.start_s, 3), round(hold.end_s, 3)))
    if Edge.CLOSED in hold.finish():
        found.append((round(hold.start_s, 3), round(hold.end_s, 3)))
    return found
