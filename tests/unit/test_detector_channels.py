"""phase, dual_mono, hum, click, missing_audio."""

import numpy as np
import pytest

from tests.pictures import blocks, incidents, readings
from tests.sounds import RATE, music, speech
from vqa_ray.core.reading import Continuity, PacketInfo
from vqa_ray.detectors.click import ClickSpec
from vqa_ray.detectors.dual_mono import DualMonoSpec
from vqa_ray.detectors.hum import HumSpec
from vqa_ray.detectors.missing_audio import MissingAudioSpec
from vqa_ray.detectors.phase import PhaseSpec

PHASE = PhaseSpec(raise_after_s=1.0, clear_after_s=0.5)
MONO = DualMonoSpec(raise_after_s=1.0, clear_after_s=0.5)
HUM = HumSpec(raise_after_s=3.0, clear_after_s=1.0)
CLICK = ClickSpec(raise_after_s=0.0, clear_after_s=0.0, merge_gap_s=0.0)


def test_an_inverted_channel_is_found() -> None:
    samples = speech(8)
    samples[1, 2 * RATE : 6 * RATE] *= -1
    ((start, end),) = incidents(PHASE, blocks(samples))
    assert start == pytest.approx(2.0, abs=0.5)
    assert end == pytest.approx(6.0, abs=0.8)


def test_mono_stereo_and_independent_channels_are_in_phase() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 5 * RATE))
    for samples in (speech(5), music(5), noise, speech(5, channels=1)):
        assert incidents(PHASE, blocks(samples)) == []


def test_quiet_blocks_say_nothing_of_phase_nor_of_mono() -> None:
    quiet = speech(2) * 0.001
    assert readings(PHASE.build(), blocks(quiet)) == readings(MONO.build(), blocks(quiet)) == []


def test_the_same_in_both_channels_is_dual_mono_and_stereo_is_not() -> None:
    same = np.repeat(music(5, channels=1), 2, axis=0)
    assert incidents(MONO, blocks(same)) == [(0.0, 5.0)]
    assert incidents(MONO, blocks(music(5))) == []


@pytest.mark.parametrize("hz", [50, 60, 1000])
def test_a_tone_that_does_not_stop_is_found_under_speech(hz: int) -> None:
    samples = speech(20)
    samples[:, 5 * RATE :] += 0.05 * np.sin(2 * np.pi * hz * np.arange(15 * RATE) / RATE)
    found = incidents(HUM, blocks(samples.astype(np.float32)))
    assert len(found) >= 1
    assert 5.0 <= found[0][0] <= 12.0


def test_speech_music_and_noise_do_not_hum() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 20 * RATE))
    for samples in (speech(20), music(20), noise):
        assert incidents(HUM, blocks(samples)) == []


def test_a_click_is_found_and_voices_do_not_click() -> None:
    samples = speech(5)
    assert incidents(CLICK, blocks(samples)) == []
    samples[:, 3 * RATE + 100] += 0.5
    ((start, end),) = incidents(ClickSpec(raise_after_s=0.0, clear_after_s=0.0, contrast_db=20.0), blocks(samples))
    assert start <= 3.0021 <= end


def packet(kind: str, at_s: float | None) -> PacketInfo:
    return PacketInfo(kind, 0, at_s, 0.04, at_s, 100, True, False, Continuity.STEADY, 0.0, 0.0)


def told(kinds: list[tuple[str, float, float]]) -> list[tuple[float, float]]:
    items = sorted(
        (packet(kind, n / 25) for kind, start, end in kinds for n in range(round(start * 25), round(end * 25))),
        key=lambda p: p.at_s,
    )
    return incidents(MissingAudioSpec(raise_after_s=2.0, clear_after_s=0.0), items)


def test_pictures_without_sound_are_told_when_it_was_never_there() -> None:
    ((start, end),) = told([("video", 0, 10)])
    assert start <= 2.0
    assert end == pytest.approx(10.0, abs=0.6)


def test_sound_that_stops_and_comes_back_is_told() -> None:
    ((start, end),) = told([("video", 0, 20), ("audio", 0, 5), ("audio", 12, 20)])
    assert start == pytest.approx(6.0, abs=0.6)
    assert end == pytest.approx(12.0, abs=0.6)


def test_sound_beside_pictures_and_sound_alone_are_fine() -> None:
    assert told([("video", 0, 10), ("audio", 0, 10)]) == []
    assert told([("audio", 0, 10)]) == []
