"""Streams that go from one worker to another: rehearsed beside their owner, and files that are read half."""

import time
from pathlib import Path

import msgspec
import pytest

from tests.pipeline.test_worker import BLACK, clip, kinds, profile, until  # noqa: F401 - a fixture
from vqa_ray.config import DetectorSet, Profile, StreamSpec
from vqa_ray.core.window import WindowRow
from vqa_ray.detectors.registry import by_id
from vqa_ray.media.synthetic import Fault, FaultKind, Source, serve
from vqa_ray.pipeline.analysis import NOT_ANALYSED
from vqa_ray.pipeline.worker import Told, Warmth, Worker


@pytest.fixture(scope="module")
def source():
    with serve("http") as made:
        yield made


class Pair:
    """Two workers, and what both together told."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.rows: list[WindowRow] = []
        self.one = Worker("one", tell=self.told.append, windows=self.rows.extend)
        self.other = Worker("other", tell=self.told.append, windows=self.rows.extend)

    def move(self, stream: StreamSpec, new: Profile, *, to: Worker | None = None) -> float:
        """Make before break; seconds without an owner."""
        to = to or self.other
        to.prepare(stream, new, self.one.reports()[0].snapshot or b"")
        until(lambda: to.warmth(stream.id, self.one.reports()[0].at_s) is Warmth.WARM, 20)
        assert [report.epoch for report in self.other.reports()] == []
        began_s = time.monotonic()
        snapshot = self.one.release(stream.id, 1)
        to.assign(stream, new, 2, snapshot)
        return time.monotonic() - began_s

    def seconds(self, detector: str) -> dict[float, int]:
        """Readings of the detector in each second, whoever made them."""
        found: dict[float, int] = {}
        for row in self.rows:
            if row.detector == detector:
                found[row.start_s] = found.get(row.start_s, 0) + row.count
        return found


@pytest.fixture
def pair():
    made = Pair()
    yield made
    made.one.stop(2.0)
    made.other.stop(2.0)


def watched(source: Source, one: Worker, with_: Profile) -> StreamSpec:
    stream = StreamSpec(id="live", url=source.url)
    one.assign(stream, with_, 1)
    until(lambda: one.reports()[0].at_s > 1.0, 20)
    return stream


def with_null(base: Profile) -> Profile:
    named = {spec.id: spec for spec in (*base.specs, by_id["null"]())}
    return msgspec.structs.replace(base, detectors=DetectorSet(**named))


def test_a_live_stream_moves_without_a_frame_lost_while_a_fault_is_open(source, pair):
    both = with_null(profile(black=0.3))
    stream = watched(source, pair.one, both)
    source.schedule([Fault(FaultKind.BLACK, source.now_s + 0.5, 8.0)])
    until(lambda: kinds(pair.told) == [("opened", "black")], 15)
    spent_s = pair.move(stream, both)
    until(lambda: kinds(pair.told) == [("opened", "black"), ("closed", "black")], 20)
    opened, closed = (one.notice.incident for one in pair.told)
    assert opened.incident_id == closed.incident_id
    assert [one.epoch for one in pair.told] == [1, 2]
    assert closed.end_s - closed.start_s == pytest.approx(8.0, abs=0.05)
    pair.other.stop(2.0)
    each = pair.seconds("null")
    whole = [each[second] for second in sorted(each)[1:-1]]
    assert set(whole) == {25}, whole  # no frame is missing and none was counted twice, at the seam too
    assert pair.seconds(NOT_ANALYSED) == {}
    print(f"\nwithout an owner for {spent_s * 1000:.0f} ms; readings a second: {whole}")


def test_a_changed_threshold_takes_effect_on_a_running_hold(source, pair):
    before, after = profile(black=30.0), profile(black=2.0)
    stream = watched(source, pair.one, before)
    fault = Fault(FaultKind.BLACK, source.now_s + 0.5, 12.0)
    source.schedule([fault])
    until(lambda: b"pending" in (pair.one.reports()[0].snapshot or b""), 15)
    pair.move(stream, after, to=pair.one)
    until(lambda: kinds(pair.told) == [("opened", "black"), ("closed", "black")], 25)
    closed = pair.told[1].notice.incident
    assert closed.end_s - closed.start_s == pytest.approx(12.0, abs=0.05)


def test_a_source_that_is_not_there_fails_the_rehearsal(source, pair):
    snapshot = watched(source, pair.one, profile(black=1.0)) and pair.one.reports()[0].snapshot
    stream = StreamSpec(id="gone", url="http://127.0.0.1:9/none")
    pair.other.prepare(stream, profile(black=1.0), snapshot)
    until(lambda: pair.other.warmth("gone", 1e9) is Warmth.FAILED, 15)
    pair.other.dismiss("gone")
    assert pair.other.warmth("gone", 1e9) is Warmth.FAILED
    assert pair.told == []


def test_seconds_without_an_owner_are_windows_of_coverage_0(source, pair):
    stream = watched(source, pair.one, profile(black=1.0))
    reached_s = pair.one.reports()[0].at_s
    snapshot = pair.one.release("live", 1)
    time.sleep(3.0)
    pair.other.assign(stream, profile(black=1.0), 2, snapshot)
    until(lambda: pair.seconds(NOT_ANALYSED) != {}, 15)
    missed = [row for row in pair.rows if row.detector == NOT_ANALYSED]
    assert {(row.coverage, row.epoch) for row in missed} == {(0.0, 2)}
    assert 2 <= len(missed) <= 8
    assert reached_s - 1.0 <= missed[0].start_s <= reached_s + 2.0


def test_a_crashed_owner_leaves_the_same_mark_by_what_it_said_last(source, pair):
    stream = watched(source, pair.one, profile(black=1.0))
    report = pair.one.reports()[0]
    time.sleep(2.5)
    pair.other.assign(stream, profile(black=1.0), 2, report.snapshot, report.at_s)
    until(lambda: pair.seconds(NOT_ANALYSED) != {}, 15)


def test_a_file_goes_on_where_its_last_owner_came_to(pair, clip: Path):  # noqa: F811
    qc = msgspec.structs.replace(with_null(profile(black=0.1)), live=False)
    stream = StreamSpec(id="file", url=str(clip))
    halt = Worker("halt", tell=lambda told: pair.told.append(told) or stop(), windows=pair.rows.extend)

    def stop() -> None:
        halt._runs["file"].stop(0.0)  # at its next packet, as soon as it has told of the first fault

    halt.assign(stream, qc, 1)
    until(lambda: kinds(pair.told) == [("opened", "black")] and not halt._runs["file"].running, 20)
    snapshot = halt.release("file", 1)
    halt.stop()
    came_s = sum(pair.seconds("null").values()) / 25
    assert BLACK[0] < came_s < BLACK[1]
    pair.other.assign(stream, qc, 2, snapshot)
    until(lambda: pair.other.reports()[0].state == "ended", 20)
    opened, closed = (one.notice.incident for one in pair.told)
    assert opened.incident_id == closed.incident_id
    assert (closed.start_s, closed.end_s) == (BLACK[0], pytest.approx(BLACK[1], abs=0.001))
    assert pair.seconds("null") == {float(second): 25 for second in range(10)}


def test_another_file_under_the_same_name_is_read_from_its_start(pair, clip: Path, tmp_path: Path):  # noqa: F811
    qc = msgspec.structs.replace(with_null(profile(black=0.1)), live=False)
    pair.one.assign(StreamSpec(id="file", url=str(clip)), qc, 1)
    until(lambda: pair.one.reports()[0].state == "ended" or pair.one.reports()[0].at_s > 1.0, 20)
    snapshot = pair.one.release("file", 1)
    other = tmp_path / "other.ts"
    other.write_bytes(clip.read_bytes())
    pair.rows.clear()
    pair.other.assign(StreamSpec(id="file", url=str(other)), qc, 2, snapshot)
    until(lambda: pair.other.reports()[0].state == "ended", 20)
    assert pair.seconds("null") == {float(second): 25 for second in range(10)}
