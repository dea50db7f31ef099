import threading
from datetime import UTC, datetime, timedelta

import av
import numpy as np
import pytest

from vqa_ray.media.synthetic import Fault, FaultKind, Programme, write_file
from vqa_ray.media.synthetic.door import QUEUE_ITEMS, Fanout
from vqa_ray.media.synthetic.outlets import Hls
from vqa_ray.media.synthetic.programme import Pictures, Sounds
from vqa_ray.media.synthetic.rtmp import FlvReader, _amf, _command
from vqa_ray.media.synthetic.script import JUMP_S, Script, on_the_wall_clock
from vqa_ray.media.synthetic.transport import TransportMuxer, pid_of, starts_key_frame, ts_packets

TINY = Programme(width=160, height=90, fps=25)


def test_the_same_seed_gives_the_same_picture_and_another_seed_another():
    one, same, other = (Pictures(Programme(width=160, height=90, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.draw(30), same.draw(30))
    assert not np.array_equal(one.draw(30), other.draw(30))


def test_every_picture_differs_from_the_one_before():
    pictures = Pictures(TINY)
    before = pictures.draw(0).copy()
    for n in range(1, 100):
        now = pictures.draw(n).copy()
        assert np.mean(now[:90] != before[:90]) > 0.2, n
        before = now


def test_the_sound_is_never_silent_but_where_it_shall_be():
    sounds = Sounds(TINY)
    assert all(np.abs(sounds.block(k)).max(axis=1).min() > 0.01 for k in range(0, 960, 7))
    assert not sounds.silence().any()
    left, right = sounds.last_channel_silent(3)
    assert left.any() and not right.any()


def test_a_fault_is_on_from_its_start_up_to_its_end():
    script = Script([Fault(FaultKind.BLACK, 1.0, 2.0)])
    assert [bool(script.at(FaultKind.BLACK, at_s)) for at_s in (0.99, 1.0, 2.99, 3.0)] == [False, True, True, False]
    assert script.at(FaultKind.FREEZE, 2.0) is None


def test_timestamps_stay_where_they_jumped_to_and_drift_falls_back():
    script = Script([Fault(FaultKind.PTS_JUMP, 1.0, 0.0), Fault(FaultKind.AV_DRIFT, 2.0, 10.0)])
    assert [script.timestamp_shift_s(at_s) for at_s in (0.5, 1.0, 99.0)] == [0, JUMP_S, JUMP_S]
    assert script.drift_s(7.0) == pytest.approx(0.1)
    assert script.drift_s(12.0) == 0.0


def test_scripted_times_are_told_on_the_wall_clock():
    origin = datetime(2030, 1, 1, tzinfo=UTC)
    (told,) = on_the_wall_clock([Fault(FaultKind.SILENCE, 2.0, 3.0)], origin)
    assert (told.start_utc, told.end_utc) == (origin + timedelta(seconds=2), origin + timedelta(seconds=5))


@pytest.mark.parametrize("suffix", [".ts", ".mp4", ".mkv"])
def test_a_file_holds_its_programme_and_its_black(tmp_path, suffix):
    path = write_file(tmp_path / f"a{suffix}", 3.0, TINY, [Fault(FaultKind.BLACK, 1.0, 1.0)])
    with av.open(str(path)) as container:
        levels = [float(frame.to_ndarray()[:90].mean()) for frame in container.decode(video=0)]
    assert len(levels) == 75
    assert [level < 20 for level in levels] == [25 <= n < 50 for n in range(75)]


def test_lost_packets_are_the_pictures_alone_and_the_same_ones_each_time():
    def lost(seed: int) -> list[int]:
        data = b"".join(bytes([0x47, pid >> 8, pid & 0xFF]) + bytes(185) for pid in [0, 256, 257] * 500)
        return [pid_of(packet) for packet in ts_packets(TransportMuxer(seed).lose(data))]

    assert lost(1) == lost(1)
    assert lost(1).count(0) == lost(1).count(257) == 500
    assert 460 < lost(1).count(256) < 500


def test_segments_begin_with_their_tables_and_a_key_frame(tmp_path):
    path = write_file(tmp_path / "a.ts", 6.0, TINY)
    hls = Hls("127.0.0.1", 0)
    try:
        hls.send(path.read_bytes())
        assert hls.playable
        for number in range(3):
            packets = list(ts_packets(hls.segment(number) or b""))
            kinds = [pid_of(packet) for packet in packets[:3]]
            assert kinds[0] == 0 and kinds[2] == 256, kinds
            assert starts_key_frame(packets[2])
        assert "segment-0.ts" in (hls.playlist() or "")
        assert hls.answer("/segment-99.ts") == ("video/mp2t", None)
        assert hls.answer("/../secret")[1] is None
    finally:
        hls.leave_air()


def test_after_an_outage_the_playlist_is_empty_and_then_marks_the_break(tmp_path):
    data = write_file(tmp_path / "a.ts", 3.0, TINY).read_bytes()
    hls = Hls("127.0.0.1", 0)
    try:
        hls.send(data)
        hls.leave_air()
        assert hls.playlist() is None
        hls.enter_air()
        hls.send(data)
        assert "#EXT-X-DISCONTINUITY" in (hls.playlist() or "")
        assert "#EXT-X-MEDIA-SEQUENCE:2" in (hls.playlist() or "")
    finally:
        hls.leave_air()


def test_a_client_that_does_not_keep_up_is_cut_off():
    fanout: Fanout[int] = Fanout()
    items = fanout.items()
    first = threading.Timer(0.05, fanout.send, [0])
    first.start()
    assert next(items) == 0
    first.join()
    for n in range(2 * QUEUE_ITEMS):
        fanout.send(n)
    assert list(items) == []


def test_flv_is_cut_into_tags_wherever_its_bytes_are_split():
    tag = bytes([9, 0, 0, 2, 0, 0, 40, 0, 0, 0, 0]) + b"\x17\x01" + bytes(4)
    data = bytes(13) + tag + tag
    whole = list(FlvReader().read(data))
    reader = FlvReader()
    assert [t for byte in data for t in reader.read(bytes([byte]))] == whole
    assert [(t.kind, t.at_ms, t.is_key) for t in whole] == [(9, 40, True)] * 2


def test_a_command_of_rtmp_is_read_back_as_written():
    assert _command(_amf("createStream", 4.0, None)) == ("createStream", 4.0)
    with pytest.raises(ValueError, match="no command"):
        _command(b"\x00\x00")
