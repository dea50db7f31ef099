"""The one line of time of a stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa_ray.core.reading import Continuity
from vqa_ray.core.timeline import Timeline

approx = pytest.approx
WRAP_S = 2**33 / 90_000
STEADY = {Continuity.STEADY, Continuity.FIRST}


def line(now_s: float = 0.0) -> Timeline:
    timeline = Timeline()
    timeline.connect(now_s)
    return timeline


def steady(timeline: Timeline, start_s: float, count: int, step_s: float = 0.04, track: int = 0, kind: str = "video"):
    return [timeline.place(track, kind, start_s + n * step_s, start_s + n * step_s, step_s) for n in range(count)]


def test_a_file_begins_at_zero_with_its_first_picture_though_sound_comes_first():
    timeline = line()
    timeline.anchor(10.0)
    assert timeline.place(1, "audio", 9.9, 9.9, 0.02).at_s == approx(-0.1)
    assert timeline.place(0, "video", 9.92, 10.0, 0.04).at_s == approx(-0.08)
    assert timeline.at("video", 10.0) == approx(0.0)


def test_a_live_connection_begins_when_it_was_made_and_a_bit_later_if_so():
    timeline = line(100.0)
    timeline.anchor(None, late_s=1.5)
    assert timeline.place(0, "video", 5000.0, 5000.0, 0.04).at_s == approx(101.5)


def test_media_that_had_gathered_before_we_connected_is_older_but_never_before_what_was_seen_already():
    for floor_s, expected_s in ((None, 91.0), (80.0, 91.0), (95.0, 95.0)):
        timeline = Timeline()
        timeline.connect(100.0, floor_s)
        timeline.anchor(None, late_s=-9.0)
        assert timeline.place(0, "video", 5000.0, 5000.0, 0.04).at_s == approx(expected_s)


@pytest.mark.parametrize(
    ("pts_s", "expected_s"),
    [
        (5000.0, 99.0),  # what the last owner called 99 s; it came in a burst
        (5006.0, 100.0),  # 5 s off: another count, that begins when we connected
    ],
)
def test_timestamps_that_go_on_from_another_owner_keep_its_times(pts_s: float, expected_s: float):
    timeline = line(100.0)
    timeline.expect(4901.0)
    timeline.anchor(None, late_s=0.0)
    assert timeline.place(0, "video", pts_s, pts_s, 0.04).at_s == approx(expected_s)
    assert timeline.pts_minus_at_s == approx(pts_s - expected_s)


def test_a_new_connection_bridges_nothing():
    timeline = line()
    steady(timeline, 1000.0, 5)
    timeline.connect(60.0)
    first = timeline.place(0, "video", 3.0, 3.0, 0.04)
    assert (first.at_s, first.continuity) == (approx(60.0), Continuity.FIRST)


@given(
    start=st.floats(0, 90_000),
    count=st.integers(1, 200),
    step=st.sampled_from([0.02, 1 / 30, 0.04, 0.1]),
)
def test_steady_packets_stay_steady_and_keep_their_distances(start, count, step):
    timeline = line()
    for n, placed in enumerate(steady(timeline, start, count, step)):
        assert placed.continuity in STEADY
        assert placed.at_s == approx(n * step, abs=1e-6)


@given(before=st.integers(1, 50), after=st.integers(1, 50))
def test_a_wrap_is_no_fault_and_moves_nothing(before, after):
    timeline, step = line(), 0.04
    raws = [WRAP_S - (before - n) * step for n in range(before)] + [n * step for n in range(after)]
    for n, raw in enumerate(raws):
        placed = timeline.place(0, "video", raw, raw, step)
        assert placed.continuity is (Continuity.WRAP if n == before else Continuity.STEADY if n else Continuity.FIRST)
        assert placed.at_s == approx(n * step, abs=1e-6)


def test_a_gap_over_a_wrap_is_a_gap():
    timeline = line()
    steady(timeline, WRAP_S - 2.0, 50)
    placed = timeline.place(0, "video", 2.0, 2.0, 0.04)
    assert (placed.continuity, placed.gap_s, placed.at_s) == (Continuity.GAP, approx(2.0), approx(4.0))


def test_the_rtmp_counter_of_32_bits_wraps_too():
    timeline = line()
    steady(timeline, 2**32 / 1000 - 0.2, 5)
    placed = timeline.place(0, "video", 0.0, 0.0, 0.04)
    assert placed.continuity is Continuity.WRAP
    assert placed.at_s == approx(0.2)


@settings(max_examples=200)
@given(
    jumps=st.lists(st.one_of(st.floats(12, 40_000), st.floats(-40_000, -1.5)), min_size=1, max_size=6),
    run=st.integers(10, 60),
)
def test_jumps_are_taken_out_whatever_their_size(jumps, run):
    timeline, step, raw, expected = line(), 0.04, 20_000.0, 0.0
    for n, jump in enumerate([0.0, *jumps]):
        raw += jump
        for k in range(run):
            placed = timeline.place(0, "video", raw, raw, step)
            assert (placed.continuity is Continuity.JUMP) == (n > 0 and k == 0)
            if placed.continuity is Continuity.JUMP:
                assert placed.gap_s == approx(jump, abs=1e-6)
            assert placed.at_s == approx(expected, abs=1e-5)
            raw, expected = raw + step, expected + step


@pytest.mark.parametrize(("step_s", "at_s"), [(-0.4, 2.0), (0.6, 2.6)], ids=["back", "forward"])
def test_tracks_of_an_rtp_session_are_put_in_step_once_without_a_fault(step_s, at_s):
    timeline = line()
    timeline.anchor(None, aligning=True)
    steady(timeline, 0.0, 100, 0.02, kind="audio")
    placed = timeline.place(0, "audio", None, 2.0 + step_s, 0.02)
    assert (placed.continuity, placed.at_s) == (Continuity.STEADY, approx(at_s))
    steady(timeline, 2.02 + step_s, 50, 0.02, kind="audio")
    assert timeline.place(0, "audio", None, 2.0, 0.02).continuity is Continuity.JUMP


@pytest.mark.parametrize(("began_s", "step_s"), [(20.0, -0.4), (2.0, -5.0)], ids=["late", "far"])
def test_a_jump_of_an_rtp_session_that_no_sender_report_explains_is_one(began_s, step_s):
    timeline = line()
    timeline.anchor(None, aligning=True)
    steady(timeline, 0.0, round(began_s / 0.02), 0.02, kind="audio")
    assert timeline.place(0, "audio", None, began_s + step_s, 0.02).continuity is Continuity.JUMP


def test_a_short_gap_is_kept_as_time():
    timeline = line()
    steady(timeline, 0.0, 50)
    placed = timeline.place(0, "video", 4.0, 4.0, 0.04)
    assert (placed.continuity, placed.gap_s, placed.at_s) == (Continuity.GAP, approx(2.0), approx(4.0))


def test_less_than_half_a_second_is_a_gap_too():
    timeline = line()
    steady(timeline, 0.0, 50)
    placed = timeline.place(0, "video", 2.4, 2.4, 0.04)
    assert (placed.continuity, placed.gap_s) == (Continuity.GAP, approx(0.4))


def test_a_lost_frame_or_two_is_no_gap():
    timeline = line()
    steady(timeline, 0.0, 50)
    assert timeline.place(0, "video", 2.12, 2.12, 0.04).continuity is Continuity.STEADY


def test_a_small_jump_back_is_seen_in_decode_times():
    timeline = line()
    steady(timeline, 0.0, 50)
    placed = timeline.place(0, "video", 1.6, 1.6, 0.04)
    assert (placed.continuity, placed.gap_s, placed.at_s) == (Continuity.JUMP, approx(-0.4), approx(2.0))


def test_one_frame_a_second_has_no_gaps_though_the_container_says_25():
    timeline = line()
    assert {timeline.place(0, "video", n * 1.0, n * 1.0, 0.04).continuity for n in range(60)} <= STEADY


def test_sparse_sound_has_no_gaps():
    timeline, at, found = line(), 0.0, []
    for n in range(400):  # speech with pauses: 5 packets of 20 ms, then 0.4 s or 1.2 s of nothing
        found.append(timeline.place(1, "audio", at, at, 0.02).continuity)
        at += 0.02 if n % 5 else (1.2 if n % 15 == 0 else 0.4)
    assert Continuity.GAP not in found[60:]
    assert found.count(Continuity.GAP) <= 2


def test_variable_frame_rate_has_no_gaps_once_it_is_known_to_vary():
    timeline, at, found = line(), 0.0, []
    for n in range(300):
        found.append(timeline.place(0, "video", at, at, 0.033).continuity)
        at += (0.033, 0.033, 0.7, 0.2)[n % 4]
    assert Continuity.GAP not in found[20:]


def test_pictures_without_decode_times_may_be_reordered():
    timeline, found = line(), []
    for group in range(20):
        for k in (0, 4, 2, 1, 3):
            pts = (group * 5 + k) * 0.04
            found.append(timeline.place(0, "video", None, pts, 0.04).continuity)
    assert set(found) <= STEADY


def test_a_packet_without_any_time_has_no_place_and_breaks_nothing():
    timeline = line()
    steady(timeline, 0.0, 10)
    assert timeline.place(0, "video", None, None, 0.04).at_s is None
    assert timeline.place(0, "video", 0.44, 0.44, 0.04).continuity is Continuity.STEADY


def test_sound_follows_a_jump_of_the_picture_and_stays_in_sync():
    timeline = line()
    steady(timeline, 100.0, 50)
    steady(timeline, 100.0, 95, 0.02, track=1, kind="audio")  # 0.1 s behind in the multiplex
    jumped = timeline.place(0, "video", 5002.0, 5002.0, 0.04)
    late = [timeline.place(1, "audio", 101.9 + n * 0.02, 101.9 + n * 0.02, 0.02) for n in range(5)]
    followed = timeline.place(1, "audio", 5002.0, 5002.0, 0.02)
    assert jumped.at_s == approx(2.0)
    assert [placed.at_s for placed in late] == approx([1.9, 1.92, 1.94, 1.96, 1.98])
    assert (followed.continuity, followed.at_s) == (Continuity.JUMP, approx(2.0))


def test_a_later_jump_of_the_sound_alone_does_not_follow_an_old_one_of_the_picture():
    timeline = line()
    steady(timeline, 0.0, 100)
    steady(timeline, 0.0, 200, 0.02, track=1, kind="audio")
    timeline.place(0, "video", 3.5, 3.5, 0.04)  # back by 0.5 s
    placed = timeline.place(1, "audio", 104.0, 104.0, 0.02)
    assert placed.at_s == approx(4.0)


@given(jump=st.one_of(st.floats(20, 5000), st.floats(-5000, -0.3)), delay=st.integers(1, 8))
def test_frames_of_before_a_jump_that_leave_the_decoder_after_it_go_on_in_time(jump, delay):
    timeline, step = line(), 0.04
    raws = [6000 + n * step for n in range(40)] + [6000 + 40 * step + jump + n * step for n in range(40)]
    waiting, shown = [], []
    for raw in raws:
        timeline.place(0, "video", raw, raw, step)
        waiting.append(raw)
        if len(waiting) > delay:
            shown.append(timeline.at("video", waiting.pop(0)))
    shown += [timeline.at("video", raw) for raw in waiting]
    assert shown == approx([n * step for n in range(80)], abs=1e-5)


def test_tracks_that_do_not_share_a_time_base_are_put_side_by_side():
    timeline = line()
    timeline.place(0, "video", 90_000.0, 90_000.0, 0.04)
    assert timeline.place(1, "audio", 12.0, 12.0, 0.02).at_s == approx(0.0)


def test_the_raw_timestamp_can_be_got_back():
    timeline = line(5.0)
    assert timeline.pts_minus_at_s is None
    placed = timeline.place(0, "video", 1000.0, 1000.0, 0.04)
    assert placed.at_s + timeline.pts_minus_at_s == approx(1000.0)


@given(st.lists(st.integers(-2_000_000, 2_000_000), min_size=1, max_size=40))
def test_pictures_never_go_back_whatever_their_timestamps_say(damage):
    timeline = line()
    steady(timeline, 0.0, 10)
    times = []
    for n, error in enumerate(damage, start=10):
        timeline.place(0, "video", n * 0.04, n * 0.04, 0.04)
        times.append(timeline.at("video", n * 0.04 + (error / 90 if n % 3 == 0 else 0.0)))
    assert times == sorted(times)


def test_a_damaged_timestamp_far_ahead_is_not_believed_and_the_next_picture_is_at_its_own_time():
    timeline = line()
    timeline.anchor(0.0)
    times = []
    for n in range(20):
        timeline.place(0, "video", n * 0.04 - 0.08, n * 0.04, 0.04)
        times.append(timeline.at("video", n * 0.04 + (23_861.0 if n == 12 else 0.0)))
    assert times == approx([n * 0.04 for n in range(20)])


def test_a_slow_picture_may_be_reordered_by_many_of_its_own_lengths():
    timeline = line()
    for n in range(20):
        timeline.place(0, "video", n * 1.0, n * 1.0 + 4.0, 1.0)
        assert timeline.at("video", n * 1.0 + 4.0) == approx(n * 1.0)
