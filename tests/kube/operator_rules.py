"""What KubeRay's operator 1.7 refuses beyond its CRDs (ray-operator/controllers/ray/utils/validation.go), as far as it
concerns RayCluster and RayJob, and fields that only work behind feature gates which are off by default.
"""

import re
from collections.abc import Iterator
from typing import Any

_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LONGEST = {"RayCluster": 53, "RayJob": 47}
_AS_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}
_GATED = ("networkPolicy", "tlsOptions", "historyServerOptions")


def complaints(manifest: dict[str, Any]) -> list[str]:
    """Why the operator would not take it; empty if it would."""
    kind = manifest["kind"]
    found = list(_name(manifest["metadata"]["name"], _LONGEST[kind]))
    if kind == "RayCluster":
        found += _cluster(manifest["spec"])
    if kind == "RayJob":
        found += _job(manifest["spec"])
    return found


def _name(name: str, longest: int) -> Iterator[str]:
    if len(name) > longest:
        yield f"the name has more than {longest} characters"
    if not _DNS_1035.fullmatch(name):
        yield "the name is no DNS-1035 label"


def _job(spec: dict[str, Any]) -> Iterator[str]:
    selects, ends = "clusterSelector" in spec, spec.get("shutdownAfterJobFinishes", False)
    rules = "deletionRules" in spec.get("deletionStrategy", {})
    if selects == ("rayClusterSpec" in spec):
        yield "give either clusterSelector or rayClusterSpec"
    if spec.get("suspend") and not ends:
        yield "suspend needs shutdownAfterJobFinishes"
    if selects and (spec.get("suspend") or spec.get("backoffLimit", 0) or spec.get("submissionMode") == "SidecarMode"):
        yield "clusterSelector goes with neither suspend, backoffLimit nor SidecarMode"
    if selects and ends:
        yield "a selected cluster is not shut down"
    if spec.get("ttlSecondsAfterFinished", 0) and not ends:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if rules and (ends or spec.get("ttlSecondsAfterFinished", 0)):
        yield "deletionRules go with neither shutdownAfterJobFinishes nor ttlSecondsAfterFinished"
    if spec.get("rayClusterSpec", {}).get("authOptions", {}).get("enableK8sTokenAuth"):
        yield "enableK8sTokenAuth is not for a RayJob"
    yield from _cluster(spec["rayClusterSpec"]) if "rayClusterSpec" in spec else ()


def _cluster(spec: dict[str, Any]) -> Iterator[str]:
    groups = spec.get("workerGroupSpecs", [])
    scaled = spec.get("enableInTreeAutoscaling", False)
    v2 = spec.get("autoscalerOptions", {}).get("version") == "v2"
    yield from (f"{field} needs a feature gate that is off" for field in _GATED if field in spec)
    yield from _auth(spec)
    yield from _fault_tolerance(spec)
    if "autoscalerOptions" in spec and not scaled:
        yield "autoscalerOptions without enableInTreeAutoscaling"
    names = [group["groupName"] for group in groups]
    if len(set(names)) < len(names):
        yield "two worker groups have the same name"
    for where, group in [("head", spec["headGroupSpec"]), *zip(names, groups, strict=True)]:
        yield from (f"{where}: {why}" for why in _group(group, v2=v2))
    for group in groups:
        yield from (f"{group['groupName']}: {why}" for why in _workers(group, scaled=scaled))


def _auth(spec: dict[str, Any]) -> Iterator[str]:
    options, version = spec.get("authOptions", {}), spec.get("rayVersion", "")
    numbers = tuple(int(part) for part in version.split(".")[:2]) if re.match(r"\d+\.\d+", version) else (0, 0)
    if options.get("mode") == "token" and numbers < (2, 52):
        yield "token mode needs rayVersion 2.52"
    if options.get("enableK8sTokenAuth") and numbers < (2, 55):
        yield "enableK8sTokenAuth needs rayVersion 2.55"


def _fault_tolerance(spec: dict[str, Any]) -> Iterator[str]:
    options = spec.get("gcsFaultToleranceOptions")
    if options is None:
        return
    if options.get("backend") == "rocksdb" or "storage" in options:
        yield "gcsFaultToleranceOptions: rocksdb needs a feature gate that is off"
    if options.get("backend", "redis") == "redis" and not options.get("redisAddress"):
        yield "gcsFaultToleranceOptions: redisAddress is missing"
    for container in spec["headGroupSpec"]["template"]["spec"].get("containers", []):
        if {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD"} & {one["name"] for one in container.get("env", [])}:
            yield "head: Redis stands in gcsFaultToleranceOptions and in env"


def _group(group: dict[str, Any], *, v2: bool) -> Iterator[str]:
    parameters, pod = group.get("rayStartParams", {}), group["template"]["spec"]
    if group.get("resources") and _AS_RESOURCES & set(parameters):
        yield "resources stand in rayStartParams and in resources"
    if "labels" in parameters:
        yield "labels do not go into rayStartParams"
    if not pod.get("containers"):
        yield "there is no container"
    for container in pod.get("containers", []):
        if not _DNS_1123.fullmatch(container["name"]):
            yield f"{container['name']!r} is no name of a container"
        if v2 and "RAY_enable_autoscaler_v2" in {one["name"] for one in container.get("env", [])}:
            yield "autoscaler v2 stands in autoscalerOptions and in env"
    if v2 and pod.get("restartPolicy", "Never") != "Never":
        yield "autoscaler v2 needs restartPolicy Never"


def _workers(group: dict[str, Any], *, scaled: bool) -> Iterator[str]:
    if not _DNS_1123.fullmatch(group["groupName"]):
        yield "the group's name is no DNS label"
    if not scaled and not {"minReplicas", "maxReplicas"} <= set(group):
        yield "without autoscaling minReplicas and maxReplicas are needed"
    if group.get("minReplicas", 0) > group.get("maxReplicas", 2**31 - 1):
        yield "minReplicas is above maxReplicas"
    if scaled and group.get("suspend"):
        yield "a group cannot be suspended while it is scaled"
