"""Spans on their way to an OpenTelemetry collector; where there is none nothing is imported and nothing costs.

`put` only appends to a bounded queue: a thread of its own makes OpenTelemetry's spans of it, and their batch processor
sends them from another. A collector that is slow or away costs spans, which are counted, and nothing else.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from vqa_ray.core.span import Span, TraceOptions, span_id, trace_id
from vqa_ray.core.urls import resolve
from vqa_ray.errors import ConfigError

log = logging.getLogger(__name__)

SERVICE = "vqa_ray"
CAPACITY = 2048
FROM_ENVIRONMENT = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_S = 3.0


def endpoint_of(options: TraceOptions, environ: Mapping[str, str] = os.environ) -> str | None:
    """Where spans go, as the exporter takes it; None where nowhere. ConfigError for a variable that is not set."""
    if options.endpoint is not None:
        return f"{resolve(options.endpoint, environ).rstrip('/')}/v1/traces"
    base = next((environ[name] for name in FROM_ENVIRONMENT if environ.get(name)), None)
    whole = environ.get(FROM_ENVIRONMENT[0])
    return None if base is None else whole or f"{base.rstrip('/')}/v1/traces"


class Traces:
    """The way of a process's spans. All methods may be called from any thread.

    dropped: spans without room in the queue.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoint: str | None = None
        self._way: _Way | None = None

    @property
    def on(self) -> bool:
        """Whether spans are wanted."""
        return self._way is not None

    @property
    def dropped(self) -> int:
        """Spans that were lost here since the collector was named."""
        way = self._way
        return way.dropped if way is not None else 0

    def use(self, options: TraceOptions, who: str) -> None:
        """Sends to this collector from now on, as the process `who`; again is fine. Never raises."""
        try:
            endpoint = endpoint_of(options)
        except ConfigError as error:
            log.error("nothing is traced: %s", error)
            endpoint = None
        with self._lock:
            if endpoint == self._endpoint:
                return
            before, self._endpoint = self._way, endpoint
            self._way = _Way(endpoint, who) if endpoint is not None else None
        if before is not None:
            before.end()

    def put(self, span: Span) -> None:
        """Takes a span; never blocks."""
        way = self._way
        if way is not None:
            way.put(span)

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Sends what waits, in bounded time, and ends."""
        with self._lock:
            way, self._way, self._endpoint = self._way, None, None
        if way is not None:
            way.end()
            way.join(timeout_s)


class _Way:
    """To one collector."""

    def __init__(self, endpoint: str, who: str) -> None:
        self._endpoint = endpoint
        self._who = who
        self._changed = threading.Condition()
        self._queue: deque[Span] = deque()
        self._ended = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        with self._changed:
            if len(self._queue) >= CAPACITY:
                self.dropped += 1
                if self.dropped == 1:
                    log.warning("spans are dropped: the collector does not keep up")
                return
            self._queue.append(span)
            self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        """Fence: whatever the library does, streams and alerts go on."""
        try:
            maker = _Maker(self._endpoint, self._who)
        except ImportError:
            log.error("nothing is traced: pip install 'vqa-ray[otel]'")
            return
        except Exception:
            log.exception("nothing is traced")
            return
        while (span := self._next()) is not None:
            try:
                maker.make(span)
            except Exception:
                log.exception("a span was lost")
        maker.close()

    def _next(self) -> Span | None:
        with self._changed:
            while not self._queue and not self._ended:
                self._changed.wait()
            return self._queue.popleft() if self._queue else None


class _Maker:
    """OpenTelemetry's own provider, processor and exporter. Used on one thread."""

    def __init__(self, endpoint: str, who: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class Named(RandomIdGenerator):
            """Gives the ids of the span that is being made."""

            span: Span

            def generate_span_id(self) -> int:
                return self.span.span_id

            def generate_trace_id(self) -> int:
                return self.span.trace_id

        self._api: Any = trace
        self._ids = Named()
        given = {"service.instance.id": who} | ({} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": SERVICE})
        self._provider = TracerProvider(id_generator=self._ids, resource=Resource.create(given), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer(SERVICE)

    def make(self, span: Span) -> None:
        """One span, from its beginning to its end."""
        api = self._api
        self._ids.span = span
        links = [api.Link(self._context(*span.link))] if span.link is not None else []
        around = None
        if span.parent:
            around = api.set_span_in_context(api.NonRecordingSpan(self._context(span.trace, span.parent)))
        made = self._tracer.start_span(
            span.name,
            context=around or api.set_span_in_context(api.INVALID_SPAN),
            attributes=span.attributes,
            links=links,
            start_time=span.start_ns,
        )
        if span.error:
            made.set_status(api.Status(api.StatusCode.ERROR, span.error))
        made.end(end_time=span.end_ns)

    def _context(self, trace: str, key: str) -> Any:
        api = self._api
        sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
        return api.SpanContext(trace_id(trace), span_id(trace, key), is_remote=True, trace_flags=sampled)

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()


HERE = Traces()
