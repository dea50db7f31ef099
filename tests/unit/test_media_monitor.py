"""A transport stream against ETSI TR 101 290, on packets made by hand: 25 PCRs a second, tables each 0.12 s."""

import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.reading import Indicator
from vqa_ray.media.breaks import Break
from vqa_ray.media.continuity import ContinuityCheck
from vqa_ray.media.services import CEA, DVB, SCTE35, TELETEXT

PMT_PID, VIDEO_PID, AUDIO_PID = 0x1000, 256, 257
PER_FRAME = 10  # packets in 40 ms: PCR and picture, or tables, and sound
FRAME_S = 0.04
Packet = Callable[[int], bytes]  # given its counter


def crc(data: bytes) -> bytes:
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    return int(f"{zlib.crc32(mirrored) ^ 0xFFFFFFFF:032b}"[::-1], 2).to_bytes(4, "big")


def section(table: int, extension: int, body: bytes, version: int = 0, number: int = 0, last: int = 0) -> bytes:
    length = len(body) + 9
    head = bytes([table, 0xB0 | length >> 8, length & 255, *extension.to_bytes(2, "big"), 0xC1 | version << 1])
    data = head + bytes([number, last]) + body
    return data + crc(data)


def pat(programs: dict[int, int], **kwargs: int) -> bytes:
    body = b"".join(program.to_bytes(2, "big") + (0xE000 | pid).to_bytes(2, "big") for program, pid in programs.items())
    return section(0, 1, body, **kwargs)


def pmt(streams: Sequence[tuple[int, int, bytes]], program: int = 1, **kwargs: int) -> bytes:
    body = b"".join(
        bytes([kind]) + (0xE000 | pid).to_bytes(2, "big") + (0xF000 | len(about)).to_bytes(2, "big") + about
        for kind, pid, about in streams
    )
    return section(2, program, (0xE000 | VIDEO_PID).to_bytes(2, "big") + b"\xf0\0" + body, **kwargs)


PAT = pat({1: PMT_PID})
PMT = pmt([(0x1B, VIDEO_PID, b""), (0x0F, AUDIO_PID, b"")])


def packet(pid: int, counter: int, payload: bytes = b"", *, start: bool = False, field: bytes = b"") -> bytes:
    """One packet, filled up with stuffing (tables) or zeros (streams)."""
    head = bytes([0x47, 0x40 * start | pid >> 8, pid & 255, (0x30 if field else 0x10) | counter & 15])
    fill = b"\xff" if pid in (0, 1, PMT_PID) else b"\0"
    return (head + field + payload).ljust(188, fill)


def tables(pid: int, data: bytes, counter: int) -> list[bytes]:
    """A section in as many packets as it takes."""
    data = b"\0" + data
    return [packet(pid, counter + n, data[k : k + 184], start=k == 0) for n, k in enumerate(range(0, len(data), 184))]


def pcr(at_s: float, *, announced: bool = False) -> bytes:
    ticks = round(at_s * 27e6)
    base, extension = ticks // 300 % 2**33, ticks % 300
    return bytes([7, 0x10 | 0x80 * announced]) + (base << 15 | 0x7E00 | extension).to_bytes(6, "big")


PES = b"\0\0\1\xe0\0\0\x80\x80\x05" + bytes(5)  # with a PTS


class Stream:
    """A stream of `seconds`, frame by frame; what is left out or changed is told by functions of the time."""

    def __init__(
        self,
        seconds: float = 10.0,
        *,
        start_s: float = 100.0,
        pat: Callable[[float], bytes | None] = lambda at_s: PAT,
        pmt: Callable[[float], bytes | None] = lambda at_s: PMT,
        clock: Callable[[float], float | None] = lambda at_s: at_s,
        sound: Callable[[float], bool] = lambda at_s: True,
        stamped: Callable[[float], bool] = lambda at_s: True,
        announced: Callable[[float], bool] = lambda at_s: False,
    ) -> None:
        self.packets: list[bytes] = []
        self._counters: dict[int, int] = {}
        for n in range(round(seconds / FRAME_S)):
            at_s = n * FRAME_S
            shown = clock(at_s)
            field = pcr(start_s + shown, announced=announced(at_s)) if shown is not None else b"\1\0"
            self._add(VIDEO_PID, PES if stamped(at_s) else b"", start=True, field=field)
            rest = PER_FRAME - 1
            for pid, table in ((0, pat(at_s)), (PMT_PID, pmt(at_s))):
                if n % 3 == 0 and table is not None:
                    made = tables(pid, table, self._counters.get(pid, 0))
                    self._counters[pid] = self._counters.get(pid, 0) + len(made)
                    self.packets += made
                    rest -= len(made)
            if sound(at_s):
                self._add(AUDIO_PID, PES if stamped(at_s) else b"", start=True)
                rest -= 1
            for _ in range(rest):
                self._add(VIDEO_PID)

    def _add(self, pid: int, payload: bytes = b"", *, start: bool = False, field: bytes = b"") -> None:
        count = self._counters[pid] = self._counters.get(pid, -1) + 1
        self.packets.append(packet(pid, count, payload, start=start, field=field))


def check(packets: list[bytes], chunk: int = 1 << 17) -> ContinuityCheck:
    found, data = ContinuityCheck(), b"".join(packets)
    for start in range(0, len(data), chunk):
        found.feed(data[start : start + chunk])
    return found


def time_s(pos: int) -> float:
    """When a byte of a Stream is sent."""
    return pos / 188 / PER_FRAME * FRAME_S


def spans(found: ContinuityCheck) -> list[tuple[Indicator, int, float, float]]:
    """What was found, as indicator, PID, start and end; spans that go on are one."""
    out: dict[tuple[Indicator, int], list[tuple[float, float]]] = {}
    for item in found.breaks:
        start, end = time_s(item.pos), time_s(item.pos if item.end is None else item.end)
        told = out.setdefault((item.indicator, item.pid), [])
        if told and start <= told[-1][1] + 1e-3:
            start = told.pop()[0]
        told.append((start, end))
    return [(*key, round(start, 2), round(end, 2)) for key, told in out.items() for start, end in told]


CHUNKS = [188, 7 * 188, 1000, 1 << 17]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_stream_as_it_should_be_has_no_faults(chunk):
    found = check(Stream().packets, chunk)
    assert not found.breaks
    assert found.monitor.clock.now_s == pytest.approx(10.0 - FRAME_S, abs=1e-6)
    assert found.tables.announced[-1].types == {VIDEO_PID: 0x1B, AUDIO_PID: 0x0F}


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("table", "indicator", "pid"), [("pat", Indicator.PAT, 0), ("pmt", Indicator.PMT, PMT_PID)])
def test_a_table_is_missing_from_half_a_second_after_the_last_one(table, indicator, pid, chunk):
    whole = PAT if table == "pat" else PMT
    found = check(Stream(**{table: lambda at_s: None if 3.0 <= at_s < 5.0 else whole}).packets, chunk)
    ((kind, where, start, end),) = spans(found)
    assert (kind, where) == (indicator, pid)
    assert start == pytest.approx(2.88 + 0.5, abs=0.03)
    assert end == pytest.approx(5.04, abs=0.03)
    assert max(item.interval_s for item in found.breaks) == pytest.approx(5.04 - 2.88, abs=0.03)


def test_a_table_that_stays_away_is_told_while_it_does():
    data = b"".join(Stream(pat=lambda at_s: PAT if at_s < 3.0 else None).packets)
    found, told_s = ContinuityCheck(), []
    for start in range(0, len(data), 100 * 188):
        found.feed(data[start : start + 100 * 188])
        told_s += [(time_s(start), time_s(item.end or 0)) for item in found.breaks]
        found.breaks.clear()
    assert len(told_s) > 10
    assert all(end - at <= 0.4 for at, end in told_s)


def test_a_table_that_is_one_frame_late_is_not_missing():
    assert not check(Stream(pat=lambda at_s: None if 3.0 <= at_s < 3.32 else PAT).packets).breaks


@pytest.mark.parametrize("chunk", CHUNKS)
def test_sound_that_is_announced_and_does_not_come_is_told_after_five_seconds(chunk):
    found = check(Stream(14.0, sound=lambda at_s: not 3.0 <= at_s < 10.0).packets, chunk)
    by_kind = {kind: (pid, start, end) for kind, pid, start, end in spans(found)}
    assert set(by_kind) == {Indicator.PID, Indicator.PTS}
    assert by_kind[Indicator.PID] == (AUDIO_PID, pytest.approx(7.96, abs=0.04), pytest.approx(10.0, abs=0.04))
    assert by_kind[Indicator.PTS] == (AUDIO_PID, pytest.approx(3.66, abs=0.04), pytest.approx(10.0, abs=0.04))


def test_time_stamps_that_come_too_seldom_are_told():
    found = check(Stream(stamped=lambda at_s: not 3.0 <= at_s < 4.0).packets)
    assert {(kind, pid) for kind, pid, _, _ in spans(found)} == {(Indicator.PTS, VIDEO_PID), (Indicator.PTS, AUDIO_PID)}
    assert all(start == pytest.approx(3.67, abs=0.04) for _, _, start, _ in spans(found))


@pytest.mark.parametrize("table", ["pat", "pmt"])
def test_a_broken_checksum_is_told_where_it_is_and_the_table_before_it_holds(table):
    whole = PAT if table == "pat" else PMT
    broken = whole[:-1] + bytes([whole[-1] ^ 1])
    found = check(Stream(**{table: lambda at_s: broken if 3.0 <= at_s < 3.2 else whole}).packets)
    pid = 0 if table == "pat" else PMT_PID
    told = [(item.indicator, item.pid, time_s(item.pos)) for item in found.breaks]
    assert told == [
        (Indicator.CRC, pid, pytest.approx(3.0, abs=FRAME_S)),
        (Indicator.CRC, pid, pytest.approx(3.12, abs=FRAME_S)),
    ]
    assert len(found.tables.announced) == 1


def test_another_table_in_the_pid_of_the_association_table_is_told():
    found = check(Stream(pat=lambda at_s: PMT if 3.0 <= at_s < 3.1 else PAT).packets)
    assert [(item.indicator, item.pid) for item in found.breaks] == [(Indicator.PAT, 0)]


def test_a_map_longer_than_a_packet_is_read_and_timed():
    long = pmt([(0x1B, VIDEO_PID, b""), (0x0F, AUDIO_PID, b""), (0x86, 300, b"\x05\xc8" + bytes(200))])
    found = check(Stream(pmt=lambda at_s: long).packets)
    assert not found.breaks
    assert found.tables.announced[-1].types == {VIDEO_PID: 0x1B, AUDIO_PID: 0x0F, 300: 0x86}
    found = check(Stream(pmt=lambda at_s: None if 3.0 <= at_s < 4.0 else long).packets)
    assert {item.indicator for item in found.breaks} == {Indicator.PMT}


def test_an_association_in_two_sections_is_one():
    parts = [pat({1: PMT_PID}, last=1), pat({2: 0x1001}, number=1, last=1)]
    packets = [tables(0, parts[n % 2], n)[0] for n in range(8)]
    found = check(packets)
    assert found.tables.programs == 2
    assert found.tables.maps == {PMT_PID, 0x1001}


def test_packets_marked_as_damaged_are_counted_and_not_believed():
    packets = Stream().packets
    for n in (700, 701, 1500):
        packets[n] = bytes([0x47, packets[n][1] | 0x80]) + packets[n][2:]
    found = check(packets)
    assert [item.pos // 188 for item in found.breaks if item.indicator is Indicator.TRANSPORT] == [700, 701, 1500]
    assert {item.indicator for item in found.breaks} == {Indicator.TRANSPORT, Indicator.CONTINUITY}


@pytest.mark.parametrize("chunk", CHUNKS)
def test_one_wrong_sync_byte_is_an_error_and_several_a_loss_of_sync(chunk):
    packets = Stream().packets
    packets[705] = b"\x46" + packets[705][1:]
    found = [item for item in check(packets, chunk).breaks if item.indicator is not Indicator.CONTINUITY]
    assert found == [Break(705 * 188, VIDEO_PID, Indicator.SYNC_BYTE)]
    for n in range(705, 805):
        packets[n] = b"\x46" + packets[n][1:]
    kinds = {kind: (start, end) for kind, _, start, end in spans(check(packets, chunk))}
    assert Indicator.SYNC_BYTE not in kinds
    start, end = kinds[Indicator.SYNC_LOSS]
    assert (start, end) == (pytest.approx(2.82, abs=0.01), pytest.approx(3.22, abs=0.01))


def test_a_wrap_of_the_clock_is_no_fault():
    for start_s in (2**33 / 90_000 - 5.0, 2**33 / 90_000 - 5.0 + 1 / 27e6):
        found = check(Stream(start_s=start_s).packets)
        assert not found.breaks
        assert found.monitor.clock.now_s == pytest.approx(10.0 - FRAME_S, abs=1e-6)


@pytest.mark.parametrize("jump_s", [-90.0, -0.06, 1.5, 3600.0])
def test_a_jump_of_the_clock_is_told_once_and_makes_no_table_late(jump_s):
    packets = Stream(clock=lambda at_s: at_s + (jump_s if at_s >= 5.0 else 0.0)).packets
    found = [(item.indicator, item.pid, time_s(item.pos)) for item in check(packets).breaks]
    assert found == [(Indicator.PCR_DISCONTINUITY, VIDEO_PID, pytest.approx(5.0, abs=0.01))]


def test_a_jump_of_the_clock_that_is_announced_is_no_fault():
    jump = {"clock": lambda at_s: at_s + 500 * (at_s >= 5.0), "announced": lambda at_s: at_s == 5.0}
    assert not check(Stream(**jump).packets).breaks


def test_a_clock_that_comes_too_seldom_is_told_from_when_it_was_due():
    packets = Stream(clock=lambda at_s: None if 5.0 <= at_s < 5.28 else at_s).packets
    ((kind, pid, start, end),) = spans(check(packets))
    assert (kind, pid) == (Indicator.PCR_REPETITION, VIDEO_PID)
    assert (start, end) == (pytest.approx(5.06, abs=0.01), pytest.approx(5.28, abs=0.01))


def test_missing_media_makes_no_table_late():
    packets = Stream(20.0).packets
    found = check(packets[:1000] + packets[3000:])
    assert {item.indicator for item in found.breaks} <= {Indicator.PCR_DISCONTINUITY, Indicator.CONTINUITY}


def test_joining_late_and_ending_early_is_no_fault():
    packets = Stream().packets
    for start, end in ((7, None), (33, None), (95, 1700), (0, 1111)):
        assert not check(packets[start:end]).breaks


def test_a_stream_without_a_clock_is_not_judged_by_time():
    packets = Stream(60.0, clock=lambda at_s: None, pat=lambda at_s: PAT if at_s < 3 else None).packets
    assert not check(packets).breaks


def test_when_the_clock_of_one_programme_ends_another_ones_is_followed():
    other = [packet(900, n, field=pcr(700 + n * FRAME_S)) for n in range(1000)]
    packets = Stream(40.0, clock=lambda at_s: at_s if at_s < 5.0 else None).packets
    both = [one for n in range(1000) for one in (*packets[n * PER_FRAME : (n + 1) * PER_FRAME], other[n])]
    assert check(both).monitor.clock.now_s == pytest.approx(5.0 + 35.0 - 200 * FRAME_S, abs=0.2)


def test_scrambled_packets_need_a_table_that_says_how():
    packets = [one[:3] + bytes([one[3] | 0x80]) + one[4:] if n > 500 and one[1] & 0x1F == 1 else one
               for n, one in enumerate(Stream().packets)]  # fmt: skip
    assert {(item.indicator, item.pid) for item in check(packets).breaks} == {(Indicator.CAT, 1)}
    access = tables(1, section(1, 0xFFFF, b"\x09\x04\x06\x48\xe0\x50"), 0)
    assert not check([*access, *packets]).breaks


def test_a_scrambled_table_is_told():
    packets = Stream().packets
    n = next(n for n, one in enumerate(packets) if n > 1000 and one[1:3] == b"\x40\0")
    packets[n] = packets[n][:3] + bytes([packets[n][3] | 0xC0]) + packets[n][4:]
    assert [(item.indicator, item.pos) for item in check(packets).breaks] == [(Indicator.PAT, n * 188)]


@pytest.mark.parametrize(
    ("kind", "about", "service"),
    [
        (0x86, b"", {SCTE35}),
        (0x06, b"\x56\x05eng\x10\x88", {TELETEXT}),
        (0x06, b"\x56\x05eng\x08\x00", set()),  # the pages of a magazine are no subtitles
        (0x06, b"\x59\x08eng\x10\0\1\0\1", {DVB}),
        (0x1B, b"\x86\x07\xc1eng\xc1\xff\xff", {CEA}),
        (0x1B, b"\x86\x01\xc0", set()),
        (0x0F, b"\x0a\x04eng\0", set()),
    ],
)
def test_what_a_map_announces_beside_picture_and_sound(kind, about, service):
    packets = [*tables(0, PAT, 0), *tables(PMT_PID, pmt([(kind, 300, about)]), 0), *Stream(0.2).packets[3:]]
    assert check(packets[:4]).tables.services == service


@given(st.binary(max_size=188 * 12), st.integers(0, 255))
def test_noise_in_packets_is_survived(noise, seed):
    packets = [bytes([0x47, (seed + n) & 255]) + noise[n * 186 : n * 186 + 186].ljust(186, b"\xb0") for n in range(12)]
    packets += [bytes([0x47, 0x40, 0, 0x30 | n]) + noise[n * 180 :][:184].ljust(184, bytes([seed])) for n in range(12)]
    check([*packets, *Stream(0.2).packets, *packets])


@given(st.lists(st.integers(1, 188 * 2500), max_size=12), st.integers(0, 2400))
def test_what_is_found_does_not_depend_on_how_the_bytes_arrive(cuts, hit):
    packets = Stream(
        pat=lambda at_s: None if 3.0 <= at_s < 4.5 else PAT, sound=lambda at_s: not 2 <= at_s < 8.5
    ).packets
    packets[hit] = b"\0" + packets[hit][1:]
    data, parts = b"".join(packets), ContinuityCheck()
    edges = [0, *sorted(set(cuts)), len(data)]
    for start, end in zip(edges, edges[1:], strict=False):
        parts.feed(data[start:end])
    assert sorted(spans(parts)) == sorted(spans(check(packets)))
