import cv2
import numpy as np

from tests.pictures import film, incidents, readings, texture
from vqa_ray.detectors.blockiness import BlockinessSpec
from vqa_ray.detectors.grid import GridStrength, grid_strength
from vqa_ray.detectors.usual import Verdict

SPEC = BlockinessSpec(raise_after_s=0.9, clear_after_s=0.6)


SCENE = cv2.resize(texture(160, 90), (640, 360), interpolation=cv2.INTER_CUBIC)


def panned(number: int) -> np.ndarray:
    return np.roll(SCENE, -6 * number, axis=1)


def starved(luma: np.ndarray, share: float = 0.6, phase: int = 0) -> np.ndarray:
    """`luma` as an encoder with too few bits leaves it: most of each block of 8x8 is its mean."""
    shifted = np.roll(luma, (-phase, -phase), (0, 1))
    height, width = luma.shape
    means = cv2.resize(shifted, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    flat = cv2.resize(means, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.roll(cv2.addWeighted(flat, share, shifted, 1 - share, 0.0), (phase, phase), (0, 1))


def starved_at_half_size(luma: np.ndarray) -> np.ndarray:
    """The same at half the size, scaled up again: blocks of 16x16 with soft edges."""
    height, width = luma.shape
    small = cv2.resize(luma, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(starved(small), (width, height), interpolation=cv2.INTER_CUBIC)


def test_a_stretch_of_blocks_is_found_within_half_a_second() -> None:
    for degraded in (starved, starved_at_half_size):
        lumas = [degraded(panned(n)) if 75 <= n < 150 else panned(n) for n in range(250)]
        ((start_s, end_s),) = incidents(SPEC, film(lumas))
        assert abs(start_s - 3.0) <= 0.5
        assert abs(end_s - 6.0) <= 0.5


def test_what_a_stream_always_shows_is_its_normal() -> None:
    usual = [starved(panned(n), 0.2) for n in range(150)]
    assert grid_strength(usual[0]).strength > BlockinessSpec().tolerance
    assert incidents(SPEC, film(usual)) == []


def test_what_a_stream_shows_is_still_known_after_black_or_a_still_picture() -> None:
    usual = [starved(panned(n), 0.25) for n in range(150)]
    black = [np.full_like(SCENE, 16)] * 600
    still = [cv2.GaussianBlur(SCENE, (0, 0), 6)] * 1800
    dim = [cv2.addWeighted(usual[n], n / 25, black[0], 1 - n / 25, 0.0) for n in range(25)]
    assert incidents(SPEC, film([*usual, *black, *dim, *usual])) == []
    assert incidents(SPEC, film([*usual, *still, *usual])) == []


def test_a_still_picture_at_the_beginning_is_not_what_the_stream_always_shows() -> None:
    still = [
        cv2.GaussianBlur(SCENE, (0, 0), 6)
    ] * 250  # as where a stream goes on at another analyzer while it is frozen
    shown = [starved(panned(n), 0.25) for n in range(150)]
    assert incidents(SPEC, film([*still, *shown])) == []


def test_nor_are_the_first_pictures_behind_it_which_are_coded_better_than_usual() -> None:
    shown = [starved(panned(n), 0.2) for n in range(150)]
    for begun in ([SCENE] * 100, [np.full_like(SCENE, 16)] * 100):
        better = [starved(panned(n), 0.05) for n in range(30)]
        assert incidents(SPEC, film([*begun, *better, *shown])) == []


def test_blocks_in_the_still_picture_that_a_stream_begins_with_are_found() -> None:
    lumas = [starved(SCENE, 0.15) if 60 <= n < 120 else SCENE for n in range(180)]
    ((start_s, end_s),) = incidents(SPEC, film(lumas))
    assert abs(start_s - 2.4) <= 0.5
    assert abs(end_s - 4.8) <= 0.5


def test_intact_pictures_and_cuts_between_sharp_and_soft_scenes_are_no_blocks() -> None:
    soft = cv2.GaussianBlur(SCENE[::-1], (0, 0), 6)
    lumas = [panned(n) if n // 40 % 2 else np.roll(soft, n, axis=1) for n in range(200)]
    assert incidents(SPEC, film(lumas)) == []


def test_a_single_look_is_not_enough() -> None:
    assert incidents(SPEC, film([starved(panned(n)) if 60 <= n < 68 else panned(n) for n in range(150)])) == []


def test_a_single_doubtful_look_does_not_become_what_is_usual() -> None:
    verdict = Verdict(0.25)
    for strength in (0.1, 0.12, 0.5, 0.11, 0.1):
        assert not verdict.of(GridStrength(strength, 0.2), cut=False)
    assert verdict.usual == 0.5  # too little is known of the stream
    assert not verdict.of(GridStrength(0.1, 0.2), cut=False)
    assert verdict.usual == 0.12
    assert verdict.of(GridStrength(0.5, 0.7), cut=False)


def test_the_grid_is_found_in_any_phase_size_and_depth() -> None:
    assert grid_strength(SCENE).strength < 0.35
    assert all(grid_strength(starved(SCENE, phase=phase)).strength > 0.8 for phase in (0, 3))
    assert grid_strength(starved_at_half_size(SCENE)).strength > 0.6
    assert grid_strength(starved(SCENE).astype(np.uint16) << 2, 10).strength > 0.8
    large = cv2.resize(SCENE, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    assert grid_strength(large).strength < 0.3
    assert grid_strength(starved_at_half_size(large)).strength > 0.6


def test_lines_in_one_direction_are_no_grid() -> None:
    striped = SCENE
    striped[:, ::16] //= 2
    assert grid_strength(striped).strength < 0.3


def test_a_small_picture_has_no_grid() -> None:
    assert grid_strength(np.zeros((60, 640), np.uint8)).strength == 0.0


def test_readings_cover_the_time_without_a_hole() -> None:
    found = readings(SPEC.build(), film([panned(n) for n in range(60)]))
    assert found[0].at_s == 0.0
    assert found[-1].until_s == 60 / 25
    assert all(a.until_s == b.at_s for a, b in zip(found, found[1:], strict=False))
