import numpy as np
import pytest

from tests.pictures import blocks, incidents, readings, sound
from vqa_ray.detectors.silence import SilenceSpec
from vqa_ray.detectors.silent_channel import SilentChannelSpec

RATE = 48_000
EXACT = SilenceSpec(raise_after_s=0.3, clear_after_s=0.0)


def tone(seconds: float, channels: int = 2, level: float = 0.2) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.tile(level * np.sin(2 * np.pi * 440 * t), (channels, 1)).astype(np.float32)


def quieted(samples: np.ndarray, start_s: float, end_s: float, floor: float = 0.0) -> np.ndarray:
    out = samples.copy()
    span = slice(round(start_s * RATE), round(end_s * RATE))
    out[:, span] = np.random.default_rng(0).normal(0, 1, out[:, span].shape) * floor
    return out


def test_silence_is_exact_to_the_slot() -> None:
    assert incidents(EXACT, blocks(quieted(tone(4), 1.03, 1.57))) == [(1.03, 1.57)]


def test_a_noise_floor_of_minus_78_dbfs_is_silence() -> None:
    assert incidents(EXACT, blocks(quieted(tone(5), 1.0, 4.0, 10 ** (-78 / 20)))) == [(1.0, 4.0)]


@pytest.mark.parametrize("floor_dbfs", [-80, -73, -70])
def test_a_short_noise_floor_into_which_the_sound_is_cut_off_is_silence(floor_dbfs: float) -> None:
    assert incidents(EXACT, blocks(quieted(tone(5), 1.03, 1.57, 10 ** (floor_dbfs / 20)))) == [(1.03, 1.57)]


def test_a_pause_in_speech_is_not_silence_though_it_is_as_quiet() -> None:
    dark = quieted(np.zeros((2, 5 * RATE)), 0.0, 5.0, 10 ** (-62 / 20))
    room = np.stack([np.convolve(channel, np.ones(40) / 40, "same") for channel in dark])
    assert incidents(EXACT, blocks(quieted(tone(5), 1.0, 1.9) + room)) == []


def test_a_noise_floor_that_the_sound_decays_into_is_a_pause() -> None:
    t = np.arange(5 * RATE) / RATE
    decaying = tone(5) * np.where(t < 1, 1, np.where(t < 1.9, np.exp(-np.maximum(t - 1, 0) * 30), 1))
    assert incidents(EXACT, blocks(decaying + quieted(tone(5) * 0, 0, 5, 10 ** (-76 / 20)))) == []


def test_quiet_music_is_not_silence() -> None:
    assert incidents(EXACT, blocks(tone(3, level=0.004))) == []


def test_one_channel_with_sound_is_enough() -> None:
    samples = tone(3)
    samples[0] = 0.0
    assert incidents(EXACT, blocks(samples)) == []


def test_silence_to_the_end_closes_there() -> None:
    assert incidents(EXACT, blocks(quieted(tone(2), 1.0, 2.0))) == [(1.0, 2.0)]


def test_a_level_between_the_thresholds_does_not_end_silence() -> None:
    samples = quieted(tone(4), 1.0, 3.0)
    samples[:, 2 * RATE : 2 * RATE + 480] = 10 ** (-56 / 20)
    assert incidents(EXACT, blocks(samples)) == [(1.0, 3.0)]


def test_a_hole_in_the_sound_ends_what_was_quiet_but_not_sure() -> None:
    quiet = np.full((2, RATE // 10), 4e-4)
    items = [sound(quiet, n / 10) for n in range(6)] + [sound(quiet, 5 + n / 10) for n in range(6)]
    assert not any(reading.bad for reading in readings(EXACT.build(), items))


@pytest.mark.parametrize("side", [0, 1])
def test_a_channel_that_is_silent_while_the_other_sounds_is_named(side: int) -> None:
    samples = tone(4)
    samples[side, RATE : 3 * RATE] = 0.0
    spec = SilentChannelSpec(raise_after_s=1.0, clear_after_s=0.0)
    assert incidents(spec, blocks(samples), part=("FL", "FR")[side]) == [(1.0, 3.0)]
    assert incidents(spec, blocks(samples), part=("FR", "FL")[side]) == []


def test_nothing_is_said_of_channels_while_all_are_silent_nor_of_mono() -> None:
    assert readings(SilentChannelSpec().build(), blocks(np.zeros((2, RATE)))) == []
    assert readings(SilentChannelSpec().build(), blocks(tone(1, channels=1))) == []


def test_silent_surround_channels_are_normal() -> None:
    samples = tone(2, channels=6)
    samples[2:] = 0.0
    assert {reading.part for reading in readings(SilentChannelSpec().build(), blocks(samples))} == {"FL", "FR"}
