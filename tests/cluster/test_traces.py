"""Traces of a real stream on a real Ray, received by a real OTLP/HTTP server: open, first frame, incident, alert."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cluster.conftest import eventually
from tests.cluster.test_streams import told, watched
from tests.collector import Collector, Seen, collecting
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.core.span import TraceOptions
from vqa_ray.media.synthetic import Fault, FaultKind, Source, serve
from vqa_ray.sinks.jsonl import JsonLinesSpec

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def collectors() -> Iterator[tuple[Collector, Collector]]:
    with collecting() as one, collecting() as two:
        yield one, two


@pytest.fixture(scope="module")
def fleet(ray_env: Path, collectors: tuple[Collector, Collector]) -> Iterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collectors[0].url)  # Ray's processes have it from us
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        made = Fleet.start(
            options=ClusterOptions(analyzers_min=1, analyzers_max=1),
            state_dir=ray_env / "state",
            cores=2,
            temp_dir=str(ray_env / "r"),
            dashboard=False,
        )
        yield made
        made.stop()


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    made = serve("udp")
    made.wait()
    yield made
    made.stop()


def of(spans: list[Seen], name: str, kind: str = "") -> list[Seen]:
    return [one for one in spans if one.name == name and kind in ("", one.attributes.get("vqa.kind"))]


def ended(spans: list[Seen], times: int = 1) -> bool:
    """Whether incidents were traced to their end, by both processes and the channel."""
    return all(
        len(of(spans, name, kind)) >= times
        for name, kind in (
            ("incident", ""),
            ("incident.detect", "opened"),
            ("incident.journal", "closed"),
            ("alert", "opened"),
            ("alert", "closed"),
        )
    )


def test_a_stream_is_traced_from_the_call_to_the_alert(fleet, source, collectors, ray_env):
    stream = StreamSpec(id="udp", url=source.url, labels={"channel": "news"})
    alerts, page = ray_env / "alerts.jsonl", "https://vqa.example.com"
    spec = FleetSpec(streams=(stream,), channels=(JsonLinesSpec(path=str(alerts)),), page_url=page)
    fleet.apply(spec)
    eventually(lambda: all(map(watched, fleet.status().streams)), timeout_s=60)
    collector = collectors[0]
    spans = collector.wait(lambda spans: bool(of(spans, "stream.connect")))
    (connect,), (opened,) = of(spans, "stream.connect"), of(spans, "stream.open")
    assert connect.who == opened.who == "analyzer-0"
    assert (opened.trace, opened.parent) == (connect.trace, connect.span)
    assert connect.start_ns == opened.start_ns < opened.end_ns <= connect.end_ns
    assert connect.attributes["vqa.stream"] == "udp"
    assert connect.attributes["vqa.codec"] == "h264"

    source.schedule([Fault(FaultKind.BLACK, source.now_s + 1.0, 6.0)])
    eventually(lambda: "udp black closed" in told(ray_env), timeout_s=60)
    spans = [one for one in collector.wait(ended) if one.attributes.get("vqa.detector") == "black"]
    (whole,) = of(spans, "incident")
    within = [one for one in spans if one.name != "incident"]
    assert {one.trace for one in within} == {whole.trace}
    assert {one.parent for one in within} == {whole.span}
    assert {(one.name, one.who) for one in spans} == {
        ("incident", "supervisor"),
        ("incident.detect", "analyzer-0"),
        ("incident.journal", "supervisor"),
        ("alert", "supervisor"),
    }
    (detect,), (alert,) = of(spans, "incident.detect", "opened"), of(spans, "alert", "opened")
    assert detect.links == [(connect.trace, connect.span)]
    assert detect.start_ns == whole.start_ns
    assert detect.end_ns == alert.start_ns <= alert.end_ns
    assert alert.attributes["vqa.channel"] == "jsonl"
    assert alert.attributes["vqa.label.channel"] == "news"
    assert (whole.end_ns - whole.start_ns) / 1e9 == pytest.approx(6.0, abs=1.0)
    incident_id = fleet.incidents()[0].incident_id
    assert whole.attributes["vqa.incident"] == incident_id
    event = msgspec.json.decode(alerts.read_text().splitlines()[0])
    assert event["data"]["page"] == f"{page}/incidents/{incident_id}"

    other = TraceOptions(endpoint=collectors[1].url)
    fleet.apply(msgspec.structs.replace(spec, traces=other))
    eventually(lambda: all(map(watched, fleet.status().streams)), timeout_s=60)
    source.schedule([Fault(FaultKind.BLACK, source.now_s + 3.0, 5.0)])
    spans = collectors[1].wait(ended, timeout_s=90)
    assert {one.who for one in spans} == {"supervisor", "analyzer-0"}


def test_a_source_that_does_not_answer_is_a_failed_connection(fleet, collectors, ray_env):
    gone = StreamSpec(id="gone", url="rtsp://viewer:s3cret-pw@127.0.0.1:9/x")
    before = collectors[1]
    fleet.apply(FleetSpec(streams=(gone,), traces=TraceOptions(endpoint=before.url)))
    failed = [
        one
        for one in before.wait(lambda spans: any(one.error for one in spans))
        if one.attributes.get("vqa.stream") == "gone" and one.error
    ]
    assert {one.name for one in failed} == {"stream.connect", "stream.open"}
    assert "refused" in failed[0].error.lower()
    assert "s3cret-pw" not in repr(before.spans())
