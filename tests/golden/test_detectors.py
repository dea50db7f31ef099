"""Readings of pictures that anyone can draw again: a change of the figures is a change of what detectors measure."""

import numpy as np
import pytest

from tests.pictures import film, panned, picture, readings, texture
from vqa_ray.detectors.black import BlackSpec
from vqa_ray.detectors.blocks import block_edges
from vqa_ray.detectors.freeze import FreezeSpec


def half_black() -> np.ndarray:
    luma = np.full((360, 640), 16, np.uint8)
    luma[:, 320:] = 180
    return luma


def chequered() -> np.ndarray:
    y, x = np.mgrid[:360, :640] // 16
    return np.where((x * 7 + y * 5) % 11 < 2, 180, 60).astype(np.uint8)


def test_darkness() -> None:
    (reading,) = readings(BlackSpec().build(), [picture(half_black())])
    assert reading.value == pytest.approx(1 - 82 / 219, abs=0.01)


def test_change_from_frame_to_frame() -> None:
    values = [reading.value for reading in readings(FreezeSpec().build(), film([panned(n) for n in range(4)]))]
    assert values == pytest.approx([0.0, 128.0, 124.0, 136.0], abs=1.0)


def test_jumps_on_the_grid() -> None:
    assert block_edges(chequered()) == pytest.approx(275.62, abs=0.1)
    assert block_edges(texture()) == 0.0
