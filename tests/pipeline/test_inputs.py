"""Every kind of input through `analyze` as shipped: its black is found, exact to the frame, and nothing else.

Each file moves for a second, is black for a second, and moves for another. test_media_files.py looks at what detectors
get of the same kinds of files.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vqa_ray
from tests.media_factory import Audio, Video, joined, luma_of, make, tone, transport
from vqa_ray.core.notice import Incident

FPS = 25
BLACK = (1.0, 2.0)
SECONDS = 3.0
WRAP_S = 2**33 / 90_000
TEXTURE = np.random.default_rng(5).integers(-24, 25, (288, 704))


def shown(black_from: int = 25, black_to: int = 50, black: int = 16) -> Callable[[int, int, int], np.ndarray]:
    """A moving ramp with texture; black from one frame to another."""

    def luma(number: int, width: int, height: int) -> np.ndarray:
        if black_from <= number < black_to:
            return np.full((height, width), black, np.uint8)
        texture = np.resize(TEXTURE, (height, width + 200))[:, 5 * (number % 40) :][:, :width]
        return np.clip(luma_of(number, width, height) + texture, 20, 230).astype(np.uint8)

    return luma


def video(codec: str = "libx264", **kwargs: Any) -> Video:
    return Video(codec, **({"luma": shown(), "size": (192, 108), "gop": 25} | kwargs))


def full_range(stream: Any) -> None:
    stream.codec_context.color_range = 2


def finely(stream: Any) -> None:
    """What MJPEG makes of its usual bit rate is rightly called blocky."""
    stream.codec_context.bit_rate = 8_000_000


def turned(stream: Any) -> None:
    stream.set_display_rotation(90)


FIELDS = {"x264-params": "interlaced=1:tff=1:scenecut=0", "flags": "+ildct+ilme"}
VARIABLE = [n / FPS + (0.012 if n % 3 == 1 else 0.0) for n in range(75)]

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "8 bit 4:2:0": ("mp4", {"video": video(), "audio": Audio()}),
    "8 bit 4:2:2": ("mp4", {"video": video(pix_fmt="yuv422p"), "audio": Audio()}),
    "8 bit 4:4:4": ("mkv", {"video": video(pix_fmt="yuv444p"), "audio": Audio()}),
    "10 bit 4:2:0": ("ts", {"video": video("libx265", pix_fmt="yuv420p10le"), "audio": Audio()}),
    "10 bit 4:2:2": ("ts", {"video": video(pix_fmt="yuv422p10le"), "audio": Audio()}),
    "10 bit 4:4:4": ("mkv", {"video": video("libx265", pix_fmt="yuv444p10le"), "audio": Audio()}),
    "full range, MJPEG": (
        "mkv",
        {"video": video("mjpeg", pix_fmt="yuvj420p", luma=shown(black=0), setup=finely), "audio": Audio()},
    ),
    "full range, H.264": ("mp4", {"video": video(setup=full_range, luma=shown(black=0)), "audio": Audio()}),
    "odd size": ("mkv", {"video": video("ffv1", size=(193, 107)), "audio": Audio()}),
    "interlaced": ("ts", {"video": video(options=FIELDS, size=(192, 96)), "audio": Audio("mp2")}),
    "rotated": ("mp4", {"video": video(setup=turned), "audio": Audio()}),
    "B-frames in a transport stream": ("ts", {"video": video(bframes=3), "audio": Audio()}),
    "B-frames in MP4": ("mp4", {"video": video(bframes=3), "audio": Audio()}),
    "B-frames of MPEG-2": ("ts", {"video": video("mpeg2video", bframes=2), "audio": Audio("mp2")}),
    "VP9": ("webm", {"video": video("libvpx-vp9"), "audio": Audio("libopus")}),
    "no audio": ("mp4", {"video": video()}),
    "mono": ("mp4", {"video": video(), "audio": Audio(layout="mono")}),
    "5.1": ("ts", {"video": video(), "audio": Audio(layout="5.1")}),
    "a wrap of 33 bits": ("ts", {"video": video(bframes=2), "audio": Audio(), "offset_s": WRAP_S - 1.5}),
}


def found_in(path: Path) -> list[tuple[str, float, float | None]]:
    closed = [i for i in vqa_ray.analyze(str(path)) if isinstance(i, Incident) and i.end_s is not None]
    return [(i.detector, i.start_s, i.end_s) for i in closed]


def only_black(found: list[tuple[str, float, float | None]]) -> None:
    assert [detector for detector, _, _ in found] == ["black"]
    assert found[0][1:] == pytest.approx(BLACK, abs=0.002)


@pytest.mark.parametrize("kind", KINDS)
def test_its_black_is_found_and_nothing_else(tmp_path: Path, kind: str) -> None:
    suffix, kwargs = KINDS[kind]
    make(tmp_path / f"a.{suffix}", seconds=SECONDS, **kwargs)
    only_black(found_in(tmp_path / f"a.{suffix}"))


def test_black_of_variable_frame_rate_lasts_from_its_first_picture_to_the_next_good_one(tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", seconds=SECONDS, video=video(times=VARIABLE), audio=Audio())
    found = found_in(tmp_path / "a.mp4")
    assert [detector for detector, _, _ in found] == ["black"]
    assert found[0][1:] == pytest.approx((VARIABLE[25], VARIABLE[50]), abs=0.002)


def test_without_video_silence_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pausing(start: int, count: int, channels: int, rate_hz: int) -> np.ndarray:
        return tone(start, count, channels, rate_hz) * (not BLACK[0] <= start / rate_hz < BLACK[1])

    monkeypatch.setattr("tests.media_factory.tone", pausing)
    make(tmp_path / "a.m4a", seconds=SECONDS, audio=Audio())
    found = found_in(tmp_path / "a.m4a")
    assert [detector for detector, _, _ in found] == ["silence"]
    assert found[0][1:] == pytest.approx(BLACK, abs=0.15)


SIZES = [((720, 576), (1920, 1080)), ((1280, 720), (720, 576)), ((640, 360), (1280, 720)), ((176, 144), (176, 1168))]


@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize("moves", [True, False])
def test_another_size_in_mid_stream_is_told_as_such_and_is_no_other_defect(
    tmp_path: Path, before: tuple[int, int], after: tuple[int, int], moves: bool
) -> None:
    luma = shown(0, 0) if moves else lambda number, width, height: shown(0, 0)(0, width, height)
    parts = [
        transport(video=Video(size=size, luma=luma, gop=25), audio=Audio(), seconds=0.4, offset_s=0.4 * n)
        for n, size in enumerate((before, after))
    ]
    (tmp_path / "a.ts").write_bytes(joined(*parts))
    assert {detector for detector, _, _ in found_in(tmp_path / "a.ts")} <= {"format_change"}


def test_black_over_a_change_of_codec_is_one_incident(tmp_path: Path) -> None:
    one = transport(video=video(luma=shown(25, 99)), audio=Audio(), seconds=1.6)
    other = video("mpeg2video", size=(320, 240), luma=shown(0, 10))
    two = transport(video=other, audio=Audio("mp2"), seconds=1.4, offset_s=1.6)
    (tmp_path / "a.ts").write_bytes(joined(one, two))
    found = [found for found in found_in(tmp_path / "a.ts") if found[0] == "black"]
    assert len(found) == 1
    assert found[0][1:] == pytest.approx(BLACK, abs=0.15)


@pytest.mark.parametrize("jump_s", [40.0, -0.9])
def test_a_jump_of_timestamps_is_told_and_moves_nothing(tmp_path: Path, jump_s: float) -> None:
    one = transport(video=video(luma=shown(99, 99)), audio=Audio(), seconds=1.0, offset_s=10.0)
    two = transport(video=video(luma=shown(0, 25)), audio=Audio(), seconds=2.0, offset_s=11.0 + jump_s)
    (tmp_path / "a.ts").write_bytes(joined(one, two))
    found = found_in(tmp_path / "a.ts")
    assert {detector for detector, _, _ in found} == {"black", "pts_jump"}
    black = next(found for found in found if found[0] == "black")
    assert black[1:] == pytest.approx(BLACK, abs=0.06)
