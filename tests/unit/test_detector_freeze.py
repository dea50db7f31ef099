import numpy as np
import pytest

from tests.pictures import film, incidents, panned, texture
from vqa_ray.detectors.freeze import FreezeSpec

EXACT = FreezeSpec(raise_after_s=0.5, clear_after_s=0.0)


def frozen(first: int, last: int, count: int = 120) -> list[np.ndarray]:
    """A moving picture that stands still from frame `first` and moves again at `last`."""
    return [panned(first if first <= n < last else n) for n in range(count)]


def noisy(lumas: list[np.ndarray], sigma: float, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(luma + rng.normal(0, sigma, luma.shape)).clip(0, 255).astype(np.uint8) for luma in lumas]


@pytest.mark.parametrize(("first", "last"), [(40, 53), (40, 57), (30, 100)])
def test_a_freeze_starts_at_the_held_frame_and_ends_at_the_first_other_one(first: int, last: int) -> None:
    assert incidents(EXACT, film(frozen(first, last))) == [(first / 25, last / 25)]


def test_a_noisy_freeze_is_found_to_the_frame() -> None:
    assert incidents(EXACT, film(noisy(frozen(30, 90), 2.0))) == [(1.2, 3.6)]


def test_a_short_freeze_that_the_coder_refines_is_found_where_things_moved_wildly_before() -> None:
    lumas = [panned(n, step=40) for n in range(40)] + [panned(39, step=40)] * 17
    refined = [luma + 3 * (n >= 42) for n, luma in enumerate(lumas)] + [panned(n, step=40) for n in range(60, 80)]
    assert incidents(EXACT, film([luma.astype(np.uint8) for luma in refined])) == [(39 / 25, 57 / 25)]


def test_key_frames_that_pop_do_not_end_a_freeze() -> None:
    lumas = frozen(30, 100)
    for n in range(50, 100):  # from the key frame on another rendering of the same picture
        lumas[n] = np.clip(lumas[n] + 8.0 * np.sin(np.arange(640) / 40), 0, 255).astype(np.uint8)
    assert incidents(EXACT, film(lumas, keys=[0, 50])) == [(1.2, 4.0)]


def test_a_live_picture_with_one_small_moving_thing_is_not_frozen() -> None:
    lumas = []
    for n in range(100):
        luma = texture()
        x = 100 + (2 * n if n > 40 else 80)
        luma[200:212, x : x + 12] = 235
        lumas.append(luma)
    assert incidents(EXACT, film(lumas[41:])) == []


def test_still_scenes_with_film_grain_are_not_frozen() -> None:
    assert incidents(EXACT, film(noisy([texture()] * 100, 6.0))) == []


@pytest.mark.parametrize("held", [2, 3, 4, 5])
def test_frames_that_are_shown_several_times_are_not_frozen(held: int) -> None:
    assert incidents(EXACT, film([panned(n // held * held) for n in range(120)])) == []


def test_pulldown_is_not_frozen() -> None:
    assert incidents(EXACT, film([panned(n - n // 5) for n in range(120)])) == []


def test_a_stream_of_two_frames_a_second_is_not_frozen_when_one_is_repeated() -> None:
    assert incidents(EXACT, film([panned(n // 2) for n in range(40)], fps=2)) == []


def test_a_slow_zoom_is_not_frozen() -> None:
    assert incidents(EXACT, film([panned(n, step=1) for n in range(120)])) == []


@pytest.mark.parametrize("moved", range(3, 12))
@pytest.mark.parametrize("cut", [30, 31, 32, 33])
def test_a_noisy_freeze_soon_after_a_cut_is_found(cut: int, moved: int) -> None:
    """However long after the cut, and whichever frames happen to be looked at more closely."""
    held = cut + moved
    after = [255 - panned(n, step=2) for n in range(cut, held)]
    frozen = noisy([255 - panned(held, step=2)] * 40, 2.5)
    lumas = [panned(n, step=2) for n in range(cut)] + after + frozen
    lumas += [255 - panned(n, step=2) for n in range(held + 40, held + 70)]
    assert incidents(EXACT, film(lumas)) == [(held / 25, (held + 40) / 25)]


def test_a_slate_after_a_cut_is_still_once_it_is_sure() -> None:
    lumas = [panned(n) for n in range(30)] + [texture(seed=9)] * 60 + [panned(n) for n in range(30)]
    assert incidents(EXACT, film(lumas)) == [(1.2, 3.6)]


def test_a_hole_in_time_is_not_a_freeze() -> None:
    pictures = film([texture()] * 40)
    for picture in pictures[10:]:
        picture.at_s += 5.0
        picture.until_s += 5.0
    assert incidents(FreezeSpec(raise_after_s=2.0), pictures) == []


def test_another_size_begins_anew() -> None:
    small = [texture(320, 180)] * 10
    assert incidents(EXACT, film([texture()] * 10 + small + [texture()] * 10)) == []
