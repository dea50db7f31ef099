"""Files of every kind through the door: what detectors get of them."""

import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.media_factory import (
    TS_BYTES,
    Audio,
    Video,
    joined,
    luma_of,
    make,
    packets_of,
    pid_of,
    transport,
    with_counters,
)
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.ladder import Tier
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Continuity, Indicator, PacketInfo, TransportFault
from vqa_ray.core.timeline import Timeline
from vqa_ray.errors import ConfigError, NotMedia, SourceUnavailable
from vqa_ray.media.source import Connection, EndOfMedia, SourceOptions, open_source, probe
from vqa_ray.media.synthetic.transport import starts_key_frame

approx = pytest.approx


def opened(path: Path | str, **options: Any) -> Connection:
    timeline = Timeline()
    timeline.connect(0.0)
    return open_source(str(path), SourceOptions(**options), timeline, live=False)


def items(connection: Connection) -> Iterator[Any]:
    try:
        while True:
            for item in connection.read():
                if isinstance(item, Picture):
                    assert item.small is not None  # as a detector would
                if isinstance(item, tuple):  # of packets
                    yield from item
                else:
                    yield item
    except EndOfMedia:
        connection.close()


def all_of(path: Path | str) -> dict[type, list[Any]]:
    out: dict[type, list[Any]] = {Picture: [], AudioBlock: [], PacketInfo: [], TransportFault: []}
    for item in items(opened(path)):
        out[type(item)].append(item)
    return out


def written(tmp_path: Path, name: str, **kwargs: Any) -> Path:
    path = tmp_path / name
    make(path, **kwargs)
    return path


def times(pictures: list[Picture]) -> list[float]:
    return [picture.at_s for picture in pictures]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "depth", "chroma"),
    [
        ("libx264", "yuv420p", 8, (49, 81)),
        ("libx264", "yuv422p", 8, (98, 81)),
        ("libx264", "yuv444p", 8, (98, 162)),
        ("libx264", "yuv420p10le", 10, (49, 81)),
        ("libx264", "yuv422p10le", 10, (98, 81)),
        ("libx265", "yuv420p", 8, (49, 81)),
        ("libx265", "yuv420p10le", 10, (49, 81)),
        ("libx265", "yuv444p12le", 12, (98, 162)),
        ("libvpx-vp9", "yuv420p", 8, (49, 81)),
        ("mpeg2video", "yuv420p", 8, (49, 81)),
        ("rawvideo", "yuyv422", 8, (98, 162)),
        ("rawvideo", "nv12", 8, (49, 81)),
        ("ffv1", "bgr0", 8, (98, 162)),
    ],
)
def test_the_luma_is_that_of_the_source_in_every_pixel_format(tmp_path, codec, pix_fmt, depth, chroma):
    container = "nut" if codec == "rawvideo" else "matroska"
    options = {"crf": "4"} if codec in ("libx264", "libx265") else {}
    video = Video(codec, size=(162, 98), pix_fmt=pix_fmt, options=options)
    path = written(tmp_path, "a.media", video=video, seconds=0.4, container=container)
    pictures = all_of(path)[Picture]
    assert len(pictures) == 10
    for number, picture in enumerate(pictures):
        assert picture.luma.shape == (98, 162)
        assert picture.bit_depth == depth
        assert not picture.full_range
        scaled = picture.luma.astype(float) / (1 << (depth - 8))
        assert np.abs(scaled - luma_of(number, 162, 98)).mean() < 4
        u, v = picture.chroma
        assert u.shape == v.shape == chroma
        assert u.mean() / (1 << (depth - 8)) == approx(128, abs=2)


@pytest.mark.parametrize("size", [(161, 97), (17, 33), (320, 2)])
def test_odd_sizes_are_read_to_the_last_column_and_row(tmp_path, size):
    video = Video("ffv1", size=size, pix_fmt="yuv420p")
    pictures = all_of(written(tmp_path, "a.mkv", video=video, seconds=0.2))[Picture]
    assert np.array_equal(pictures[3].luma, luma_of(3, *size))
    assert pictures[3].chroma[0].shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)


def test_full_range_is_told_from_limited(tmp_path):
    full = all_of(written(tmp_path, "a.mkv", video=Video("mjpeg", pix_fmt="yuvj420p"), seconds=0.2))[Picture]
    tagged = Video(setup=_full_range)
    also = all_of(written(tmp_path, "b.mp4", video=tagged, seconds=0.2))[Picture]
    limited = all_of(written(tmp_path, "c.mp4", video=Video(), seconds=0.2))[Picture]
    assert [picture.full_range for picture in (full[0], also[0], limited[0])] == [True, True, False]


def _full_range(stream: Any) -> None:
    stream.codec_context.color_range = 2


def test_grey_has_no_chroma(tmp_path):
    pictures = all_of(written(tmp_path, "a.mkv", video=Video("ffv1", pix_fmt="gray10le"), seconds=0.2))[Picture]
    assert pictures[0].chroma is None
    assert pictures[0].bit_depth == 10


def test_interlaced_pictures_say_so_and_last_a_whole_frame(tmp_path):
    video = Video(options={"x264-params": "interlaced=1:tff=1", "flags": "+ildct+ilme"}, size=(160, 96))
    pictures = all_of(written(tmp_path, "a.ts", video=video, seconds=1.0))[Picture]
    assert all(picture.interlaced for picture in pictures)
    assert pictures[-1].until_s - pictures[-1].at_s == approx(0.04, abs=1e-3)


def test_rotation_is_told_and_the_picture_left_as_it_is_stored(tmp_path):
    def turn(stream: Any) -> None:
        stream.set_display_rotation(90)

    path = written(tmp_path, "a.mp4", video=Video(setup=turn), seconds=0.4)
    info = probe(str(path))
    assert abs(info.video.rotation) == 90
    assert (info.video.width, info.video.height) == (160, 96)


def test_variable_frame_rate_keeps_its_times_and_is_no_gap(tmp_path):
    moments = [0.0, 0.04, 0.08, 0.4, 0.44, 1.2, 1.24, 1.28, 1.9, 2.0]
    found = all_of(written(tmp_path, "a.mp4", video=Video(times=moments)))
    assert times(found[Picture]) == approx(moments, abs=2e-3)
    assert [picture.until_s for picture in found[Picture][:-1]] == approx(moments[1:], abs=2e-3)
    assert {packet.continuity for packet in found[PacketInfo]} == {Continuity.FIRST, Continuity.STEADY}


@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.mkv"])
def test_b_frames_come_in_order_of_presentation_from_zero_to_the_last(tmp_path, name):
    found = all_of(written(tmp_path, name, video=Video(bframes=3), audio=Audio(), seconds=2.0))
    assert times(found[Picture]) == approx([n * 0.04 for n in range(50)], abs=1e-3)
    assert found[Picture][-1].until_s == approx(2.0, abs=1e-3)
    assert {packet.continuity for packet in found[PacketInfo]} == {Continuity.FIRST, Continuity.STEADY}
    assert [picture.key for picture in found[Picture]].count(True) == 5


def test_video_of_another_time_base_is_exact(tmp_path):
    video = Video(rate=Fraction(30000, 1001))
    pictures = all_of(written(tmp_path, "a.ts", video=video, seconds=1.0))[Picture]
    assert times(pictures) == approx([n * 1001 / 30000 for n in range(30)], abs=2e-5)


def test_without_audio_there_are_pictures_and_without_video_there_is_sound(tmp_path):
    silent = all_of(written(tmp_path, "a.mp4", video=Video(), seconds=0.4))
    blind = all_of(written(tmp_path, "a.m4a", audio=Audio(), seconds=0.55))
    assert len(silent[Picture]) == 10
    assert not silent[AudioBlock]
    assert not blind[Picture]
    assert blind[AudioBlock][0].at_s == approx(0.0, abs=1e-3)
    assert [block.samples.shape[1] for block in blind[AudioBlock][:5]] == [4800] * 5


def test_cover_art_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        sound, cover = out.add_stream("aac", rate=48000), out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        packets = cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8)).reformat(format="yuvj420p"))
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 48000), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        out.mux(packets + cover.encode(None) + sound.encode(frame) + sound.encode(None))
    connection = opened(path)
    assert connection.info.video is None
    assert connection.info.audio is not None
    connection.close()


@pytest.mark.parametrize(
    ("codec", "layout", "container", "channels"),
    [
        ("aac", "mono", "mp4", ("FC",)),
        ("aac", "stereo", "mpegts", ("FL", "FR")),
        ("aac", "5.1", "mpegts", ("FL", "FR", "FC", "LFE", "BL", "BR")),
        ("mp2", "stereo", "mpegts", ("FL", "FR")),
        ("pcm_s16le", "stereo", "wav", ("FL", "FR")),
        ("pcm_u8", "mono", "wav", ("FC",)),
        ("pcm_s32le", "5.1", "matroska", ("FL", "FR", "FC", "LFE", "BL", "BR")),
        ("pcm_f64le", "stereo", "matroska", ("FL", "FR")),
        ("libopus", "stereo", "matroska", ("FL", "FR")),
        ("flac", "stereo", "matroska", ("FL", "FR")),
    ],
)
def test_sound_has_its_level_in_every_channel_whatever_the_sample_format(tmp_path, codec, layout, container, channels):
    audio = Audio(codec, layout=layout)
    blocks = all_of(written(tmp_path, "a.media", audio=audio, seconds=1.0, container=container))[AudioBlock]
    assert blocks[0].channels == channels
    assert all(block.samples.dtype == np.float32 for block in blocks)
    middle = np.concatenate([block.samples for block in blocks[2:8]], axis=1)
    assert middle.shape == (len(channels), 6 * 4800)
    levels = np.sqrt((middle**2).mean(axis=1))
    for level, name in zip(levels, channels, strict=True):
        assert name == "LFE" or level == approx(0.0707, rel=0.1)
    assert np.abs(middle.mean(axis=1)).max() < 0.01


def test_blocks_follow_each_other_without_hole_and_the_last_is_shorter(tmp_path):
    audio = Audio(rate_hz=44100)
    blocks = all_of(written(tmp_path, "a.ts", video=Video(), audio=audio, seconds=1.05))[AudioBlock]
    assert all(block.samples.shape == (2, 4410) for block in blocks[:-1])
    assert 0 < blocks[-1].samples.shape[1] < 4410
    for before, after in itertools.pairwise(blocks):
        assert after.at_s == approx(before.until_s, abs=1e-3)


def test_missing_sound_ends_a_block_and_the_next_begins_at_the_right_time(tmp_path):
    def keep(packet: Any) -> bool:
        return packet.stream.type == "video" or not 1.0 <= packet.pts * packet.time_base < 1.6

    blocks = all_of(written(tmp_path, "a.ts", video=Video(), audio=Audio(), seconds=3.0, keep=keep))[AudioBlock]
    holes = [(a.until_s, b.at_s) for a, b in itertools.pairwise(blocks) if b.at_s - a.until_s > 0.01]
    assert len(holes) == 1
    assert holes[0] == approx((1.0, 1.6), abs=0.06)


def test_a_gap_in_both_tracks_is_seen_and_kept_as_time(tmp_path):
    def keep(packet: Any) -> bool:
        return not 1.0 <= packet.dts * packet.time_base < 2.0

    found = all_of(written(tmp_path, "a.ts", video=Video(gop=5), audio=Audio(), seconds=3.0, keep=keep))
    gaps = [packet for packet in found[PacketInfo] if packet.continuity is Continuity.GAP]
    assert {packet.kind for packet in gaps} == {"video", "audio"}
    assert gaps[0].gap_s == approx(1.0, abs=0.1)
    assert found[Picture][-1].until_s == approx(3.0, abs=1e-3)


def test_a_wrap_of_33_bits_is_no_event(tmp_path):
    offset_s = 2**33 / 90_000 - 1.5
    found = all_of(written(tmp_path, "a.ts", video=Video(bframes=2), audio=Audio(), seconds=3.0, offset_s=offset_s))
    assert times(found[Picture]) == approx([n * 0.04 for n in range(75)], abs=1e-3)
    assert {p.continuity for p in found[PacketInfo]} <= {Continuity.FIRST, Continuity.STEADY, Continuity.WRAP}


@pytest.mark.parametrize("offset_s", [40.0, -0.4])
def test_a_jump_of_the_time_base_is_seen_and_taken_out(tmp_path, offset_s):
    video = Video(bframes=2)
    path = tmp_path / "a.ts"
    first = transport(video=video, audio=Audio(), seconds=2.0, offset_s=10.0)
    path.write_bytes(joined(first, transport(video=video, audio=Audio(), seconds=2.0, offset_s=12.0 + offset_s)))
    found = all_of(path)
    jumps = [packet for packet in found[PacketInfo] if packet.continuity is Continuity.JUMP]
    assert [packet.kind for packet in jumps].count("video") == 1
    assert jumps[0].gap_s == approx(offset_s, abs=0.1)
    assert times(found[Picture]) == approx([n * 0.04 for n in range(100)], abs=0.05)
    assert {fault.indicator for fault in found[TransportFault] if fault.errors} == {Indicator.PCR_DISCONTINUITY}


def test_another_size_in_mid_stream_gives_pictures_of_both_that_are_not_compared(tmp_path):
    path = tmp_path / "a.ts"
    other = transport(video=Video(size=(320, 240)), seconds=1.0, offset_s=1.0)
    path.write_bytes(joined(transport(video=Video(), seconds=1.0), other))
    connection = opened(path)
    pictures = [item for item in items(connection) if isinstance(item, Picture)]
    shapes = [picture.luma.shape for picture in pictures]
    assert shapes == [(96, 160)] * 25 + [(240, 320)] * 25
    compared = [picture.before is not None for picture in pictures]
    assert compared == [False, *[True] * 24, False, *[True] * 24]
    assert (connection.info.video.width, connection.info.video.height) == (320, 240)


def test_another_codec_in_mid_stream_is_decoded_on_the_same_timeline(tmp_path):
    path = tmp_path / "a.ts"
    one = transport(video=Video(), audio=Audio(), seconds=2.0)
    two = transport(
        video=Video("mpeg2video", size=(320, 240)), audio=Audio("mp2", layout="mono"), seconds=2.0, offset_s=2.0
    )
    path.write_bytes(joined(one, two))
    connection = opened(path)
    got = list(items(connection))
    pictures = [item for item in got if isinstance(item, Picture)]
    blocks = [item for item in got if isinstance(item, AudioBlock)]
    assert 97 <= len(pictures) <= 100
    assert {picture.luma.shape for picture in pictures} == {(96, 160), (240, 320)}
    assert pictures[-1].until_s == approx(4.0, abs=0.15)
    assert {len(block.channels) for block in blocks} == {1, 2}
    assert connection.info.video.codec == "mpeg2video"
    assert not any(picture.corrupt for picture in pictures[55:])


def test_audio_that_changes_its_layout_starts_a_new_block(tmp_path):
    path = tmp_path / "a.ts"
    one = transport(audio=Audio(), video=Video(), seconds=1.05)
    two = transport(audio=Audio(layout="mono", rate_hz=32000), video=Video(), seconds=1.0, offset_s=1.05)
    path.write_bytes(joined(one, two))
    blocks = all_of(path)[AudioBlock]
    assert {(block.rate_hz, block.samples.shape[0]) for block in blocks} == {(48000, 2), (32000, 1)}


def lossy(data: bytes, lost: range, pid: int = 256) -> bytes:
    mine = [n for n, packet in enumerate(packets_of(data)) if pid_of(packet) == pid]
    gone = {mine[n] for n in lost}
    return b"".join(packet for n, packet in enumerate(packets_of(data)) if n not in gone)


def test_lost_transport_packets_are_told_at_their_time_and_the_rest_is_clean(tmp_path):
    noise = np.random.default_rng(3).integers(0, 60, (4, 96, 160), dtype=np.uint8)
    video = Video(luma=lambda n, w, h: luma_of(n, w, h) // 2 + noise[n % 4])
    data = transport(video=video, audio=Audio(), seconds=4.0)
    count = sum(pid_of(packet) == 256 for packet in packets_of(data))
    path = tmp_path / "a.ts"
    path.write_bytes(lossy(data, range(count // 2, count // 2 + 3)))
    found = all_of(path)
    faults = [fault for fault in found[TransportFault] if fault.errors]
    assert [fault.pid for fault in faults] == [256]
    assert faults[0].at_s == approx(2.0, abs=0.2)
    clean = [fault for fault in found[TransportFault] if not fault.errors]
    assert {fault.pid for fault in clean} == {0}
    assert clean[-1].until_s == approx(4.0, abs=0.1)
    assert any(picture.corrupt for picture in found[Picture])
    assert not any(picture.corrupt for picture in found[Picture] if picture.at_s < 1.7)


def test_counters_that_begin_anew_in_each_segment_are_no_fault_and_lost_packets_in_one_are(tmp_path):
    packets = packets_of(transport(video=Video(gop=25, luma=grainy), audio=Audio(), seconds=8.0))
    tables = [next(packet for packet in packets if pid_of(packet) == pid) for pid in (0, 4096)]
    keys = [n for n, packet in enumerate(packets) if starts_key_frame(packet)][::2]
    whole = [b"".join([*tables, *packets[a:b]]) for a, b in zip(keys, [*keys[1:], len(packets)], strict=True)]

    def playlist(name: str, segments: list[bytes]) -> Path:
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2"]
        for n, segment in enumerate(segments):
            (tmp_path / f"{name}{n}.ts").write_bytes(segment)
            lines += ["#EXTINF:2.0,", f"{name}{n}.ts"]
        path = tmp_path / f"{name}.m3u8"
        path.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
        return path

    anew = [with_counters(segment) for segment in whole]
    found = all_of(playlist("anew", anew))
    assert len(found[Picture]) == 200
    assert [fault for fault in found[TransportFault] if fault.errors] == []
    count = sum(pid_of(packet) == 256 for packet in packets_of(anew[2]))
    anew[2] = lossy(anew[2], range(count // 4, count // 4 + 3))
    (fault,) = [fault for fault in all_of(playlist("lossy", anew))[TransportFault] if fault.errors]
    assert fault.at_s == approx(4.5, abs=0.3)


def grainy(n: int, width: int, height: int) -> np.ndarray:
    grain = np.random.default_rng(n % 4).integers(0, 60, (height, width), dtype=np.uint8)
    return luma_of(n, width, height) // 2 + grain


def test_tables_that_are_missing_or_broken_are_told_at_their_time(tmp_path):
    data = transport(video=Video(bframes=2), audio=Audio(), seconds=6.0)
    packets, at_s, table = packets_of(data), 0.0, 0
    out = []
    for packet in packets:
        if pid_of(packet) == 256 and packet[3] & 0x20 and packet[4] and packet[5] & 0x10:
            at_s = int.from_bytes(packet[6:10], "big") * 2 / 90_000  # libav sends a PCR before the first picture: 0
        if pid_of(packet) == 0 and 2.0 <= at_s < 4.0:
            continue
        if pid_of(packet) == 4096 and at_s >= 5.0:
            table += 1
            packet = packet[:20] + b"\x99" + packet[21:] if table == 2 else packet
        out.append(packet)
    path = tmp_path / "a.ts"
    path.write_bytes(with_counters(b"".join(out)))
    found = [fault for fault in all_of(path)[TransportFault] if fault.errors]
    missing = [fault for fault in found if fault.indicator is Indicator.PAT]
    broken = [fault for fault in found if fault.indicator is Indicator.CRC]
    assert {fault.indicator for fault in found} == {Indicator.PAT, Indicator.CRC}
    assert (missing[0].at_s, missing[-1].until_s) == (approx(2.4, abs=0.15), approx(4.0, abs=0.15))
    assert [fault.pid for fault in broken] == [4096]
    assert broken[0].at_s == approx(5.1, abs=0.1)


def test_joining_in_mid_gop_is_no_corruption(tmp_path):
    data = transport(video=Video(gop=25), audio=Audio(), seconds=3.0)
    path = tmp_path / "a.ts"
    path.write_bytes(data[: 3 * TS_BYTES] + data[len(data) // 5 // TS_BYTES * TS_BYTES :])
    assert not any(picture.corrupt for picture in all_of(path)[Picture])


def test_damage_raises_nothing_and_is_counted(tmp_path):
    data = bytearray(transport(video=Video(), audio=Audio(), seconds=2.0))
    random = np.random.default_rng(7)
    for at in random.integers(6000, len(data), 300):
        data[at] ^= 1 << int(random.integers(8))
    path = tmp_path / "a.ts"
    path.write_bytes(bytes(data))
    found = all_of(path)
    assert found[Picture]


def test_a_truncated_file_ends_where_it_ends(tmp_path):
    whole = io.BytesIO()
    make(whole, container="matroska", video=Video(), audio=Audio(), seconds=2.0)
    path = tmp_path / "a.mkv"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    assert 0 < len(all_of(path)[Picture]) < 50


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_key_frames_alone_come_at_once_and_everything_again_from_the_next_key_frame(tmp_path, codec, monkeypatch):
    monkeypatch.setattr("vqa_ray.media.connection.AHEAD", 1)  # packet by packet, as a live input is read
    path = written(tmp_path, "a.ts", video=Video(codec, gop=10, bframes=2), seconds=6.0)
    connection, seen, skipped = opened(path), [], 0
    for item in items(connection):
        if isinstance(item, PacketInfo) and item.at_s is not None:
            if 2.0 <= item.at_s < 4.0:
                connection.tier = Tier.KEY
            elif item.at_s >= 4.0:
                connection.tier = Tier.ALL
                skipped = skipped or connection.frames_skipped
        if isinstance(item, Picture):
            seen.append(item)
    keys_only = [picture for picture in seen if 2.2 <= picture.at_s < 3.9]
    assert keys_only
    assert all(picture.key for picture in keys_only)
    assert times(keys_only) == approx([keys_only[0].at_s + 0.4 * n for n in range(len(keys_only))], abs=1e-3)
    assert 35 <= skipped <= 50
    assert len([picture for picture in seen if picture.at_s >= 4.4]) == 40
    assert not any(picture.corrupt for picture in seen)


def test_without_disposable_frames_what_is_left_out_is_counted(tmp_path):
    path = written(tmp_path, "a.ts", video=Video(gop=25, bframes=2), seconds=4.0)
    connection = opened(path)
    connection.tier = Tier.NO_DISPOSABLE
    shown = skipped = 0
    for item in items(connection):
        shown += isinstance(item, Picture)
        skipped += connection.take_skipped()
    assert shown < 80
    assert skipped == approx(100 - shown, abs=3)


@pytest.mark.parametrize("tier", [Tier.NO_DISPOSABLE, Tier.KEY])
def test_no_picture_is_shown_for_as_long_as_nothing_came(tmp_path, tier, monkeypatch):
    monkeypatch.setattr("vqa_ray.media.connection.AHEAD", 1)
    path = tmp_path / "a.ts"
    path.write_bytes(gapped(written(tmp_path, "whole.ts", video=Video(gop=10), seconds=12.0), 4.0, 9.0))
    connection = opened(path)
    connection.tier = tier
    pictures = [item for item in items(connection) if isinstance(item, Picture)]
    assert pictures[-1].at_s - pictures[0].at_s > 11.0
    lengths = [picture.until_s - picture.at_s for picture in pictures]
    assert max(lengths) < 1.0
    if tier is Tier.KEY:  # each until the next one
        assert lengths[3:9] == approx([0.4] * 6, abs=1e-3)


def gapped(path: Path, start_s: float, end_s: float) -> bytes:
    """The transport stream without the packets of a part of it."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.dts is not None and p.pos is not None]
        first_s = float(packets[0].pts * packets[0].time_base)
        times = [(p.pos, float(p.pts * p.time_base) - first_s) for p in packets if p.is_keyframe]
    data = path.read_bytes()
    start = min(pos for pos, at_s in times if at_s >= start_s)
    end = min(pos for pos, at_s in times if at_s >= end_s)
    return data[:start] + data[end:]


def test_the_ring_holds_the_last_gops_of_both_tracks(tmp_path):
    path = written(tmp_path, "a.ts", video=Video(gop=12), audio=Audio(), seconds=6.0)
    connection = opened(path, ring_s=2.0)
    assert sum(1 for _ in items(connection)) > 0
    held = connection.ring.packets()
    assert held[0].kind == "video"
    assert held[0].key
    assert 2.0 <= held[-1].at_s - held[0].at_s < 3.0
    assert {packet.kind for packet in held} == {"video", "audio"}


def test_each_picture_is_compared_with_the_one_before_it_though_the_end_brings_many_at_once(tmp_path):
    connection = opened(written(tmp_path, "a.mp4", video=Video(bframes=3), seconds=1.0))
    last = None
    for item in items(connection):
        if isinstance(item, Picture):
            assert (item.before is last) or np.array_equal(item.before, last)
            last = item.small


def test_what_is_told_of_packets_is_in_the_order_of_the_file_though_many_are_taken_together(tmp_path):
    path = written(tmp_path, "a.ts", video=Video(bframes=2), audio=Audio(), seconds=3.0)
    with av.open(str(path)) as container:
        expected = [(p.stream_index, float(p.pts * p.time_base)) for p in container.demux() if p.pts is not None]
    told = [(info.stream, info.pts_s) for info in all_of(path)[PacketInfo]]
    assert [stream for stream, _ in told] == [stream for stream, _ in expected]
    assert [pts_s for _, pts_s in told] == approx([pts_s for _, pts_s in expected])


def test_what_is_no_media_and_what_is_not_there_are_told_apart(tmp_path):
    text = tmp_path / "a.bin"
    text.write_text("nothing to see " * 500)
    with pytest.raises(NotMedia):
        opened(text)
    with pytest.raises(SourceUnavailable, match="no such file"):
        opened(tmp_path / "absent.ts")


def test_a_variable_in_the_url_is_resolved_when_it_is_opened_and_not_shown(tmp_path, monkeypatch):
    written(tmp_path, "a.mp4", video=Video(), seconds=0.2)
    with pytest.raises(ConfigError, match="CLIPS_HERE"):
        opened("${CLIPS_HERE}/a.mp4")
    monkeypatch.setenv("CLIPS_HERE", str(tmp_path))
    connection = opened("${CLIPS_HERE}/a.mp4")
    assert connection.info.url == "${CLIPS_HERE}/a.mp4"
    connection.close()
    connection.close()


def test_a_probe_tells_what_is_in_it(tmp_path):
    path = written(tmp_path, "a.ts", video=Video(pix_fmt="yuv420p10le"), audio=Audio(layout="5.1"), seconds=1.0)
    info = probe(str(path))
    assert (info.format, info.live, info.programs, info.tracks) == ("mpegts", False, 1, 2)
    assert (info.video.codec, info.video.width, info.video.fps, info.video.bit_depth) == ("h264", 160, 25.0, 10)
    assert (info.audio.codec, info.audio.rate_hz, info.audio.layout) == ("aac", 48000, "5.1")
    assert info.duration_s == approx(1.0, abs=0.1)
    assert not info.video.interlaced


@pytest.mark.parametrize("container", ["mp4", "mpegts", "matroska"])
def test_an_empty_or_cut_header_raises_our_own_error(tmp_path, container):
    whole = io.BytesIO()
    make(whole, container=container, video=Video(), seconds=0.4)
    for length in (0, 10, 100):
        path = tmp_path / f"{length}.bin"
        path.write_bytes(whole.getvalue()[:length])
        with pytest.raises((NotMedia, SourceUnavailable)):
            opened(path)
