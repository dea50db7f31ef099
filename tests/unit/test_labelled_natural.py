"""What a clip does by itself, so that nothing is labelled there."""

import numpy as np
import pytest

from tests.pictures import panned, texture
from vqa_ray.media.labelled.natural import STIRS, begins_again, stands_still
from vqa_ray.media.synthetic.speech import RATE_HZ


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


@pytest.mark.parametrize(("quiet", "jumps"), [(0.3, [4.0, 11.0]), (0.8, [])])
def test_where_a_clip_begins_again_at_another_level_the_jump_is_its_own(quiet, jumps):
    loud = np.random.default_rng(3).normal(0, 0.1, (2, 7 * RATE_HZ)).astype(np.float32)
    loud[:, : 3 * RATE_HZ] *= quiet  # seven seconds that begin quietly
    shown = np.hstack([loud] * 3)[:, 3 * RATE_HZ : 17 * RATE_HZ]
    found = begins_again(shown, 7.0, 3.0)
    assert [(one.kind, one.start + 1.0) for one in found] == [("loudness", at_s) for at_s in jumps]
