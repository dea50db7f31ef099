"""What `k8s/` renders: every field is known, the operator takes it, and it is as the README says."""

import copy
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kube import crd_schema
from tests.kube.operator_rules import complaints
from vqa_ray.cli.main import cli
from vqa_ray.cluster.kube.deploy import check
from vqa_ray.cluster.kube.kustomize import build, name_of
from vqa_ray.cluster.messages import MEMORY_BYTES, ClusterOptions
from vqa_ray.cluster.metrics import HISTOGRAMS, MEANING
from vqa_ray.config import parse_fleet

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
FOLDERS = ("base", "overlays/local", "overlays/production", "batch", "monitoring", "redis")
TO_APPLY = ("overlays/local", "overlays/production", "batch")
VERSION = "1.36"
OWN = ("ray.io/v1", "monitoring.coreos.com/v1")  # custom resources
CRDS = crd_schema.folder()
BUILT = {folder: build(K8S / folder) for folder in FOLDERS}
EVERY = [pytest.param(m, id=f"{folder}: {name_of(m)}") for folder, ms in BUILT.items() for m in ms]
RAY = [
    pytest.param(m, id=f"{folder}: {name_of(m)}")
    for folder, ms in BUILT.items()
    for m in ms
    if m["apiVersion"] == "ray.io/v1"
]
BYTES = {"Mi": 2**20, "Gi": 2**30}
OBJECT_STORE_AND_RAYLET = 1 << 30


def cluster_specs(folder: str) -> list[dict[str, Any]]:
    found = [m["spec"] for m in BUILT[folder] if m["apiVersion"] == "ray.io/v1"]
    return [spec.get("rayClusterSpec", spec) for spec in found if {"headGroupSpec", "rayClusterSpec"} & set(spec)]


def pods(folder: str) -> dict[str, dict[str, Any]]:
    """Pod templates of the folder, by where they are."""
    found = {}
    for spec in cluster_specs(folder):
        found["head"] = spec["headGroupSpec"]["template"]
        found |= {group["groupName"]: group["template"] for group in spec["workerGroupSpecs"]}
    for manifest in BUILT[folder]:
        if manifest["kind"] == "StatefulSet":
            found[name_of(manifest)] = manifest["spec"]["template"]
    return found


EVERY_POD = [pytest.param(f, name, id=f"{f}: {name}") for f in TO_APPLY for name in pods(f)]


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()
    return int(number) * BYTES[unit]


# ---- every field is known


@pytest.mark.parametrize("manifest", EVERY)
def test_kubernetes_knows_every_field(manifest):
    if manifest["apiVersion"] not in OWN:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize(("folder", "name"), EVERY_POD)
def test_kubernetes_knows_every_field_of_pod_templates(folder, name):
    wrapped = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": pods(folder)[name]}
    kubernetes_validate.validate(wrapped, VERSION, strict=True)


def test_an_unknown_field_would_be_found():
    wrong = copy.deepcopy(next(m for m in BUILT["overlays/production"] if m["kind"] == "PodDisruptionBudget"))
    wrong["spec"]["selektor"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


if CRDS is not None:

    @pytest.mark.parametrize("manifest", RAY)
    def test_kuberays_crd_knows_every_field(manifest):
        assert crd_schema.errors(manifest, CRDS) == []

    @pytest.mark.parametrize("path", ["spec/maxReplica", "spec/headGroupSpec/template/spec/containers/0/imagePull"])
    def test_an_unknown_field_of_a_custom_resource_would_be_found(path):
        wrong = copy.deepcopy(next(m for m in BUILT["base"] if m["kind"] == "RayCluster"))
        node, *steps = wrong, *path.split("/")
        for step in steps[:-1]:
            node = node[int(step) if step.isdigit() else step]
        node[steps[-1]] = "x"
        assert crd_schema.errors(wrong, CRDS) != []


_ENDPOINT = {"port", "interval", "relabelings"}


@pytest.mark.parametrize("manifest", [m for m in BUILT["monitoring"] if m["kind"] == "PodMonitor"], ids=name_of)
def test_pod_monitors_name_ports_that_the_pods_have(manifest):
    assert set(manifest["spec"]) == {"jobLabel", "selector", "podMetricsEndpoints"}
    role = manifest["spec"]["selector"]["matchLabels"]["ray.io/node-type"]
    pod = pods("overlays/production")["head" if role == "head" else "analyzers"]
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    for endpoint in manifest["spec"]["podMetricsEndpoints"]:
        assert set(endpoint) <= _ENDPOINT and endpoint["port"] in ports


# ---- the operator takes it


@pytest.mark.parametrize("manifest", RAY)
def test_the_operator_takes_it(manifest):
    assert complaints(manifest) == []


WRONG = {
    "min above max": ("workerGroupSpecs/0/minReplicas", 100, "minReplicas is above maxReplicas"),
    "twice resources": ("headGroupSpec/resources", {"CPU": "1"}, "in rayStartParams and in resources"),
    "labels": ("headGroupSpec/rayStartParams/labels", "a=b", "labels do not go into rayStartParams"),
    "restart": ("headGroupSpec/template/spec/restartPolicy", "Always", "restartPolicy Never"),
    "old Ray": ("rayVersion", "2.51.0", "needs rayVersion 2.52"),
    "suspended group": ("workerGroupSpecs/0/suspend", True, "cannot be suspended"),
    "gated": ("networkPolicy", {"mode": "DenyAll"}, "feature gate"),
    "rocksdb": ("gcsFaultToleranceOptions/backend", "rocksdb", "feature gate"),
    "no container": ("headGroupSpec/template/spec/containers", [], "no container"),
    "unscaled": ("enableInTreeAutoscaling", False, "autoscalerOptions without"),
}


@pytest.mark.parametrize(("path", "value", "why"), WRONG.values(), ids=WRONG)
def test_the_operators_rules_are_known(path, value, why):
    manifest = copy.deepcopy(next(m for m in BUILT["base"] if m["kind"] == "RayCluster"))
    *steps, last = path.split("/")
    node = manifest["spec"]
    for step in steps:
        node = node[int(step) if step.isdigit() else step]
    node[last] = value
    assert any(why in complaint for complaint in complaints(manifest))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"suspend": True}, "suspend needs"),
        ({"backoffLimit": 2}, "clusterSelector goes with neither"),
        ({"ttlSecondsAfterFinished": 5}, "ttlSecondsAfterFinished needs"),
        ({"shutdownAfterJobFinishes": True}, "is not shut down"),
        ({"rayClusterSpec": {}}, "give either"),
    ],
)
def test_the_operators_rules_of_jobs_are_known(changes, why):
    manifest = copy.deepcopy(next(m for m in BUILT["base"] if m["kind"] == "RayJob"))
    manifest["spec"] |= {k: v for k, v in changes.items() if k != "rayClusterSpec"}
    if "rayClusterSpec" in changes:
        manifest["spec"]["rayClusterSpec"] = next(m for m in BUILT["base"] if m["kind"] == "RayCluster")["spec"]
    assert any(why in complaint for complaint in complaints(manifest))


# ---- sizes fit what analyzers ask for


@pytest.mark.parametrize("folder", TO_APPLY)
def test_a_pod_holds_as_many_analyzers_as_it_has_cores(folder):
    for spec in cluster_specs(folder):
        for group in spec["workerGroupSpecs"]:
            resources = group["template"]["spec"]["containers"][0]["resources"]
            cores = int(group["rayStartParams"]["num-cpus"])
            assert float(resources["requests"]["cpu"]) == cores
            assert resources["requests"]["memory"] == resources["limits"]["memory"]
            analyzers = int(cores / ClusterOptions().cores)
            assert analyzers >= 1
            assert size(resources["limits"]["memory"]) >= analyzers * MEMORY_BYTES + OBJECT_STORE_AND_RAYLET


@pytest.mark.parametrize("folder", TO_APPLY)
def test_the_job_starts_no_more_analyzers_than_there_can_be_room_for(folder):
    job = next(m for m in BUILT[folder] if m["kind"] == "RayJob")
    least, most = map(int, re.search(r"--analyzers (\d+):(\d+)", job["spec"]["entrypoint"]).groups())
    (spec,) = cluster_specs(folder)
    (group,) = spec["workerGroupSpecs"]
    room = group["maxReplicas"] * int(group["rayStartParams"]["num-cpus"])
    assert 1 <= least <= most <= room


@pytest.mark.parametrize("folder", TO_APPLY)
def test_the_head_analyses_nothing_and_the_autoscaler_is_v2(folder):
    for spec in cluster_specs(folder):
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        assert spec["enableInTreeAutoscaling"] and spec["autoscalerOptions"]["version"] == "v2"
        assert spec["authOptions"] == {"mode": "token"}
        assert all("replicas" not in group for group in spec["workerGroupSpecs"])  # they are the autoscaler's


# ---- commands exist


def parsed(words: list[str]) -> None:
    """Parses a command line of `vqa` as it would be, and runs nothing."""
    assert words[0] == "vqa"
    command, rest, context = cli, words[1:], None
    while hasattr(command, "commands") or command is cli:
        context = command.make_context("vqa", [rest[0]], parent=context, resilient_parsing=True)
        command, rest = command.get_command(context, rest[0]), rest[1:]
        assert command is not None, words
    command.make_context("vqa", rest)


@pytest.mark.parametrize("folder", TO_APPLY)
def test_jobs_and_hooks_are_commands_of_vqa(folder):
    entrypoint = shlex.split(next(m for m in BUILT[folder] if m["kind"] == "RayJob")["spec"]["entrypoint"])
    if entrypoint[0] == "bash":
        parts = re.findall(r"vqa [^;]*", entrypoint[2])
        assert len(parts) == 2
        for part in parts:
            parsed(shlex.split(part))
    else:
        parsed(entrypoint)
    for pod in pods(folder).values():
        hook = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop")
        if hook:
            parsed(hook["exec"]["command"])


@pytest.mark.parametrize("folder", ["overlays/local", "overlays/production"])
def test_the_job_reads_and_follows_the_configmap_that_is_mounted(folder):
    words = shlex.split(next(m for m in BUILT[folder] if m["kind"] == "RayJob")["spec"]["entrypoint"])
    name = words[words.index("--follow") + 1]
    fleet = next(m for m in BUILT[folder] if m["kind"] == "ConfigMap" and m["metadata"]["name"] == name)
    (container,) = pods(folder)["head"]["spec"]["containers"]
    mount = next(one for one in container["volumeMounts"] if words[-1].startswith(one["mountPath"]))
    assert words[-1].removeprefix(mount["mountPath"] + "/") in fleet["data"]
    role = next(m for m in BUILT[folder] if m["kind"] == "Role")
    assert role["rules"][0]["resourceNames"] == [name]


def test_a_waiting_hook_leaves_time_to_end():
    for folder in ("overlays/local", "overlays/production"):
        spec = pods(folder)["analyzers"]["spec"]
        (container,) = spec["containers"]
        hook = container["lifecycle"]["preStop"]["exec"]["command"]
        env = {one["name"]: one["value"] for one in container["env"]}
        within_s = int(hook[hook.index("--within") + 1]) + int(env["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        assert within_s < spec["terminationGracePeriodSeconds"] == 90


# ---- security


@pytest.mark.parametrize(("folder", "name"), EVERY_POD)
def test_pods_are_confined(folder, name):
    spec = pods(folder)[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_only_the_fleets_head_has_a_token():
    for folder in ("overlays/local", "overlays/production"):
        asked = {name for name, pod in pods(folder).items() if pod["spec"].get("automountServiceAccountToken", True)}
        assert asked == {"head"}
    assert pods("batch")["analyzers"]["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("folder", ["overlays/local", "overlays/production"])
def test_rights_are_few(folder):
    roles = [m for m in BUILT[folder] if m["kind"] in ("Role", "ClusterRole")]
    assert [role["kind"] for role in roles] == ["Role"]
    verbs = {(tuple(rule["resources"]), tuple(rule["verbs"])) for rule in roles[0]["rules"]}
    assert verbs == {(("configmaps",), ("get", "list", "watch")), (("events",), ("create",))}
    binding = next(m for m in BUILT[folder] if m["kind"] == "RoleBinding")
    assert [one["name"] for one in binding["subjects"]] == ["vqa-head"]


@pytest.mark.parametrize(("folder", "name"), EVERY_POD)
def test_what_is_mounted_is_there_and_what_is_written_is_writable(folder, name):
    template = pods(folder)[name]
    spec = template["spec"]
    volumes = {one["name"] for one in spec.get("volumes", [])}
    for manifest in BUILT[folder]:
        if manifest["kind"] == "StatefulSet" and name_of(manifest) == name:
            volumes |= {one["metadata"]["name"] for one in manifest["spec"]["volumeClaimTemplates"]}
    for container in spec["containers"]:
        mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        assert set(mounts.values()) <= volumes
        if container["name"].startswith("ray-"):
            assert {"/tmp", "/tmp/ray", "/dev/shm"} <= set(mounts)
            env = {one["name"]: one["value"] for one in container["env"]}
            assert env["HOME"] == "/tmp" and env["RAY_worker_niceness"] == "0"
    assert volumes == {one["name"] for container in spec["containers"] for one in container["volumeMounts"]}


def test_the_control_state_is_on_the_claim():
    for folder in ("overlays/local", "overlays/production"):
        spec = pods(folder)["head"]["spec"]
        env = {one["name"]: one["value"] for one in spec["containers"][0]["env"]}
        mount = next(one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "state")
        assert mount["mountPath"] == f"{env['XDG_STATE_HOME']}/vqa"
        claim = next(one for one in spec["volumes"] if one["name"] == "state")["persistentVolumeClaim"]["claimName"]
        assert claim in [m["metadata"]["name"] for m in BUILT[folder] if m["kind"] == "PersistentVolumeClaim"]
        assert {"RAY_health_check_period_ms", "RAY_health_check_failure_threshold"} <= set(env)


def test_secrets_are_named_and_never_in_production_manifests():
    kinds = [m["kind"] for m in BUILT["overlays/production"]]
    assert "Secret" not in kinds
    readme = (K8S / "README.md").read_text()
    assert "secret generic vqa-redis" in readme and "secret generic vqa-secrets" in readme


def test_the_budget_lets_one_pod_go_at_a_time():
    budget = next(m for m in BUILT["overlays/production"] if m["kind"] == "PodDisruptionBudget")["spec"]
    (spec,) = cluster_specs("overlays/production")
    assert budget["minAvailable"] == spec["workerGroupSpecs"][0]["minReplicas"] - 1
    assert budget["selector"]["matchLabels"] == {"ray.io/cluster": "vqa", "ray.io/group": "analyzers"}


# ---- the rest


@pytest.mark.parametrize("folder", TO_APPLY)
def test_fleets_in_configmaps_are_fine_and_images_are_named(folder):
    check(BUILT[folder])
    images = re.findall(r'"image": "([^"]+)"', json.dumps(BUILT[folder]))
    assert images and all(":" in image for image in images)


def test_the_batch_is_of_files():
    batch = next(m for m in BUILT["batch"] if m["kind"] == "ConfigMap")["data"]["batch.yaml"]
    mounted = [one["mountPath"] for one in pods("batch")["analyzers"]["spec"]["containers"][0]["volumeMounts"]]
    for stream in parse_fleet(batch).streams:
        assert any(stream.url.startswith(f"{path}/") for path in mounted)


def test_the_dashboard_shows_metrics_that_there_are():
    texts = next(m for m in BUILT["monitoring"] if m["kind"] == "ConfigMap")["data"]
    assert set(texts) == {"vqa.json", "vqa-streams.json"}
    for dashboard in map(json.loads, texts.values()):
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        named = set(re.findall(r"ray_(vqa_\w+)", " ".join(expressions)))
        assert named and named <= set(MEANING) | {f"{name}_bucket" for name in HISTOGRAMS}
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_operator_gets_the_rules_that_are_tested():
    rule = next(m for m in BUILT["monitoring"] if m["kind"] == "PrometheusRule")
    plain = yaml.safe_load((K8S / "monitoring/rules/vqa.yaml").read_text())
    assert rule["spec"] == plain
    named = set(re.findall(r"ray_(vqa_\w+)", json.dumps(plain)))
    assert named <= set(MEANING) | {f"{name}_bucket" for name in HISTOGRAMS}


@pytest.mark.server
def test_alert_rules_pass_their_tests(require_program):
    promtool, rules = require_program("promtool"), K8S / "monitoring/rules"
    checked = subprocess.run([promtool, "check", "rules", rules / "vqa.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = subprocess.run([promtool, "test", "rules", rules / "vqa.test.yaml"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_rule_has_a_test():
    rules = yaml.safe_load((K8S / "monitoring/rules/vqa.yaml").read_text())["groups"][0]["rules"]
    tests = (K8S / "monitoring/rules/vqa.test.yaml").read_text()
    assert all(f'alertname="{rule["alert"]}"' in tests for rule in rules)


# ---- the image


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (K8S / "Dockerfile").read_text())
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest) for word, rest in lines]


def test_the_image_copies_what_is_there_and_what_is_not_ignored():
    allowed = {line[1:] for line in (K8S / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")}
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources)
            assert set(sources) <= allowed


def test_the_image_has_stages_and_ends_as_no_root():
    steps = instructions()
    starts = [index for index, (word, _) in enumerate(steps) if word == "FROM"]
    assert len(starts) == 2
    last = steps[starts[1] :]
    users = [rest for word, rest in last if word == "USER"]
    assert users == ["10001:10001"]
    assert not any(word == "RUN" for word, _ in last[[w for w, _ in last].index("USER") :])
    assert "pip install" not in " ".join(rest for _, rest in last)
    (copied,) = [rest for word, rest in last if word == "COPY"]
    stage = re.search(r"AS (\w+)", steps[starts[0]][1])[1]
    assert copied.startswith(f"--from={stage} ")


def test_pods_run_as_the_images_user():
    user = next(int(rest.partition(":")[0]) for word, rest in instructions() if word == "USER")
    for folder in TO_APPLY:
        for name, pod in pods(folder).items():
            if not name.startswith("StatefulSet"):
                assert pod["spec"]["securityContext"]["runAsUser"] == user


def test_the_images_lock_is_part_of_the_projects_and_has_hashes():
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[^ ;\\]+)", path.read_text(), re.MULTILINE))

    image, project = pins(K8S / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert image < project
    assert not {"pytest", "mypy", "ruff"} & {pin.partition("==")[0] for pin in image}
    assert {"ray", "av", "kubernetes"} <= {pin.partition("==")[0] for pin in image}
    text = (K8S / "requirements.lock").read_text()
    assert text.count("==") <= text.count("--hash=sha256:")


def test_rays_version_is_the_one_that_is_installed():
    lock = (K8S / "requirements.lock").read_text()
    installed = re.search(r"^ray==(\S+)|^ray\[default\]==(\S+)", lock, re.MULTILINE)
    version = next(filter(None, installed.groups()))
    for folder in TO_APPLY:
        assert {spec["rayVersion"] for spec in cluster_specs(folder)} == {version}
