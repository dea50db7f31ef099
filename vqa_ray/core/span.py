"""What is traced of a stream and of its incidents, as OpenTelemetry has it: spans as values, without clock or exporter.

There are two kinds of traces. One of each connection: `stream.connect`, from the call until the first frame, with
`stream.open` in it. One of each incident: `incident` from its first bad to its first good frame, in it
`incident.detect` (first bad frame until it was noticed), `incident.journal` (until it was written down) and an `alert`
for each channel (until the channel had it); it links to the connection in which it was found.

Ids are made of names, the incident's id above all. So analyzers and the supervisor speak of the same trace without
handing anything along, also after a failover.
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.urls import redact

Attribute = str | int | float | bool
CONNECT, OPEN = "stream.connect", "stream.open"
INCIDENT, DETECT, JOURNAL, ALERT = "incident", "incident.detect", "incident.journal", "alert"


class TraceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where OpenTelemetry traces go, by OTLP over HTTP.

    endpoint: base address of the collector, to which `/v1/traces` is added; None takes OTEL_EXPORTER_OTLP_ENDPOINT of
    the environment, where headers (OTEL_EXPORTER_OTLP_HEADERS) come from too, and without that nothing is traced.
    """

    endpoint: (
        Annotated[str, msgspec.Meta(pattern=r"^(https?://\S+|\$\{\w+\}\S*)$", description="an http:// or https:// URL")]
        | None
    ) = None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work. Times in ns since 1970, UTC.

    trace, key: names of the trace and of the span in it; parent: key of the span around it, "" for the outermost.
    link: (trace, key) of a span elsewhere. error: why it failed, "" if it did not.
    """

    trace: str
    key: str
    name: str
    start_ns: int
    end_ns: int
    parent: str = ""
    link: tuple[str, str] | None = None
    attributes: dict[str, Attribute] = {}
    error: str = ""

    @property
    def trace_id(self) -> int:
        """128 bits."""
        return trace_id(self.trace)

    @property
    def span_id(self) -> int:
        """64 bits."""
        return span_id(self.trace, self.key)


def trace_id(trace: str) -> int:
    """The id of a trace by its name; never 0, which OpenTelemetry has for none."""
    return _number(trace, 16)


def span_id(trace: str, key: str) -> int:
    """The id of a span by its names."""
    return _number(f"{trace}\0{key}", 8)


def _number(text: str, size: int) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:size], "big") or 1


def nanoseconds(at: datetime) -> int:
    """Since 1970, exactly to the microsecond."""
    whole = at.astimezone(UTC)
    return int(whole.timestamp()) * 1_000_000_000 + whole.microsecond * 1000


def connection(stream_id: str, epoch: int, start_ns: int) -> str:
    """The name of a connection's trace."""
    return f"connection\0{stream_id}\0{epoch}\0{start_ns}"


def opened(trace: str, start_ns: int, end_ns: int, attributes: dict[str, Attribute], *, error: str = "") -> Span:
    """`stream.open`: the source answers and says what it holds, or does not."""
    return Span(
        trace=trace,
        key=OPEN,
        name=OPEN,
        start_ns=start_ns,
        end_ns=end_ns,
        parent=CONNECT,
        attributes=attributes,
        error=redact(error),
    )


def connected(trace: str, start_ns: int, end_ns: int, attributes: dict[str, Attribute], *, error: str = "") -> Span:
    """`stream.connect`: until the first frame, or until it failed."""
    return Span(
        trace=trace,
        key=CONNECT,
        name=CONNECT,
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=attributes,
        error=redact(error),
    )


def detected(notice: Notice, epoch: int, found_in: str) -> Span:
    """`incident.detect`: what the holds and the way to us took. found_in: the name of the connection's trace."""
    attributes = _of(notice.incident) | {"vqa.epoch": epoch, "vqa.kind": notice.kind.value}
    began = notice.incident.end_utc if notice.kind is NoticeKind.CLOSED else notice.incident.start_utc
    if notice.kind is NoticeKind.CHANGED or began is None:
        began = notice.noticed_utc
    return _within(notice, DETECT, nanoseconds(began), nanoseconds(notice.noticed_utc), attributes, found_in)


def journaled(notice: Notice, at_ns: int) -> Span:
    """`incident.journal`: from the stream's thread to the supervisor's disk."""
    attributes = _of(notice.incident) | {"vqa.kind": notice.kind.value}
    return _within(notice, JOURNAL, nanoseconds(notice.noticed_utc), at_ns, attributes)


def alerted(notice: Notice, channel: str, at_ns: int, attempts: int, error: str = "") -> Span:
    """`alert`: from the moment in which it was noticed until the channel had it, or refused it."""
    attributes = _of(notice.incident) | {
        "vqa.kind": notice.kind.value,
        "vqa.channel": channel,
        "vqa.attempts": attempts,
    }
    return _within(notice, f"{ALERT}\0{channel}", nanoseconds(notice.noticed_utc), at_ns, attributes, error=error)


def whole(incident: Incident) -> Span:
    """`incident`: from the first bad frame to the first good one, once that is known."""
    start_ns = nanoseconds(incident.start_utc)
    end_ns = start_ns if incident.end_utc is None else nanoseconds(incident.end_utc)
    return Span(
        trace=incident.incident_id,
        key=INCIDENT,
        name=INCIDENT,
        start_ns=start_ns,
        end_ns=max(start_ns, end_ns),
        attributes=_of(incident) | {"vqa.value": incident.value, "vqa.reason": incident.reason},
    )


def _within(
    notice: Notice,
    key: str,
    start_ns: int,
    end_ns: int,
    attributes: dict[str, Attribute],
    found_in: str = "",
    error: str = "",
) -> Span:
    return Span(
        trace=notice.incident.incident_id,
        key=f"{key}\0{notice.key}",
        name=key.partition("\0")[0],
        start_ns=min(start_ns, end_ns),
        end_ns=end_ns,
        parent=INCIDENT,
        link=(found_in, CONNECT) if found_in else None,
        attributes=attributes,
        error=error,
    )


def _of(incident: Incident) -> dict[str, Attribute]:
    named: dict[str, Attribute] = {
        "vqa.incident": incident.incident_id,
        "vqa.stream": incident.stream_id,
        "vqa.detector": incident.detector,
        "vqa.severity": incident.severity.value,
    }
    return named | {f"vqa.label.{name}": value for name, value in incident.labels.items()}
