"""stutter and interlace: what is wrong with movement."""

import numpy as np
import pytest

from tests.pictures import film, incidents, panned, picture, texture
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Coding
from vqa_ray.detectors.field_order import FieldOrderSpec, lines_of, order
from vqa_ray.detectors.interlace import InterlaceSpec, combed
from vqa_ray.detectors.stutter import StutterSpec, intervals

STUTTER = StutterSpec(raise_after_s=1.0)
INTERLACE = InterlaceSpec(raise_after_s=1.0, clear_after_s=1.0)


def shown(numbers: list[int]) -> list[np.ndarray]:
    return [panned(number) for number in numbers]


def test_irregular_holds_stutter_and_are_bounded() -> None:
    rng = np.random.default_rng(1)
    numbers = list(range(75))
    while len(numbers) < 150:
        numbers += [numbers[-1] + 1] * int(rng.choice([1, 1, 2, 4]))
    numbers += range(numbers[-1] + 1, numbers[-1] + 76)
    ((start_s, end_s),) = incidents(STUTTER, film(shown(numbers)))
    assert 3.0 <= start_s <= 4.1
    assert 6.0 <= end_s <= 7.6


def test_steady_conversions_do_not_stutter() -> None:
    for step in (1 / 2, 2 / 5, 24 / 25, 4 / 5, 1 / 3):
        assert incidents(STUTTER, film(shown([int(n * step) for n in range(200)]))) == []


def test_a_still_scene_and_single_holds_do_not_stutter() -> None:
    assert incidents(STUTTER, film([texture()] * 100)) == []
    assert incidents(STUTTER, film(shown([n - n % 60 if n % 60 < 5 else n for n in range(200)]))) == []


def test_a_collapse_of_the_frame_rate_is_told_however_steady_it_is() -> None:
    numbers = [*range(300), *(n - n % 4 for n in range(300, 400))]
    ((start_s, _),) = incidents(STUTTER, film(shown(numbers)))
    assert 12.0 <= start_s <= 13.1


def at_rate(fps: float, from_s: float, seconds: float, first: int = 0) -> list[Picture]:
    """Moving pictures of which each is shown for as long as the rate says."""
    found: list[Picture] = []
    for number in range(round(seconds * fps)):
        at_s = from_s + number / fps
        before = found[-1].sketch if found else None
        found.append(Picture(panned(first + number), at_s=at_s, until_s=at_s + 1 / fps, sketch_before=before))
    return found


@pytest.mark.parametrize(("fps", "told"), [(3.0, 1), (10.0, 1), (15.0, 0), (25.0, 0)])
def test_far_fewer_frames_than_before_are_told(fps: float, told: int) -> None:
    found = incidents(STUTTER, [*at_rate(25.0, 0.0, 12.0), *at_rate(fps, 12.0, 4.0), *at_rate(25.0, 16.0, 4.0)])
    assert [abs(start_s - 12.0) <= 1.0 and abs(end_s - 16.0) <= 1.0 for start_s, end_s in found] == [True] * told


def test_a_rate_below_the_least_is_told_from_the_start() -> None:
    spec = StutterSpec(raise_after_s=1.0, min_fps=20.0)
    ((start_s, end_s),) = incidents(spec, at_rate(12.5, 0.0, 6.0))
    assert (start_s < 1.0, end_s > 5.9) == (True, True)
    assert incidents(spec, at_rate(25.0, 0.0, 6.0)) == []
    assert incidents(StutterSpec(raise_after_s=1.0), at_rate(12.5, 0.0, 6.0)) == []


def test_intervals_are_those_between_new_pictures() -> None:
    assert intervals([9.0, 9.0, 0.1, 9.0, 0.2, 0.1, 9.0]) == [1, 2, 3]
    assert intervals([0.3, 0.5, 0.2]) == []


def woven(number: int) -> np.ndarray:
    """Two fields of different moments."""
    both = panned(2 * number)
    both[1::2] = panned(2 * number + 1)[1::2]
    return both


def test_combs_in_progressive_pictures_are_told() -> None:
    lumas = [woven(n) if n >= 75 else panned(2 * n) for n in range(200)]
    ((start_s, _),) = incidents(INTERLACE, film(lumas))
    assert abs(start_s - 3.0) <= 1.0


def test_combs_are_told_where_no_other_detector_asks_for_sketches() -> None:
    detector, last, told = InterlaceSpec().build(), None, []
    for number in range(100):
        shown = picture(woven(number), number, sketch_before=last._sketch if last is not None else None)
        told += detector.read(shown)
        last = shown
    assert any(reading.bad for reading in told)


def test_combs_of_interlaced_pictures_and_still_scenes_are_none() -> None:
    assert incidents(INTERLACE, film([woven(n) for n in range(100)], interlaced=True)) == []
    assert incidents(INTERLACE, film([woven(5)] * 100)) == []
    assert incidents(INTERLACE, film([panned(n) for n in range(100)])) == []


def test_combs_are_measured_alike_in_ten_bits() -> None:
    assert combed(woven(3)) > 5.0
    assert combed(woven(3).astype(np.uint16) << 2, 10) > 5.0
    assert combed(panned(3)) == 0.0
    assert combed(woven(3)[:100]) == 0.0


def fields(number: int, *, upper_first: bool, height: int = 360) -> np.ndarray:
    """Two fields of different moments, woven."""
    luma = panned(2 * number).copy()
    one, other = (0, 1) if upper_first else (1, 0)
    luma[one::2], luma[other::2] = panned(2 * number)[one::2], panned(2 * number + 1)[other::2]
    return luma[:height]


ORDER = FieldOrderSpec(raise_after_s=1.0, clear_after_s=0.0)


def said(field_order: str) -> Coding:
    return Coding(0.0, 0.0, "mpeg2video", "mp2", 25.0, "16:9", "", (), field_order=field_order)


def test_the_order_of_fields_is_told_by_the_pictures() -> None:
    upper = [lines_of(fields(n, upper_first=True)) for n in (4, 5)]
    lower = [lines_of(fields(n, upper_first=False)) for n in (4, 5)]
    assert order(*upper) > 0.1
    assert order(*lower) < -0.1
    assert abs(order(lines_of(panned(4)), lines_of(panned(5)))) < 0.02
    assert lines_of(np.zeros((60, 80), np.uint8)) is None


def test_fields_in_another_order_than_the_stream_says_are_told() -> None:
    shown = film([fields(n, upper_first=False) for n in range(250)], interlaced=True)
    ((start_s, end_s),) = incidents(ORDER, [said("top"), *shown])
    assert start_s < 6.5
    assert end_s == 10.0
    assert incidents(ORDER, [said("bottom"), *shown]) == []
    assert len(incidents(FieldOrderSpec(raise_after_s=1.0, expect="top"), [said("bottom"), *shown])) == 1


def test_fields_that_change_their_order_are_told_where_the_stream_says_nothing() -> None:
    shown = film([fields(n, upper_first=not 200 <= n < 450) for n in range(700)], interlaced=True)
    ((start_s, end_s),) = incidents(ORDER, shown)
    assert 8.0 < start_s < 13.0
    assert 18.0 < end_s < 23.0


def test_progressive_pictures_have_no_order() -> None:
    woven_by_name = film([panned(n) for n in range(250)], interlaced=True)
    assert incidents(ORDER, [said("top"), *woven_by_name]) == []
    assert incidents(ORDER, [said("top"), *film([fields(n, upper_first=False) for n in range(250)])]) == []
