"""What a clip does by itself, so that nothing is labelled there."""

import numpy as np
import pytest

from tests.pictures import panned, texture
from vqa_ray.media.labelled.natural import STIRS, stands_still


def picture(luma: np.ndarray) -> np.ndarray:
    """As yuv420p: (height * 3 / 2, width) uint8, grey."""
    return np.vstack([luma, np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)])


def test_a_still_with_grain_stands_still():
    rng = np.random.default_rng(1)
    noisy = [(texture() + rng.normal(0, 2.0, (360, 640))).clip(0, 255).astype(np.uint8) for _ in range(20)]
    assert stands_still(map(picture, noisy))


@pytest.mark.parametrize("speed", [1, 6])
def test_a_shot_that_pans_does_not(speed):
    assert not stands_still(picture(panned(n, step=speed)) for n in range(40))


def test_one_patch_that_changes_is_enough():
    changed = texture()
    changed[100:120, 320:352] = np.clip(changed[100:120, 320:352] + 4 * STIRS, 0, 255)
    assert not stands_still(map(picture, [texture(), texture(), changed]))
