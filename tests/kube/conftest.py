"""A fake API server, and this process's connection to it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.server import KubeServer
from vqa_ray.cluster.kube.api import Api, connect


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeServer]:
    """Runs, and the kubeconfig names it."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with KubeServer() as server:
        config = tmp_path / "kubeconfig"
        config.write_text(json.dumps(server.kubeconfig()))
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield server


@pytest.fixture
def api(kube: KubeServer) -> Api:
    return connect()
