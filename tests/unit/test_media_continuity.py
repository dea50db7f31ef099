"""Continuity counters, on transport packets made by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.reading import Indicator, TransportFault
from vqa_ray.media.breaks import Break
from vqa_ray.media.continuity import ContinuityCheck, find_sync
from vqa_ray.media.dating import FaultDating


def packet(
    pid: int, counter: int, *, payload: bool = True, discontinuity: bool = False, error: bool = False, fill: int = 0
) -> bytes:
    field = b"\xb7" + bytes([0x80 if discontinuity else 0]) + b"\xff" * 182 if discontinuity or not payload else b""
    control = (0x20 if field else 0) | (0x10 if payload and not field else 0)
    if discontinuity and payload:
        field, control = field[:1].replace(b"\xb7", b"\x01") + field[1:2], 0x30
    head = bytes([0x47, (0x80 if error else 0) | pid >> 8, pid & 255, control | counter & 15])
    body = head + field
    return body + bytes([fill & 255]) * (188 - len(body))


def run(pid: int, count: int, start: int = 0) -> list[bytes]:
    return [packet(pid, start + n, fill=n) for n in range(count)]


def check(packets: list[bytes], chunk: int = 1 << 16) -> ContinuityCheck:
    found, data = ContinuityCheck(), b"".join(packets)
    for start in range(0, len(data), chunk):
        found.feed(data[start : start + chunk])
    return found


def test_an_intact_stream_of_several_pids_is_clean():
    packets = [one for group in zip(run(256, 100), run(257, 100, 7), run(0, 100, 3), strict=True) for one in group]
    assert not check(packets).breaks


def test_a_lost_packet_is_one_break_at_the_packet_behind_it():
    packets = run(256, 50)
    del packets[20]
    assert list(check(packets).breaks) == [Break(20 * 188, 256)]


def test_packets_out_of_order_are_breaks():
    packets = run(256, 50)
    packets[20], packets[21] = packets[21], packets[20]
    assert [item.pos // 188 for item in check(packets).breaks] == [20, 21, 22]


@pytest.mark.parametrize("chunk", [188, 1000, 1 << 16])
def test_a_packet_may_come_twice_but_not_three_times(chunk):
    twice = run(256, 50)
    twice.insert(20, twice[20])
    assert not check(twice, chunk).breaks
    thrice = run(256, 50)
    thrice[20:20] = [thrice[20]] * 2
    assert [item.pos // 188 for item in check(thrice, chunk).breaks] == [22]


def test_a_standing_counter_over_other_data_is_a_break():
    packets = run(256, 50)
    packets[20] = packets[20][:3] + packets[19][3:4] + packets[20][4:]
    assert [item.pos // 188 for item in check(packets).breaks] == [20, 21]


def test_an_announced_discontinuity_null_packets_and_fields_without_payload_are_none():
    packets = [
        *run(256, 5),
        packet(256, 4, payload=False),
        packet(256, 5, fill=5),
        *[packet(0x1FFF, n * 7) for n in range(10)],
        packet(256, 11, discontinuity=True),
        packet(256, 12, fill=6),
        packet(256, 1, error=True),
        *run(256, 9, 13),
    ]
    assert {item.indicator for item in check(packets).breaks} == {Indicator.TRANSPORT}


def test_sync_is_found_again_behind_garbage_and_lost_packets_still_show():
    packets = run(256, 40)
    found = check([*packets[:15], b"garbage that is no packet", *packets[17:]])
    assert found.lost_sync == 1
    assert [item.indicator for item in found.breaks] == [Indicator.SYNC_LOSS, Indicator.CONTINUITY]
    assert found.breaks[0] == Break(15 * 188, 0x1FFF, Indicator.SYNC_LOSS, 15 * 188 + 25)


@pytest.mark.parametrize(("size", "at"), [(192, 4), (204, 0)])
def test_packets_with_a_time_code_or_a_check_code_are_read_too(size, at):
    packets = run(256, 50)
    del packets[20]
    longer = [b"\0" * at + one + b"\0" * (size - 188 - at) for one in packets]
    assert [item.pid for item in check(longer).breaks] == [256]


@given(st.binary(max_size=3000))
def test_noise_is_survived(data):
    found = ContinuityCheck()
    found.feed(data)
    found.feed(data)


@given(
    lost=st.sets(st.integers(1, 298), max_size=20),
    cuts=st.lists(st.integers(1, 300 * 188), max_size=30),
)
def test_the_result_does_not_depend_on_how_the_bytes_arrive(lost, cuts):
    packets = [one for pair in zip(run(256, 150), run(257, 150), strict=True) for one in pair]
    data = b"".join(one for n, one in enumerate(packets) if n not in lost)
    whole, parts = ContinuityCheck(), ContinuityCheck()
    whole.feed(data)
    edges = [0, *sorted(cut for cut in set(cuts) if cut < len(data)), len(data)]
    for start, end in itertools.pairwise(edges):
        parts.feed(data[start:end])
    assert list(whole.breaks) == list(parts.breaks)


def test_what_is_no_transport_stream_has_no_sync():
    assert find_sync(bytes(5000)) is None
    assert find_sync(np.random.default_rng(1).integers(0, 256, 300).astype(np.uint8).tobytes()) is None
    assert find_sync(b"xx" + b"".join(run(1, 9))) == (2, 188, 0)


def demux(dating: FaultDating, breaks: list[Break], pids: tuple[int, ...] = (256,)) -> list[TransportFault]:
    """One packet a PID each 0.1 s and 1000 bytes; the bytes were looked at beforehand."""
    out, waiting = [], list(breaks)
    for n in range(40):
        for k, pid in enumerate(pids):
            track = dating.track(pid)
            track.packets.append((n * 1000 + k * 100, n * 0.1, n * 0.1 + 0.1, n * 0.1))
            track.at_s = n * 0.1
            if waiting or dating.waiting or n * 0.1 >= dating.due_s:
                out += dating.date(waiting)
                waiting = []
    return out + dating.date(waiting, last=True)


def test_a_break_has_the_time_of_the_packet_in_which_it_lies():
    faults = [fault for fault in demux(FaultDating(), [Break(12_300, 256), Break(12_500, 256)]) if fault.errors]
    assert [(round(f.at_s, 3), round(f.until_s, 3), f.pid, f.errors) for f in faults] == [(1.2, 1.3, 256, 2)]


def test_a_break_of_an_unwatched_pid_has_the_time_of_what_is_around_it():
    faults = [fault for fault in demux(FaultDating(), [Break(20_500, 17)]) if fault.errors]
    assert [(round(f.at_s, 3), f.pid) for f in faults] == [(2.0, 17)]


def test_clean_spans_and_faults_cover_the_time_without_holes_and_without_overlap():
    told = demux(FaultDating(), [Break(12_300, 256), Break(25_000, 257)], (256, 257))
    assert told[0].at_s == 0.0
    assert told[-1].until_s == pytest.approx(4.0)
    for before, after in itertools.pairwise(told):
        assert after.at_s == pytest.approx(before.until_s)
    assert sum(fault.errors for fault in told) == 2
