"""A rendered overlay brought to a cluster, and waited for."""

import enum
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from vqa_ray import config
from vqa_ray.cluster.kube.api import Api, KubeError, Object, core
from vqa_ray.cluster.kube.kustomize import Manifest, name_of
from vqa_ray.errors import ClusterError, ConfigError

LOOK_S = 2.0
_FAILED = ("Failed", "ValidationFailed")  # of jobDeploymentStatus
FLEET_KEYS = ("fleet.yaml", "batch.yaml")  # of ConfigMaps that hold a fleet
_FIRST = (
    "Namespace", "ServiceAccount", "Secret", "ConfigMap", "Role", "RoleBinding", "NetworkPolicy",
    "PersistentVolumeClaim", "Service", "StatefulSet", "PodDisruptionBudget", "RayCluster",
)  # fmt: skip


class Change(enum.StrEnum):
    """What became of an object."""

    CREATED = "created"
    CHANGED = "changed"
    SAME = "unchanged"
    AGAIN = "made anew"  # a job that is over
    LEFT = "left as it is"  # a namespace, which perhaps only an administrator may change


class Applied(NamedTuple):
    """One object after `apply`."""

    name: str
    change: Change


class Progress(NamedTuple):
    """How far one object is. why: what is still missing, or what went wrong."""

    name: str
    ready: bool
    why: str = ""
    failed: bool = False


def check(manifests: Sequence[Manifest]) -> None:
    """ConfigError if a fleet among the ConfigMaps is wrong: nobody should learn that from a log in the cluster."""
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            for key in FLEET_KEYS:
                if key in manifest.get("data", {}):
                    config.parse_fleet(manifest["data"][key], name=f"{name_of(manifest)}, {key}")


def check_needs(api: Api, manifests: Sequence[Manifest], namespace: str) -> None:
    """ClusterError if a Secret or a claim that pods cannot start without is neither there nor among the manifests.

    What one may not look at is taken to be there.
    """
    made = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    for kind, name, key in sorted(set(_needs(list(manifests)))):
        if (kind, name) in made:
            continue
        path = core(namespace, "secrets" if kind == "Secret" else "persistentvolumeclaims", name)
        try:
            found = api.get(path)
        except KubeError as error:
            if error.status == 404:
                hint = f"kubectl -n {namespace} create secret generic {name} --from-literal={key or 'NAME'}=…"
                how = hint if kind == "Secret" else "see k8s/README.md"
                raise ClusterError(f"{kind} {name} is missing in namespace {namespace}; make it first: {how}") from None
            if error.status != 403:
                raise
        else:
            if key and key not in found.get("data", {}):
                raise ClusterError(f"Secret {name} in namespace {namespace} has no key {key!r}")


def _needs(node: Any) -> Iterator[tuple[str, str, str]]:
    """Kind, name and key of what pods refer to."""
    if isinstance(node, list):
        for item in node:
            yield from _needs(item)
    if not isinstance(node, dict):
        return
    for field in ("secretKeyRef", "secretRef"):
        one = node.get(field)
        if isinstance(one, dict) and not one.get("optional"):
            yield "Secret", one["name"], one.get("key", "")
    if isinstance(claim := node.get("persistentVolumeClaim"), dict):
        yield "PersistentVolumeClaim", claim["claimName"], ""
    for value in node.values():
        yield from _needs(value)


def in_order(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Each after what it needs."""
    rank = {kind: index for index, kind in enumerate(_FIRST)}
    return sorted(manifests, key=lambda m: rank.get(m["kind"], len(rank)))


def apply(
    api: Api, manifests: Sequence[Manifest], namespace: str, *, force: bool = False, again: bool = False
) -> Iterator[Applied]:
    """Brings them there one after the other; the first that is refused ends it with a KubeError that says which.

    force: take over fields that someone else has changed since. again: run jobs anew that have ended well; those
    that failed, or of which the command has changed, are run anew anyway.
    """
    for manifest in in_order(manifests):
        try:
            yield Applied(name_of(manifest), _apply(api, manifest, namespace, force=force, again=again))
        except KubeError as error:
            hint = "; --force takes over what others have changed" if error.status == 409 and not force else ""
            raise KubeError(f"{name_of(manifest)}: {error}{hint}", error.status) from None


def _apply(api: Api, manifest: Manifest, namespace: str, *, force: bool, again: bool) -> Change:
    path = api.path(manifest, namespace)
    before = _get(api, path)
    if before is not None and manifest["kind"] == "RayJob" and _to_run_anew(before, manifest, again=again):
        api.delete(path)
        _until_gone(api, path)
        api.apply(path, manifest, force=force)
        return Change.AGAIN
    try:
        after = api.apply(path, manifest, force=force)
    except KubeError as error:
        if error.status == 403 and manifest["kind"] == "Namespace":
            return Change.LEFT  # if it is not there, the next object says so
        raise
    if before is None:
        return Change.CREATED
    versions = [one.get("metadata", {}).get("resourceVersion") for one in (before, after)]
    return Change.SAME if versions[0] == versions[1] else Change.CHANGED


def _to_run_anew(before: Object, manifest: Manifest, *, again: bool) -> bool:
    """KubeRay runs a RayJob once, whatever becomes of its spec."""
    state = _job_state(before)
    changed = before["spec"].get("entrypoint") != manifest["spec"].get("entrypoint")
    return state in _FAILED or (state == "Complete" and (again or changed))


def _get(api: Api, path: str) -> Object | None:
    """The object; None if it is not there, or may not be looked at."""
    try:
        return api.get(path)
    except KubeError as error:
        if error.status in (403, 404):
            return None
        raise


def _until_gone(api: Api, path: str, timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while _get(api, path) is not None:
        if time.monotonic() > deadline_s:
            raise KubeError("it was deleted, but is still there", 409)
        time.sleep(0.5)


# ---- waiting


def wait(
    api: Api,
    manifests: Sequence[Manifest],
    namespace: str,
    timeout_s: float,
    tell: Callable[[Progress], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Until all that takes time is ready; `tell` hears of each change. ClusterError says what is not in time, and why.

    A batch job is waited for until it runs.
    """
    deadline_s = time.monotonic() + timeout_s
    waited = [m for m in in_order(manifests) if m["kind"] in _READY]
    told: dict[str, Progress] = {}
    while True:
        now = [_progress(api, manifest, namespace) for manifest in waited]
        for progress in now:
            if told.get(progress.name) != progress:
                told[progress.name] = progress
                tell(progress)
            if progress.failed:
                raise ClusterError(f"{progress.name} failed: {progress.why}")
        missing = [progress for progress in now if not progress.ready]
        if not missing:
            return
        if time.monotonic() > deadline_s:
            why = "; ".join(f"{one.name}: {one.why}" for one in missing)
            raise ClusterError(f"not ready after {timeout_s:.0f} s: {why} (`vqa k8s status` shows the pods)")
        sleep(LOOK_S)


def _progress(api: Api, manifest: Manifest, namespace: str) -> Progress:
    found = _get(api, api.path(manifest, namespace))
    name = name_of(manifest)
    if found is None:
        return Progress(name, False, "is not there")
    ready, why, failed = _READY[manifest["kind"]](found)
    return Progress(name, ready, why, failed)


def _stateful_set(found: Mapping[str, Any]) -> tuple[bool, str, bool]:
    ready, wanted = found.get("status", {}).get("readyReplicas", 0), found["spec"].get("replicas", 1)
    return ready >= wanted, f"{ready} of {wanted} pods are ready", False


def _cluster(found: Mapping[str, Any]) -> tuple[bool, str, bool]:
    """By the operator's conditions, or by its older `state` where it sets none."""
    status = found.get("status") or {}
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return False, "KubeRay's operator has not looked at it yet; is it running?", False
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    for kind in ("HeadPodReady", "RayClusterProvisioned"):
        one = conditions.get(kind)
        if one is not None and one["status"] != "True":
            return False, ": ".join(filter(None, (one.get("reason"), one.get("message")))), False
    failure = conditions.get("ReplicaFailure")
    if failure is not None and failure["status"] == "True":
        return False, f"{failure.get('reason')}: {failure.get('message')}", False
    ready = status.get("state") == "ready" or {"HeadPodReady", "RayClusterProvisioned"} <= set(conditions)
    return ready, "" if ready else str(status.get("reason") or "its pods are starting"), False


def _job_state(found: Mapping[str, Any]) -> str:
    return str((found.get("status") or {}).get("jobDeploymentStatus") or "")


def _job(found: Mapping[str, Any]) -> tuple[bool, str, bool]:
    """The fleet's job is to end well; one with a cluster of its own takes long, so it is to run."""
    state, status = _job_state(found), found.get("status") or {}
    if state in _FAILED:
        return False, ": ".join(filter(None, (status.get("reason"), status.get("message")))) or state, True
    if state == "Complete" or (state == "Running" and "rayClusterSpec" in found["spec"]):
        return True, str(status.get("jobStatus") or ""), False
    return False, " ".join(filter(None, (state or "not submitted yet", status.get("jobStatus")))), False


_READY = {"StatefulSet": _stateful_set, "RayCluster": _cluster, "RayJob": _job}


def namespace_of(manifests: Sequence[Manifest], otherwise: str) -> str:
    """Where they go; ConfigError if to several."""
    found = {m["metadata"]["namespace"] for m in manifests if "namespace" in m["metadata"]}
    if len(found) > 1:
        raise ConfigError(f"the manifests are of several namespaces: {', '.join(sorted(found))}")
    return found.pop() if found else otherwise
