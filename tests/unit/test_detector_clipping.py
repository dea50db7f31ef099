import numpy as np
import pytest

from tests.media_factory import recoded
from tests.pictures import blocks, incidents, readings
from tests.sounds import RATE, music, speech
from vqa_ray.config import QC
from vqa_ray.detectors.clipping import ClippingSpec

EXACT = ClippingSpec(raise_after_s=0.5, clear_after_s=1.5, merge_gap_s=0.5)


def driven(samples: np.ndarray, start_s: float, end_s: float, gain_db: float, ceiling: float) -> np.ndarray:
    """`samples` turned up and cut off at the ceiling for a while."""
    out = samples.copy()
    span = slice(round(start_s * RATE), round(end_s * RATE))
    out[:, span] = np.clip(out[:, span] * 10 ** (gain_db / 20), -ceiling, ceiling)
    return out


def share_of(found: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    """How much of the span is within what was found."""
    return sum(max(0.0, min(end, end_s) - max(start, start_s)) for start, end in found) / (end_s - start_s)


@pytest.mark.parametrize("make", [speech, music])
@pytest.mark.parametrize("codec", ["", "aac", "libopus", "libmp3lame"])
@pytest.mark.parametrize("ceiling", [1.0, 0.7])
def test_clipping_is_found_before_and_after_lossy_codecs(make, codec: str, ceiling: float) -> None:
    samples = driven(make(8), 2.0, 6.0, 30, ceiling)
    found = incidents(EXACT, blocks(recoded(samples, codec) if codec else samples))
    assert found[0][0] == pytest.approx(2.0, abs=0.4)
    assert share_of(found, 2.0, 6.0) > 0.6
    assert found[-1][1] < 6.3


@pytest.mark.parametrize("make", [speech, music])
def test_loud_sound_that_is_not_cut_off_is_not_clipped(make) -> None:
    samples = make(20, seed=4)
    samples /= np.abs(samples).max()
    assert incidents(EXACT, blocks(samples)) == []


def test_a_limiter_is_no_clipping() -> None:
    samples = music(10) * 8
    width = RATE // 200
    peaks = np.abs(samples).max(axis=0)
    held = np.array([peaks[max(0, n - width) : n + width].max() for n in range(0, len(peaks), width)])
    gain = np.interp(np.arange(len(peaks)), np.arange(len(held)) * width, 0.95 / np.maximum(held, 0.95))
    assert incidents(EXACT, blocks((samples * gain).astype(np.float32))) == []


@pytest.mark.parametrize("hz", [50, 440, 1000])
def test_a_tone_at_full_scale_is_not_clipped(hz: int) -> None:
    tone = np.tile(np.sin(2 * np.pi * hz * np.arange(4 * RATE) / RATE), (2, 1))
    assert incidents(EXACT, blocks(tone)) == []


def test_one_clipped_channel_is_enough() -> None:
    samples = music(6, level=0.05)
    samples[1] = driven(samples, 1.0, 5.0, 30, 0.9)[1]
    assert share_of(incidents(EXACT, blocks(samples)), 1.0, 5.0) > 0.8


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_noise_that_was_cut_off_is_found_by_its_peaks_beyond_full_scale(codec: str) -> None:
    noise = 0.05 * np.random.default_rng(3).standard_normal((2, 6 * RATE)).astype(np.float32)
    clipped = blocks(recoded(driven(noise, 2.0, 4.0, 24, 1.0), codec))
    assert share_of(incidents(EXACT, clipped), 2.0, 4.0) > 0.9
    worst = max(reading.value for reading in readings(EXACT.build(), clipped))
    assert type(worst) is float
    assert 5.0 < worst < 60.0
    loud = recoded(np.clip(noise * 5, -0.99, 0.99), codec)  # peaks alone reach the limit
    assert incidents(EXACT, blocks(loud)) == []


def test_a_pause_between_two_clipped_vowels_counts_with_them() -> None:
    vowels = driven(music(4, level=0.05), 1.0, 2.6, 30, 0.9)
    for at_s in (1.3, 1.7, 2.1):
        vowels[:, round(at_s * RATE) : round((at_s + 0.2) * RATE)] *= 0.01
    assert share_of(incidents(EXACT, blocks(vowels)), 1.0, 2.6) > 0.9


def test_in_files_two_clipped_stretches_more_than_a_second_apart_are_two() -> None:
    spec = next(spec for spec in QC.specs if spec.id == "clipping")
    twice = driven(driven(music(8, level=0.05), 1.0, 3.0, 30, 0.9), 4.3, 6.3, 30, 0.9)
    first, second = incidents(spec, blocks(twice))
    assert (first[1], second[0]) == (pytest.approx(3.0, abs=0.3), pytest.approx(4.3, abs=0.3))


def test_an_offset_is_no_plateau() -> None:
    assert incidents(EXACT, blocks(0.4 + 0.5 * speech(6))) == []


def test_value_is_the_share_of_samples_at_the_ceiling() -> None:
    square = np.sign(np.random.default_rng(0).normal(size=(2, RATE))).repeat(4, axis=1)[:, :RATE] * 0.8
    values = [r.value for r in readings(ClippingSpec().build(), blocks(square)) if r.bad]
    assert values
    assert max(values) == pytest.approx(100.0, abs=1.0)
