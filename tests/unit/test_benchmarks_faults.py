"""What `failover` and `chaos` decide from what was noted: who worked when, and what became of a script."""

import random
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from benchmarks.chaos import FAULT_S, QUIET_S, Scripted, faults, judge
from benchmarks.witness import Mark, longest_gap_s, marks, overlap_s
from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return T0 + timedelta(seconds=second)


def incident(name: str, start: float, detector: str = "black", stream: str = "s") -> Incident:
    return Incident(
        incident_id=name,
        stream_id=stream,
        detector=detector,
        severity=Severity.MAJOR,
        start_s=start,
        end_s=None,
        start_utc=at(start),
        end_utc=None,
        value=1.0,
        unit="share",
    )


FAULT = Scripted("s", "black", at(10), at(26))


def test_owners_that_follow_each_other_do_not_overlap():
    assert overlap_s([Mark(1.0, 1), Mark(2.0, 1), Mark(2.5, 2), Mark(3.0, 2)]) == 0.0


def test_an_owner_that_works_on_beside_the_next_one_is_counted():
    assert overlap_s([Mark(1.0, 1), Mark(2.0, 2), Mark(2.5, 1), Mark(3.0, 2), Mark(4.0, 2)]) == 0.5


def test_a_picture_that_a_frozen_owner_had_in_hand_when_it_woke_is_no_time_at_work():
    frozen = [Mark(t / 10, 1) for t in range(10)]
    successor = [Mark(6.0 + t / 10, 2) for t in range(100)]
    assert overlap_s([*frozen, *successor, Mark(15.0, 1)]) == 0.0
    assert overlap_s([*frozen, *successor, Mark(15.0, 1), Mark(15.5, 1)]) == 0.5


def test_the_longest_gap_reaches_from_and_to_the_ends():
    found = [Mark(3.0, 1), Mark(4.0, 1)]
    assert longest_gap_s(found, 0.0, 5.0) == 3.0
    assert longest_gap_s(found, 2.5, 9.0) == 5.0
    assert longest_gap_s([], 0.0, 7.0) == 7.0


def test_half_a_note_of_a_process_that_was_killed_is_left_out(tmp_path: Path):
    (tmp_path / "s").write_bytes(struct.pack("<dI", 1.0, 1) + struct.pack("<dI", 2.0, 1) + b"\0\0\0")
    assert marks(tmp_path, "s") == [Mark(1.0, 1), Mark(2.0, 1)]
    assert marks(tmp_path, "s", since_s=1.5) == [Mark(2.0, 1)]
    assert marks(tmp_path, "other") == []


def test_a_fault_that_was_found_and_told_is_neither_lost_nor_doubled():
    found = judge([FAULT], [incident("a", 10.1)], ["a:opened", "a:closed"])
    assert (found.lost, found.doubled, found.others) == ((), (), ())


def test_a_fault_that_was_found_late_since_nobody_looked_counts_as_found():
    assert judge([FAULT], [incident("a", 18.0)], ["a:opened"]).lost == ()


@pytest.mark.parametrize(
    "one",
    [incident("a", 10.0, "freeze"), incident("a", 10.0, stream="t"), incident("a", 5.0), incident("a", 40.0)],
)
def test_what_is_of_another_class_stream_or_time_is_not_the_fault(one: Incident):
    found = judge([FAULT], [one], ["a:opened"])
    assert (found.lost, found.others) == ((FAULT,), (one,))


def test_a_fault_that_nobody_was_told_of_is_lost():
    assert judge([FAULT], [incident("a", 10.0)], []).lost == (FAULT,)


def test_a_key_that_came_twice_and_a_fault_under_two_ids_are_doubled():
    assert judge([FAULT], [incident("a", 10.0)], ["a:opened", "a:opened"]).doubled == ("a:opened",)
    two = [incident("a", 10.0), incident("b", 20.0)]
    assert judge([FAULT], two, ["a:opened", "b:opened"]).doubled == ("b:opened",)


def test_a_script_is_of_its_seed_and_leaves_quiet_between_faults():
    made = faults(300.0, random.Random(7))
    assert msgspec.json.encode(made) == msgspec.json.encode(faults(300.0, random.Random(7)))
    assert len({fault.kind for fault in made}) == 3
    assert all(b.start_s - a.start_s >= FAULT_S + QUIET_S[0] for a, b in zip(made, made[1:], strict=False))
    assert made[-1].end_s <= 300.0
