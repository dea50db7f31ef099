"""The cloud's services on this machine: moto's server, behind a door that counts every request and byte."""

import io
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

REGION = "us-east-1"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")


class Counting:
    """A WSGI application around another one. requests: by `service operation`; moved: bytes in and out, likewise."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Count, and pass on."""
        kind = operation(environ)
        size = int(environ.get("CONTENT_LENGTH") or 0)
        with self._lock:
            self.requests[kind] += 1
            self.moved[f"{kind} in"] += size

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            out = sum(int(value) for name, value in headers if name.lower() == "content-length")
            with self._lock:
                self.moved[f"{kind} out"] += out
            return start_response(status, headers, *rest)

        return self._application(environ, started)


def operation(environ: dict[str, Any]) -> str:
    """`service operation` of a request: by its signature's scope, and target, action or method; of S3 also of what."""
    found = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = found.group(1) if found else "unsigned"
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return f"{service} {target.rpartition('.')[2]}"
    if service == "s3":
        what = "pictures" if "/picture-" in environ["PATH_INFO"] else "others"
        return f"s3 {environ['REQUEST_METHOD']} {what}"
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    action = parse_qs(body.decode(errors="replace")).get("Action", [environ["REQUEST_METHOD"]])
    return f"{service} {action[0]}"


def serve() -> dict[str, Any]:
    """Serve until stdin ends; first prints the port. What was asked of it. A line `reset` forgets what was counted."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):  # type: ignore[misc]  # moto has no types for us
        def log_request(self, *_: Any) -> None:
            """Nothing."""

    counting = Counting(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, counting, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    print(json.dumps({"port": server.server_port}), flush=True)
    for line in sys.stdin:
        if line.strip() == "reset":
            counting.requests.clear()
            counting.moved.clear()
    server.shutdown()
    return {"requests": dict(counting.requests), "moved": dict(counting.moved)}


def clients(endpoint: str, *names: str) -> list[Any]:
    """boto3's clients of the emulator."""
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=REGION,
        max_pool_connections=16,
        retries={"mode": "standard", "max_attempts": 5},
        s3={"addressing_style": "path"},
        parameter_validation=False,
    )
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    return [session.client(name, endpoint_url=endpoint, config=config) for name in names]
