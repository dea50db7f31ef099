"""A small Kubernetes API server over real HTTP: objects, versions, server-side apply, lists, watches, exec.

It knows nothing of what objects mean. Tests script what it refuses, forgets or breaks off.
"""

import base64
import contextlib
import copy
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KINDS = {
    "/api/v1": {"Namespace": "namespaces", "ConfigMap": "configmaps", "Secret": "secrets", "Service": "services",
                "ServiceAccount": "serviceaccounts", "PersistentVolumeClaim": "persistentvolumeclaims", "Pod": "pods",
                "Event": "events"},
    "/apis/apps/v1": {"StatefulSet": "statefulsets"},
    "/apis/rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
    "/apis/networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "/apis/policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "/apis/ray.io/v1": {"RayCluster": "rayclusters", "RayJob": "rayjobs"},
}  # fmt: skip
Ran = tuple[int, str, str]


class KubeServer:
    """Running while used as a context. `objects` by path; `requests` is what was asked, as (method, path, query)."""

    def __init__(self) -> None:
        self.kinds = copy.deepcopy(KINDS)
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.answers: dict[tuple[str, str], list[int]] = {}  # (method, path) -> statuses of the next requests
        self.refused: set[tuple[str, str]] = set()  # (method, last part of the path): 403 always
        self.ran: Callable[[list[str]], Ran] = lambda command: (0, "", "")
        self.settle: Callable[[str, dict[str, Any]], None] = lambda path, stored: None  # an operator
        self.token = "kube-token"
        self._version = 100
        self._oldest = 0
        self._history: list[tuple[int, str, str, dict[str, Any]]] = []
        self._changed = threading.Condition()
        self._watching: set[socket.socket] = set()
        handler = type("Handler", (_Handler,), {"kube": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True

    def __enter__(self) -> "KubeServer":
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self.break_watches()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def kubeconfig(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": "vqa"}}],
        }  # fmt: skip

    # ---- what tests do to it

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Creates or replaces an object, as another client would."""
        with self._changed:
            self._store(path, body, "MODIFIED" if path in self.objects else "ADDED")

    def take(self, path: str) -> None:
        with self._changed:
            gone = self.objects.pop(path)
            self._version += 1
            gone["metadata"]["resourceVersion"] = str(self._version)
            self._note("DELETED", path, gone)

    def forget_history(self) -> None:
        """Watches from an older version get 410 from now on."""
        with self._changed:
            self._oldest = self._version

    def break_watches(self) -> None:
        """Connections of watches end in the middle."""
        with self._changed:
            for connection in self._watching:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def wait_for_watch(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Until so many watches have been asked for."""
        deadline_s = time.monotonic() + timeout_s
        while sum("watch" in query for _, _, query in self.requests) < count:
            assert time.monotonic() < deadline_s, "no watch"
            time.sleep(0.01)

    # ---- its store

    def _store(self, path: str, body: dict[str, Any], kind: str) -> dict[str, Any]:
        self._version += 1
        made = copy.deepcopy(body)
        metadata = made.setdefault("metadata", {})
        metadata["resourceVersion"] = str(self._version)
        metadata.setdefault("uid", hashlib.md5(path.encode()).hexdigest())
        metadata["generation"] = metadata.get("generation", 0) + 1
        self.objects[path] = made
        self.settle(path, made)
        self._note(kind, path, made)
        return made

    def _note(self, kind: str, path: str, body: dict[str, Any]) -> None:
        self._history.append((self._version, kind, path, copy.deepcopy(body)))
        self._changed.notify_all()

    def apply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            before = self.objects.get(path)
            if before is None:
                return self._store(path, body, "ADDED")
            made = _overlaid(before, body)
            return before if made == before else self._store(path, made, "MODIFIED")

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            metadata = body["metadata"]
            name = metadata.get("name") or f"{metadata['generateName']}{self._version}"
            return self._store(f"{path}/{name}", {**body, "metadata": {**metadata, "name": name}}, "ADDED")

    def items(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        return [item for where, item in self.objects.items() if where.rpartition("/")[0] == path and _fits(item, query)]

    def events(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Of a watch, until its time is over."""
        since, deadline_s = int(query["resourceVersion"]), time.monotonic() + float(query["timeoutSeconds"])
        if since < self._oldest:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            yield {"type": "ERROR", "object": gone}
            return
        while True:
            with self._changed:
                new = [entry for entry in self._history if entry[0] > since]
                if not new and not self._changed.wait(max(0.0, deadline_s - time.monotonic())):
                    yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self._version)}}}
                    return
            for version, kind, where, body in new:
                since = version
                if where.rpartition("/")[0] == path and _fits(body, query):
                    yield {"type": kind, "object": body}

    @contextlib.contextmanager
    def watched_by(self, connection: socket.socket) -> Iterator[None]:
        self._watching.add(connection)
        try:
            yield
        finally:
            self._watching.discard(connection)


def _overlaid(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return copy.deepcopy(new)
    return old | {key: _overlaid(old.get(key), value) for key, value in new.items()}


def _fits(item: dict[str, Any], query: dict[str, str]) -> bool:
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = part.partition("=")
        node: Any = item
        for step in key.split("."):
            node = node.get(step, {})
        if node != value:
            return False
    labels = item["metadata"].get("labels", {})
    wanted = (part.partition("=") for part in filter(None, query.get("labelSelector", "").split(",")))
    return all(labels.get(key) == value for key, _, value in wanted)


class _Handler(BaseHTTPRequestHandler):
    kube: KubeServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: in two it waits 40 ms for an acknowledgement

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path.endswith("/exec"):
            return self._exec(url.path, parse_qs(url.query)["command"])
        if not self._allowed(url.path, query):
            return None
        if url.path in self.kube.kinds:
            kinds = self.kube.kinds[url.path].items()
            found = [{"name": name, "kind": kind, "namespaced": kind != "Namespace"} for kind, name in kinds]
            return self._answer(200, {"resources": found})
        if query.get("watch"):
            return self._watch(url.path, query)
        if url.path in self.kube.objects:
            return self._answer(200, self.kube.objects[url.path])
        plurals = {name for kinds in self.kube.kinds.values() for name in kinds.values()}
        if url.path.rpartition("/")[2] in plurals:
            version = {"resourceVersion": str(self.kube._version)}
            return self._answer(200, {"items": self.kube.items(url.path, query), "metadata": version})
        return self._refuse(404, f"{url.path} not found")

    def do_POST(self) -> None:
        self._change(lambda path, body: (201, self.kube.create(path, body)))

    def do_PATCH(self) -> None:
        self._change(lambda path, body: (200, self.kube.apply(path, body)))

    def do_DELETE(self) -> None:
        def take(path: str, _: object) -> tuple[int, dict[str, Any]]:
            self.kube.take(path)
            return 200, {"kind": "Status", "status": "Success"}

        self._change(take)

    def _change(self, do: Callable[[str, Any], tuple[int, dict[str, Any]]]) -> None:
        url = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        if self._allowed(url.path, {key: values[0] for key, values in parse_qs(url.query).items()}):
            self._answer(*do(url.path, body))

    def _allowed(self, path: str, query: dict[str, str]) -> bool:
        self.kube.requests.append((self.command, path, query))
        if (self.headers.get("Authorization") or "").lower() != f"bearer {self.kube.token}":
            self._refuse(401, "Unauthorized")
            return False
        asked = "WATCH" if query.get("watch") else self.command
        queue = self.kube.answers.get((asked, path))
        if queue:
            self._refuse(queue.pop(0), "as the test wants")
            return False
        if any(asked == method and path.rstrip("/").split("/")[-1 - deep] == what
               for method, what in self.kube.refused for deep in (0, 1) if path.count("/") > deep):  # fmt: skip
            self._refuse(403, f'{path} is forbidden: User "u" cannot do that')
            return False
        return True

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, {"kind": "Status", "status": "Failure", "message": message, "code": status})

    def _watch(self, path: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with self.kube.watched_by(self.connection), contextlib.suppress(OSError):
            for event in self.kube.events(path, query):
                line = json.dumps(event).encode() + b"\n"
                half = len(line) // 2  # a line need not come in one piece
                for part in (line[:half], line[half:]):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _exec(self, path: str, command: list[str]) -> None:
        """The v4 channel protocol on a websocket: 1 standard output, 2 standard error, 3 the exit status."""
        if not self._allowed(path, {}):
            return
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.wfile.flush()
        code, out, err = self.kube.ran(command)
        causes = {"details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}
        status = {"status": "Success"} if code == 0 else {"status": "Failure", **causes}
        for channel, text in ((1, out), (2, err), (3, json.dumps(status))):
            self._frame(2, bytes([channel]) + text.encode())
        self._frame(8, struct.pack(">H", 1000))
        self.close_connection = True

    def _frame(self, opcode: int, data: bytes) -> None:
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        self.wfile.write(bytes([0x80 | opcode]) + size + data)
        self.wfile.flush()
