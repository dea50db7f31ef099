"""The page as an actor: with the fleet, back when its process dies, and gone with it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.cluster.conftest import eventually
from vqa_ray.cli.web import serve
from vqa_ray.cluster import port
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import PAGE, ClusterOptions
from vqa_ray.config import FleetSpec
from vqa_ray.errors import ConfigError

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def fleet(ray_env: Path) -> Iterator[Fleet]:
    options = ClusterOptions(analyzers_min=1, analyzers_max=1, worker="tests.cluster.fake_worker:FakeWorker")
    made = Fleet.start(
        options=options, state_dir=ray_env / "state", cores=1, temp_dir=str(ray_env / "r"), dashboard=False
    )
    made.apply(FleetSpec())
    yield made
    made.stop()


def answers(url: str, token: str) -> bool:
    try:
        answer = requests.get(f"{url}api/v1/fleet", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    except requests.ConnectionError:
        return False
    return answer.status_code == 200


def process_of() -> int:
    """The actor's process."""
    pid: int = port.call(port.find(PAGE), "pid", timeout_s=60.0)
    return pid


def test_it_is_served_where_the_fleet_lives_and_comes_back(fleet: Fleet):
    (_, url), (_, token) = (line.split() for line in serve(fleet, 0).splitlines())
    assert answers(url, token)
    assert not answers(url, "guess")
    at = int(url.rstrip("/").rpartition(":")[2])
    (_, url), (_, token) = (line.split() for line in serve(fleet, at).splitlines())  # instead of the one before
    assert answers(url, token)
    pid = process_of()
    assert pid != os.getpid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: answers(url, token), 60.0)
    assert process_of() != pid


def test_what_cannot_be_served_is_said_and_leaves_no_actor(fleet: Fleet, tmp_path: Path):
    with pytest.raises(ConfigError, match="others can reach it"):
        serve(fleet, 0, "0.0.0.0")
    with pytest.raises(ConfigError, match="no-such-file"):
        serve(fleet, 0, "127.0.0.1", tmp_path / "no-such-file")
    eventually(lambda: port.find(PAGE) is None, 20.0)


def test_tokens_may_come_from_a_file_of_the_head(fleet: Fleet, tmp_path: Path):
    path = tmp_path / "tokens"
    path.write_text("viewer somebody-who-only-looks\n")
    path.chmod(0o600)
    told = serve(fleet, 0, "127.0.0.1", path)
    assert "token" not in told
    assert answers(told.split()[1], "somebody-who-only-looks")
