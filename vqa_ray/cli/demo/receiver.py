"""The operator of the demo: a webhook receiver that notes each alert and when it came."""

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import msgspec

from vqa_ray.cli.demo.match import Alert
from vqa_ray.core.notice import Incident

BODY_LIMIT_BYTES = 1 << 20


class _Data(msgspec.Struct, frozen=True):
    incident: Incident


class _Event(msgspec.Struct, frozen=True):
    id: str
    data: _Data


class Receiver:
    """Takes CloudEvents on a free port of loopback."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alerts: list[Alert] = []
        self._incidents: list[Incident] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = min(int(self.headers.get("Content-Length", 0)), BODY_LIMIT_BYTES)
                receiver.take(self.rfile.read(length))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="receiver", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    @property
    def alerts(self) -> list[Alert]:
        """All that came, in order; repeats too."""
        with self._lock:
            return list(self._alerts)

    def news(self) -> list[Incident]:
        """Incidents as told since the last call."""
        with self._lock:
            news, self._incidents = self._incidents, []
        return news

    def take(self, body: bytes) -> None:
        """Notes one event."""
        event = msgspec.json.decode(body, type=_Event)
        with self._lock:
            self._alerts.append(Alert(event.id, datetime.now(UTC)))
            self._incidents.append(event.data.incident)

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
