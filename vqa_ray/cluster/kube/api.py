"""Every request to Kubernetes, and its errors as people know them.

One class, `Api`; what it raises is a `KubeError` with the HTTP status, or ClusterUnreachable when nothing answers.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from vqa_ray.errors import ClusterError, ClusterUnreachable

Object: TypeAlias = dict[str, Any]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FIELD_MANAGER = "vqa"
CONNECT_S, ANSWER_S = 5.0, 30.0
LINE_BYTES = 4 << 20  # of a watch: an object has at most 1.5 MB in etcd
INSTALL = "install the extra: pip install 'vqa-ray[kubernetes]'"
_SAFE = {400: "is refused", 401: "is not logged in", 403: "has no right", 404: "is not there", 409: "conflicts"}


class KubeError(ClusterError):
    """Kubernetes answered, and said no. status: of HTTP; 410 is a watch that has to begin anew."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """A connection to one API server. Thread-safe; every call ends in bounded time (`run` once it is connected)."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._kinds: dict[str, dict[str, Object]] = {}

    @property
    def host(self) -> str:
        """The server, for messages."""
        return str(self._client.configuration.host)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """An object or a list."""
        return self._request("GET", path, query)

    def create(self, path: str, body: Object) -> Object:
        """A new object below the path of its kind."""
        return self._request("POST", path, {"fieldManager": FIELD_MANAGER}, body)

    def apply(self, path: str, body: Object, *, force: bool) -> Object:
        """Server-side apply: only the fields in `body` are ours, and unknown ones are refused.

        force: take fields over that someone else has set; else that is a KubeError 409.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        return self._request("PATCH", path, query, body, "application/apply-patch+yaml")

    def delete(self, path: str) -> None:
        """And all that it owns, in the background."""
        self._request("DELETE", path, {"propagationPolicy": "Background"})

    def path(self, manifest: Mapping[str, Any], namespace: str) -> str:
        """Of an object; where it names no namespace, in this one. KubeError 404: the server does not know the kind."""
        metadata = manifest["metadata"]
        kind = self._kind(manifest["apiVersion"], manifest["kind"])
        where = f"/namespaces/{quote(metadata.get('namespace') or namespace)}" if kind["namespaced"] else ""
        return f"{_root(manifest['apiVersion'])}{where}/{kind['name']}/{quote(metadata['name'])}"

    def watch(self, path: str, query: Mapping[str, str], timeout_s: float) -> Iterator[Object]:
        """Events until the server ends the watch (after `timeout_s`, asked of it), or the connection, or says nothing.

        What it says of errors in the stream comes as KubeError.
        """
        query = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, int(timeout_s)))}
        with self._asked(path):
            stream = self._send("GET", path, query, None, "", timeout_s + 10.0).response
        with contextlib.closing(stream):
            for line in _lines(stream):
                with self._asked(path):
                    event: Object = json.loads(line)
                if event.get("type") == "ERROR":
                    problem = event.get("object") or {}
                    raise KubeError(f"the watch ended: {problem.get('message')}", int(problem.get("code") or 500))
                yield event

    def run(
        self, namespace: str, pod: str, container: str, command: Sequence[str], timeout_s: float
    ) -> tuple[int, str, str]:
        """A command in a pod: its exit code, what it wrote to standard output, and to standard error."""
        from kubernetes.client import ApiClient, CoreV1Api
        from kubernetes.client.exceptions import ApiException
        from kubernetes.stream import stream

        pods = CoreV1Api(
            ApiClient(self._client.configuration)
        )  # of its own: `stream` changes it for the time of the call
        try:
            process = stream(
                pods.connect_get_namespaced_pod_exec, pod, namespace, container=container, command=list(command),
                stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False,
            )  # fmt: skip
        except ApiException as error:
            said = re.search(r"Handshake status (\d+)", str(error.reason))
            if said is None:
                raise ClusterUnreachable(f"{pod}: nothing can be run there: {_short(error.reason)}") from None
            path = core(namespace, "pods", pod) + "/exec"
            raise _refusal("CREATE", path, int(said[1]), b"") from None
        process.run_forever(timeout=timeout_s)
        out, err = process.read_stdout(timeout=0) or "", process.read_stderr(timeout=0) or ""
        if process.is_open():
            process.close()
            raise ClusterError(f"{pod}: {command[0]} does not end within {timeout_s:.0f} s")
        return int(process.returncode or 0), str(out), str(err)

    def _kind(self, api_version: str, kind: str) -> Object:
        if api_version not in self._kinds:
            try:
                found = self.get(_root(api_version)).get("resources", [])
            except KubeError as error:
                if error.status != 404:
                    raise
                found = []
            self._kinds[api_version] = {one["kind"]: one for one in found if "/" not in one["name"]}
        if kind not in self._kinds[api_version]:
            self._kinds.pop(api_version)  # it may be installed meanwhile
            raise KubeError(
                f"{self.host} does not know the kind {kind} ({api_version}): {_who_brings(api_version)}", 404
            )
        return self._kinds[api_version][kind]

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        with self._asked(path):
            reply = self._send(method, path, query, body, content_type, ANSWER_S)
            answer: Object = json.loads(reply.read() or b"{}")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        content_type: str,
        timeout_s: float,
    ) -> Any:
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if body is not None else {})
        request = self._client.param_serialize(
            method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
            auth_settings=["BearerToken"],
        )  # fmt: skip
        reply = self._client.call_api(*request, _request_timeout=(CONNECT_S, timeout_s))
        if not 200 <= reply.status <= 299:
            raise _refusal(method, path, reply.status, reply.read())
        return reply

    @contextlib.contextmanager
    def _asked(self, path: str) -> Iterator[None]:
        """Errors of the way there, and of answers that are no JSON."""
        import urllib3
        from kubernetes.client.exceptions import OpenApiException

        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError, OpenApiException) as error:
            raise ClusterUnreachable(
                f"no Kubernetes API server answers at {self.host}: {_short(error)} (kubectl config current-context"
                " names the cluster that is meant)"
            ) from None
        except ValueError:
            raise ClusterUnreachable(f"what answers at {self.host}{path} is no Kubernetes API server") from None


def connect(context: str | None = None) -> Api:
    """By the kubeconfig (KUBECONFIG, ~/.kube/config), or in a pod by its service account. Nothing is asked yet."""
    try:
        from kubernetes import client, config
    except ImportError:
        raise ClusterError(f"the Kubernetes client is missing; {INSTALL}") from None
    configuration = client.Configuration()
    try:
        if context is None and in_pod() and "KUBECONFIG" not in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(_kubeconfig(), context=context, client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError) as error:
        raise ClusterUnreachable(f"no Kubernetes cluster is configured: {_short(error)}") from None
    configuration.retries = False  # each caller has its own patience
    return Api(client.ApiClient(configuration))


def _kubeconfig() -> str | None:
    """The client itself reads the environment but once, when it is imported."""
    return os.environ.get("KUBECONFIG") or None


def in_pod() -> bool:
    """Whether this process has a service account's token."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and (ACCOUNT / "token").is_file()


def default_namespace(context: str | None = None) -> str:
    """The pod's own, or that of the kubeconfig's context, or `default`."""
    if context is None and in_pod():
        return (ACCOUNT / "namespace").read_text().strip()
    try:
        from kubernetes import config

        contexts, active = config.list_kube_config_contexts(_kubeconfig())
    except (ImportError, OSError, ValueError, config.ConfigException):
        return "default"
    chosen = next((one for one in contexts if one["name"] == context), active)
    return str(chosen["context"].get("namespace") or "default")


def core(namespace: str, plural: str, name: str = "") -> str:
    """Path of Kubernetes' own objects in a namespace."""
    return f"/api/v1/namespaces/{quote(namespace)}/{plural}" + (f"/{quote(name)}" if name else "")


def ray(namespace: str, plural: str, name: str = "") -> str:
    """Path of KubeRay's objects in a namespace."""
    return f"/apis/ray.io/v1/namespaces/{quote(namespace)}/{plural}" + (f"/{quote(name)}" if name else "")


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _who_brings(api_version: str) -> str:
    group = api_version.partition("/")[0]
    if group == "ray.io":
        return "install KubeRay's operator first (helm install kuberay-operator kuberay/kuberay-operator)"
    if group == "monitoring.coreos.com":
        return "install the Prometheus operator first, or leave ../../monitoring out of the overlay"
    return "a custom resource definition is missing"


def _refusal(method: str, path: str, status: int, data: bytes) -> KubeError:
    """What Kubernetes said, with what it was about."""
    try:
        said = json.loads(data)
        message = str(said.get("message") or "") if isinstance(said, dict) else ""
    except ValueError:
        message = ""
    what = f"{method} {path.partition('?')[0]}"
    words = message or _SAFE.get(status, "is refused")
    hint = {
        401: "; log in to the cluster again",
        403: "; ask its administrator for the right, see k8s/README.md",
    }.get(status, "")
    return KubeError(f"Kubernetes answers {status} to {what}: {words}{hint}", status)


def _lines(response: Any) -> Iterator[bytes]:
    """Whole lines of a stream, bounded, until it ends in whatever way."""
    import urllib3

    rest = b""
    parts = response.stream(None, decode_content=False)
    while True:
        try:
            part = next(parts, None)
        except (urllib3.exceptions.HTTPError, OSError):
            return
        if part is None:
            return
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line.strip())
        if len(rest) > LINE_BYTES:
            raise ClusterError("the watch sends lines without end")


def _short(error: object) -> str:
    lines: Sequence[str] = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
