"""The flash-and-beep signal: drawn flashes and made beeps, judged by detector av_marker."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.pictures import blocks, film, readings
from tests.sounds import music, speech
from vqa_ray.cli import show
from vqa_ray.cli.measure import measure_av_marker
from vqa_ray.core.reading import Reading
from vqa_ray.detectors.av_marker import AvMarkerDetector, AvMarkerSpec
from vqa_ray.detectors.marks import Beeps
from vqa_ray.detectors.pairs import drift_ms_per_min, offsets
from vqa_ray.pipeline.local import Measured

RATE = 48_000
FLASHES = [60, 160, 275, 390, 480]  # frames, 25 a second


def shown(flashes: Sequence[int], frames: int, lit: int = 2, bright: int = 235) -> list[np.ndarray]:
    bars = np.full((90, 160), 60, np.uint8)
    return [np.full_like(bars, bright) if any(f <= n < f + lit for f in flashes) else bars for n in range(frames)]


def heard(times_s: Sequence[float], seconds: float, beep_s: float = 0.1) -> np.ndarray:
    samples = 1e-4 * np.random.default_rng(1).standard_normal((2, round(seconds * RATE)))
    for at_s in times_s:
        span = slice(max(0, round(at_s * RATE)), round((at_s + beep_s) * RATE))
        samples[:, span] += 0.3 * np.sin(2 * np.pi * 1000 * np.arange(samples[0, span].size) / RATE)
    return samples


def judged(
    times_s: Sequence[float], flashes: Sequence[int] = FLASHES, frames: int = 600, **options: float
) -> list[Reading]:
    items = [*film(shown(flashes, frames)), *blocks(heard(times_s, frames / 25))]
    return readings(AvMarkerDetector(AvMarkerSpec(**options)), sorted(items, key=lambda item: item.at_s))


def of(part: str, found: list[Reading]) -> list[Reading]:
    return [reading for reading in found if reading.part == part]


@pytest.mark.parametrize("offset_s", [-2.0, -0.4567, -0.0301, 0.0, 0.0123, 0.25, 1.99])
def test_each_flash_gets_its_offset_to_the_millisecond(offset_s: float) -> None:
    late = of("late", judged([n / 25 + offset_s for n in FLASHES]))
    assert [reading.at_s for reading in late] == [n / 25 for n in FLASHES]
    assert [reading.value for reading in late] == pytest.approx([offset_s * 1000] * len(FLASHES), abs=0.3)


def test_only_the_side_and_size_that_is_not_tolerable_is_bad() -> None:
    for offset_s, bad in ((0.03, set()), (0.05, {"late"}), (-0.05, {"early"})):
        found = judged([n / 25 + offset_s for n in FLASHES])
        assert {reading.part for reading in found if reading.bad} == bad


def test_a_step_shows_from_the_first_flash_behind_it() -> None:
    flashes = [60 + 100 * k for k in range(8)]
    times = [n / 25 + (0.3 if n > 400 else 0.0) for n in flashes]
    late = of("late", judged(times, flashes, 900))
    assert [round(reading.value) for reading in late] == [0, 0, 0, 0, 300, 300, 300, 300]
    assert [reading.bad for reading in late] == [False] * 4 + [True] * 4


def test_a_drift_is_told_with_its_sign() -> None:
    flashes = [60 + 100 * k for k in range(12)]
    found = judged([n / 25 - 0.04 / 60 * n / 25 for n in flashes], flashes, 1250)
    assert of("drift", found)[-1].value == pytest.approx(-40.0, abs=1.0) and of("drift", found)[-1].bad
    assert not any(reading.bad for reading in of("drift", judged([n / 25 for n in flashes], flashes, 1250)))


def test_of_flashes_at_equal_distances_the_nearest_beep_counts() -> None:
    flashes = list(range(50, 500, 25))
    late = of("late", judged([n / 25 + 0.8 for n in flashes], flashes))
    assert {round(reading.value) for reading in late} == {-200}


def test_a_beep_that_is_missing_now_and_then_is_no_other_offset() -> None:
    flashes = [60 + 90 * k for k in range(9)]
    late = of("late", judged([n / 25 + 0.1 for n in flashes if n != 330], flashes, 900))
    assert late and all(round(reading.value) == 100 for reading in late)


def test_other_material_says_nothing() -> None:
    flashes = [40, 90, 190, 260, 301, 420, 510]  # photographers
    for sound in (speech(24), music(24), heard([3.1, 7.7, 8.9, 14.2, 20.4], 24)):
        items = sorted([*film(shown(flashes, 600)), *blocks(sound)], key=lambda item: item.at_s)
        found = readings(AvMarkerDetector(AvMarkerSpec()), items)
        assert {reading.part for reading in found} == {"pairs"} and not any(reading.bad for reading in found)


def test_a_cut_to_something_brighter_is_no_flash() -> None:
    pictures = film([np.full((90, 160), 40 + 160 * (n // 60 % 2), np.uint8) for n in range(600)])
    items = sorted([*pictures, *blocks(heard([n * 2.4 for n in range(10)], 24))], key=lambda item: item.at_s)
    assert not of("late", readings(AvMarkerDetector(AvMarkerSpec()), items))


@pytest.mark.parametrize("at_s", [0.5, 0.59999, 0.600, 0.6049, 0.699])
def test_a_beep_is_found_to_the_sample_wherever_it_lies_in_a_block(at_s: float) -> None:
    beeps = Beeps()
    found = [beep for block in blocks(heard([at_s], 2.0)) for beep in beeps.hear(block)]
    assert found == [pytest.approx(at_s, abs=0.0003)]


def test_a_tone_that_goes_on_is_no_beep() -> None:
    beeps = Beeps()
    assert not [beep for block in blocks(heard([0.5], 3.0, beep_s=1.5)) for beep in beeps.hear(block)]


def test_offsets_need_a_beep_for_each_flash() -> None:
    assert offsets([1.0, 4.0, 9.0], [1.2, 4.21, 9.2], 2.0) == pytest.approx([0.2, 0.21, 0.2])
    assert offsets([1.0, 4.0, 9.0], [1.2, 9.2], 2.0) is None
    assert offsets([1.0, 4.0, 9.0], [4.2, 7.2, 12.2], 2.0) is None
    assert drift_ms_per_min([(0.0, 0.0), (10.0, 0.01)]) is None


def test_measured_as_the_median_of_the_flashes() -> None:
    measured = [Measured("av_marker", reading) for reading in judged([n / 25 + 0.12 for n in FLASHES])]
    found = measure_av_marker(measured)
    assert found.offset_ms == pytest.approx(120.0, abs=0.3)
    assert (found.sure, found.sureness, found.trust, found.range_ms) == (True, 5.0, "marker", (-2000, 2000))
    assert show.offset(found) == "sound 120 ms late, sure (sureness 5, from marker)"
    assert show.offset(measure_av_marker([])) == "no flashes with their beeps: nothing was measured"
