from collections.abc import Iterator

from tests.pictures import incidents, readings
from vqa_ray.core.reading import Continuity, Indicator, PacketInfo, SourceState, TransportFault
from vqa_ray.detectors.av_drift import AvDriftSpec
from vqa_ray.detectors.cc_error import CcErrorSpec
from vqa_ray.detectors.pts_gap import PtsGapSpec
from vqa_ray.detectors.pts_jump import PtsJumpSpec
from vqa_ray.detectors.signal_loss import SignalLossSpec
from vqa_ray.detectors.tr101290_p1 import Tr101290P1Spec
from vqa_ray.detectors.tr101290_p2 import Tr101290P2Spec

FRAME_S = 0.04
SOUND_S = 0.032


def packet(
    kind: str, at_s: float, pts_s: float | None = None, *, continuity: Continuity = Continuity.STEADY,
    gap_s: float = 0.0, key: bool = False,
) -> PacketInfo:  # fmt: skip
    duration_s = FRAME_S if kind == "video" else SOUND_S
    pts_s = at_s + 100.0 if pts_s is None else pts_s
    return PacketInfo(kind, int(kind == "audio"), at_s, duration_s, pts_s, 100, key, False, continuity, gap_s, at_s)


def multiplex(seconds: float, audio_ahead_s: float = 0.2, clock: float = 1.0) -> Iterator[PacketInfo]:
    """Video and audio packets as they lie in a stream; the timestamps of sound run `clock` times as fast."""
    sounded = 0
    for number in range(round(seconds / FRAME_S)):
        at_s = number * FRAME_S
        yield packet("video", at_s, key=number % 25 == 0)
        while sounded * SOUND_S < at_s + audio_ahead_s:
            yield packet("audio", sounded * SOUND_S * clock)
            sounded += 1


def with_hole(start_s: float, length_s: float, *kinds: str) -> list[PacketInfo]:
    found, open_kinds = [], set(kinds)
    for p in multiplex(12):
        at_s = p.at_s or 0.0
        if p.kind in kinds and start_s <= at_s < start_s + length_s - 1e-9:
            continue
        if p.kind in open_kinds and at_s >= start_s:
            open_kinds.discard(p.kind)
            p = packet(p.kind, at_s, continuity=Continuity.GAP, gap_s=length_s)
        found.append(p)
    return found


def test_a_gap_lasts_from_the_end_of_what_came_before_to_where_it_goes_on() -> None:
    assert incidents(PtsGapSpec(), with_hole(4.0, 2.0, "video")) == [(4.0, 6.0)]


def test_gaps_of_picture_and_sound_are_one_fault() -> None:
    ((start_s, end_s),) = incidents(PtsGapSpec(), with_hole(4.0, 2.0, "video", "audio"))
    assert start_s == 4.0
    assert 6.0 <= end_s <= 6.1


def test_short_holes_are_left_to_min_gap_s() -> None:
    assert incidents(PtsGapSpec(), with_hole(4.0, 0.4, "video")) == []
    assert incidents(PtsGapSpec(min_gap_s=0.1), with_hole(4.0, 0.4, "video")) == [(4.0, 4.4)]


def test_gaps_are_told_in_presentation_time_though_pictures_are_reordered() -> None:
    delays = {0: 0.08, 1: 0.16, 2: 0.0, 3: 0.0}  # a key or P picture is decoded before the two B pictures ahead of it
    packets = []
    for number in range(100):
        at_s = number * FRAME_S - 0.08 + (2.0 if number >= 60 else 0.0)
        gap = Continuity.GAP if number == 60 else Continuity.STEADY
        packets.append(
            packet("video", at_s, 100.0 + at_s + delays[number % 4], continuity=gap, gap_s=2.0, key=number % 20 == 0)
        )
    ((start_s, end_s),) = incidents(PtsGapSpec(), packets)
    assert abs(end_s - start_s - 2.0) <= 3 * FRAME_S
    assert abs(start_s - 2.4) <= 3 * FRAME_S


def test_a_jump_is_told_once_and_a_wrap_not_at_all() -> None:
    packets = []
    for p in multiplex(8):
        at_s, base_s = p.at_s or 0.0, 100.0
        continuity = Continuity.STEADY
        if at_s >= 4.0:
            base_s = 4000.0
            continuity = Continuity.JUMP if at_s < 4.03 else Continuity.STEADY
        packets.append(packet(p.kind, at_s, at_s + base_s, continuity=continuity, gap_s=3900.0, key=p.key))
    assert incidents(PtsJumpSpec(), packets) == [(4.0, 4.032)]  # of the sound, which is ahead
    wrapped = [
        packet(p.kind, p.at_s or 0.0, (p.at_s or 0.0) + (-90_000.0 if (p.at_s or 0.0) >= 4.0 else 0.0),
               continuity=Continuity.WRAP if 4.0 <= (p.at_s or 0.0) < 4.03 else Continuity.STEADY)
        for p in multiplex(8)
    ]  # fmt: skip
    assert incidents(PtsJumpSpec(), wrapped) == []
    assert incidents(PtsGapSpec(), wrapped) == []


def test_packets_without_timestamps_say_nothing() -> None:
    lost = PacketInfo("video", 0, None, 0.04, None, 100, False, False, Continuity.STEADY, 0.0, 0.0)
    for spec in (PtsGapSpec(), PtsJumpSpec(), AvDriftSpec()):
        assert readings(spec.build(), [lost] * 50) == []


def test_a_clock_of_sound_that_runs_fast_is_drift() -> None:
    spec = AvDriftSpec(raise_after_s=5.0, clear_after_s=5.0, window_s=5.0)
    ((start_s, _),) = incidents(spec, multiplex(120, clock=1.01))
    assert 40 <= start_s <= 55  # 1 % of 40 s is the tolerance of 0.4 s


def test_interleaving_in_lumps_is_no_drift() -> None:
    lumps = []
    for start in range(60):
        lumps += [packet("video", start + n * FRAME_S) for n in range(25)]
        lumps += [packet("audio", start + n * SOUND_S) for n in range(31)]
    assert incidents(AvDriftSpec(raise_after_s=0.0), lumps) == []
    assert incidents(AvDriftSpec(raise_after_s=0.0), multiplex(60)) == []


def test_continuity_errors_of_all_pids_are_one_incident() -> None:
    faults = [
        TransportFault(0.0, 2.0, 256, 0), TransportFault(2.0, 2.2, 256, 3), TransportFault(2.1, 2.4, 257, 1),
        TransportFault(2.4, 4.0, 256, 0),
    ]  # fmt: skip
    assert incidents(CcErrorSpec(), faults) == [(2.0, 2.4)]


def test_other_faults_are_no_continuity_errors() -> None:
    faults = [TransportFault(0.0, 0.5, 0, 1, Indicator.CRC), TransportFault(0.0, 1.0, 0, 0)]
    assert incidents(CcErrorSpec(), faults) == []


def hits(*rows: tuple[float, float, Indicator, float]) -> list[TransportFault]:
    """Faults, and behind each the clean span up to its end."""
    found = []
    for at_s, until_s, indicator, interval_s in rows:
        found += [TransportFault(at_s, until_s, 0, 1, indicator, interval_s), TransportFault(at_s, until_s, 0, 0)]
    return [*found, TransportFault(found[-1].until_s, found[-1].until_s + 9.0, 0, 0)]


def test_indicators_are_incidents_of_their_own_with_their_exact_times() -> None:
    faults = hits(
        (1.0, 1.5, Indicator.PAT, 1.0), (1.5, 2.0, Indicator.PAT, 1.5), (1.7, 1.74, Indicator.SYNC_BYTE, 0.0),
        (4.0, 4.5, Indicator.PAT, 1.0),
    )  # fmt: skip
    found = readings(Tr101290P1Spec().build(), faults)
    assert [(r.part, r.at_s, r.until_s, r.value) for r in found if r.bad] == [
        ("PAT_error", 1.0, 1.5, 1.0), ("PAT_error", 1.5, 2.0, 1.5), ("Sync_byte_error", 1.7, 1.74, 1.0),
        ("PAT_error", 4.0, 4.5, 1.0),
    ]  # fmt: skip
    good = [(r.at_s, r.until_s) for r in found if r.part == "PAT_error" and not r.bad]
    assert good == [(2.0, 4.0), (4.5, 13.5)]


def test_a_longer_interval_may_be_allowed_and_a_fault_begins_where_that_is_over() -> None:
    faults = hits(
        (1.0, 1.5, Indicator.PAT, 1.0), (1.5, 2.0, Indicator.PAT, 1.5), (3.0, 3.2, Indicator.PCR_REPETITION, 0.3)
    )
    assert incidents(Tr101290P1Spec(table_interval_s=1.2), faults, "PAT_error") == [(1.7, 2.0)]
    assert incidents(Tr101290P1Spec(table_interval_s=2.0), faults, "PAT_error") == []
    assert incidents(Tr101290P2Spec(clocks="told", pcr_interval_s=0.2), faults, "PCR_repetition_error") == [(3.1, 3.2)]


def test_each_priority_tells_its_own_and_what_is_ignored_is_not_told() -> None:
    faults = hits(*((float(n), n + 0.5, kind, 9.0) for n, kind in enumerate(Indicator)))
    first = {r.part for r in readings(Tr101290P1Spec().build(), faults) if r.bad}
    second = {r.part for r in readings(Tr101290P2Spec(clocks="told").build(), faults) if r.bad}
    assert first | second == {kind.value for kind in Indicator} - {"Continuity_count_error"}
    assert not first & second
    usual = {r.part for r in readings(Tr101290P2Spec().build(), faults) if r.bad}
    assert usual == {"Transport_error", "CRC_error", "CAT_error"}
    without = {r.part for r in readings(Tr101290P1Spec(tables="ignored").build(), faults) if r.bad}
    assert first - without == {"PAT_error", "PMT_error"}


def states(*rows: tuple[float, float, str]) -> list[SourceState]:
    return [SourceState(at_s, since_s, at_s - since_s, state) for at_s, since_s, state in rows]


def test_signal_is_lost_since_the_last_packet_and_until_the_next() -> None:
    life = states(
        (1.0, 1.0, "live"), (7.0, 5.0, "stalled"), (8.0, 5.0, "backing_off"), (9.0, 5.0, "connecting"),
        (10.0, 10.0, "live"), (11.5, 11.5, "live"),
    )  # fmt: skip
    assert incidents(SignalLossSpec(), life, lasting=True) == [(5.0, 10.0)]


def test_the_first_connection_has_a_grace_and_then_counts_from_its_beginning() -> None:
    assert readings(SignalLossSpec().build_lasting(), states((0.0, 0.0, "connecting"), (9.0, 0.0, "connecting"))) == []
    found = readings(SignalLossSpec().build_lasting(), states((11.0, 0.0, "connecting")))
    assert [(reading.at_s, reading.bad) for reading in found] == [(0.0, True)]
