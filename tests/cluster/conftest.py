"""A real Ray of its own for each file of tests: private folders, no authentication, two cores."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

os.environ["RAY_AUTH_MODE"] = "disabled"  # on loopback, in a cluster that lives for a minute

from tests.cluster.fake_worker import Line
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions, FleetStatus
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.sinks.jsonl import JsonLinesSpec

OPTIONS = ClusterOptions(
    analyzers_min=2, analyzers_max=2, lease_s=4.0, margin_s=2.0, worker="tests.cluster.fake_worker:FakeWorker"
)


class Bench:
    """A fleet of fake streams, and what they and the channel left on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alerts = folder / "alerts.jsonl"
        self.fleet = Fleet.start(
            options=OPTIONS, state_dir=folder / "state", cores=2, temp_dir=str(folder / "r"), dashboard=False
        )

    def watch(self, *names: str) -> None:
        """Make these the streams that are wanted, and wait until all run."""
        self.fleet.apply(self.spec(*names))
        self.wait(lambda s: {x.stream_id for x in s.streams if x.state == "live"} == set(names))

    def spec(self, *names: str) -> FleetSpec:
        labels = {"folder": str(self.folder)}
        streams = tuple(StreamSpec(id=name, url=f"udp://127.0.0.1:9/{name}", labels=labels) for name in names)
        return FleetSpec(streams=streams, channels=(JsonLinesSpec(path=str(self.alerts)),))

    def wait(self, true_of: Callable[[FleetStatus], bool], timeout_s: float = 20.0) -> FleetStatus:
        """The first status of which it is true."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            status = self.fleet.status()
            if true_of(status):
                return status
            assert time.monotonic() < deadline_s, status
            time.sleep(0.1)

    def lines(self, name: str) -> list[Line]:
        """What the stream left, in order."""
        path = self.folder / f"{name}.jsonl"
        whole = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=Line) for line in whole]

    def told(self, incident_id: str) -> list[str]:
        """The ids (keys) of the events about the incident that the channel received."""
        text = self.alerts.read_text() if self.alerts.exists() else ""
        keys = [msgspec.json.decode(line)["id"] for line in text.splitlines()]
        return [key for key in keys if key.startswith(f"{incident_id}:")]

    def break_stream(self, name: str, incident_id: str) -> None:
        """An incident of that id opens on the stream."""
        part = self.folder / f"{name}.part"
        part.write_text(incident_id)
        part.rename(self.folder / f"{name}.bad")

    def mend_stream(self, name: str) -> None:
        """Its incident closes."""
        (self.folder / f"{name}.bad").unlink()


def eventually(true: Callable[[], bool], timeout_s: float = 15.0) -> float:
    """Waits until it is true; the seconds that took."""
    began_s = time.monotonic()
    while not true():
        assert time.monotonic() - began_s < timeout_s, "did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - began_s


@pytest.fixture(scope="module")
def ray_env() -> Iterator[Path]:
    """A short private folder (Ray keeps Unix sockets below it), with HOME in it."""
    folder = Path(tempfile.mkdtemp(prefix="vqa", dir="/tmp"))
    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.delenv("XDG_STATE_HOME", raising=False)
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def bench(ray_env: Path) -> Iterator[Bench]:
    """A running fleet; ended after the file's last test."""
    made = Bench(ray_env)
    yield made
    made.fleet.stop()
