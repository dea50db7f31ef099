"""A real OTLP/HTTP receiver on loopback: decodes what exporters post, as a collector would."""

import contextlib
import gzip
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.receiver import Answer, Receiver, Request, receiving

OK = Answer(200, {"Content-Type": "application/x-protobuf"}, ExportTraceServiceResponse().SerializeToString())


class Seen(NamedTuple):
    """A span as it came. who: the process. links: (trace, span) of each; error: "" for none."""

    who: str
    name: str
    trace: str
    span: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    error: str


class Collector:
    """At `url`, to which clients add /v1/traces."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.url = receiver.url

    def spans(self) -> list[Seen]:
        return [span for request in list(self.receiver.requests) for span in _spans(request)]

    def wait(self, found: Callable[[list[Seen]], bool], timeout_s: float = 60.0) -> list[Seen]:
        deadline_s = time.monotonic() + timeout_s
        while not found(spans := self.spans()):
            assert time.monotonic() < deadline_s, [(span.who, span.name, span.attributes) for span in spans]
            time.sleep(0.05)
        return spans


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    with receiving(lambda _: OK) as receiver:
        yield Collector(receiver)


def _spans(request: Request) -> Iterator[Seen]:
    assert request.path == "/v1/traces"
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["content-type"] == "application/x-protobuf"
    body = gzip.decompress(request.body) if headers.get("content-encoding") == "gzip" else request.body
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        of = _plain(resource.resource.attributes)
        assert of["service.name"] == "vqa_ray"
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    str(of["service.instance.id"]),
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _plain(span.attributes),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    span.status.message,
                )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}
