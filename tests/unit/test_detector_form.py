"""format_change and letterbox: what the picture and the sound are put into."""

import heapq
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.pictures import blocks, film, incidents, panned, picture, texture
from vqa_ray.core.reading import Coding
from vqa_ray.detectors.format_change import FormatChangeSpec
from vqa_ray.detectors.letterbox import LetterboxSpec
from vqa_ray.detectors.missing_track import MissingTrackSpec

FORMAT = FormatChangeSpec(raise_after_s=0.2, clear_after_s=0.0)
LETTERBOX = LetterboxSpec(raise_after_s=1.0)


def sized(count: int, start: int, width: int, height: int) -> list[object]:
    return [picture(texture(width, height), start + n) for n in range(count)]


def test_another_size_is_told_at_the_exact_frame() -> None:
    shown = [*sized(50, 0, 640, 360), *sized(50, 50, 320, 180), *sized(50, 100, 640, 360)]
    assert incidents(FORMAT, shown, "video") == [(2.0, 4.0)]


def test_what_lasts_becomes_normal() -> None:
    spec = FormatChangeSpec(raise_after_s=0.2, clear_after_s=0.0, settle_s=1.0)
    assert incidents(spec, [*sized(50, 0, 640, 360), *sized(100, 50, 320, 180)], "video") == [(2.0, 3.0)]


def test_what_is_not_as_expected_is_told_from_the_start_and_for_good() -> None:
    spec = FormatChangeSpec(raise_after_s=0.2, width=1280, settle_s=1.0)
    assert incidents(spec, sized(50, 0, 640, 360), "video") == [(0.0, 2.0)]
    assert incidents(FormatChangeSpec(width=640, height=360, bit_depth=8), sized(50, 0, 640, 360), "video") == []


def test_other_channels_are_told_while_the_picture_goes_on() -> None:
    stereo, mono = blocks(np.zeros((2, 48_000))), blocks(np.zeros((1, 96_000)))[10:]
    items = list(heapq.merge(sized(50, 0, 64, 36), [*stereo, *mono], key=lambda item: item.at_s))
    assert incidents(FORMAT, items, "audio") == [(1.0, 2.0)]
    assert incidents(FORMAT, items, "video") == []


def coded(count: int, start: int = 0, **kwargs: Any) -> list[object]:
    """What a stream says of its coding, once a second."""
    said = Coding(0.0, 0.0, "h264", "aac", 25.0, "16:9", "1-1-1", (("video", ""), ("audio", "eng"), ("audio", "deu")))
    return [
        msgspec.structs.replace(said, at_s=float(n), until_s=n + 1.0, **kwargs) for n in range(start, start + count)
    ]


@pytest.mark.parametrize(
    "other", [{"video_codec": "hevc"}, {"audio_codec": "ac3"}, {"aspect": "4:3"}, {"colour": "9-16-9"}], ids=str
)
def test_another_codec_aspect_or_colour_is_told(other: dict[str, str]) -> None:
    assert incidents(FORMAT, [*coded(5), *coded(4, 5, **other), *coded(5, 9)], "coding") == [(5.0, 9.0)]


@pytest.mark.parametrize("before", [{"aspect": ""}, {"colour": ""}, {"fps": 24.98}], ids=str)
def test_what_was_unsaid_or_a_guess_is_no_change(before: dict[str, Any]) -> None:
    assert incidents(FORMAT, [*coded(5, **before), *coded(5, 5), *coded(5, 10, **before)], "coding") == []


@pytest.mark.parametrize(
    "asked", [{"fps": 29.97}, {"video_codec": "hevc"}, {"aspect": "4:3"}, {"colour": "9-18-9"}], ids=str
)
def test_what_is_expected_of_the_coding_holds_from_the_start(asked: dict[str, Any]) -> None:
    spec = FormatChangeSpec(raise_after_s=0.2, **asked)
    assert incidents(spec, coded(5), "coding") == [(0.0, 5.0)]
    assert incidents(spec, coded(5, **asked), "coding") == []


def test_tracks_and_languages_that_are_missing_are_told_each_by_itself() -> None:
    spec = MissingTrackSpec(raise_after_s=1.0, audio_tracks=2, languages=("eng", "deu"))
    items = [*coded(5), *coded(4, 5, tracks=(("video", ""), ("audio", "eng"))), *coded(3, 9)]
    assert incidents(spec, items, "audio") == [(5.0, 9.0)]
    assert incidents(spec, items, "audio deu") == [(5.0, 9.0)]
    assert incidents(spec, items, "audio eng") == incidents(spec, items, "video") == []
    assert incidents(spec, coded(5, tracks=()), "video") == [(0.0, 5.0)]


def boxed(number: int, rows: int, columns: int = 0) -> np.ndarray:
    luma = panned(number)
    luma[:rows] = luma[360 - rows :] = 16
    luma[:, :columns] = luma[:, 640 - columns :] = 16
    return luma


def test_borders_that_come_are_told() -> None:
    for rows, columns in ((45, 0), (0, 80), (45, 80)):
        lumas = [boxed(n, rows, columns) if n >= 200 else panned(n) for n in range(500)]
        ((start_s, _),) = incidents(LETTERBOX, film(lumas))
        assert 8.0 <= start_s <= 12.0


def test_borders_that_go_are_told_within_a_second() -> None:
    lumas = [panned(n) if n >= 200 else boxed(n, 45) for n in range(400)]
    ((start_s, _),) = incidents(LETTERBOX, film(lumas))
    assert 8.0 <= start_s <= 9.0


def test_borders_that_were_always_there_and_dark_scenes_are_no_change() -> None:
    spot = np.full((360, 640), 16, np.uint8)
    ys, xs = np.mgrid[:360, :640]
    spot[(ys - 180) ** 2 + (xs - 320) ** 2 < 6400] = 150
    assert incidents(LETTERBOX, film([boxed(n, 45) for n in range(300)])) == []
    assert incidents(LETTERBOX, film([spot if n >= 150 else panned(n) for n in range(400)])) == []
