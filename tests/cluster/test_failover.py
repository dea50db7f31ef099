"""A real Ray, fake streams: assignment, death of an analyzer, of the supervisor, and what is told meanwhile."""

import os
import signal
import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tests.cluster.conftest import Bench, eventually
from tests.cluster.fake_worker import Line
from vqa_ray.cluster import port
from vqa_ray.cluster.messages import SUPERVISOR, FleetStatus, Handed
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.pipeline.worker import Told

pytestmark = pytest.mark.ray

NAMES = tuple(f"s{n}" for n in range(6))


def by_analyzer(status: FleetStatus) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for stream in status.streams:
        found.setdefault(stream.analyzer or "", []).append(stream.stream_id)
    return found


def pid_of(status: FleetStatus, name: str) -> int:
    return next(a.pid for a in status.analyzers if a.name == name and a.pid)


def overlap(lines: list[Line]) -> list[tuple[int, int]]:
    """Pairs of epochs in the order of writing where an older one follows a newer one."""
    epochs = [line.epoch for line in lines]
    return [(a, b) for a, b in pairwise(epochs) if b < a]


def test_streams_are_spread_over_the_analyzers_and_released_when_no_longer_wanted(bench: Bench):
    bench.watch(*NAMES)
    bench.wait(lambda s: len(s.analyzers) == 2)
    bench.watch(*NAMES, "extra")
    bench.watch(*NAMES)
    count = len(bench.lines("extra"))
    time.sleep(0.5)
    assert len(bench.lines("extra")) == count
    assert bench.fleet.status().tick_failures == 0


def test_a_second_apply_of_the_same_fleet_changes_nothing(bench: Bench):
    bench.watch(*NAMES)
    before = {s.stream_id: s.epoch for s in bench.fleet.status().streams}
    result = bench.fleet.apply(bench.spec(*NAMES))
    assert (result.added, result.changed, result.removed) == ((), (), ())
    assert {s.stream_id: s.epoch for s in bench.fleet.status().streams} == before


def test_streams_of_a_killed_analyzer_go_on_elsewhere_with_a_new_epoch_and_their_snapshot(bench: Bench):
    bench.watch(*NAMES)
    before = bench.wait(lambda s: len(by_analyzer(s)) == 2 and "" not in by_analyzer(s))
    victim = next(a for a, names in by_analyzer(before).items() if names)
    name = by_analyzer(before)[victim][0]
    epoch = {s.stream_id: s.epoch for s in before.streams}
    bench.break_stream(name, "kept")
    eventually(lambda: bench.told("kept") == ["kept:opened"])
    killed_s = time.monotonic()
    os.kill(pid_of(before, victim), signal.SIGKILL)
    lost = by_analyzer(before)[victim]
    eventually(lambda: all(bench.lines(n)[-1].epoch > epoch[n] for n in lost))
    gaps = [next(x.mono_s for x in bench.lines(n) if x.epoch > epoch[n]) - killed_s for n in lost]
    assert max(gaps) < 5.0
    resumed = next(x for x in bench.lines(name) if x.epoch > epoch[name])
    assert (resumed.resumed, resumed.incident) == ("kept", "kept")
    assert [overlap(bench.lines(n)) for n in lost] == [[] for _ in lost]
    bench.mend_stream(name)
    eventually(lambda: bench.told("kept") == ["kept:opened", "kept:closed"])
    bench.wait(lambda s: len(s.analyzers) == 2 and all(a.phase == "ready" for a in s.analyzers))


def test_streams_go_on_while_the_supervisor_is_away_and_are_adopted_when_it_is_back(bench: Bench):
    bench.watch(*NAMES)
    before = bench.fleet.status()
    epochs = {s.stream_id: (s.analyzer, s.epoch) for s in before.streams}
    os.kill(before.supervisor_pid, signal.SIGKILL)
    after = bench.wait(lambda s: all(x.state == "live" for x in s.streams))
    assert after.supervisor_pid != before.supervisor_pid
    assert {s.stream_id: (s.analyzer, s.epoch) for s in after.streams} == epochs
    for name in NAMES:
        ticks = [line.mono_s for line in bench.lines(name) if line.epoch == epochs[name][1]]
        assert max(b - a for a, b in pairwise(ticks)) < 2.0


def test_what_opens_while_the_supervisor_is_away_is_told_once(bench: Bench):
    bench.watch(*NAMES)
    os.kill(bench.fleet.status().supervisor_pid, signal.SIGKILL)
    bench.break_stream("s1", "away")
    eventually(lambda: bench.told("away") == ["away:opened"])
    bench.wait(lambda s: s.open_incidents == 1)
    bench.mend_stream("s1")
    bench.wait(lambda s: s.open_incidents == 0)
    time.sleep(1.0)
    assert bench.told("away").count("away:closed") == 1
    assert set(bench.told("away")) == {"away:opened", "away:closed"}


def test_what_was_delivered_is_not_told_again_after_a_restart_of_the_supervisor(bench: Bench):
    bench.watch(*NAMES)
    bench.break_stream("s2", "once")
    eventually(lambda: bench.told("once") == ["once:opened"])
    bench.wait(lambda s: s.undelivered == 0)
    os.kill(bench.fleet.status().supervisor_pid, signal.SIGKILL)
    bench.wait(lambda s: all(x.state == "live" for x in s.streams))
    time.sleep(1.0)
    assert bench.told("once") == ["once:opened"]
    assert [i.incident_id for i in bench.fleet.incidents(open_only=True)] == ["once"]
    bench.mend_stream("s2")
    bench.wait(lambda s: s.open_incidents == 0)


def test_a_frozen_analyzer_loses_its_streams_after_the_lease_and_stops_them_itself_when_it_wakes(bench: Bench):
    bench.watch(*NAMES)
    before = bench.fleet.status()
    victim = next(iter(by_analyzer(before)))
    lost = by_analyzer(before)[victim]
    epoch = {s.stream_id: s.epoch for s in before.streams}
    pid = pid_of(before, victim)
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: all(bench.lines(n)[-1].epoch > epoch[n] for n in lost), timeout_s=25.0)
    finally:
        if os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
            os.kill(pid, signal.SIGCONT)
    time.sleep(2.0)
    for name in lost:
        tail = bench.lines(name)[-10:]
        assert {line.epoch for line in tail} == {tail[-1].epoch}


def test_what_a_fenced_epoch_still_says_is_dropped_and_counted(bench: Bench):
    bench.watch(*NAMES)
    status = bench.fleet.status()
    stream = next(s for s in status.streams if s.epoch > 1)
    now = datetime.now(UTC)
    incident = Incident(
        incident_id="stale",
        stream_id=stream.stream_id,
        detector="black",
        severity=Severity.MAJOR,
        start_s=0.0,
        end_s=None,
        start_utc=now,
        end_utc=None,
        value=1.0,
        unit="share",
    )
    notice = Notice(kind=NoticeKind.OPENED, incident=incident, noticed_utc=now)
    supervisor = port.find(SUPERVISOR)
    port.call(supervisor, "tell", [Handed(told=Told(notice, stream.epoch - 1, b""))], timeout_s=10)
    assert bench.fleet.status().dropped_stale == status.dropped_stale + 1
    assert "stale" not in {i.incident_id for i in bench.fleet.incidents()}
    assert bench.told("stale") == []


def test_open_incidents_of_a_removed_stream_are_closed(bench: Bench):
    bench.watch(*NAMES)
    bench.break_stream("s3", "gone")
    bench.wait(lambda s: s.open_incidents == 1)
    bench.watch(*(name for name in NAMES if name != "s3"))
    bench.wait(lambda s: s.open_incidents == 0)
    eventually(lambda: bench.told("gone") == ["gone:opened", "gone:closed"])
