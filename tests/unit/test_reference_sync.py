"""Sync against a reference: the maths on drawn pictures and made sound, and what the result says."""

from functools import lru_cache

import numpy as np
import pytest

from tests.pictures import blocks, picture, texture
from tests.sounds import speech
from vqa_ray.cli.sync import NOTHING_COMMON, said
from vqa_ray.detectors.reference.alignment import curve, peaks
from vqa_ray.detectors.reference.fingerprint import RATE_HZ, Fingerprint, fresh
from vqa_ray.detectors.reference.verdict import Aligned, Marks, Verdict, judge, marks
from vqa_ray.pipeline.sync import Sync

SECONDS = 12.0


def shown(at_s: float, seed: int) -> np.ndarray:
    """The picture of a programme at `at_s`: it pans this way and that, and is cut each 4 s."""
    scene, along = int(at_s // 4), 60 * np.sin(1.3 * at_s) + 25 * np.sin(5.1 * at_s + seed)
    return np.roll(drawn(10 * seed + scene % 5 + 1), round(along), axis=1)


@lru_cache
def drawn(seed: int) -> np.ndarray:
    return texture(160, 90, seed=seed)


@lru_cache
def spoken(seed: int) -> np.ndarray:
    return speech(SECONDS + 12, channels=1, seed=seed)


def fingerprint(
    *, delay_s: float = 0.0, offset_s: float = 0.0, fps: float = 25, seed: int = 1, gain: float = 1.0,
    seconds: float = SECONDS, repeat: int = 1,
) -> Marks:  # fmt: skip
    found = Fingerprint()
    for n in range(round(seconds * fps)):
        at_s = n // repeat * repeat / fps + 5.0 - delay_s
        found.take(picture((0.9 * shown(at_s, seed)).astype(np.uint8), n, fps=fps))
    first = round((5.0 - delay_s - offset_s) * 48_000)
    for block in blocks(gain * spoken(seed)[:, first : first + round(seconds * 48_000)]):
        found.take(block)
    return marks(found)


@pytest.fixture(scope="module")
def reference() -> Marks:
    return fingerprint()


@pytest.mark.parametrize(("delay_s", "offset_s"), [(0.0, 0.0), (2.0, 0.5), (-2.4, -1.234), (1.2, 3.0), (-1.0, -4.0)])
def test_error_and_delay_are_found_with_their_signs(reference: Marks, delay_s: float, offset_s: float) -> None:
    best = judge(reference, fingerprint(delay_s=delay_s, offset_s=offset_s)).best
    assert best is not None and best.sure
    assert best.offset_s == pytest.approx(offset_s, abs=0.003) and best.delay_s == pytest.approx(delay_s, abs=0.003)


@pytest.mark.parametrize(("fps", "repeat"), [(50, 1), (50, 2), (30, 1)])
def test_other_frame_rates_and_levels_make_no_error(reference: Marks, fps: float, repeat: int) -> None:
    best = judge(reference, fingerprint(offset_s=0.2, fps=fps, gain=0.2, repeat=repeat)).best
    assert best is not None and best.sure and best.offset_s == pytest.approx(0.2, abs=0.006)


def test_other_programmes_are_never_sure(reference: Marks) -> None:
    for seed in range(2, 5):
        best = judge(reference, fingerprint(seed=seed)).best
        assert best is None or best.sureness < 0.1


def test_the_same_picture_with_other_sound_is_never_sure(reference: Marks) -> None:
    other = fingerprint(seed=3)
    best = judge(reference, Marks(0.0, reference.video, other.audio)).best
    assert best is None or not best.sure


def test_too_little_says_nothing(reference: Marks) -> None:
    assert judge(reference, fingerprint(seconds=3.0)) == Verdict(None, [])


def test_sound_with_a_steady_rhythm_is_sure_all_the_same(reference: Marks) -> None:
    at_s = np.arange(len(reference.audio)) / RATE_HZ
    rhythm = 6.0 * np.sin(2 * np.pi * 4 * at_s)[:, None].astype(np.float32)
    best = judge(
        reference._replace(audio=reference.audio + rhythm), reference._replace(audio=reference.audio + rhythm)
    ).best
    assert best is not None and best.sure and best.offset_s == pytest.approx(0.0, abs=0.002)


def test_a_step_shows_in_the_pieces(reference: Marks) -> None:
    late = fingerprint(offset_s=0.4)
    half = round(SECONDS / 2 * RATE_HZ)
    stepped = Marks(0.0, reference.video, np.concatenate([reference.audio[:half], late.audio[half:]]))
    found = judge(reference, stepped)
    assert found.pieces[0].offset_s == pytest.approx(0.0, abs=0.003)
    assert found.worst is not None and found.worst.offset_s == pytest.approx(0.4, abs=0.003)


def test_drift_needs_a_line_and_time() -> None:
    def verdict(offsets_s: list[float]) -> Verdict:
        return Verdict(None, [Aligned(5.0 * n, offset_s, 0.0, 1.0) for n, offset_s in enumerate(offsets_s)])

    assert verdict([0.01 * n / 3 for n in range(10)]).drift_ms_per_min == pytest.approx(40.0)
    assert verdict([0.0] * 5).drift_ms_per_min is None
    assert verdict([0.0] * 5 + [0.3] * 5).drift_ms_per_min is None


def test_curves_are_one_at_the_true_lag_and_only_where_enough_overlaps() -> None:
    noise = np.random.default_rng(0).standard_normal((1000, 4)).astype(np.float32)
    best = peaks(curve(noise[:800], noise[150:950], 3.0))[0]
    assert best.lag_s == pytest.approx(-1.5, abs=0.001) and best.height == pytest.approx(1.0, abs=0.01)
    assert len(curve(noise[:100], noise, 3.0).values) == 0
    found = curve(noise, noise, 3.0).within(-0.5, 0.25)
    assert (found.first, len(found.values)) == (-50, 76)


def test_repeated_pictures_are_left_out_only_where_that_is_what_the_stream_does() -> None:
    walk = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, (40, 6)), axis=0)
    assert fresh(walk).all() and fresh(np.zeros((40, 6))).all() and fresh(walk[:2]).all()
    assert (np.flatnonzero(fresh(np.repeat(walk, 2, axis=0))[4:-4]) % 2 == 0).all()
    assert fresh(walk[np.r_[:20, 19, 20:40]]).all()


def test_holes_and_nothing_at_all_are_no_error() -> None:
    assert judge(marks(Fingerprint()), marks(Fingerprint())) == Verdict(None, [])
    found = Fingerprint()
    for block in blocks(speech(2.0)):
        found.take(block)
    assert not marks(found).video.any()
    for n in (0, 100, 101):
        found.take(picture(texture(64, 48), n))
    assert np.isfinite(marks(found).video).all() and np.isfinite(marks(found).audio).all()


def test_the_result_in_words_and_what_it_means() -> None:
    fine = Sync(offset_ms=-12.0, worst_ms=-12.3, delay_ms=1500.0, sureness=0.8, sure=True, drift_ms_per_min=1.0)
    assert said(fine) == "sound 12 ms early, sure (sureness 0.80, from reference; picture +1.50 s)"
    assert fine.within(40.0) and not fine.within(12.0)
    off = Sync(offset_ms=0.0, worst_ms=320.0, delay_ms=0.0, sureness=0.8, sure=True, drift_ms_per_min=40.0)
    assert "at worst 320 ms late, drifts by +40 ms a minute" in said(off) and not off.within(1000.0)
    assert said(Sync()) == NOTHING_COMMON and not Sync().within(40.0)
