"""Derived images of pictures: the same whether they are made one by one or together."""

import math

import numpy as np
import pytest

from tests.pictures import film, panned, picture, texture
from vqa_ray.core.picture import Picture, sketch_all


def deep(luma: np.ndarray) -> np.ndarray:
    """The same in 10 bits."""
    return luma.astype(np.uint16) << 2


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_sketches_made_together_are_those_made_one_by_one(bit_depth: int) -> None:
    lumas = [panned(number) for number in (0, 1, 1, 5)]
    if bit_depth == 10:
        lumas = [deep(luma) for luma in lumas]
    single = film(lumas, bit_depth=bit_depth)
    together = [picture(luma, number, bit_depth=bit_depth) for number, luma in enumerate(lumas)]
    sketch_all(together)
    for one, other in zip(single, together, strict=True):
        assert np.array_equal(one.sketch, other.sketch)
        assert other.change == pytest.approx(one.change)
        assert other.leap == one.leap
    assert together[0].change == math.inf
    assert together[2].leap == 0.0


def test_pictures_of_another_size_are_sketched_when_they_are_looked_at() -> None:
    pictures = [picture(texture()), picture(texture(1280, 720), 1)]
    sketch_all(pictures)
    assert [one.change for one in pictures] == [math.inf, math.inf]
    assert all(isinstance(one, Picture) and one.sketch.dtype == np.uint8 for one in pictures)
