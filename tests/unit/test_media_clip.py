"""Clips and frames cut from packets that are held."""

import io
import re
from contextlib import closing
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet
from hypothesis import given
from hypothesis import strategies as st

from tests.media_factory import Audio, Video, luma_of, make
from vqa_ray.core.picture import Picture
from vqa_ray.core.timeline import Timeline
from vqa_ray.media.clip import Clip, cut, frames_around, mux, timed
from vqa_ray.media.ring import ENTRY_BYTES
from vqa_ray.media.source import EndOfMedia, SourceOptions, open_source
from vqa_ray.media.tape import Footage, Form, Forms

BASE_S = 1 / 1000
FORMS = Forms(Form(None, "h264", BASE_S), Form(None, "aac", BASE_S))


def footage_of(path, seconds: float = 60.0) -> tuple[Footage, list[tuple[float, int]], list[bytes]]:
    """What is held at the end of a file, and of its pictures time and mean luma, and the data of its video packets."""
    timeline = Timeline()
    timeline.connect(0.0)
    pictures: list[tuple[float, int]] = []
    with closing(open_source(str(path), SourceOptions(ring_s=600.0), timeline, live=False)) as connection:
        try:
            while True:
                for item in connection.read():
                    if isinstance(item, Picture):
                        pictures.append((item.at_s, mark_of(item.luma)))
                    del item
        except EndOfMedia:
            pass
        footage = connection.tape.grab()
    return footage, pictures, [bytes(packet) for kind, packet, *_ in footage.entries if kind == "video"]


def mark_of(luma: np.ndarray) -> int:
    """What `luma_of` wrote into the corner: the number of the picture, coarsely."""
    return round(float(luma[2:12, 2:12].mean()))


def opened(clip: Clip) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Packets and frames of a clip, by kind."""
    packets: dict[str, list[Any]] = {"video": [], "audio": []}
    frames: dict[str, list[Any]] = {"video": [], "audio": []}
    with av.open(io.BytesIO(clip.data)) as container:
        for packet in container.demux():
            if packet.size:
                packets[packet.stream.type].append(packet)
            frames[packet.stream.type] += packet.decode()
    return packets, frames


def units(data: bytes) -> list[bytes]:
    """NAL units of an access unit, with start codes or with lengths of four bytes."""
    if data.startswith((b"\0\0\1", b"\0\0\0\1")):
        return [unit.rstrip(b"\0") for unit in re.split(b"\0\0\1", data) if unit.rstrip(b"\0")]
    found = []
    while data:
        size = int.from_bytes(data[:4])
        found.append(data[4 : 4 + size].rstrip(b"\0"))
        data = data[4 + size :]
    return found


KINDS = {
    "h264 in TS": ("a.ts", Video(bframes=2, gop=25), Audio(), ".mp4"),
    "h264 in MP4": ("a.mp4", Video(bframes=2, gop=25), Audio(), ".mp4"),
    "hevc in MKV": ("a.mkv", Video("libx265", gop=25), Audio("libopus"), ".mp4"),
    "hevc in TS": ("e.ts", Video("libx265", gop=25), Audio(), ".ts"),
    "mpeg2 in TS": ("b.ts", Video("mpeg2video", gop=12, bframes=2), Audio("mp2"), ".ts"),
    "h264 and mp2": ("c.ts", Video(gop=25), Audio("mp2"), ".ts"),
    "mjpeg and pcm": ("a.mov", Video("mjpeg", pix_fmt="yuvj420p"), Audio("pcm_s16le", sample_format="s16"), ".mkv"),
    "without sound": ("d.ts", Video(gop=25), None, ".mp4"),
    "mp3 alone": ("a.mp3", None, Audio("libmp3lame"), ".mp4"),
    "aac alone": ("a.aac", None, Audio(), ".mp4"),
    "flac alone": ("a.flac", None, Audio("flac", sample_format="s16"), ".mp4"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_opens_holds_the_same_data_and_shows_all_its_pictures(kind, tmp_path):
    name, video, audio, suffix = KINDS[kind]
    make(tmp_path / name, seconds=4.0, video=video, audio=audio)
    footage, pictures, data = footage_of(tmp_path / name)
    clip = mux(footage)
    assert clip is not None
    assert clip.container.suffix == suffix
    packets, frames = opened(clip)
    if video is not None:
        assert packets["video"][0].is_keyframe
        assert len(packets["video"]) == len(data)
        same = units if suffix == ".mp4" and "ts" in name else bytes
        assert [same(bytes(packet)) for packet in packets["video"]] == [same(one) for one in data]
        assert len(frames["video"]) == len(pictures)
    if audio is not None:
        held = [bytes(packet) for kind, packet, *_ in footage.entries if kind == "audio"]
        adts = 7 if audio.codec == "aac" and name.endswith(("ts", "aac")) and suffix != ".ts" else 0
        assert [bytes(packet) for packet in packets["audio"]] == [one[adts:] for one in held]
        assert frames["audio"]


def test_a_clip_is_cut_at_the_key_frame_before_and_shows_the_moment(tmp_path):
    make(tmp_path / "a.ts", seconds=12.0, video=Video(gop=25, bframes=2), audio=Audio(), offset_s=5000.0)
    footage, pictures, _ = footage_of(tmp_path / "a.ts")
    excerpt = cut(footage, 6.52, before_s=2.0, after_s=1.5, max_bytes=1 << 30)
    assert excerpt is not None
    assert excerpt.whole
    clip = mux(excerpt.footage)
    assert clip is not None
    assert 4.0 - 0.2 <= clip.from_s <= 4.0
    assert 7.9 <= clip.until_s <= 8.05
    _, frames = opened(clip)
    wanted = next(mark for at_s, mark in pictures if at_s >= 6.52 - 1e-4)
    shown = {mark_of(frame.to_ndarray()): frame.time for frame in frames["video"]}  # luma first, as it is stored
    assert shown[wanted] == pytest.approx(6.52 - clip.from_s, abs=0.06)


@pytest.mark.parametrize("at_s", [1.0, 2.0, 3.04, 4.96, 5.0])
@pytest.mark.parametrize("video", [Video(gop=25, bframes=3), Video("mpeg2video", gop=12, bframes=2), Video(gop=25)])
def test_the_frame_of_a_moment_and_the_one_before_it_are_decoded_again_exactly(at_s, video, tmp_path):
    make(tmp_path / "a.ts", seconds=7.0, video=video, offset_s=77.7)
    footage, pictures, _ = footage_of(tmp_path / "a.ts")
    stills = frames_around(footage, at_s)
    assert all(still.exact for still in stills)
    number = next(k for k, (time_s, _) in enumerate(pictures) if time_s >= at_s - 1e-4)
    assert [still.at_s for still in stills] == pytest.approx([pictures[number - 1][0], pictures[number][0]], abs=1e-6)
    assert [mark_of(still.luma) for still in stills] == pytest.approx([m for _, m in pictures[number - 1 : number + 1]])


def test_behind_the_last_picture_the_last_two_are_what_there_is(tmp_path):
    make(tmp_path / "a.ts", seconds=2.0, video=Video(gop=25))
    footage, pictures, _ = footage_of(tmp_path / "a.ts")
    assert [still.at_s for still in frames_around(footage, 9.0)] == pytest.approx([p[0] for p in pictures[-2:]])
    assert frames_around(Footage((), footage.forms), 1.0) == []
    assert frames_around(footage, -5.0) == []


def test_a_jump_of_the_time_base_is_none_in_the_clip(tmp_path):
    early, late = io.BytesIO(), io.BytesIO()
    make(early, seconds=3.0, video=Video(gop=25), audio=Audio(), container="mpegts", offset_s=10.0)
    make(late, seconds=3.0, video=Video(gop=25, luma=lambda n, w, h: luma_of(n + 75, w, h)), audio=Audio(),
         container="mpegts", offset_s=60_000.0)  # fmt: skip
    (tmp_path / "a.ts").write_bytes(early.getvalue() + late.getvalue())
    footage, pictures, _ = footage_of(tmp_path / "a.ts")
    clip = mux(footage)
    assert clip is not None
    times = [frame.time for frame in opened(clip)[1]["video"]]
    assert len(times) == len(pictures)
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) < 0.5


# ---- without media


def entry(kind: str, at_s: float | None, *, key: bool = False, size: int = 100, dts: bool = True, late: float = 0.0):
    packet = Packet(bytes(size))
    if at_s is not None:
        packet.pts = round((at_s + late) / BASE_S)
        packet.dts = round(at_s / BASE_S) if dts else None
    return kind, packet, key, at_s


def gops(seconds: int, *, first_s: float = 0.0, size: int = 100) -> Footage:
    """A key frame each second, ten pictures a second, sound between."""
    entries = []
    for n in range(seconds * 10):
        entries.append(entry("video", first_s + n / 10, key=n % 10 == 0, size=size))
        entries.append(entry("audio", first_s + n / 10, key=True, size=10))
    return Footage(tuple(entries), FORMS)


def span(excerpt) -> tuple[float, float]:
    entries = excerpt.footage.entries
    return entries[0][3], entries[-1][3]


def test_where_the_key_frame_before_is_gone_the_clip_begins_with_the_first_there_is_and_says_so():
    excerpt = cut(gops(5, first_s=10.0), 9.0, before_s=2.0, after_s=3.0, max_bytes=1 << 20)
    assert excerpt is not None
    assert not excerpt.whole
    assert span(excerpt) == (10.0, 12.0)


def test_what_is_too_large_begins_later_but_not_behind_the_moment_and_then_ends_earlier():
    footage = gops(10)
    whole = cut(footage, 5.5, before_s=2.0, after_s=2.0, max_bytes=1 << 20)
    assert whole is not None and whole.whole and span(whole) == (3.0, 7.5)
    later = cut(footage, 5.5, before_s=2.0, after_s=2.0, max_bytes=40 * 110)
    assert later is not None and not later.whole and span(later) == (4.0, 7.5)
    shorter = cut(footage, 5.5, before_s=2.0, after_s=2.0, max_bytes=10 * 110)
    assert shorter is not None and not shorter.whole and span(shorter) == (5.0, 5.9)
    assert cut(footage, 5.5, before_s=2.0, after_s=2.0, max_bytes=50) is None
    assert cut(Footage((), FORMS), 5.5, before_s=2.0, after_s=2.0, max_bytes=1 << 20) is None


@given(
    at_s=st.floats(-2.0, 12.0),
    before_s=st.floats(0.0, 20.0),
    after_s=st.floats(0.0, 20.0),
    max_bytes=st.integers(0, 20_000),
)
def test_a_clip_is_never_larger_than_allowed_and_begins_with_a_key_frame(at_s, before_s, after_s, max_bytes):
    excerpt = cut(gops(10), at_s, before_s=before_s, after_s=after_s, max_bytes=max_bytes)
    if excerpt is not None:
        kind, _, key, first_s = excerpt.footage.entries[0]
        assert kind == "video" and key
        assert sum(packet.size for _, packet, *_ in excerpt.footage.entries) <= max_bytes
        assert not excerpt.whole or first_s <= at_s + 1e-3


def test_what_came_since_is_added_once_and_only_where_nothing_is_missing():
    every = gops(6)
    early = Footage(every.entries[:60], every.forms)
    later = Footage(every.entries[20:100], every.forms)
    assert early.with_more(later).entries == every.entries[:100]
    assert early.with_more(later).held_bytes == 20 * (110 + 2 * ENTRY_BYTES)
    assert early.with_more(early) == early
    assert early.with_more(Footage(every.entries[80:], every.forms)) == early  # turned over meanwhile
    assert early.with_more(Footage(later.entries, Forms())) == early  # other tracks
    assert Footage((), every.forms).with_more(later) == later


def test_decode_times_are_made_where_the_input_gives_none():
    order = [0, 3, 1, 2, 6, 4, 5]  # pictures in the order in which they are coded
    entries = tuple(entry("video", n / 25, key=n == 0, dts=False) for n in order)
    placed = list(timed(Footage(entries, FORMS)))
    pts, dts = [p for _, _, p, _, _ in placed], [d for _, _, _, d, _ in placed]
    assert pts == [round(n / 25 / BASE_S) for n in order]
    assert dts == sorted(set(dts))
    assert all(d <= p for d, p in zip(dts, pts, strict=True))


def test_packets_without_a_time_and_repeated_times_do_no_harm():
    entries = (entry("video", 0.0, key=True), entry("video", None), entry("video", 0.0), entry("audio", 0.0))
    assert [dts for _, _, _, dts, _ in timed(Footage(entries, FORMS))] == [0, 1, 0]
