import cv2
import numpy as np

from tests.pictures import film, incidents, panned, texture
from vqa_ray.core.picture import Picture
from vqa_ray.detectors.blocks import block_edges
from vqa_ray.detectors.corruption import CorruptionSpec

EXACT = CorruptionSpec(raise_after_s=0.0, clear_after_s=0.0)


def damaged(luma: np.ndarray, seed: int = 0, count: int = 40) -> np.ndarray:
    """`luma` with blocks of 16x16 from elsewhere in it, as after a lost slice."""
    rng = np.random.default_rng(seed)
    out = luma.copy()
    rows, columns = luma.shape[0] // 16, luma.shape[1] // 16
    for _ in range(count):
        y, x, v, u = rng.integers(0, (rows, columns, rows, columns)) * 16
        out[y : y + 16, x : x + 16] = luma[v : v + 16, u : u + 16]
    return out


def flagged(pictures: list[Picture], *numbers: int) -> list[Picture]:
    for number in numbers:
        pictures[number].corrupt = True
    return pictures


def moving(count: int = 100) -> list[np.ndarray]:
    return [panned(n) for n in range(count)]


def test_a_flag_taints_up_to_the_next_clean_key_frame() -> None:
    assert incidents(EXACT, flagged(film(moving(), keys=[0, 25, 50, 75]), 30)) == [(1.2, 2.0)]


def test_a_flagged_key_frame_does_not_clean() -> None:
    assert incidents(EXACT, flagged(film(moving(), keys=[0, 25, 50, 75]), 30, 50)) == [(1.2, 3.0)]


def test_a_taint_has_no_holes_where_the_end_of_a_picture_and_the_start_of_the_next_are_rounded() -> None:
    pictures = flagged(film(moving(), keys=[0, 25, 50, 75]), 30)
    for one in pictures:
        one.until_s += 1e-14
    detector = EXACT.build()
    readings = [reading for one in pictures for reading in detector.read(one)]
    tainted = [reading for reading in readings if 1.199 < reading.at_s < 1.999]
    assert len(tainted) == 20
    assert all(reading.bad for reading in tainted)


def test_flags_before_the_first_clean_key_frame_are_a_late_join() -> None:
    assert incidents(EXACT, flagged(film(moving(), keys=[25]), 0, 3, 10)) == []


def test_without_key_frames_a_taint_ends_by_itself() -> None:
    spec = CorruptionSpec(raise_after_s=0.0, clear_after_s=0.0, taint_s=1.0)
    assert incidents(spec, flagged(film(moving(), keys=[0]), 10)) == [(0.4, 1.44)]


def test_displaced_blocks_are_found_without_any_flag() -> None:
    lumas = [damaged(luma) if 50 <= n < 75 else luma for n, luma in enumerate(moving())]
    ((start_s, end_s),) = incidents(EXACT, film(lumas, keys=[0, 25, 50, 75]))
    assert abs(start_s - 2.0) <= 0.16
    assert abs(end_s - 3.0) <= 0.16


def test_intact_pictures_and_cuts_are_not_damaged() -> None:
    lumas = [panned(n, seed=1 + n // 30) for n in range(120)]
    assert incidents(EXACT, film(lumas, keys=[0, 50, 100])) == []


def test_colour_bars_and_graphics_on_the_grid_are_not_damaged() -> None:
    bars = np.repeat(np.linspace(235, 16, 8).astype(np.uint8), 80)[None, :].repeat(360, axis=0)
    titled = [luma.copy() for luma in moving()]
    for luma in titled[40:]:
        luma[304:336, 64:576] = 220
        luma[16:48, 560:624] = 30
    assert incidents(EXACT, film([*moving(30), *([bars] * 50)])) == []
    assert incidents(EXACT, film(titled)) == []


def test_only_jumps_on_the_grid_count() -> None:
    picture = damaged(texture())
    assert block_edges(picture) > 5.0
    assert block_edges(np.roll(picture, (5, 5), (0, 1))) == 0.0
    assert block_edges(texture()) == 0.0


def test_block_edges_are_found_in_ten_bits_and_in_large_pictures() -> None:
    assert block_edges(damaged(texture()).astype(np.uint16) << 2, 10) == block_edges(damaged(texture()))
    large = cv2.resize(texture(), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    assert block_edges(large) == 0.0
    assert block_edges(damaged(large, count=400)) > 3.0


def test_a_picture_smaller_than_three_blocks_has_no_grid() -> None:
    assert block_edges(np.zeros((40, 640), np.uint8)) == 0.0
