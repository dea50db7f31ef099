"""`vqa k8s render`, `apply`, `status` against a real HTTP server, with what an operator would answer."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from tests.kube.server import KubeServer
from tests.unit.cli_fakes import status as fleet_status
from tests.unit.cli_fakes import stream
from vqa_ray.cli.main import cli
from vqa_ray.cluster.kube import deploy

K8S = Path(__file__).parents[2] / "k8s"
LOCAL = K8S / "overlays" / "local"
RAY = "/apis/ray.io/v1/namespaces/vqa"


def vqa(*arguments):
    return CliRunner().invoke(cli, ["k8s", *map(str, arguments)], prog_name="vqa")


def operator(path, stored):
    """Everything is ready at once."""
    match stored.get("kind"):
        case "RayCluster":
            conditions = [{"type": kind, "status": "True"} for kind in ("HeadPodReady", "RayClusterProvisioned")]
            stored["status"] = {"state": "ready", "conditions": conditions, "observedGeneration": 99,
                                "readyWorkerReplicas": 1, "desiredWorkerReplicas": 1}  # fmt: skip
        case "RayJob":
            stored["status"] = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
        case "StatefulSet":
            stored["status"] = {"readyReplicas": 1}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(deploy, "LOOK_S", 0.01)


# ---- render


def test_render_prints_what_kubectl_could_apply():
    result = vqa("render", LOCAL)
    assert result.exit_code == 0
    kinds = [one["kind"] for one in yaml.safe_load_all(result.stdout)]
    assert kinds[0] == "Namespace" and kinds[-1] == "RayJob"


def test_render_refuses_a_wrong_fleet_by_its_place(tmp_path):
    (tmp_path / "kustomization.yaml").write_text(
        "configMapGenerator: [{name: vqa-fleet, files: [fleet.yaml], options: {disableNameSuffixHash: true}}]"
    )
    (tmp_path / "fleet.yaml").write_text("streams: [{id: a}]")
    result = vqa("render", tmp_path)
    assert result.exit_code == 2
    assert "ConfigMap vqa-fleet, fleet.yaml:1: streams[0]" in result.stderr


# ---- apply


def test_apply_makes_everything_waits_and_says_so(kube: KubeServer):
    kube.settle = operator
    result = vqa("apply", LOCAL)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "Namespace vqa created" in lines
    assert {"RayCluster vqa created", "RayCluster vqa ready", "RayJob vqa-fleet ready"} <= set(lines)
    assert lines.index("Secret vqa-redis created") < lines.index("StatefulSet vqa-redis created")
    assert f"{RAY}/rayclusters/vqa" in kube.objects
    applied = [query for method, _, query in kube.requests if method == "PATCH"]
    assert {(one["fieldManager"], one["fieldValidation"], one["force"]) for one in applied} == {
        ("vqa", "Strict", "false")
    }


def test_apply_once_more_changes_nothing(kube: KubeServer):
    kube.settle = operator
    vqa("apply", LOCAL)
    result = vqa("apply", LOCAL)
    states = [line.rpartition(" ")[2] for line in result.stdout.splitlines() if not line.startswith("`")]
    assert set(states) == {"unchanged", "ready"}


def test_a_job_that_failed_is_run_anew_and_one_that_ended_well_only_when_asked(kube: KubeServer):
    kube.settle = operator
    vqa("apply", LOCAL)
    assert "RayJob vqa-fleet unchanged" in vqa("apply", LOCAL).stdout
    assert "RayJob vqa-fleet made anew" in vqa("apply", LOCAL, "--again").stdout
    kube.objects[f"{RAY}/rayjobs/vqa-fleet"]["status"] = {"jobDeploymentStatus": "Failed"}
    assert "RayJob vqa-fleet made anew" in vqa("apply", LOCAL).stdout
    kube.objects[f"{RAY}/rayjobs/vqa-fleet"]["spec"]["entrypoint"] = "another"
    assert "RayJob vqa-fleet made anew" in vqa("apply", LOCAL).stdout


def test_without_the_operator_it_says_what_to_install(kube: KubeServer):
    del kube.kinds["/apis/ray.io/v1"]
    result = vqa("apply", LOCAL)
    assert result.exit_code == 2
    assert "RayCluster vqa:" in result.stderr and "install KubeRay's operator first" in result.stderr


def test_without_rights_it_says_which(kube: KubeServer):
    kube.refused.add(("PATCH", "rayclusters"))
    result = vqa("apply", LOCAL)
    assert result.exit_code == 2
    assert "RayCluster vqa: Kubernetes answers 403" in result.stderr and "k8s/README.md" in result.stderr


PRODUCTION = K8S / "overlays" / "production"


def test_a_secret_that_is_missing_is_told_before_anything_is_applied(kube: KubeServer):
    for path in ("/apis/monitoring.coreos.com/v1",):
        kube.kinds[path] = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
    kube.settle = operator
    result = vqa("apply", PRODUCTION)
    assert result.exit_code == 2
    assert "Secret vqa-redis is missing in namespace vqa; make it first: kubectl -n vqa create secret" in result.stderr
    assert kube.objects == {}
    secret = "/api/v1/namespaces/vqa/secrets/vqa-redis"
    kube.put(secret, {"metadata": {"name": "vqa-redis"}, "data": {"passwort": "eA=="}})
    assert "Secret vqa-redis in namespace vqa has no key 'password'" in vqa("apply", PRODUCTION).stderr
    kube.refused.add(("GET", "secrets"))  # one need not be allowed to read them
    assert vqa("apply", PRODUCTION).exit_code == 0


def test_a_claim_that_is_missing_is_told(kube: KubeServer):
    assert "PersistentVolumeClaim vqa-media is missing" in vqa("apply", K8S / "batch").stderr


def test_without_the_prometheus_operator_it_says_what_to_leave_out(kube: KubeServer):
    kube.refused.add(("GET", "secrets"))
    result = vqa("apply", PRODUCTION)
    assert result.exit_code == 2
    assert "leave ../../monitoring out" in result.stderr


def test_a_namespace_that_one_may_not_change_is_left(kube: KubeServer):
    kube.settle = operator
    kube.refused |= {("PATCH", "namespaces"), ("GET", "namespaces")}
    kube.put("/api/v1/namespaces/vqa", {"metadata": {"name": "vqa"}})
    kube.answers["PATCH", "/api/v1/namespaces/vqa"] = [403]
    kube.refused.clear()
    result = vqa("apply", LOCAL)
    assert result.exit_code == 0, result.stderr
    assert "Namespace vqa left as it is" in result.stdout


def test_a_field_that_another_has_changed_is_a_conflict_that_force_ends(kube: KubeServer):
    path = "/api/v1/namespaces/vqa/configmaps/vqa-fleet"
    kube.settle = operator
    kube.answers["PATCH", path] = [409]
    result = vqa("apply", LOCAL)
    assert result.exit_code == 2
    assert "ConfigMap vqa-fleet: Kubernetes answers 409" in result.stderr and "--force" in result.stderr
    assert vqa("apply", LOCAL, "--force").exit_code == 0
    assert [query["force"] for method, _, query in kube.requests if method == "PATCH"][-1] == "true"


def test_a_wrong_token_is_told(kube: KubeServer):
    kube.token = "another"
    result = vqa("apply", LOCAL)
    assert result.exit_code == 2
    assert "401" in result.stderr and "log in" in result.stderr


def test_no_server_is_one_line(kube: KubeServer, monkeypatch, tmp_path):
    config = kube.kubeconfig()
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    (tmp_path / "other").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "other"))
    for command in (("apply", LOCAL), ("status",)):
        result = vqa(*command)
        assert result.exit_code == 2
        assert result.stderr.startswith("vqa: no Kubernetes API server answers at http://127.0.0.1:9: ")
        assert result.stderr.count("\n") == 1


def test_no_kubeconfig_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    result = vqa("status")
    assert result.exit_code == 2
    assert result.stderr.startswith("vqa: no Kubernetes cluster is configured: ")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({}, "KubeRay's operator has not looked at it yet"),
        (
            {"observedGeneration": 9, "conditions": [
                {"type": "HeadPodReady", "status": "False", "reason": "ImagePullBackOff", "message": "no such image"}]},
            "ImagePullBackOff: no such image",
        ),
        ({"observedGeneration": 9, "state": ""}, "its pods are starting"),
    ],
    ids=["no operator", "image", "starting"],
)  # fmt: skip
def test_what_is_not_ready_in_time_is_told_with_its_reason(kube: KubeServer, status, why):
    def slow(path, stored):
        operator(path, stored)
        if stored.get("kind") == "RayCluster":
            stored["status"] = status

    kube.settle = slow
    result = vqa("apply", LOCAL, "--timeout", "1")
    assert result.exit_code == 2
    assert f"RayCluster vqa {why}" in result.stdout
    assert "not ready after 1 s: RayCluster vqa: " in result.stderr


def test_a_job_that_fails_ends_the_wait_at_once(kube: KubeServer):
    def failing(path, stored):
        operator(path, stored)
        if stored.get("kind") == "RayJob":
            stored["status"] = {"jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "exit code 2"}

    kube.settle = failing
    result = vqa("apply", LOCAL)
    assert result.exit_code == 2
    assert "RayJob vqa-fleet failed: AppFailed: exit code 2" in result.stderr


# ---- status


def pod(name, role, *, ready=True, waiting=None):
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    labels = {"app.kubernetes.io/part-of": "vqa", "ray.io/cluster": "vqa", "ray.io/node-type": role}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "machine-1"},
        "status": {
            "phase": "Pending" if waiting else "Running",
            "containerStatuses": [{"ready": ready and not waiting, "restartCount": 2, "state": state}],
        },
    }


@pytest.fixture
def running(kube: KubeServer):
    kube.settle = operator
    vqa("apply", LOCAL)
    pods = "/api/v1/namespaces/vqa/pods"
    kube.put(f"{pods}/vqa-head-x", pod("vqa-head-x", "head"))
    kube.put(f"{pods}/vqa-worker-y", pod("vqa-worker-y", "worker"))
    kube.put(f"{pods}/stranger", {"metadata": {"name": "stranger"}, "spec": {}})
    now = msgspec.json.encode(fleet_status(stream("news-hd"))).decode()
    kube.ran = lambda command: (0, now, "a warning of Ray\n")
    return kube


def test_status_shows_cluster_jobs_pods_and_streams(running: KubeServer):
    result = vqa("status")
    assert result.exit_code == 0, result.output
    assert "cluster vqa: ready, 1 of 1 workers" in result.stdout
    assert "job vqa-fleet: Complete SUCCEEDED" in result.stdout
    assert "vqa-worker-y" in result.stdout and "machine-1" in result.stdout and "stranger" not in result.stdout
    assert "1 stream: 1 live" in result.stdout and "news-hd" in result.stdout


def test_status_as_json_is_one_object(running: KubeServer):
    seen = json.loads(vqa("status", "--json").stdout)
    assert [one["name"] for one in seen["pods"]] == ["vqa-head-x", "vqa-worker-y"]
    assert seen["fleet"]["streams"][0]["stream_id"] == "news-hd"


def test_a_pod_that_cannot_start_is_a_problem_with_its_reason(running: KubeServer):
    path = "/api/v1/namespaces/vqa/pods/vqa-worker-y"
    running.put(path, pod("vqa-worker-y", "worker", waiting="ImagePullBackOff"))
    result = vqa("status")
    assert result.exit_code == 1
    assert "ImagePullBackOff" in result.stdout


def test_a_refused_fleet_is_a_problem_until_the_next_one(running: KubeServer):
    about = {"kind": "ConfigMap", "name": "vqa-fleet"}
    events = "/api/v1/namespaces/vqa/events"
    wrong = {"metadata": {"name": "1"}, "involvedObject": about, "type": "Warning", "message": "streams[0].colour",
             "lastTimestamp": "2026-01-01T00:00:00Z"}  # fmt: skip
    running.put(f"{events}/1", wrong)
    result = vqa("status")
    assert result.exit_code == 1 and "streams[0].colour" in result.stdout
    running.put(f"{events}/2", {**wrong, "metadata": {"name": "2"}, "type": "Normal",
                                "lastTimestamp": "2026-01-01T00:01:00Z"})  # fmt: skip
    assert vqa("status").exit_code == 0


@pytest.mark.parametrize("code", [0, 1])
def test_streams_in_trouble_are_a_problem(running: KubeServer, code):
    now = msgspec.json.encode(fleet_status(stream("cam", "stalled"))).decode()
    running.ran = lambda command: (code, now, "")
    assert vqa("status").exit_code == 1


def test_a_head_without_a_fleet_says_so(running: KubeServer):
    running.ran = lambda command: (2, "", "vqa: Ray answers, but no fleet runs on it\n")
    result = vqa("status")
    assert result.exit_code == 1
    assert "vqa-head-x: vqa: Ray answers, but no fleet runs on it" in result.stdout


def test_without_the_right_to_look_into_the_pod_the_rest_is_shown(running: KubeServer):
    running.refused.add(("GET", "exec"))
    result = vqa("status")
    assert result.exit_code == 1
    assert "streams are not shown: Kubernetes answers 403" in result.stdout
    assert "vqa-worker-y" in result.stdout


def test_without_the_crd_it_says_what_to_install(kube: KubeServer):
    del kube.kinds["/apis/ray.io/v1"]
    result = vqa("status")
    assert result.exit_code == 2
    assert "install KubeRay's operator first" in result.stderr


def test_without_rights_status_says_which(kube: KubeServer):
    kube.refused.add(("GET", "rayclusters"))
    result = vqa("status")
    assert result.exit_code == 2
    assert "403" in result.stderr and "rayclusters" in result.stderr


def test_an_empty_namespace_says_what_makes_a_cluster(kube: KubeServer):
    result = vqa("status")
    assert result.exit_code == 1
    assert "no RayCluster in namespace vqa; `vqa k8s apply` makes one" in result.stdout
