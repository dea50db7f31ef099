from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest

from tests.media_factory import recoded
from tests.pictures import blocks, incidents, readings, sound
from tests.sounds import RATE, music, speech
from vqa_ray.detectors.bs1770 import Meter, channel_gains, k_power, lufs, true_peak
from vqa_ray.detectors.loudness import LoudnessSpec

EXACT = LoudnessSpec(raise_after_s=1.5, clear_after_s=0.0)


def turned(samples: np.ndarray, start_s: float, end_s: float, gain_db: float) -> np.ndarray:
    out = samples.copy()
    out[:, round(start_s * RATE) : round(end_s * RATE)] *= 10 ** (gain_db / 20)
    return out


@pytest.mark.parametrize("make", [partial(speech, pauses=False), music], ids=["speech", "music"])
@pytest.mark.parametrize("gain_db", [-18, -14, 14, 18])
def test_a_jump_of_the_gain_and_its_end_are_found(make, gain_db: float) -> None:
    samples = turned(make(12, level=0.05), 4.02, 8.0, gain_db)
    ((start, end),) = incidents(EXACT, blocks(samples))
    assert start == pytest.approx(4.0, abs=0.35)
    assert end == pytest.approx(8.0, abs=0.6)


@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_a_jump_is_found_after_a_lossy_codec(codec: str) -> None:
    samples = recoded(turned(music(10, level=0.05), 4.0, 7.5, 15), codec)
    ((start, end),) = incidents(EXACT, blocks(samples))
    assert (start, end) == (pytest.approx(4.0, abs=0.3), pytest.approx(7.5, abs=0.5))


def test_a_jump_tells_how_far() -> None:
    told = readings(EXACT.build(), blocks(turned(music(10, level=0.05), 4.0, 7.5, 15)))
    assert max(r.value for r in told if r.bad) == pytest.approx(15.0, abs=3.0)


@pytest.mark.parametrize("seed", range(4))
def test_pauses_of_speech_and_beats_of_music_are_no_jumps(seed: int) -> None:
    assert incidents(EXACT, blocks(speech(40, seed=seed))) == []
    assert incidents(EXACT, blocks(music(40, seed=seed))) == []


def phrases(*parts: tuple[float, float], level: float = 0.05, room: float = 0.0005) -> np.ndarray:
    """Speech for so many seconds, then its room alone for so many, and so on."""
    rng = np.random.default_rng(5)
    spoken = speech(sum(part[0] for part in parts), level=level, pauses=False)
    made, at = [], 0
    for speech_s, pause_s in parts:
        until = at + round(speech_s * RATE)
        made += [spoken[:, at:until], rng.normal(0, room, (2, round(pause_s * RATE)))]
        at = until
    return np.concatenate(made, axis=1).astype(np.float32)


@pytest.mark.parametrize("gain_db", [-15, 15])
def test_a_jump_is_found_in_speech_that_pauses_right_after_it(gain_db: float) -> None:
    samples = turned(phrases((3.0, 0.0), (0.5, 0.8), (1.5, 0.4), (2.0, 0.4), (3.0, 0.0)), 3.0, 8.6, gain_db)
    ((start, end),) = incidents(EXACT, blocks(samples))
    assert start == pytest.approx(3.0, abs=0.35)
    assert end == pytest.approx(8.6, abs=0.6)


@pytest.mark.parametrize("gain_db", [-15, 15])
def test_a_jump_in_a_pause_begins_when_sound_is_back(gain_db: float) -> None:
    samples = turned(phrases((3.0, 0.8), (1.5, 0.4), (3.0, 0.0), (3.0, 0.0)), 3.4, 8.7, gain_db)
    ((start, _),) = incidents(EXACT, blocks(samples))
    assert start == pytest.approx(3.8, abs=0.25)


def test_a_pause_does_not_end_a_jump() -> None:
    samples = turned(phrases((3.0, 0.0), (1.5, 1.2), (2.0, 1.2), (2.0, 0.0), (3.0, 0.0)), 3.0, 10.9, 15)
    ((start, end),) = incidents(EXACT, blocks(samples))
    assert (start, end) == (pytest.approx(3.0, abs=0.35), pytest.approx(10.9, abs=0.6))


@pytest.mark.parametrize("floor", [0.0, 0.0003])
@pytest.mark.parametrize("length_s", [0.5, 1.0, 3.0])
def test_silence_between_speech_and_its_room_is_no_jump(floor: float, length_s: float) -> None:
    samples = phrases((3.0, 0.6), (1.2, 1.1), (3.0, 1.0), (3.0, 0.5))
    start, count = round(3.9 * RATE), round(length_s * RATE)
    samples[:, start : start + count] = np.random.default_rng(2).normal(0, 1, (2, count)) * floor
    assert incidents(EXACT, blocks(samples)) == []


def test_the_silence_of_a_pause_that_became_softer_does_not_hide_the_jump() -> None:
    assert "silence" not in LoudnessSpec.hidden_by


def test_programmes_that_fade_into_each_other_are_no_jump() -> None:
    first, second = speech(12, level=0.02, pauses=False), music(12, level=0.1)
    over = np.interp(np.arange(first.shape[1]) / RATE, [5, 6], [0, 1]).astype(np.float32)
    assert incidents(EXACT, blocks(first * (1 - over) + second * over)) == []


@pytest.mark.parametrize("level", [0.03, 0.1])
def test_applause_and_an_explosion_after_speech_are_no_jump(level: float) -> None:
    rng = np.random.default_rng(4)
    samples = speech(12, level=0.03)
    noise = rng.normal(0, level, (2, 5 * RATE)) * np.exp(-np.arange(5 * RATE) / RATE / 2.0)
    samples[:, 5 * RATE : 10 * RATE] += noise.astype(np.float32)
    assert incidents(EXACT, blocks(samples)) == []


def test_a_jump_is_told_at_most_as_late_as_before_where_there_is_no_pause() -> None:
    detector, first = LoudnessSpec().build(), 0.0
    for block in blocks(turned(music(10, level=0.05), 4.0, 7.5, 15)):
        if not first and any(reading.bad for reading in detector.read(block)):
            first = block.until_s
    assert first == pytest.approx(5.3, abs=0.15)


def test_other_sound_that_sets_in_is_no_jump() -> None:
    samples = np.concatenate([speech(5, level=0.01), music(5, level=0.3)], axis=1)
    assert incidents(EXACT, blocks(samples)) == []


def test_a_fade_is_no_jump() -> None:
    samples = music(12, level=0.2)
    fade = 10 ** (np.interp(np.arange(samples.shape[1]) / RATE, [4, 7], [-20, 0]) / 20)
    assert incidents(EXACT, blocks((samples * fade).astype(np.float32))) == []


def test_silence_and_sound_after_it_are_no_jumps() -> None:
    assert incidents(EXACT, blocks(turned(speech(12), 4.0, 7.0, -200))) == []


def test_a_new_level_becomes_normal() -> None:
    spec = LoudnessSpec(raise_after_s=1.5, clear_after_s=0.0, forget_s=5.0)
    ((start, end),) = incidents(spec, blocks(turned(music(20, level=0.02), 5.0, 20.0, 15)))
    assert (start, end) == (pytest.approx(5.0, abs=0.3), pytest.approx(10.0, abs=0.6))


def test_nothing_is_compared_across_a_gap() -> None:
    early = blocks(music(5, level=0.02))
    late = [sound(b.samples * 8.0, b.at_s + 20.0) for b in blocks(music(5, level=0.02))]
    assert incidents(EXACT, [*early, *late]) == []


def measured(samples: np.ndarray) -> tuple[list[float], list[float], Meter]:
    meter, momentary, short = Meter(), [], []
    for block in blocks(samples):
        meter.add(k_power(block.powers, RATE, block.channels))
        momentary.append(meter.momentary)
        short.append(meter.short_term)
    return momentary, short, meter


def by_libav(samples: np.ndarray) -> list[dict[str, float]]:
    """What libavfilter's ebur128 says after each 0.1 s."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="fltp", layout="stereo", time_base=Fraction(1, RATE))
    meter, sink = graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    told = []
    for start in range(0, samples.shape[1], RATE // 10):
        piece = np.ascontiguousarray(samples[:, start : start + RATE // 10])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        source.push(frame)
        told.append({key: float(value) for key, value in sink.pull().metadata.items()})
    return told


@pytest.mark.parametrize("make", [speech, music])
def test_loudness_is_that_of_libav(make) -> None:
    samples = make(20)
    momentary, short, meter = measured(samples)
    told = by_libav(samples)
    heard = [n for n in range(4, 200) if told[n]["lavfi.r128.M"] > -50]
    assert max(abs(momentary[n] - told[n]["lavfi.r128.M"]) for n in heard) <= 0.5
    assert max(abs(short[n] - told[n]["lavfi.r128.S"]) for n in range(30, 200)) <= 0.5
    assert meter.integrated == pytest.approx(told[-1]["lavfi.r128.I"], abs=0.3)
    assert meter.range == pytest.approx(told[-1]["lavfi.r128.LRA"], abs=1.0)


def test_a_tone_of_1_khz_reads_as_the_standard_says() -> None:
    tone = np.zeros((2, 4 * RATE), np.float32)
    tone[0] = np.sin(2 * np.pi * 997 * np.arange(4 * RATE) / RATE)
    assert measured(tone)[2].integrated == pytest.approx(-3.01, abs=0.1)


def test_surround_counts_more_and_bass_not_at_all() -> None:
    assert channel_gains(("FL", "FR", "FC", "LFE", "BL", "BR")).tolist() == pytest.approx([1, 1, 1, 0, 1.41, 1.41])


def test_silence_has_a_loudness_that_can_be_printed() -> None:
    meter = measured(np.zeros((2, 4 * RATE)))[2]
    assert lufs(0.0) == meter.integrated == meter.short_term == -120.0
    assert meter.range == 0.0


def test_a_peak_between_samples_is_measured() -> None:
    tone = np.sin(2 * np.pi * 12000 * np.arange(4800) / RATE + np.pi / 4)[None].astype(np.float32)
    assert np.abs(tone).max() == pytest.approx(0.707, abs=0.001)
    assert true_peak(tone) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("part", "options", "seconds"),
    [
        ("short_term", {"max_short_term_lufs": -30.0}, 5),
        ("momentary", {"max_momentary_lufs": -30.0}, 5),
        ("true_peak", {"max_true_peak_dbtp": -20.0}, 5),
        ("integrated", {"target_lufs": -40.0}, 35),
    ],
)
def test_a_limit_is_a_part_of_its_own_and_off_by_default(part: str, options: dict[str, float], seconds: int) -> None:
    items = blocks(music(seconds, level=0.2))
    told = readings(LoudnessSpec(**options).build(), items)
    assert any(r.bad and r.value > 0 for r in told if r.part == part)
    assert {r.part for r in told} == {"", part}
    assert {r.part for r in readings(LoudnessSpec().build(), items)} == {""}


def test_the_loudness_range_is_limited_once_a_minute_is_measured() -> None:
    loud, soft = music(35, level=0.2), music(35, level=0.02)
    spec = LoudnessSpec(max_range_lu=12.0)
    told = [r for r in readings(spec.build(), blocks(np.concatenate([loud, soft], axis=1))) if r.part == "range"]
    assert told[0].at_s == pytest.approx(60.0, abs=0.2)
    assert told[-1].bad and told[-1].value == pytest.approx(8.0, abs=3.0)  # 20 LU apart
    assert not any(r.bad for r in readings(spec.build(), blocks(music(70, level=0.2))) if r.part == "range")
