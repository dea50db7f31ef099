"""Spans as values, the way to a collector, and what it costs where there is none."""

import logging
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.collector import collecting
from tests.unit.test_sinks_backlog import CHANGED, CLOSED, OPENED, notice
from tests.unit.test_sinks_outbox import until
from vqa_ray.config import parse_fleet
from vqa_ray.core import span
from vqa_ray.core.span import Span, TraceOptions
from vqa_ray.errors import ConfigError
from vqa_ray.sinks import traces
from vqa_ray.sinks.channel import Delivery, Outcome
from vqa_ray.sinks.outbox import Outbox
from vqa_ray.sinks.traces import Traces, endpoint_of


def test_ids_come_of_names_alone():
    one, again = span.whole(notice().incident), span.whole(notice().incident)
    assert (one.trace_id, one.span_id) == (again.trace_id, again.span_id)
    assert one.trace_id < 1 << 128 and one.span_id < 1 << 64
    assert span.whole(notice(incident="b").incident).trace_id != one.trace_id


def test_all_that_is_said_of_an_incident_is_one_trace_below_one_span():
    told = [notice(OPENED), notice(CHANGED, sequence=3), notice(CLOSED)]
    below = [
        made
        for one in told
        for made in (
            span.detected(one, 1, "connection"),
            span.journaled(one, 2_000_000_000_000_000_000),
            span.alerted(one, "slack", 2_000_000_000_000_000_000, 1),
            span.alerted(one, "teams", 2_000_000_000_000_000_000, 1),
        )
    ]
    root = span.whole(told[-1].incident)
    assert {made.trace_id for made in below} == {root.trace_id}
    assert {span.span_id(made.trace, made.parent) for made in below} == {root.span_id}
    assert len({made.span_id for made in below}) == len(below)
    assert {made.name for made in below} == {"incident.detect", "incident.journal", "alert"}
    assert all(made.start_ns <= made.end_ns for made in [*below, root])


def test_times_are_those_of_the_incident():
    start = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)
    opened = notice()
    incident = msgspec.structs.replace(opened.incident, start_utc=start, end_utc=start + timedelta(seconds=2))
    opened = msgspec.structs.replace(opened, incident=incident, noticed_utc=start + timedelta(milliseconds=1500))
    assert span.detected(opened, 1, "").end_ns - span.detected(opened, 1, "").start_ns == 1_500_000_000
    assert span.whole(incident).end_ns - span.whole(incident).start_ns == 2_000_000_000
    assert span.nanoseconds(start) == 1_767_268_800_123_456_000


def test_clocks_that_disagree_make_no_negative_time():
    told = notice()
    early = span.nanoseconds(told.noticed_utc) - 5
    assert span.alerted(told, "slack", early, 1).start_ns == early


def test_what_failed_says_why_without_secrets():
    made = span.opened("t", 1, 2, {}, error="rtsp://user:pass@h/x: refused")
    assert made.error == "rtsp://user:***@h/x: refused"


@pytest.mark.parametrize(
    ("options", "environ", "endpoint"),
    [
        (None, {}, None),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        (
            None,
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"},
            "http://t/x",
        ),
        ("http://mine:4318", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://mine:4318/v1/traces"),
        ("${WHERE}/otlp", {"WHERE": "http://there"}, "http://there/otlp/v1/traces"),
    ],
)
def test_where_spans_go(options, environ, endpoint):
    assert endpoint_of(TraceOptions(endpoint=options), environ) == endpoint


def test_a_fleet_names_the_collector():
    assert parse_fleet("traces: {endpoint: 'http://c:4318'}").traces.endpoint == "http://c:4318"
    with pytest.raises(ConfigError, match=r"traces\.endpoint"):
        parse_fleet("traces: {endpoint: 'c:4317'}")


def test_nothing_is_imported_and_nothing_runs_where_no_collector_is_named():
    code = (
        "import sys, threading, vqa_ray.pipeline.worker, vqa_ray.sinks.registry, vqa_ray.sinks.outbox\n"
        "from vqa_ray.core.span import TraceOptions\n"
        "from vqa_ray.sinks import traces\n"
        "traces.HERE.use(TraceOptions(), 'x')\n"
        "assert not traces.HERE.on\n"
        "traces.HERE.put(None)\n"
        "traces.HERE.close()\n"
        "assert threading.active_count() == 1\n"
        "heavy = {'opentelemetry', 'apprise', 'boto3', 'confluent_kafka'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=plain)
    assert done.returncode == 0, done.stderr


def a_span(number: int = 0, **changes: object) -> Span:
    made = Span(trace="t", key=f"k{number}", name="n", start_ns=10, end_ns=20, parent="root", link=("other", "key"))
    return msgspec.structs.replace(made, **changes)


def test_a_collector_gets_what_was_put_with_its_ids_parents_and_links():
    with collecting() as collector:
        way = Traces()
        way.use(TraceOptions(endpoint=collector.url), "analyzer-0")
        assert way.on
        way.put(a_span(1, attributes={"vqa.epoch": 3, "vqa.stream": "news"}))
        way.put(a_span(2, parent="", link=None, error="no"))
        way.close(20.0)
        first, second = collector.spans()
    assert first.who == "analyzer-0"
    assert (first.trace, first.span) == (f"{span.trace_id('t'):032x}", f"{span.span_id('t', 'k1'):016x}")
    assert first.parent == f"{span.span_id('t', 'root'):016x}"
    assert first.links == [(f"{span.trace_id('other'):032x}", f"{span.span_id('other', 'key'):016x}")]
    assert (first.start_ns, first.end_ns) == (10, 20)
    assert first.attributes == {"vqa.epoch": 3, "vqa.stream": "news"}
    assert (second.parent, second.error, second.trace) == ("", "no", first.trace)
    assert not way.on


def test_another_collector_may_be_named_meanwhile():
    with collecting() as one, collecting() as two:
        way = Traces()
        way.use(TraceOptions(endpoint=one.url), "x")
        way.put(a_span(1))
        way.use(TraceOptions(endpoint=two.url), "x")
        way.use(TraceOptions(endpoint=two.url), "x")
        way.put(a_span(2))
        way.close(20.0)
        one.wait(lambda spans: len(spans) == 1)
        assert len(two.spans()) == 1


def test_a_collector_that_hangs_costs_spans_and_no_time(monkeypatch, caplog):
    monkeypatch.setattr(traces, "CAPACITY", 10)
    hanging = threading.Event()

    class Stuck:
        def __init__(self, endpoint: str, who: str) -> None:
            hanging.wait(30.0)

        def make(self, one: Span) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr(traces, "_Maker", Stuck)
    way = Traces()
    way.use(TraceOptions(endpoint="http://127.0.0.1:9"), "x")
    for number in range(50):
        way.put(a_span(number))
    assert way.dropped == 40
    assert [record.getMessage() for record in caplog.records] == ["spans are dropped: the collector does not keep up"]
    way.close(0.05)
    hanging.set()


def test_a_missing_library_is_said_once_and_hurts_nobody(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    way = Traces()
    way.use(TraceOptions(endpoint="http://127.0.0.1:1"), "x")
    way.put(a_span())
    way.close(10.0)
    assert [record.getMessage() for record in caplog.records] == ["nothing is traced: pip install 'vqa-ray[otel]'"]


def test_a_variable_that_is_not_set_is_said_and_hurts_nobody(caplog, monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    caplog.set_level(logging.ERROR)
    way = Traces()
    way.use(TraceOptions(endpoint="${NO_SUCH_COLLECTOR}"), "x")
    assert not way.on
    assert "NO_SUCH_COLLECTOR" in caplog.text


def test_the_outbox_traces_each_alert_with_its_attempts(monkeypatch):
    answers = iter([Delivery(Outcome.RETRY, "503"), Delivery(Outcome.SENT), Delivery(Outcome.GIVE_UP, "404 gone")])
    put: list[Span] = []

    class Fake:
        name = "fake"
        resend_every_s = None

        def send(self, told):
            return next(answers)

        def close(self):
            pass

    here = Traces()
    monkeypatch.setattr(type(here), "on", property(lambda self: True))
    monkeypatch.setattr(here, "put", put.append)
    monkeypatch.setattr(traces, "HERE", here)
    box = Outbox([Fake()])
    box.start()
    box.put(notice(incident="a"))
    until(lambda: put)
    box.put(notice(incident="b"))
    assert box.stop(20.0)
    assert [(one.attributes["vqa.incident"], one.attributes["vqa.attempts"], one.error) for one in put] == [
        ("a", 2, ""),
        ("b", 1, "404 gone"),
    ]
