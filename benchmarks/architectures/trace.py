"""What each stage did, and when: as a Chrome trace, as OpenTelemetry's JSON, and as shares by stage."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.architectures.outcome import Outcome, Span

WITHIN = ("orchestrate",)  # spans that only hold others


def chrome(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The Trace Event Format of chrome://tracing and Perfetto: a process an architecture, a thread a process of it."""
    events: list[dict[str, Any]] = []
    for pid, outcome in enumerate(outcomes, 1):
        events.append({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": outcome.name}})
        threads = {name: tid for tid, name in enumerate(dict.fromkeys(s.process for s in outcome.spans), 1)}
        for name, tid in threads.items():
            events.append({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}})
        began_s = min((span.at_s for span in outcome.spans), default=0.0)
        for span in outcome.spans:
            events.append(
                {
                    "ph": "X", "name": span.stage, "cat": outcome.name, "pid": pid, "tid": threads[span.process],
                    "ts": round((span.at_s - began_s) * 1e6), "dur": round(span.seconds * 1e6),
                    "args": {"batch": span.batch},
                }
            )  # fmt: skip
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def opentelemetry(outcomes: Iterable[Outcome], epoch_ns: int = 0) -> dict[str, Any]:
    """OTLP's JSON (ExportTraceServiceRequest): a trace a batch, a resource a process. epoch_ns: of the clock's zero."""
    resources = []
    for outcome in outcomes:
        by_process: dict[str, list[Span]] = defaultdict(list)
        for span in outcome.spans:
            by_process[span.process].append(span)
        for process, spans in by_process.items():
            attributes = [_text("service.namespace", outcome.name), _text("service.name", process)]
            told = [_otlp(outcome.name, number, span, epoch_ns) for number, span in enumerate(spans)]
            scope = {"scope": {"name": "benchmarks.architectures"}, "spans": told}
            resources.append({"resource": {"attributes": attributes}, "scopeSpans": [scope]})
    return {"resourceSpans": resources}


def export(outcomes: Sequence[Outcome], epoch_ns: int, otlp: bool) -> str:
    """Either of both as text."""
    return json.dumps(opentelemetry(outcomes, epoch_ns) if otlp else chrome(outcomes))


def by_stage(outcome: Outcome) -> Mapping[str, float]:
    """Seconds of work of each stage, waits within it included, the largest first."""
    seconds: dict[str, float] = defaultdict(float)
    for span in outcome.spans:
        if span.stage not in WITHIN:
            seconds[span.stage] += span.seconds
    return dict(sorted(seconds.items(), key=lambda one: -one[1]))


def by_process(outcome: Outcome) -> tuple[str, Mapping[str, Mapping[str, float]]]:
    """The architecture, and seconds of work of each stage of each of its processes, the largest process first."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for span in outcome.spans:
        if span.stage not in WITHIN:
            found[span.process][span.stage] += span.seconds
    ordered = sorted(found.items(), key=lambda one: -sum(one[1].values()))
    return outcome.name, {process: dict(stages) for process, stages in ordered}


def _otlp(name: str, number: int, span: Span, epoch_ns: int) -> dict[str, Any]:
    start_ns = epoch_ns + int(span.at_s * 1e9)
    return {
        "traceId": _digits(f"{name}/{span.batch}", 32),
        "spanId": _digits(f"{name}/{span.process}/{number}", 16),
        "name": span.stage,
        "kind": 1,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + int(span.seconds * 1e9)),
        "attributes": [{"key": "batch", "value": {"intValue": str(span.batch)}}],
    }


def _digits(text: str, count: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}
