"""Captions and splice messages, announced in the tables or carried in the pictures."""

import io
from pathlib import Path
from typing import Any

import av
import pytest

from tests.media_factory import Audio, Video, make, packets_of, pid_of, transport, with_counters
from tests.pictures import incidents
from tests.unit.test_media_monitor import pmt, tables
from vqa_ray.core.reading import Services
from vqa_ray.core.timeline import Timeline
from vqa_ray.detectors.missing_service import MissingServiceSpec
from vqa_ray.media.source import EndOfMedia, SourceOptions, open_source, probe

CC = bytes([0xB5, 0, 0x31]) + b"GA94" + bytes([3, 0xC2, 0xFF, 0xFC, 0x94, 0x2C, 0xFD, 0x80, 0x80, 0xFF])
SEI = b"\0\0\0\1\6\4" + bytes([len(CC)]) + CC + b"\x80"


def captioned(seconds: float, until_s: float, each: int = 1) -> bytes:
    """A transport stream whose pictures, each n-th of them, carry CEA-608 up to `until_s`."""
    out = io.BytesIO()
    source = io.BytesIO(transport(video=Video(), audio=Audio(), seconds=seconds))
    with av.open(source) as media, av.open(out, "w", format="mpegts") as target:
        tracks = {stream.index: target.add_stream_from_template(stream) for stream in media.streams}
        first, number = None, 0
        for packet in media.demux():
            if packet.dts is None:
                continue
            made = packet
            if packet.stream.type == "video":
                first = packet.pts if first is None else first
                if (packet.pts - first) * packet.time_base < until_s and number % each == 0:
                    made = av.Packet(SEI + bytes(packet))
                    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                    made.is_keyframe = packet.is_keyframe
                number += 1
            made.stream = tracks[packet.stream_index]
            target.mux(made)
    return out.getvalue()


def services(path: Path) -> list[Services]:
    timeline = Timeline()
    timeline.connect(0.0)
    connection = open_source(str(path), SourceOptions(), timeline, live=False)
    connection.tells_services = True
    found: list[Any] = []
    try:
        while True:
            found += [item for item in connection.read() if isinstance(item, Services)]
    except EndOfMedia:
        connection.close()
    return found


@pytest.mark.parametrize("each", [1, 2])
def test_captions_in_the_pictures_are_seen_and_missed_when_they_end(tmp_path, each):
    path = tmp_path / "a.ts"
    path.write_bytes(captioned(8.0, 4.0, each))
    assert probe(str(path)).services == ("cea_captions",)
    found = services(path)
    assert [one.found for one in found[:4]] == [frozenset({"cea_captions"})] * 4
    assert len(found) > 6
    assert not any(one.found for one in found[4:])
    for before, after in zip(found, found[1:], strict=False):
        assert after.at_s == before.until_s
    ((start_s, end_s),) = incidents(MissingServiceSpec(raise_after_s=1.0), found, "captions")
    assert (start_s, end_s) == (pytest.approx(4.0, abs=1.1), pytest.approx(8.0, abs=1.1))
    assert incidents(MissingServiceSpec(expect=("scte35",)), found, "captions") == []


def test_what_the_map_announces_is_told_by_probe_and_to_detectors(tmp_path):
    announced = pmt([(0x1B, 256, b""), (0x0F, 257, b""), (0x86, 500, b""), (6, 501, b"\x59\x08eng\x10\0\1\0\1")])
    data = packets_of(transport(video=Video(), audio=Audio(), seconds=3.0))
    path = tmp_path / "a.ts"
    path.write_bytes(with_counters(b"".join(tables(4096, announced, 0)[0] if pid_of(p) == 4096 else p for p in data)))
    assert probe(str(path)).services == ("dvb_subtitles", "scte35")
    found = services(path)
    assert {one.found for one in found} == {frozenset({"dvb_subtitles", "scte35"})}
    assert incidents(MissingServiceSpec(raise_after_s=0.0, expect=("captions", "scte35")), found, "scte35") == []


def test_nothing_beside_picture_and_sound_is_missing_all_the_time(tmp_path):
    make(tmp_path / "a.mp4", video=Video(), audio=Audio(), seconds=3.0)
    assert probe(str(tmp_path / "a.mp4")).services == ()
    found = services(tmp_path / "a.mp4")
    assert len(incidents(MissingServiceSpec(raise_after_s=0.5), found, "captions")) == 1


def test_sound_alone_may_carry_splice_messages(tmp_path):
    announced = pmt([(0x0F, 256, b""), (0x86, 500, b"")])
    data = packets_of(transport(audio=Audio(), seconds=3.0))
    path = tmp_path / "a.ts"
    path.write_bytes(with_counters(b"".join(tables(4096, announced, 0)[0] if pid_of(p) == 4096 else p for p in data)))
    assert probe(str(path)).services == ("scte35",)
    assert len(services(path)) == 3
