"""grey and black_logo: where picture data is missing, and black behind what a channel puts over it."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import pytest

from tests.pictures import film, incidents, panned, readings, texture
from vqa_ray.core.picture import Picture
from vqa_ray.detectors.black_logo import BlackLogoSpec
from vqa_ray.detectors.grey import GreySpec

GREY = GreySpec(raise_after_s=0.2, clear_after_s=0.0)
LOGO = BlackLogoSpec(raise_after_s=0.5, clear_after_s=0.0)
Frame = tuple[np.ndarray, np.ndarray, np.ndarray]
Corner = tuple[int, int]


def scene(number: int) -> Frame:
    """A moving picture in pale colours."""
    chroma = cv2.resize(texture(seed=5), (320, 180)) // 4 + 100
    return panned(number), chroma, chroma[::-1].copy()


def plain(y: int, u: int = 128, v: int = 128) -> Frame:
    return np.full((360, 640), y, np.uint8), np.full((180, 320), u, np.uint8), np.full((180, 320), v, np.uint8)


def shown(frames: Iterable[Frame]) -> list[Picture]:
    frames = list(frames)
    pictures = film(frame[0] for frame in frames)
    for shot, (_, u, v) in zip(pictures, frames, strict=True):
        shot._chroma = lambda u=u, v=v: (u, v)
    return pictures


def during(defect: Frame, first: int = 26, last: int = 61, total: int = 90) -> list[Picture]:
    return shown(defect if first <= n < last else scene(n) for n in range(total))


def without(frame: Frame, rows: slice, columns: slice = slice(None)) -> Frame:
    """Half of the range in all planes in some rows and columns."""
    y, u, v = (plane.copy() for plane in frame)
    half = slice(*(None if s is None else s // 2 for s in (rows.start, rows.stop)))
    across = slice(*(None if s is None else s // 2 for s in (columns.start, columns.stop)))
    y[rows, columns] = 128
    u[half, across] = v[half, across] = 128
    return y, u, v


def share(spec: GreySpec | BlackLogoSpec, frame: Frame) -> float:
    return max(reading.value for reading in readings(spec.build(), shown([frame])))


# grey


@pytest.mark.parametrize("rows", [slice(None), slice(180, None), slice(96, 144)], ids=["all", "half", "three rows"])
def test_slices_that_never_came_are_grey_from_their_first_frame_to_their_last(rows: slice) -> None:
    ((start_s, end_s),) = incidents(GREY, during(without(scene(0), rows)))
    assert start_s == pytest.approx(1.04, abs=0.121)
    assert end_s == pytest.approx(2.44, abs=0.161)


def test_the_value_is_the_area_over_that_of_the_picture() -> None:
    assert share(GREY, without(scene(0), slice(180, None))) == pytest.approx(0.5, abs=0.06)
    assert share(GREY, without(scene(0), slice(96, 144), slice(320, None))) == pytest.approx(0.067, abs=0.02)


def test_another_encoding_leaves_it_found() -> None:
    y, u, v = without(scene(0), slice(180, None))
    noise = np.random.default_rng(0).integers(-1, 2, y.shape)
    assert share(GREY, ((y + noise).astype(np.uint8), u + 1, v)) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("grey", [plain(126), plain(60), plain(180), plain(128, 128, 140)], ids=str)
def test_the_greys_of_graphics_and_of_things_are_none(grey: Frame) -> None:
    assert share(GREY, grey) == 0.0


def test_a_picture_in_black_and_white_is_not_grey() -> None:
    assert share(GREY, (texture(), *plain(0)[1:])) < 0.01
    ramp = np.tile(np.linspace(16, 235, 640).astype(np.uint8), (360, 1))
    assert share(GREY, (ramp, *plain(0)[1:])) < 0.04


# black_logo


def black(places: Sequence[Corner], *, size: int = 40, level: int = 16) -> Frame:
    """Black, with a bright square at each of these (row, column)."""
    y, u, v = plain(level)
    for row, column in places:
        y[row : row + size, column : column + size] = 200
    return y, u, v


@pytest.mark.parametrize("places", [[(30, 560)], [(300, 40)], [(30, 40), (30, 560)]], ids=["right", "left", "two"])
def test_black_behind_a_logo_is_a_class_of_its_own(places: Sequence[Corner]) -> None:
    assert incidents(LOGO, during(black(places))) == [(1.04, 2.44)]


def test_a_clock_in_the_middle_counts_where_that_is_asked_for() -> None:
    clock = black([(160, 300)])
    assert incidents(LOGO, during(clock)) == []
    anywhere = BlackLogoSpec(raise_after_s=0.5, clear_after_s=0.0, where="anywhere")
    assert incidents(anywhere, during(clock)) == [(1.04, 2.44)]


def stars() -> Frame:
    y, u, v = plain(16)
    rng = np.random.default_rng(1)
    y[rng.integers(0, 360, 200), rng.integers(0, 640, 200)] = 235
    return cv2.dilate(y, np.ones((2, 2), np.uint8)), u, v


def night() -> Frame:
    """A dark room with a lamp in a corner."""
    y, u, v = black([(30, 560)])
    y[120:300, 100:500] = 27
    return y, u, v


@pytest.mark.parametrize(
    "frame", [plain(16), stars(), night(), black([(30, 560)], size=200), scene(0)],
    ids=["black", "stars", "night", "a picture in picture", "a scene"],
)  # fmt: skip
def test_pictures_that_are_black_or_dark_by_themselves_are_none(frame: Frame) -> None:
    assert incidents(LOGO, during(frame)) == []
