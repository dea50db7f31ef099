"""Several machines (raylets): one is drained, and the fleet follows a ConfigMap, as in Kubernetes."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import eventually
from tests.kube.server import KubeServer
from vqa_ray.cluster import port
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import FOLLOWER, ClusterOptions
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.errors import ClusterError

pytestmark = pytest.mark.ray

STORE = 100 << 20
OPTIONS = ClusterOptions(
    analyzers_min=1, analyzers_max=2, memory_bytes=STORE, worker="tests.cluster.fake_worker:FakeWorker"
)
CONFIGMAP = "/api/v1/namespaces/vqa/configmaps/vqa-fleet"


@pytest.fixture(scope="module")
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        yield server


@pytest.fixture(scope="module")
def fleet(ray_env: Path, kube: KubeServer) -> Iterator[Fleet]:
    """On a head that analyses nothing, and two machines of one core each."""
    from ray.cluster_utils import Cluster

    (ray_env / "ray").mkdir()  # Ray writes there before it makes it
    config = ray_env / "kubeconfig"
    config.write_text(json.dumps(kube.kubeconfig()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(ray_env))
        patch.setenv("KUBECONFIG", str(config))
        patch.setenv(port.NICENESS, "0")
        head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1, object_store_memory=STORE)
            made = Fleet.start(address=cluster.address, options=OPTIONS, state_dir=ray_env / "state")
            try:
                yield made
            finally:
                made.stop()
        finally:
            cluster.shutdown()


def spec(folder: Path, *names: str) -> FleetSpec:
    labels = {"folder": str(folder)}
    return FleetSpec(streams=tuple(StreamSpec(id=n, url=f"udp://127.0.0.1:9/{n}", labels=labels) for n in names))


def live(fleet: Fleet) -> set[str]:
    return {one.stream_id for one in fleet.status().streams if one.state == "live"}


def test_a_drained_machine_is_left_by_its_streams_without_a_crash(fleet: Fleet, tmp_path: Path):
    fleet.apply(spec(tmp_path, "a", "b"))
    eventually(lambda: live(fleet) == {"a", "b"}, 60)
    (before,) = [one for one in fleet.status().analyzers if one.streams]
    assert fleet.drain(before.node_id, 60)
    eventually(lambda: live(fleet) == {"a", "b"}, 30)
    status = fleet.status()
    assert before.node_id not in {one.node_id for one in status.analyzers}
    assert [one.crashes for one in status.streams] == [0, 0]


def test_a_machine_that_is_not_there_cannot_be_drained(fleet: Fleet):
    with pytest.raises(ClusterError, match="names 0 living nodes"):
        fleet.drain("nowhere", 1)


def test_the_head_is_not_drained(fleet: Fleet):
    import ray

    with pytest.raises(ClusterError, match="is Ray's head"):
        fleet.drain(ray.get_runtime_context().get_node_id(), 1)


def configmap(folder: Path, *names: str) -> dict[str, Any]:
    streams = [{"id": name, "url": f"udp://127.0.0.1:9/{name}", "labels": {"folder": str(folder)}} for name in names]
    return {"metadata": {"name": "vqa-fleet"}, "data": {"fleet.yaml": json.dumps({"streams": streams})}}


def test_the_fleet_follows_a_configmap_also_when_the_follower_was_killed(
    fleet: Fleet, kube: KubeServer, tmp_path: Path
):
    kube.put(CONFIGMAP, configmap(tmp_path, "x"))
    fleet.follow("vqa-fleet", "vqa")
    eventually(lambda: live(fleet) == {"x"}, 60)
    kube.put(CONFIGMAP, configmap(tmp_path, "x", "y"))
    eventually(lambda: live(fleet) == {"x", "y"}, 30)
    kube.put(CONFIGMAP, {"metadata": {"name": "vqa-fleet"}, "data": {"fleet.yaml": "streams: 3"}})
    follower = port.find(FOLLOWER)
    eventually(lambda: "streams" in port.call(follower, "state", timeout_s=30).refused, 30)
    assert live(fleet) == {"x", "y"}
    os.kill(port.call(follower, "pid", timeout_s=30), signal.SIGKILL)
    kube.put(CONFIGMAP, configmap(tmp_path, "z"))
    eventually(lambda: live(fleet) == {"z"}, 60)


def test_a_configmap_that_may_not_be_read_is_told_at_once(fleet: Fleet, kube: KubeServer):
    kube.refused.add(("GET", "configmaps"))
    try:
        with pytest.raises(ClusterError, match="403"):
            fleet.follow("vqa-fleet", "vqa")
    finally:
        kube.refused.clear()
