"""blur and over_compression: what grows worse slowly, against the stream's own past."""

import functools

import cv2
import numpy as np
import pytest

from tests.pictures import film, incidents, panned, texture
from vqa_ray.core.picture import Picture
from vqa_ray.detectors.blur import BlurSpec
from vqa_ray.detectors.detail import erased_share, sharpness
from vqa_ray.detectors.over_compression import OverCompressionSpec

FPS = 2  # it looks about once a second
BLUR = BlurSpec(raise_after_s=5.0, clear_after_s=0.0)
COMPRESSION = OverCompressionSpec(raise_after_s=5.0, clear_after_s=0.0)


@functools.cache
def scene(number: int) -> np.ndarray:
    """A moving picture with sharp shapes and grain; each 15 frames another one."""
    seed = number // 15
    shapes = (cv2.resize(texture(64, 36, seed=seed), (640, 360), interpolation=cv2.INTER_NEAREST) > 120) * 90
    grain = np.random.default_rng(number).normal(0, 2.0, (360, 640))
    return (60 + np.roll(shapes, -3 * number, axis=1) + panned(number, seed=seed) / 8 + grain).astype(np.uint8)


def blurred(luma: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(luma, (0, 0), 4.0)


def coarse(luma: np.ndarray) -> np.ndarray:
    """Quantized as behind a loop filter: edges stay, faint texture turns into flat areas."""
    smooth = cv2.medianBlur(cv2.bilateralFilter(luma, 9, 12, 5), 5)
    return (smooth // 4 * 4).astype(np.uint8)


def during(defect: object, first: int = 110, last: int = 190, total: int = 260) -> list[Picture]:
    frames = (defect(scene(n)) if first <= n < last else scene(n) for n in range(total))  # type: ignore[operator]
    return film(frames, fps=FPS)


def test_sharpness_falls_with_blur_and_not_with_contrast_or_depth() -> None:
    sharp = sharpness(scene(0))
    soft = sharpness(blurred(scene(0)))
    assert sharp is not None and soft is not None
    assert soft < 0.5 * sharp
    assert sharpness(scene(0) // 2 + 60) == pytest.approx(sharp, abs=0.05)
    assert sharpness(scene(0).astype(np.uint16) << 2, 10) == pytest.approx(sharp, abs=0.01)
    assert sharpness(cv2.blur(scene(0), (15, 1))) > 0.6 * sharp  # movement across


def test_a_picture_without_edges_says_nothing_of_sharpness() -> None:
    assert sharpness(np.full((360, 640), 90, np.uint8)) is None
    assert sharpness(np.full((3, 5), 90, np.uint8)) is None


def test_fine_detail_that_is_gone_is_told_from_what_was_never_there() -> None:
    intact, gone = erased_share(scene(0)), erased_share(coarse(scene(0)))
    assert intact is not None and gone is not None
    assert intact < 0.3
    assert gone > 1.5 * intact
    assert erased_share(np.full((360, 640), 16, np.uint8)) is None
    assert erased_share(np.zeros((3, 5), np.uint8)) is None


@pytest.mark.parametrize(("spec", "defect"), [(BLUR, blurred), (COMPRESSION, coarse)], ids=["blur", "over_compression"])
def test_a_stream_that_grows_worse_is_told_and_a_change_of_scene_is_not(spec: BlurSpec, defect: object) -> None:
    ((start_s, end_s),) = incidents(spec, during(defect))
    assert start_s == pytest.approx(55.0, abs=8.0)
    assert end_s == pytest.approx(95.0, abs=8.0)


@pytest.mark.parametrize(("spec", "defect"), [(BLUR, blurred), (COMPRESSION, coarse)], ids=["blur", "over_compression"])
def test_a_stream_that_was_never_better_is_not_told_unless_a_limit_is_set(spec: BlurSpec, defect: object) -> None:
    worse = film((defect(scene(n)) for n in range(120)), fps=FPS)  # type: ignore[operator]
    assert incidents(spec, worse) == []
    limited = BlurSpec(min_sharpness=0.3) if isinstance(spec, BlurSpec) else OverCompressionSpec(max_share=0.4)
    assert len(incidents(limited, worse)) == 1


def test_what_lasts_is_usual_at_last() -> None:
    spec = BlurSpec(raise_after_s=5.0, clear_after_s=0.0, settle_s=20.0)
    ((start_s, end_s),) = incidents(spec, during(blurred, last=260))
    assert end_s - start_s == pytest.approx(20.0, abs=3.0)


def test_a_short_soft_scene_is_no_trend() -> None:
    assert incidents(BlurSpec(clear_after_s=0.0), during(blurred, last=117)) == []
