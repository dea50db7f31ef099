"""What runs in a namespace, as one record: clusters, jobs, pods, what became of edits of the fleet, and the streams."""

from collections.abc import Mapping
from typing import Any

import msgspec

from vqa_ray.cluster.kube.api import Api, KubeError, Object, core, ray
from vqa_ray.cluster.messages import FleetStatus
from vqa_ray.errors import ClusterError

PODS = "app.kubernetes.io/part-of=vqa"
HEAD_CONTAINER = "ray-head"
ASK = ("vqa", "status", "--address", "auto", "--json")
ASK_S = 60.0  # Ray's client alone takes some seconds
_LATEST = 5  # events of the fleet


class ClusterRow(msgspec.Struct, frozen=True, kw_only=True):
    """A RayCluster. workers: pods that are ready; wanted: that the autoscaler asks for."""

    name: str
    state: str
    workers: int
    wanted: int
    minimum: int
    maximum: int
    why: str = ""


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A RayJob."""

    name: str
    state: str
    job: str
    why: str = ""


class PodRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pod. state: its phase, or why a container does not run."""

    name: str
    role: str
    cluster: str
    state: str
    ready: bool
    restarts: int
    node: str


class FleetEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What the follower said of the ConfigMap."""

    at: str
    refused: bool
    message: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. fleet is None where it cannot be asked; why says why."""

    namespace: str
    clusters: tuple[ClusterRow, ...]
    jobs: tuple[JobRow, ...]
    pods: tuple[PodRow, ...]
    events: tuple[FleetEvent, ...]
    fleet: FleetStatus | None = None
    why: str = ""


def look(api: Api, namespace: str, *, cluster: str = "vqa", fleet: str = "vqa-fleet") -> Overview:
    """One look. KubeError if not even the clusters may be seen; the rest is left out where rights are missing."""
    try:
        clusters = api.get(ray(namespace, "rayclusters"))["items"]
    except KubeError as error:
        if error.status == 404:
            raise KubeError(
                f"{api.host} has no RayCluster: install KubeRay's operator first, see k8s/README.md", 404
            ) from None
        raise
    pods = tuple(_pod(pod) for pod in _items(api, core(namespace, "pods"), {"labelSelector": PODS}))
    status, why = _streams(api, namespace, cluster, pods)
    about = f"involvedObject.kind=ConfigMap,involvedObject.name={fleet}"
    return Overview(
        namespace=namespace,
        clusters=tuple(_cluster(one) for one in clusters),
        jobs=tuple(_job(one) for one in _items(api, ray(namespace, "rayjobs"))),
        pods=pods,
        events=_events(_items(api, core(namespace, "events"), {"fieldSelector": about})),
        fleet=status,
        why=why,
    )


def _items(api: Api, path: str, query: Mapping[str, str] | None = None) -> list[Object]:
    try:
        found: list[Object] = api.get(path, query)["items"]
    except KubeError as error:
        if error.status in (403, 404):
            return []
        raise
    return found


def _cluster(found: Object) -> ClusterRow:
    status = found.get("status") or {}
    bad = [
        f"{one['type']}: {one.get('message') or one.get('reason')}"
        for one in status.get("conditions") or ()
        if (one["type"] in ("HeadPodReady", "RayClusterProvisioned") and one["status"] != "True")
        or (one["type"] == "ReplicaFailure" and one["status"] == "True")
    ]
    return ClusterRow(
        name=found["metadata"]["name"],
        state=str(status.get("state") or "new"),
        workers=int(status.get("readyWorkerReplicas") or 0),
        wanted=int(status.get("desiredWorkerReplicas") or 0),
        minimum=int(status.get("minWorkerReplicas") or 0),
        maximum=int(status.get("maxWorkerReplicas") or 0),
        why="; ".join(bad) or str(status.get("reason") or ""),
    )


def _job(found: Object) -> JobRow:
    status = found.get("status") or {}
    return JobRow(
        name=found["metadata"]["name"],
        state=str(status.get("jobDeploymentStatus") or "new"),
        job=str(status.get("jobStatus") or ""),
        why=str(status.get("message") or ""),
    )


def _pod(found: Object) -> PodRow:
    labels, status = found["metadata"].get("labels") or {}, found.get("status") or {}
    containers = status.get("containerStatuses") or []
    stuck = [*(status.get("initContainerStatuses") or []), *containers]
    return PodRow(
        name=found["metadata"]["name"],
        role=str(labels.get("ray.io/node-type") or labels.get("app.kubernetes.io/name") or ""),
        cluster=str(labels.get("ray.io/cluster") or ""),
        state=_trouble(found, status, stuck) or str(status.get("phase") or "Unknown"),
        ready=bool(containers) and all(one.get("ready") for one in containers),
        restarts=sum(int(one.get("restartCount") or 0) for one in containers),
        node=str(found["spec"].get("nodeName") or ""),
    )


def _trouble(found: Object, status: Mapping[str, Any], containers: list[Object]) -> str:
    """Why a container waits, or why the pod has no machine; empty if nothing is the matter."""
    if found["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for one in containers:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return str(waiting["reason"])
    for one in status.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return f"{one.get('reason')}: {one.get('message')}"
    return ""


def _events(found: list[Object]) -> tuple[FleetEvent, ...]:
    """The latest, newest first."""
    rows = [
        FleetEvent(
            at=str(one.get("lastTimestamp") or one.get("eventTime") or ""),
            refused=one.get("type") == "Warning",
            message=str(one.get("message") or ""),
        )
        for one in found
    ]
    return tuple(sorted(rows, key=lambda row: row.at, reverse=True)[:_LATEST])


def _streams(api: Api, namespace: str, cluster: str, pods: tuple[PodRow, ...]) -> tuple[FleetStatus | None, str]:
    """What `vqa status` says on the head."""
    heads = [pod for pod in pods if pod.role == "head" and pod.cluster == cluster]
    if not heads:
        return None, f"there is no head pod of RayCluster {cluster}, or no right to see it"
    head = next((pod for pod in heads if pod.ready), None)
    if head is None:
        return None, f"{heads[0].name} is not ready: {heads[0].state}"
    try:
        code, out, err = api.run(namespace, head.name, HEAD_CONTAINER, ASK, ASK_S)
    except ClusterError as error:
        return None, f"streams are not shown: {error}"
    if code not in (0, 1):
        lines = err.strip().splitlines() or [f"exit code {code}"]
        return None, f"{head.name}: {lines[-1]}"
    try:
        return msgspec.json.decode(out, type=FleetStatus), ""
    except msgspec.DecodeError as error:
        return None, f"{head.name} speaks another version of vqa: {error}"
