"""What one stream is expected to take."""

import pytest

from vqa_ray.core.demand import (
    HALF_LIFE_S,
    UNKNOWN_BYTES,
    UNKNOWN_SHARE,
    Shape,
    expected_bytes,
    expected_share,
    smoothed,
)


@pytest.mark.parametrize(
    ("shape", "measured"),
    [((640, 360, 25.0), 0.043), ((1280, 720, 25.0), 0.11), ((1920, 1080, 30.0), 0.32)],
)
def test_the_expected_share_is_near_what_was_measured(shape: tuple[int, int, float], measured: float):
    width, height, fps = shape
    assert expected_share(Shape(width=width, height=height, fps=fps)) == pytest.approx(measured, rel=0.2)


def test_a_stream_of_which_nothing_is_known_gets_the_default():
    assert expected_share(None) == UNKNOWN_SHARE
    assert expected_bytes(None) == UNKNOWN_BYTES


def test_the_expected_memory_grows_with_the_picture():
    small, large = (expected_bytes(Shape(width=w, height=h, fps=25.0)) for w, h in ((640, 360), (1920, 1080)))
    assert 10 << 20 < small < UNKNOWN_BYTES < large < 60 << 20


def test_a_measured_share_moves_half_the_way_in_a_half_life():
    assert smoothed(None, 0.4, 1.0) == 0.4
    assert smoothed(0.2, 0.4, HALF_LIFE_S) == pytest.approx(0.3)
