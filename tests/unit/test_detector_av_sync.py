"""Lip-sync: the maths on made-up lips and sound, the networks on drawn pictures."""

import msgspec
import numpy as np
import pytest

from tests.pictures import blocks, film, readings, texture
from vqa_ray.cli.measure import measure_av_sync
from vqa_ray.cli.report import as_shown
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Reading
from vqa_ray.detectors.av_sync import AvSyncDetector, AvSyncSpec
from vqa_ray.detectors.lipsync import take as take_module
from vqa_ray.detectors.lipsync.agreement import agreement, overlap
from vqa_ray.detectors.lipsync.faces import FaceNets, Square, anchors, around, cut, outward, rgb, views
from vqa_ray.detectors.lipsync.signals import GRID_HZ, mel_bands, varying
from vqa_ray.detectors.lipsync.verdict import Lag, lags
from vqa_ray.pipeline.local import Measured


def speech(seconds: float, seed: int = 1) -> np.ndarray:
    """How open a mouth is at 50 Hz: smooth noise of syllables."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * GRID_HZ) + 200)
    return np.convolve(noise, np.hanning(9), "same")[100:-100]


def lips_and_bands(delay_steps: int, seconds: float = 10.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed + 100)
    opening = speech(seconds, seed)
    heard = np.roll(opening, delay_steps)
    lips = opening[:, None] * np.array([1, 1, 1, 1, 0.2, 0.1, 0.1, -0.8]) + rng.standard_normal((len(opening), 8))
    bands = heard[:, None] * np.linspace(1.0, 0.3, 14) + rng.standard_normal((len(opening), 14))
    return lips, bands


def lags_of(lips: np.ndarray, bands: np.ndarray) -> list[Lag]:
    return lags(agreement(lips, bands))


@pytest.mark.parametrize("delay_steps", [-30, -8, 0, 8, 25])
def test_finds_the_lag_with_its_sign(delay_steps: int) -> None:
    (lag,) = lags_of(*lips_and_bands(delay_steps))
    assert lag.offset_ms == pytest.approx(delay_steps * 20.0, abs=10.0)
    assert lag.sureness > 1.2


def test_lips_of_other_sound_are_hardly_ever_sure() -> None:
    alien = [lags_of(lips_and_bands(0, 6.0, seed)[0], lips_and_bands(0, 6.0, seed + 50)[1])[0] for seed in range(20)]
    assert sum(lag.sureness >= 1.2 for lag in alien) <= 1


def test_a_step_within_a_take_shows_where_it_is() -> None:
    early, late = lips_and_bands(0, 10.0, 1), lips_and_bands(16, 10.0, 2)
    before, after = lags_of(np.concatenate([early[0], late[0]]), np.concatenate([early[1], late[1]]))
    assert before.offset_ms == pytest.approx(0.0, abs=15.0) and after.offset_ms == pytest.approx(320.0, abs=15.0)
    assert before.last == after.first == pytest.approx(10 * GRID_HZ, abs=0.5 * GRID_HZ)


def test_too_little_speech_is_never_sure() -> None:
    (lag,) = lags_of(*lips_and_bands(10, 2.0))
    assert lag.sureness == 0.0


def test_mel_bands_tell_low_from_high_and_where_sound_is_missing() -> None:
    rate_hz, grid_s = 16_000, np.arange(50) / GRID_HZ
    low, high = (np.sin(2 * np.pi * f * np.arange(rate_hz // 2) / rate_hz).astype(np.float32) for f in (200, 5000))
    for tone, band in ((low, 0), (high, 11)):
        bands = mel_bands(tone, rate_hz, 0.0, grid_s)
        assert abs(int(np.nanmean(bands, axis=0).argmax()) - band) <= 1
        assert np.isnan(bands[0]).all() and np.isfinite(bands[10]).all() and np.isnan(bands[40]).all()


def test_slow_changes_are_taken_off() -> None:
    assert np.abs(varying(np.linspace(0, 5, 300)[:, None])[60:-60]).max() < 1e-9


def test_overlap_pairs_each_moment_with_the_sound_that_comes_later() -> None:
    assert overlap(10, 3) == (slice(0, 7), slice(3, 10))
    assert overlap(10, -3) == (slice(3, 10), slice(0, 7))
    assert overlap(2, 5) == (slice(0, 0), slice(5, 2))


def test_a_cut_square_is_what_lies_there() -> None:
    luma = texture()
    part = cut(luma, Square(320, 180, 100), 100, 1.0, 1.0, 8, border=0)
    assert np.abs(part.astype(int) - luma[130:230, 270:370]).max() <= 1
    turned = cut(luma, Square(320, 180, 100, np.pi / 2), 100, 1.0, 1.0, 8, border=0)
    assert np.abs(turned.astype(int) - np.rot90(luma[130:230, 270:370])).max() <= 1
    assert (cut(luma, Square(-500, -500, 100), 10, 1.0, 1.0, 8, border=7) == 7).all()


def test_colours_come_out_as_they_went_in() -> None:
    red = film(
        [np.full((64, 64), 81, np.uint8)],
        chroma=lambda: (np.full((32, 32), 90, np.uint8), np.full((32, 32), 240, np.uint8)),
    )
    pixel = rgb(red[0], Square(32, 32, 32), 8)[4, 4]
    assert pixel[0] > 200 and pixel[1] < 60 and pixel[2] < 60


def test_the_next_square_follows_the_face() -> None:
    places = np.random.default_rng(0).random((468, 2)).astype(np.float32)
    places[33], places[263] = (0.3, 0.4), (0.7, 0.4)
    face = outward(places, Square(200, 100, 80, 0.3))
    found = around(face)
    assert found.angle == pytest.approx(0.3, abs=1e-3)
    assert np.hypot(found.x - 200, found.y - 100) < 4 and found.side == pytest.approx(1.5 * 80, rel=0.05)


def test_anchors_and_views_cover_the_picture() -> None:
    assert anchors().shape == (896, 1, 2) and len(views(360, 640)) == 4 and len(views(480, 480)) == 1


def test_there_is_no_face_in_noise_nor_in_a_texture() -> None:
    nets = FaceNets()
    noise = np.random.default_rng(0).integers(0, 256, (360, 640)).astype(np.uint8)
    for still in film([texture(), noise, np.zeros((1, 1), np.uint8)]):
        face = nets.find(still)
        assert face is None or nets.landmarks(still, face) is None


class Puppet:
    """Stands in for the networks: a face whose mouth opens as `speech` says."""

    def __init__(self, opening: np.ndarray) -> None:
        self._opening = opening

    def find(self, picture: Picture) -> Square:
        return Square(100, 100, 80)

    def landmarks(self, picture: Picture, face: Square) -> np.ndarray:
        points = np.random.default_rng(3).random((468, 2)).astype(np.float32) * 50 + 50
        points[33], points[263] = (70, 80), (130, 80)
        gap = 6.0 + float(np.interp(picture.at_s * GRID_HZ, np.arange(len(self._opening)), self._opening))
        for top, bottom in ((13, 14), (82, 87), (312, 317), (0, 17)):
            points[top], points[bottom] = (100, 110 - gap / 2), (100, 110 + gap / 2)
        points[152] = (100, 150)
        return points


def puppet_show(delay_s: float, monkeypatch: pytest.MonkeyPatch, seconds: float = 8.0) -> list[Reading]:
    opening = speech(seconds + 1)
    monkeypatch.setattr("vqa_ray.detectors.av_sync.FaceNets", lambda: Puppet(opening))
    pictures = film([np.zeros((36, 64), np.uint8)] * round(seconds * 25))
    times = np.arange(round(seconds * 16_000)) / 16_000
    loud = np.exp(0.5 * np.interp((times - delay_s) * GRID_HZ, np.arange(len(opening)), opening))
    voice = 0.02 * loud * np.random.default_rng(5).standard_normal(len(times))
    items = sorted([*pictures, *blocks(voice[None], rate_hz=16_000)], key=lambda item: item.at_s)
    return readings(AvSyncDetector(AvSyncSpec()), items)


@pytest.mark.parametrize(("delay_s", "part"), [(0.3, "late"), (-0.2, "early")])
def test_sound_that_is_off_is_bad_with_sign_over_the_whole_take(
    delay_s: float, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bad,) = [reading for reading in puppet_show(delay_s, monkeypatch) if reading.bad]
    assert bad.part == part
    assert bad.value == pytest.approx(delay_s * 1000, abs=25)
    assert (bad.at_s, bad.until_s) == (0.0, pytest.approx(8.0))


def test_sound_in_sync_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    found = puppet_show(0.0, monkeypatch)
    assert {reading.part for reading in found} == {"late", "early", "estimate", "sureness"}
    assert not any(reading.bad for reading in found)


def test_measure_takes_the_surest_take_and_json_names_the_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    offset = measure_av_sync(Measured("av_sync", reading) for reading in puppet_show(0.3, monkeypatch))
    assert offset.sure and offset.offset_ms == pytest.approx(300, abs=25)
    assert measure_av_sync([]).offset_ms is None


def test_pictures_faster_than_30_a_second_are_not_all_looked_at() -> None:
    take = take_module.Take(Puppet(np.zeros(500)))  # type: ignore[arg-type]
    for shown in film([np.zeros((36, 64), np.uint8)] * 100, fps=50):
        take.see(shown)
    assert len(take._tracks[0].at_s) == 50


def test_incidents_of_av_sync_show_their_offset() -> None:
    from tests.unit.cli_fakes import incident

    shown = as_shown(msgspec.structs.replace(incident(), detector="av_sync", value=-240.04))
    assert isinstance(shown, dict) and shown["offset_ms"] == -240.0
    assert as_shown(incident()) == incident()


def hammer(delay_s: float, seconds: float = 30.0, seed: int = 7) -> list[Picture | AudioBlock]:
    """Things that flit about now and then, with a bang each time, in a room with noise; nobody to be seen."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.5, seconds - 0.5, round(seconds * 1.2)))
    still = texture(160, 90)
    moves = [np.count_nonzero(times <= n / 25) for n in range(round(seconds * 25))]
    pictures = film([np.roll(still, 9 * move, axis=1) for move in moves])
    at = np.arange(round(seconds * 16_000)) / 16_000
    bangs = 0.003 + sum(0.3 * np.exp(-12 * np.clip(at - t - delay_s, 0, None)) * (at >= t + delay_s) for t in times)
    return sorted([*pictures, *blocks((bangs * rng.standard_normal(len(at)))[None], rate_hz=16_000)], key=_at)


def _at(item: Picture | AudioBlock) -> float:
    return item.at_s


@pytest.mark.parametrize("delay_s", [-0.3, 0.0, 0.42])
def test_without_a_face_events_are_measured_and_never_bad(delay_s: float) -> None:
    found = readings(AvSyncDetector(AvSyncSpec(full_s=60.0)), hammer(delay_s))
    assert {reading.part for reading in found} == {"events", "events_sureness", "sureness"}
    assert not any(reading.bad for reading in found)
    offset = measure_av_sync([Measured("av_sync", reading) for reading in found])
    assert (offset.trust, offset.sure) == ("events", False) and offset.sureness > 1.8
    assert offset.offset_ms == pytest.approx(delay_s * 1000, abs=40.0)


def test_events_that_have_nothing_to_do_with_each_other_are_not_told() -> None:
    pictures = [item for item in hammer(0.0) if isinstance(item, Picture)]
    sounds = [item for item in hammer(0.0, seed=8) if not isinstance(item, Picture)]
    found = readings(AvSyncDetector(AvSyncSpec()), sorted([*pictures, *sounds], key=_at))
    assert {reading.part for reading in found} == {"sureness"}
    assert measure_av_sync([Measured("av_sync", reading) for reading in found]).offset_ms is None
