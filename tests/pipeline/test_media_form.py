"""How an input says that it is coded, and which tracks it announces, once a second."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from tests.media_factory import Audio, Video, make, packets_of, pid_of, with_counters
from tests.pictures import incidents, panned
from tests.unit.test_media_monitor import pmt, tables
from vqa_ray.config import QC, DetectorSet
from vqa_ray.core.reading import Coding
from vqa_ray.core.timeline import Timeline
from vqa_ray.detectors.field_order import FieldOrderSpec
from vqa_ray.detectors.missing_track import MissingTrackSpec
from vqa_ray.media.source import EndOfMedia, SourceOptions, open_source
from vqa_ray.pipeline.local import analyze

BT709 = {"x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709"}


def codings(path: Path) -> list[Coding]:
    timeline = Timeline()
    timeline.connect(0.0)
    connection = open_source(str(path), SourceOptions(), timeline, live=False)
    connection.tells_coding = True
    found: list[Any] = []
    try:
        while True:
            found += [item for item in connection.read() if isinstance(item, Coding)]
    except EndOfMedia:
        connection.close()
    return found


def wide(stream: Any) -> None:
    stream.codec_context.sample_aspect_ratio = Fraction(16, 15)


def test_codec_rate_aspect_and_colour_are_said_each_second(tmp_path):
    make(tmp_path / "a.mp4", video=Video(size=(180, 144), options=BT709), audio=Audio(), seconds=3.0)
    found = codings(tmp_path / "a.mp4")
    assert [round(one.until_s) for one in found] == [0, 1, 2]
    assert {(one.video_codec, one.audio_codec, one.fps, one.aspect, one.colour) for one in found} == {
        ("h264", "aac", 25.0, "5:4", "1-1-1")
    }
    assert found[0].tracks == (("video", "und"), ("audio", "und"))


def test_the_aspect_is_that_of_the_picture_as_it_is_shown(tmp_path):
    make(tmp_path / "a.ts", video=Video(size=(180, 144), setup=wide), seconds=2.0)
    assert {one.aspect for one in codings(tmp_path / "a.ts")} == {"4:3"}


@pytest.mark.parametrize(("said", "first"), [("tff", "top"), ("bff", "bottom")])
@pytest.mark.parametrize("upper_first", [True, False])
def test_fields_that_are_coded_in_the_wrong_order_are_told(tmp_path, said, first, upper_first):
    def woven(number: int, width: int, height: int) -> np.ndarray:
        luma, later = panned(2 * number)[:height, :width].copy(), panned(2 * number + 1)[:height, :width]
        odd = 1 if upper_first else 0
        luma[odd::2] = later[odd::2]
        return luma

    options = {"x264-params": f"interlaced=1:{said}=1", "flags": "+ildct+ilme"}
    path = tmp_path / "a.ts"
    make(path, video=Video(size=(640, 352), options=options, luma=woven), seconds=9.0)
    assert {one.field_order for one in codings(path)} == {first}
    spec = FieldOrderSpec(raise_after_s=1.0)
    profile = msgspec.structs.replace(QC, detectors=DetectorSet(field_order=spec))
    found = list(analyze(str(path), profile=profile))
    assert bool(found) == ((first == "top") != upper_first)


def test_sound_alone_has_no_picture_s_properties(tmp_path):
    make(tmp_path / "a.wav", audio=Audio("pcm_s16le"), seconds=2.5)
    found = codings(tmp_path / "a.wav")
    assert len(found) >= 2
    assert {(one.video_codec, one.fps, one.aspect, one.colour) for one in found} == {("", 0.0, "", "")}


def test_a_track_that_is_no_longer_announced_is_missing(tmp_path):
    """Two audio PIDs, of which the map drops the second after three seconds."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w", format="mpegts") as out:
        tracks = [out.add_stream("mp2", rate=48_000, layout="stereo") for _ in range(2)]
        for number in range(250):
            for track in tracks:
                frame = av.AudioFrame(format="s16", layout="stereo", samples=1152)
                frame.planes[0].update(bytes(frame.planes[0].buffer_size))
                frame.rate, frame.pts = 48_000, number * 1152
                out.mux(track.encode(frame))
    short = pmt([(0x03, 256, b"")])
    data = packets_of(path.read_bytes())
    cut = len(data) // 2
    changed = [tables(4096, short, 0)[0] if n > cut and pid_of(p) == 4096 else p for n, p in enumerate(data)]
    path.write_bytes(with_counters(b"".join(changed)))
    found = codings(path)
    assert {len(one.tracks) for one in found} == {1, 2}
    spec = MissingTrackSpec(raise_after_s=0.0, video_tracks=0, audio_tracks=2)
    ((start_s, end_s),) = incidents(spec, found, "audio")
    assert start_s == pytest.approx(3.0, abs=1.2)
    assert end_s == pytest.approx(6.0, abs=1.2)
