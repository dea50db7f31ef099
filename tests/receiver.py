"""A real HTTP receiver on loopback, for tests of what is sent to people and machines."""

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Request(NamedTuple):
    """One request as it came. connection: the client's port, the same while a connection is kept alive."""

    path: str
    headers: dict[str, str]
    body: bytes
    received_s: float  # time.monotonic()
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    """What to answer. after_s: how long to wait before."""

    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    after_s: float = 0.0


class Receiver:
    """Takes POSTs and answers as `answer(request)` says."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self.answer = answer
        self._came = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.path, dict(self.headers), body, time.monotonic(), self.client_address[1])
                with receiver._came:
                    receiver.requests.append(request)
                    receiver._came.notify_all()
                answer = receiver.answer(request)
                time.sleep(answer.after_s)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 204 and "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the client may have given up
                    self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def wait(self, count: int, timeout_s: float = 10.0) -> list[Request]:
        """The requests so far, once there are `count`; fails when they do not come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= count, timeout_s), (
                f"{len(self.requests)} of {count} requests after {timeout_s} s"
            )
            return list(self.requests)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def receiving(answer: Callable[[Request], Answer] = lambda _: Answer()) -> Iterator[Receiver]:
    """A receiver for the length of a block."""
    receiver = Receiver(answer)
    try:
        yield receiver
    finally:
        receiver.close()
