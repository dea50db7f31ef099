from datetime import UTC, datetime, timedelta

import pytest

from vqa_ray.cli.demo.failover import Failover, victim
from vqa_ray.cli.demo.match import CLASS_OF, Alert, Expected, judge
from vqa_ray.cli.demo.script import KILL_AT_S, LEAST_S, LEAST_STREAMS, QUIET_S, ROUND_S, cast
from vqa_ray.cluster.messages import AnalyzerStatus, FleetStatus, StreamStatus
from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.media.synthetic.script import FaultKind
from vqa_ray.media.synthetic.source import Kind

T0 = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def expected(
    kind: FaultKind = FaultKind.BLACK, start: float = 10, end: float = 16, served: Kind = Kind.HTTP
) -> Expected:
    return Expected("one", served, kind, at(start), at(end))


def incident(detector: str = "black", start: float = 10.1, end: float | None = 16.1, stream: str = "one") -> Incident:
    return Incident(
        incident_id=f"{stream}-{detector}-{start}",
        stream_id=stream,
        detector=detector,
        severity=Severity.MAJOR,
        start_s=start,
        end_s=end,
        start_utc=at(start),
        end_utc=at(end) if end is not None else None,
        value=1.0,
        unit="",
    )


def told(*incidents: Incident, after_s: float = 2.1) -> list[Alert]:
    alerts = []
    for one in incidents:
        alerts.append(Alert(f"{one.incident_id}:opened", one.start_utc + timedelta(seconds=after_s)))
        if one.end_utc is not None:
            alerts.append(Alert(f"{one.incident_id}:closed", one.end_utc + timedelta(seconds=1)))
    return alerts


def test_a_fault_that_is_found_at_its_time_and_told_once_is_fine():
    found = incident()
    verdict = judge([expected()], [found], told(found))
    assert verdict.fine
    (row,) = verdict.rows
    assert (row.start_off_s, row.end_off_s) == pytest.approx((0.1, 0.1))
    assert row.told_after_s == pytest.approx(2.2)


@pytest.mark.parametrize(
    "found",
    [
        incident("freeze"),
        incident(stream="two"),
        incident(start=8.5),
        incident(start=13.0),
    ],
    ids=["another class", "another stream", "too early", "too late"],
)
def test_what_is_no_match_leaves_the_fault_not_found_and_the_incident_unexplained(found):
    verdict = judge([expected()], [found], told(found))
    assert not verdict.fine
    assert verdict.rows[0].why == "not found"
    assert verdict.unexplained == (found,)


@pytest.mark.parametrize(
    ("end", "why"), [(None, "never ended"), (12.0, "ended 4.0 s too early"), (30.0, "ended 14.0 s too late")]
)
def test_a_wrong_end_is_a_failure(end, why):
    found = incident(end=end)
    verdict = judge([expected()], [found], told(found))
    assert verdict.rows[0].why == why
    assert not verdict.fine


def test_two_incidents_for_one_fault_are_one_too_many():
    first, second = incident(end=12.5), incident(start=12.4)
    verdict = judge([expected()], [second, first], told(first, second))
    assert not verdict.fine
    assert verdict.unexplained == (second,)


def test_an_alert_that_comes_twice_is_counted_and_one_that_never_comes_too():
    found = incident()
    alerts = told(found)
    assert judge([expected()], [found], [*alerts, alerts[0]]).told_twice == (alerts[0].key,)
    verdict = judge([expected()], [found], alerts[:1])
    assert verdict.untold == (alerts[1].key,)
    assert not verdict.fine


def test_lost_packets_explain_continuity_errors_while_they_last_but_not_later():
    fault = expected(FaultKind.CORRUPTION, 10, 14)
    main, beside, later = (
        incident("corruption", end=14.5),
        incident("cc_error", 10.2, 14.0),
        incident("cc_error", 40, 41),
    )
    assert judge([fault], [main, beside], told(main, beside)).fine
    assert judge([fault], [main, later], told(main, later)).unexplained == (later,)


def test_each_of_two_equal_faults_gets_its_own_incident():
    faults = [expected(start=10, end=16), expected(start=40, end=46)]
    found = [incident(start=40.2, end=46.1), incident(start=10.2, end=16.2)]
    verdict = judge(faults, found, told(*found))
    assert verdict.fine
    assert [row.start_off_s for row in verdict.rows] == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize(("streams", "seconds"), [(LEAST_STREAMS, LEAST_S), (20, 130.0)])
def test_the_script_can_be_judged(streams, seconds):
    parts = cast(streams, seconds)
    assert len({part.name for part in parts}) == streams
    faults = [fault for part in parts for fault in part.faults]
    assert {fault.kind for fault in faults} == set(CLASS_OF), "one of each"
    assert {part.kind for part in parts} >= {Kind.HLS, Kind.MULTICAST, Kind.HTTP, Kind.RTMP, Kind.RTSP}
    for fault in faults:
        for moment in (fault.start_s % ROUND_S, fault.end_s % ROUND_S):
            assert not QUIET_S[0] < moment < QUIET_S[1]
        assert fault.end_s <= seconds
    assert any(fault.start_s < KILL_AT_S < fault.end_s for fault in faults)


def status(*streams: StreamStatus) -> FleetStatus:
    analyzers = tuple(
        AnalyzerStatus(
            name=name, phase="up", pid=pid, node_id="n", streams=2, load=0.1, reserved=0.1, capacity=0.8, rss_bytes=1
        )
        for name, pid in (("a", 11), ("b", 12))
    )
    return FleetStatus(
        streams=streams, analyzers=analyzers, waiting=0, open_incidents=0, undelivered=0, dropped_stale=0,
        tick_failures=0, started_utc=T0, supervisor_pid=1,
    )  # fmt: skip


def stream(name: str, analyzer: str, epoch: int = 1, state: str = "live", incidents: int = 0) -> StreamStatus:
    return StreamStatus(stream_id=name, state=state, analyzer=analyzer, epoch=epoch, open_incidents=incidents)


def test_the_analyzer_with_most_open_incidents_is_killed():
    now = status(stream("one", "a", incidents=1), stream("two", "b"), stream("three", "b"))
    chosen = victim(now)
    assert chosen is not None
    assert chosen.pid == 11


def test_streams_are_back_when_all_are_live_under_a_newer_epoch():
    failover = Failover([stream("one", "a"), stream("two", "a")], killed_s=100.0)
    assert not failover.look(status(stream("one", "a"), stream("two", "a")), 100.1)
    assert not failover.look(status(stream("one", "b", 2), stream("two", "b", 2, "connecting")), 102.0)
    assert failover.look(status(stream("one", "b", 2), stream("two", "b", 3)), 103.5)
    assert failover.took_s == pytest.approx(3.5)
    assert not failover.look(status(stream("one", "b", 2), stream("two", "b", 3)), 104.0)
