"""flicker and luma_range: flashes and levels, drawn on the spot."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from tests.pictures import film, grey, incidents, panned, picture, readings, texture
from vqa_ray.core.picture import Picture
from vqa_ray.detectors.flashes import luminance_of
from vqa_ray.detectors.flicker import FlickerSpec
from vqa_ray.detectors.luma_range import LumaRangeSpec

FLICKER = FlickerSpec(clear_after_s=0.0)
RANGE = LumaRangeSpec(raise_after_s=0.5, clear_after_s=0.0)


def flashing(hz: float, *, share: float = 1.0, low: int = 40, high: int = 200, fps: float = 25, from_s: float = 1.0):
    """Five seconds of a still picture, of which a part at the left flashes `hz` times a second for two seconds."""
    for number in range(round(5 * fps)):
        luma = np.full((360, 640), 100, np.uint8)
        since_s = number / fps - from_s
        if 0 <= since_s < 2.0:
            luma[:, : round(share * 640)] = high if math.floor(since_s * hz * 2 + 1e-6) % 2 == 0 else low
        yield luma


@pytest.mark.parametrize("fps", [25, 30, 50, 60])
@pytest.mark.parametrize("hz", [4, 5, 8, 12])
def test_more_than_three_flashes_a_second_are_told_from_the_first_on(hz, fps):
    ((start_s, end_s),) = incidents(FLICKER, film(flashing(hz, fps=fps), fps=fps))
    assert start_s == pytest.approx(1.0, abs=1.01 / hz)
    assert end_s == pytest.approx(3.0, abs=1.01 / hz + 1 / fps)


@pytest.mark.parametrize("hz", [1, 2, 3])
def test_three_flashes_a_second_are_allowed(hz):
    assert incidents(FLICKER, film(flashing(hz))) == []


@pytest.mark.parametrize(("share", "found"), [(0.2, 0), (0.3, 1)])
def test_a_quarter_of_the_picture_must_flash(share, found):
    assert len(incidents(FLICKER, film(flashing(8, share=share)))) == found


@pytest.mark.parametrize(
    ("low", "high", "found"), [(180, 188, 0), (180, 200, 1), (225, 235, 0), (16, 90, 0), (16, 120, 1)]
)
def test_what_counts_is_a_tenth_of_the_screens_luminance_and_not_of_luma(low, high, found):
    assert len(incidents(FLICKER, film(flashing(6, low=low, high=high)))) == found


def test_luminance_follows_the_display_and_the_range():
    limited, full = luminance_of(16, 235), luminance_of(0, 255)
    assert (limited[16], limited[235], limited[255], full[0], full[255]) == (0.0, 1.0, 1.0, 0.0, 1.0)
    assert limited[125] == pytest.approx(0.19, abs=0.01)


def test_parts_that_flash_in_turn_do_not_cancel():
    def board() -> Iterator[np.ndarray]:
        for number in range(75):
            luma = np.full((360, 640), 40, np.uint8)
            luma[:, 320 * (number // 3 % 2) :][:, :320] = 200
            yield luma

    assert len(incidents(FLICKER, film(board()))) == 1


def test_movement_and_cuts_do_not_flicker():
    cuts = (panned(number, seed=1 + number // 15) for number in range(150))
    assert incidents(FLICKER, film(cuts)) == []
    assert incidents(FLICKER, film(panned(number, step=24) for number in range(100))) == []


def test_a_hole_in_time_ends_what_flashed_before_it():
    before = film(flashing(8))[:40]
    after = [picture(one.luma, number + 500, sketch_before=one.sketch) for number, one in enumerate(before)]
    told = readings(FLICKER.build(), [*before, *after])
    assert all(one.until_s <= before[-1].until_s or one.at_s >= after[0].at_s for one in told)
    assert [one.at_s for one in told] == sorted(one.at_s for one in told)


def test_all_of_the_time_is_spoken_of_once():
    for hz in (2, 6):
        told = readings(FLICKER.build(), film(flashing(hz)))
        assert told[0].at_s == 0.0
        assert told[-1].until_s == pytest.approx(5.0)
        assert all(a.until_s == pytest.approx(b.at_s) for a, b in zip(told, told[1:], strict=False))


def levels(luma: np.ndarray, **kwargs) -> list[Picture]:
    """A second of the texture, two of this, and one of the texture."""
    return film([texture()] * 25 + [luma] * 50 + [texture()] * 25, **kwargs)


def stretched(low: int, high: int) -> np.ndarray:
    luma = texture().astype(np.float32)
    return (low + (luma - luma.min()) * (high - low) / np.ptp(luma)).astype(np.uint8)


@pytest.mark.parametrize(("low", "high", "found"), [(16, 235, 0), (6, 245, 0), (0, 255, 1), (16, 255, 1), (0, 200, 1)])
def test_luma_outside_of_the_legal_range_is_found_exact_to_the_frame(low, high, found):
    assert incidents(RANGE, levels(stretched(low, high)), "range") == [(1.0, 3.0)] * found


def test_in_full_range_nothing_is_illegal():
    assert incidents(RANGE, levels(stretched(0, 255), full_range=True), "range") == []


def test_overshoot_of_less_than_a_percent_is_tolerated():
    luma = texture()
    luma[:18, :64] = 255
    assert incidents(RANGE, levels(luma), "range") == []


def test_chroma_outside_of_the_legal_range_is_found():
    assert incidents(RANGE, film([texture()] * 50, chroma=grey(2, 128)), "range") == [(0.0, 2.0)]
    assert incidents(RANGE, film([texture()] * 50, chroma=grey(16, 240)), "range") == []


@pytest.mark.parametrize(("level", "share", "found"), [(235, 0.6, 1), (235, 0.2, 0), (230, 0.6, 0)])
def test_a_good_part_of_the_picture_at_white_is_clipped(level, share, found):
    luma = texture()
    luma[: round(share * 360)] = level
    assert incidents(RANGE, levels(luma), "white") == [(1.0, 3.0)] * found


def test_ten_bits_are_judged_alike():
    luma = stretched(0, 255).astype(np.uint16) * 4
    shown = [picture(luma, number, bit_depth=10) for number in range(50)]
    assert incidents(RANGE, shown, "range") == [(0.0, 2.0)]
