import numpy as np
import pytest

from tests.media_factory import recoded
from tests.pictures import blocks, incidents, readings, sound
from tests.sounds import RATE, speech
from vqa_ray.detectors.audio_dropout import AudioDropoutSpec

EXACT = AudioDropoutSpec(raise_after_s=0.0, clear_after_s=0.0, merge_gap_s=0.0)


def with_hole(samples: np.ndarray, start_s: float, end_s: float, left: float = 0.0) -> np.ndarray:
    out = samples.copy()
    out[:, round(start_s * RATE) : round(end_s * RATE)] *= left
    return out


@pytest.mark.parametrize("length_s", [0.02, 0.047, 0.12, 0.3])
def test_a_hole_is_found_to_the_millisecond(length_s: float) -> None:
    ((start, end),) = incidents(EXACT, blocks(with_hole(speech(4), 2.013, 2.013 + length_s)))
    assert (start, end) == (pytest.approx(2.013, abs=0.0021), pytest.approx(2.013 + length_s, abs=0.0021))


@pytest.mark.parametrize("codec", ["aac", "libopus", "mp2", "libmp3lame"])
def test_a_hole_is_found_after_a_lossy_codec(codec: str) -> None:
    samples = recoded(with_hole(speech(4), 2.0, 2.1), codec)
    ((start, end),) = incidents(EXACT, blocks(samples))
    assert (start, end) == (pytest.approx(2.0, abs=0.015), pytest.approx(2.1, abs=0.015))


def test_holes_one_after_the_other_are_told_apart() -> None:
    samples = with_hole(with_hole(speech(4), 2.0, 2.05), 2.2, 2.26)
    assert len(incidents(EXACT, blocks(samples))) == 2


def test_a_collapse_of_the_level_is_a_hole_too() -> None:
    assert len(incidents(EXACT, blocks(with_hole(speech(4), 2.0, 2.1, left=0.005)))) == 1


def test_pauses_of_speech_are_not_holes() -> None:
    assert incidents(EXACT, blocks(speech(30, seed=3))) == []


def test_a_pause_that_sound_fades_into_is_not_a_hole() -> None:
    samples = speech(4)
    fade = np.ones(samples.shape[1])
    start = 2 * RATE
    fade[start : start + 3840] = 10 ** (-np.arange(3840) / 3840 * 4)  # 80 dB in 80 ms
    fade[start + 3840 : start + 9600] = 0.0
    assert incidents(EXACT, blocks((samples * fade).astype(np.float32))) == []


def test_a_hole_in_the_background_between_two_sentences_is_not_heard() -> None:
    quiet = (np.random.default_rng(0).normal(0, 0.002, (2, RATE))).astype(np.float32)
    samples = np.concatenate([speech(2), quiet, speech(2, seed=2)], axis=1)
    assert incidents(EXACT, blocks(with_hole(samples, 2.4, 2.6))) == []


def test_a_dead_hole_between_two_pulses_of_a_low_voice_is_found() -> None:
    pulses = (np.random.default_rng(0).normal(0, 0.02, (2, 4 * RATE))).astype(np.float32)
    for at in range(0, 4 * RATE, RATE // 90):  # 11 ms apart, gone after 2 ms
        pulses[:, at : at + RATE // 500] += 0.4
    pulses[:, round(2.009 * RATE) : round(2.115 * RATE)] = 0.0
    ((start, end),) = incidents(EXACT, blocks(pulses))
    assert (start, end) == (pytest.approx(2.009, abs=0.003), pytest.approx(2.115, abs=0.003))


@pytest.mark.parametrize("fall_db_a_ms", [0.7, 1.5])
def test_a_decay_into_digital_silence_is_no_hole(fall_db_a_ms: float) -> None:
    samples = speech(4, pauses=False)
    fade = 10 ** (-np.arange(round(0.15 * RATE)) / RATE * 1000 * fall_db_a_ms / 20)
    fade[fade < 1e-5] = 0.0
    samples[:, 2 * RATE : 2 * RATE + fade.size] *= fade.astype(np.float32)
    samples[:, 2 * RATE + fade.size : round(2.25 * RATE)] = 0.0
    assert incidents(EXACT, blocks(samples)) == []


def test_longer_holes_are_left_to_silence() -> None:
    assert incidents(EXACT, blocks(with_hole(speech(4), 2.0, 2.7))) == []


def test_sound_that_does_not_come_back_is_no_hole() -> None:
    assert incidents(EXACT, blocks(with_hole(speech(3), 2.9, 3.0))) == []


def test_missing_blocks_are_not_bridged() -> None:
    items = [block for block in blocks(with_hole(speech(4), 2.08, 2.1)) if not 2.05 < block.at_s < 2.95]
    assert not any(reading.bad for reading in readings(EXACT.build(), items))


def test_mono_at_another_rate() -> None:
    samples = speech(4)[:1, ::2]
    half = RATE // 2
    samples[:, 2 * half : round(2.1 * half)] = 0.0
    items = [
        sound(samples[:, n : n + half // 10], n / half, rate_hz=half) for n in range(0, samples.shape[1], half // 10)
    ]
    assert len(incidents(EXACT, items)) == 1
