"""What every detector keeps to: found through the registry, so a new one is tested by being in it."""

import enum
import heapq

import msgspec
import numpy as np
import pytest

from tests.pictures import picture, readings, sound
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import (
    Coding,
    Continuity,
    Indicator,
    Input,
    PacketInfo,
    PlaylistState,
    Reading,
    Services,
    SourceState,
    TransportFault,
)
from vqa_ray.detectors.base import Detector, DetectorSpec
from vqa_ray.detectors.profiles import LIVE, QC
from vqa_ray.detectors.registry import SPECS, by_id, options, summary

SIZES = [
    (1, 1),
    (1, 9),
    (9, 1),
    (3, 5),
    (17, 31),
    (48, 48),
    (49, 97),
    (64, 96),
    (70, 79),
    (144, 176),
    (360, 640),
    (361, 641),
    (270, 1920),
]

every_detector = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)


def video(spec_seed: int = 0) -> list[object]:
    """Noise, black, held and moving pictures of all sizes and depths, with gaps and repeated times."""
    rng = np.random.default_rng(spec_seed)
    found: list[object] = []
    for height, width in SIZES:
        for depth, full_range in ((8, False), (8, True), (10, False), (12, True)):
            kind = np.uint8 if depth == 8 else np.uint16
            noise = rng.integers(0, 1 << depth, (height, width + 7)).astype(kind)[:, :width]  # rows are strided
            chroma = rng.integers(0, 1 << depth, (2, (height + 1) // 2, (width + 1) // 2)).astype(kind)
            chroma.flags.writeable = False
            last: Picture | None = None
            for luma in (noise, np.zeros_like(noise), np.zeros_like(noise), noise, noise, noise, noise, noise):
                last = picture(
                    luma,
                    len(found),
                    before=last.small if last else None,
                    sketch_before=last.sketch if last else None,
                    bit_depth=depth,
                    full_range=full_range,
                    key=len(found) % 9 == 0,
                    corrupt=len(found) % 13 == 5,
                    interlaced=len(found) % 2 == 0,
                    chroma=None if len(found) % 3 == 0 else lambda planes=chroma: (planes[0], planes[1]),
                )
                found.append(last)
    return found


def audio() -> list[object]:
    rng = np.random.default_rng(0)
    found: list[object] = []
    at_s = 0.0
    for channels in (1, 2, 6):
        for rate_hz in (8_000, 44_100, 48_000):
            for count in (rate_hz // 10, 0, 1, 37, rate_hz // 10):
                for level in (0.5, 0.0, 1e-4):
                    block = sound(level * rng.standard_normal((channels, count)), at_s, rate_hz=rate_hz)
                    found.append(block)
                    at_s = block.until_s
    return found


def packets() -> list[object]:
    found: list[object] = []
    for number in range(1500):
        at_s = None if number % 50 == 7 else number * 0.02
        continuity = list(Continuity)[number % 5] if number % 60 == 9 and number < 300 else Continuity.STEADY
        pts_s = None if number % 50 == 8 or at_s is None else at_s + 95_000.0 * (number > 200)
        found.append(
            PacketInfo(
                "audio" if number % 2 else "video", number % 2, at_s, 0.04, pts_s, 100, number % 10 == 0, False,
                continuity, 1.5 if continuity is Continuity.GAP else -3.0, number * 0.02,
            )
        )  # fmt: skip
    return found


def transport() -> list[object]:
    found: list[object] = [TransportFault(n * 0.1, (n + 2) * 0.1, 256 + n % 3, n % 4) for n in range(60)]
    for n, indicator in enumerate(2 * list(Indicator)):
        found.insert(4 * n, TransportFault(n * 0.4, n * 0.4 + n % 3, 256, 1, indicator, n % 5 * 1.5))
    return found


def services() -> list[object]:
    return [Services(float(n), n + 1.0, frozenset({"scte35", "dvb_subtitles"} if n % 3 else ())) for n in range(30)]


def codings() -> list[object]:
    return [
        Coding(
            float(n), n + 1.0, "h264" if n % 7 else "", "aac", 25.0 * (n % 5 > 0), "16:9" if n % 3 else "4:3", "1-1-1",
            (("video", ""), ("audio", "eng")) if n % 4 else (),
        )
        for n in range(30)
    ]  # fmt: skip


def playlists() -> list[object]:
    return [
        PlaylistState(
            n * 2.0, n * 2.0 - 2.0, "" if n % 2 else "640x360 800k", 2.0, n % 7 * 2.0, n % 3 - 1, n % 5 == 4, 0.3
        )
        for n in range(40)
    ]


def source() -> list[object]:
    states = [
        "connecting",
        "live",
        "live",
        "stalled",
        "stalled",
        "backing_off",
        "connecting",
        "live",
        "parked",
        "ended",
    ]
    return [SourceState(float(n), n - 0.5, 0.5, state) for n, state in enumerate(states)]


LASTING = (Input.SOURCE, Input.PLAYLIST)
INPUTS = {
    Input.VIDEO: video, Input.AUDIO: audio, Input.PACKET: packets, Input.TRANSPORT: transport,
    Input.SERVICES: services, Input.CODING: codings, Input.SOURCE: source, Input.PLAYLIST: playlists,
}  # fmt: skip


def lives(spec: type[DetectorSpec]) -> list[tuple[Detector, list[object]]]:
    """A fresh detector of each life that the spec has, with what it reads, in time order."""
    found: list[tuple[Detector, list[object]]] = []
    for kind in LASTING:
        if kind in spec.inputs:
            found.append((spec().build_lasting(), INPUTS[kind]()))
    passing = [INPUTS[kind]() for kind in spec.inputs if kind not in LASTING]
    if passing:
        items = list(heapq.merge(*passing, key=lambda item: getattr(item, "at_s", None) or 0.0))
        found.append((spec().build(), items))
    return found


@every_detector
def test_survives_whatever_comes_and_never_writes_to_it(spec: type[DetectorSpec]) -> None:
    found = [reading for detector, items in lives(spec) for reading in readings(detector, items)]
    assert found
    assert all(isinstance(reading, Reading) for reading in found)
    assert all(isinstance(r.bad, bool) and isinstance(r.value, float) and np.isfinite(r.value) for r in found)


@every_detector
def test_says_the_same_each_time(spec: type[DetectorSpec]) -> None:
    for (one, items), (other, again) in zip(lives(spec), lives(spec), strict=True):
        assert readings(one, items) == readings(other, again)


@every_detector
def test_speaks_in_time_order_and_of_no_moment_twice(spec: type[DetectorSpec]) -> None:
    for detector, items in lives(spec):
        told: dict[str, float] = {}
        for reading in readings(detector, items):
            assert reading.until_s >= reading.at_s
            assert reading.at_s >= told.get(reading.part, -1e9) - 1e-6
            told[reading.part] = reading.until_s


def test_two_lives_of_one_detector_speak_of_different_parts() -> None:
    for spec in SPECS:
        parts = [{reading.part for reading in readings(*life)} for life in lives(spec)]
        assert len(parts) < 2 or not parts[0] & parts[1], spec.id


@pytest.mark.parametrize("spec", [s for s in SPECS if s.inputs in ((Input.VIDEO,), (Input.AUDIO,))], ids=lambda s: s.id)
def test_holds_readings_back_for_little_more_than_a_second(spec: type[DetectorSpec]) -> None:
    detector = spec().build()
    told_s = 0.0
    if spec.inputs == (Input.VIDEO,):
        still = np.full((360, 640), 90, np.uint8)
        items: list[object] = [picture(still, n) for n in range(150)]
    else:
        left = 0.1 if spec.id in ("phase", "dual_mono") else 4e-4  # say nothing unless both channels have sound …
        right = 0.1 if spec.id in ("phase", "dual_mono", "silent_channel") else 4e-4  # … or one of them
        items = [sound(np.full((2, 4800), ((left,), (right,))), n / 10) for n in range(60)]
    for item in items:
        for reading in detector.read(item):
            told_s = reading.until_s
        assert item.until_s - told_s <= 1.3  # type: ignore[attr-defined]


@every_detector
def test_finishing_twice_says_nothing_more(spec: type[DetectorSpec]) -> None:
    for detector, items in lives(spec):
        for item in items:
            detector.read(item)
        detector.finish()
        assert not detector.finish()


@every_detector
def test_its_options_are_documented_ranged_and_refused_outside(spec: type[DetectorSpec]) -> None:
    found = {option.name: option for option in options(spec)}
    assert set(found) == {field.name for field in msgspec.structs.fields(spec)}
    for option in found.values():
        assert option.description, option.name
        assert option.allowed or option.type == "array", option.name
        if option.type in ("number", "integer"):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert({option.name: -1e9}, spec)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"no_such_option": 1}, spec)


@every_detector
def test_declares_what_it_is(spec: type[DetectorSpec]) -> None:
    assert summary(spec).endswith(".")
    assert spec.unit
    assert spec.id == spec.__module__.rsplit(".", 1)[-1]
    assert set(spec.hidden_by) <= set(by_id) - {spec.id}
    assert set(spec.worse_with) <= set(by_id) - {spec.id}
    assert not spec.adapts.endswith(".")
    assert msgspec.convert(msgspec.to_builtins(spec(), enc_hook=str), spec) == spec()


def test_ids_are_unique_and_root_causes_do_not_hide_each_other() -> None:
    assert len(by_id) == len(SPECS)
    assert not any(spec.id in by_id[cause].hidden_by for spec in SPECS for cause in spec.hidden_by)


@pytest.mark.parametrize("profile", [LIVE, QC], ids=["live", "qc"])
def test_shipped_profiles_name_detectors_and_options_that_exist(profile: dict[str, dict[str, object]]) -> None:
    assert set(profile) <= set(by_id)
    for detector, overrides in profile.items():
        spec = msgspec.convert(overrides, by_id[detector])
        assert isinstance(spec.severity, enum.StrEnum)
