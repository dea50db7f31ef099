"""Windows of one second, and coverage."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.core.ladder import Ladder, Tier
from vqa_ray.core.reading import Reading
from vqa_ray.core.window import Coverage, Rollup

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


def whole(_: float) -> float:
    return 1.0


def test_a_second_is_rolled_up_when_the_next_one_begins():
    rollup = Rollup("s", ORIGIN, epoch=3)
    assert rollup.add("black", Reading(0.0, 0.5, 2.0, False), whole) is None
    assert rollup.add("black", Reading(0.5, 1.0, 4.0, True), whole) is None
    row = rollup.add("black", Reading(1.0, 1.5, 0.0, False), whole)
    assert (row.count, row.min, row.mean, row.max, row.bad_share) == (2, 2.0, 3.0, 4.0, 0.5)
    assert (row.start_utc, row.start_s, row.epoch) == (ORIGIN, 0.0, 3)


def test_what_is_under_way_is_given_at_the_end():
    rollup = Rollup("s", ORIGIN)
    rollup.add("black", Reading(61.2, 61.3, 1.0, True), whole)
    assert [row.start_utc for row in rollup.finish(whole)] == [ORIGIN + timedelta(seconds=61)]
    assert rollup.finish(whole) == []


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(-100, 100), st.booleans()), min_size=1))
def test_no_reading_is_lost_in_windows(raw):
    rollup = Rollup("s", ORIGIN)
    readings = [Reading(at_s, at_s + 0.04, value, bad) for at_s, value, bad in sorted(raw)]
    rows = [rollup.add("d", reading, whole) for reading in readings] + rollup.finish(whole)
    rows = [row for row in rows if row is not None]
    assert sum(row.count for row in rows) == len(readings)
    assert all(row.min <= row.mean + 1e-9 and row.mean <= row.max + 1e-9 for row in rows)
    assert len({row.start_s for row in rows}) == len(rows)


def test_coverage_is_the_share_of_frames_analysed_in_a_second():
    coverage = Coverage()
    for i in range(25):
        coverage.count(i * 0.04, 1, 1)
    coverage.count(1.1, 20, 5)
    assert (coverage.of(0.0), coverage.of(1.0), coverage.of(7.0)) == (1.0, 0.25, 1.0)
    assert coverage.total == 30 / 45


def test_a_stream_that_falls_behind_steps_down_a_rung_and_up_again_when_it_has_kept_up_for_long():
    ladder, now_s, tiers = Ladder(), 0.0, []
    for behind_s in [0.2] * 20 + [2.0] * 20 + [0.2] * 200:
        now_s += 0.5
        tiers.append(ladder.step(behind_s, now_s))
    assert tiers[19] is Tier.ALL
    assert tiers[20] is Tier.NO_DISPOSABLE
    assert tiers[39] is Tier.KEY
    assert tiers[-1] is Tier.ALL


def test_a_constant_delay_of_the_network_is_no_reason_to_step_down():
    ladder = Ladder()
    assert all(ladder.step(25.0 + (i % 2) * 0.5, i * 0.5) is Tier.ALL for i in range(200))


def test_delay_that_comes_in_segments_is_no_reason_to_step_down():
    ladder = Ladder()
    assert all(ladder.step(float(i % 6), i * 1.0, slack_s=6.0) is Tier.ALL for i in range(200))
