"""Defects of the sound are labelled where they can be heard."""

from fractions import Fraction

import numpy as np
import pytest

from tests.sounds import RATE
from vqa_ray.core.labels import Label, LabelledFile, Soft
from vqa_ray.media.labelled.content import heard
from vqa_ray.media.labelled.sounds import best_heard, level_db


def with_label(start: float, end: float, *soft: Soft) -> LabelledFile:
    label = Label("audio_dropout", start, end, sub="zeros", severity="minor", stream="audio")
    return LabelledFile("a.mp4", (label,), soft, duration=8.0)


@pytest.mark.parametrize("silence", [(1.5, 2.0), (2.1, 2.4), (1.9, 2.3)])
def test_a_hole_that_makes_a_silence_longer_counts_neither_way(silence: tuple[float, float]) -> None:
    made = heard(with_label(2.0, 2.1, Soft("audio_dropout", *silence)))
    assert made.labels == ()
    assert [(one.start, one.end) for one in made.soft] == [silence, (2.0, 2.1)]


def test_a_hole_in_sound_is_a_label() -> None:
    file = with_label(2.0, 2.1, Soft("audio_dropout", 1.0, 1.5), Soft("silence", 2.0, 2.3))
    assert heard(file) == file


def test_a_hole_is_put_where_sound_breaks_off_and_comes_back() -> None:
    sound = np.full((2, 2 * RATE), 0.001, np.float32)
    sound[:, round(0.9 * RATE) : round(1.1 * RATE)] = 0.3  # a syllable that a hole of 0.2 s would swallow whole
    sound[:, round(1.3 * RATE) : round(1.9 * RATE)] = 0.1
    assert best_heard(sound, range(15, 40), 5, Fraction(25)) in range(33, 43)


def test_the_level_is_that_of_the_louder_channel() -> None:
    sound = np.stack([np.full(RATE, 0.1), np.full(RATE, 0.01)]).astype(np.float32)
    assert level_db(sound) == pytest.approx(-20.0, abs=0.01)
