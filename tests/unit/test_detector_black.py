import numpy as np
import pytest

from tests.pictures import film, grey, incidents, picture, readings, texture
from vqa_ray.core.picture import Picture
from vqa_ray.detectors.black import BlackSpec

BLACK = np.full((360, 640), 16, np.uint8)
EXACT = BlackSpec(raise_after_s=0.1, clear_after_s=0.0)


def bad(*pictures: Picture) -> list[bool]:
    return [reading.bad for reading in readings(BlackSpec().build(), pictures)]


def test_black_starts_and_ends_exactly_with_its_frames() -> None:
    lumas = [BLACK if 10 <= n < 25 else texture() for n in range(40)]
    assert incidents(EXACT, film(lumas, chroma=grey(128, 128))) == [(0.4, 1.0)]


@pytest.mark.parametrize("level", [16, 17, 20, 24])
def test_black_may_be_raised_and_noisy(level: int) -> None:
    noise = np.random.default_rng(0).normal(level, 1.5, BLACK.shape).clip(1, 254).astype(np.uint8)
    assert bad(picture(noise, chroma=grey(128, 129))) == [True]


def test_full_range_black_is_zero_and_its_dark_grey_is_not_black() -> None:
    assert bad(picture(np.zeros_like(BLACK), full_range=True)) == [True]
    assert bad(picture(np.full_like(BLACK, 30), full_range=True)) == [False]
    assert bad(picture(np.full_like(BLACK, 30))) == [True]  # 6 % of limited range


def test_ten_bit_black_is_black() -> None:
    assert bad(picture(np.full((360, 640), 64, np.uint16), bit_depth=10)) == [True]
    assert bad(picture(np.full((360, 640), 400, np.uint16), bit_depth=10)) == [False]


def test_a_dark_tinted_scene_is_not_black() -> None:
    assert bad(picture(np.full_like(BLACK, 22), chroma=grey(150, 120))) == [False]


def test_a_dark_scene_with_shapes_is_not_black() -> None:
    assert bad(picture((16 + (texture() - 40) // 8).astype(np.uint8))) == [False]


def test_a_starfield_is_not_black() -> None:
    sky = BLACK.copy()
    rng = np.random.default_rng(0)
    for y, x in zip(rng.integers(0, 358, 60), rng.integers(0, 638, 60), strict=True):
        sky[y : y + 2, x : x + 2] = 220
    assert bad(picture(sky)) == [False]


def test_one_hot_pixel_does_not_hide_black() -> None:
    dot = BLACK.copy()
    dot[100:104, 200:204] = 235
    assert bad(picture(dot)) == [True]


def test_a_small_picture_within_black_borders_is_not_black() -> None:
    boxed = BLACK.copy()
    boxed[100:260, 160:480] = texture()[:160, :320]
    dim = BLACK.copy()
    dim[178:182, 160:480] = 60  # 0.6 % of all, 2.5 % of the active picture
    assert bad(picture(boxed, 0), picture(boxed, 30), picture(dim, 60)) == [False, False, False]


def test_a_fade_through_black_is_black_only_where_nothing_is_seen() -> None:
    shares = [abs(n - 30) / 25 if abs(n - 30) > 5 else 0.0 for n in range(61)]
    lumas = [(16 + (texture().astype(np.float32) - 16) * share).astype(np.uint8) for share in shares]
    (span,) = incidents(EXACT, film(lumas))
    assert span == (1.0, 1.44)
