"""On a real Ray: as many analyzers as the load asks for, and a stream that kills them is parked."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import eventually
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions
from vqa_ray.config import FleetSpec, SpreadingChanges, StreamSpec

pytestmark = pytest.mark.ray

OPTIONS = ClusterOptions(
    analyzers_min=1,
    analyzers_max=3,
    fill=0.4,
    memory_bytes=100 << 20,
    worker="tests.cluster.fake_worker:FakeWorker",
)
LONG_S = 60.0


@pytest.fixture(scope="module")
def fleet(ray_env: Path) -> Iterator[Fleet]:
    made = Fleet.start(
        options=OPTIONS, state_dir=ray_env / "state", cores=3, temp_dir=str(ray_env / "r"), dashboard=False
    )
    yield made
    made.stop()


def spec(folder: Path, count: int) -> FleetSpec:
    labels = {"folder": str(folder)}
    streams = tuple(StreamSpec(id=f"s{n}", url=f"udp://127.0.0.1:9/{n}", labels=labels) for n in range(count))
    return FleetSpec(streams=streams, cluster=SpreadingChanges(shrink_after_s=2.0))


def live(fleet: Fleet) -> int:
    return sum(one.state == "live" for one in fleet.status().streams)


def ready(fleet: Fleet) -> int:
    return sum(one.phase == "ready" for one in fleet.status().analyzers)


def watching(fleet: Fleet) -> set[int]:
    """The processes that watch live streams, by one look."""
    status = fleet.status()
    names = {one.analyzer for one in status.streams if one.state == "live"}
    return {one.pid for one in status.analyzers if one.name in names and one.pid is not None}


def test_analyzers_come_with_the_load_and_go_with_it_and_no_stream_is_dropped(fleet: Fleet, tmp_path: Path):
    fleet.apply(spec(tmp_path, 8))  # of 0.10 each before they are measured, and 0.32 of a core is to be in use
    eventually(lambda: live(fleet) == 8 and ready(fleet) == 3, LONG_S)
    fleet.apply(spec(tmp_path, 2))
    eventually(lambda: len(fleet.status().analyzers) == 1, LONG_S)
    eventually(lambda: live(fleet) == 2, LONG_S)
    assert [one.crashes for one in fleet.status().streams] == [0, 0]


def test_a_stream_that_kills_its_analyzer_again_and_again_is_parked_and_can_be_tried_again(
    fleet: Fleet, tmp_path: Path
):
    fleet.apply(spec(tmp_path, 1))
    killed: set[int] = set()

    def parked_by_another_kill() -> bool:
        for pid in watching(fleet) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        return fleet.status().streams[0].state == "parked"

    eventually(parked_by_another_kill, LONG_S)
    assert 3 <= len(killed) <= 4  # one may have hit a process that had just handed it over
    eventually(lambda: [one.detector for one in fleet.incidents(open_only=True)] == ["parked"], LONG_S)
    assert fleet.unpark("s0")
    eventually(lambda: live(fleet) == 1, LONG_S)
    eventually(lambda: fleet.incidents(open_only=True) == [], LONG_S)
