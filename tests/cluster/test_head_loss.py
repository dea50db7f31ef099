"""The head's machine is lost and comes back, with Ray's fault tolerance on a real Redis: streams go on meanwhile."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cluster.conftest import eventually
from tests.cluster.fake_worker import Line
from tests.real_servers import Server, free_tcp_ports, listens

pytestmark = [pytest.mark.ray, pytest.mark.server]

BIN = Path(sys.executable).parent
STORE = 100 << 20
AWAY_S = 8.0  # twice the lease

START = """
import sys
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.sinks.jsonl import JsonLinesSpec
address, folder = sys.argv[1:]
worker = "tests.cluster.fake_worker:FakeWorker"
options = ClusterOptions(analyzers_min=1, analyzers_max=1, memory_bytes=100 << 20, worker=worker)
fleet = Fleet.start(address=address, options=options, state_dir=folder + "/state")
streams = tuple(StreamSpec(id=n, url=f"udp://127.0.0.1:9/{n}", labels={"folder": folder}) for n in ("a", "b"))
fleet.apply(FleetSpec(streams=streams, channels=(JsonLinesSpec(path=folder + "/alerts.jsonl"),)))
"""
ASK = """
import sys, msgspec
from vqa_ray.cluster.client import Fleet
print(msgspec.json.encode(Fleet.connect(address=sys.argv[1]).status()).decode())
"""


class Node:
    """`ray start --block`: a machine."""

    def __init__(self, folder: Path, *options: str, **env: str) -> None:
        self._command = [str(BIN / "ray"), "start", "--block", "--node-ip-address=127.0.0.1", *options]
        self._command += [f"--object-store-memory={STORE}", "--dashboard-agent-listen-port=0"]
        self._env = {**os.environ, **env}
        self._log = folder / "node.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL to all of it, as when the power fails; may be called again."""
        if self._process is None:
            return
        for pid in descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(40)
        self.kill()


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


class Site:
    """Redis, a head and a machine that analyses."""

    def __init__(self, folder: Path, redis: str) -> None:
        self.folder = folder
        (self.folder / "ray").mkdir(exist_ok=True)
        port, store = free_tcp_ports(2)
        self._port = port
        self.address = f"127.0.0.1:{port}"
        command = [redis, "--port", str(store), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self.redis = Server(command, [store], folder / "redis.log")
        env = {
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "300",  # as KubeRay's operator sets on workers
        }
        fault_tolerant = {"RAY_REDIS_ADDRESS": f"127.0.0.1:{store}", "RAY_external_storage_namespace": "vqa"}
        self.head = Node(
            folder, "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", **env, **fault_tolerant
        )
        self.worker = Node(folder, f"--address={self.address}", "--num-cpus=1", **env)

    def up(self) -> None:
        self.redis.start()
        self.start_head()
        self.worker.start()

    def start_head(self) -> None:
        """A machine of its own has no note of Ray's that a head runs here."""
        (self.folder / "ray" / "ray_current_cluster").unlink(missing_ok=True)
        self.head.start()
        deadline_s = time.monotonic() + 90
        while not listens(self._port):
            assert time.monotonic() < deadline_s, (self.folder / "node.log").read_text()[-3000:]
            time.sleep(0.2)

    def down(self) -> None:
        self.worker.stop()
        self.head.stop()
        self.redis.kill()

    def python(self, code: str, *more: str, timeout_s: float = 120) -> str:
        """What it prints, in a process of its own: a driver does not outlive the head it is connected to."""
        done = subprocess.run(
            [sys.executable, "-c", code, self.address, *more], capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode == 0, done.stderr + (self.folder / "node.log").read_text()[-3000:]
        return done.stdout

    def status(self, true_of: Callable[[dict[str, Any]], bool], timeout_s: float = 120) -> dict[str, Any]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, ValueError):
                status: dict[str, Any] = json.loads(self.python(ASK, timeout_s=60).splitlines()[-1])
                if true_of(status):
                    return status
            assert time.monotonic() < deadline_s, (self.folder / "node.log").read_text()[-3000:]
            time.sleep(0.5)

    def lines(self, name: str) -> list[Line]:
        path = self.folder / f"{name}.jsonl"
        whole = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=Line) for line in whole]

    def told(self) -> list[str]:
        path = self.folder / "alerts.jsonl"
        return [msgspec.json.decode(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def site(ray_env: Path, require_program: Callable[[str], str]) -> Iterator[Site]:
    made = Site(ray_env, require_program("redis-server"))
    try:
        made.up()
        yield made
    finally:
        made.down()


def all_live(status: dict[str, Any]) -> bool:
    return [one["state"] for one in status["streams"]] == ["live", "live"]


def owners(status: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(one["stream_id"], one["analyzer"], one["epoch"]) for one in status["streams"]]


@pytest.mark.timeout(400)
def test_streams_go_on_while_the_head_is_lost_and_its_successor_adopts_them(site: Site):
    site.python(START, str(site.folder))
    before = site.status(all_live)
    site.head.kill()
    lost_s = time.monotonic()
    time.sleep(AWAY_S)
    (site.folder / "x.part").write_text("while-away")
    (site.folder / "x.part").rename(site.folder / "a.bad")
    eventually(lambda: "while-away:opened" in site.told(), 30)  # the analyzer tells by itself
    site.start_head()
    after = site.status(all_live)
    assert after["supervisor_pid"] != before["supervisor_pid"]
    assert owners(after) == owners(before)
    assert [one["pid"] for one in after["analyzers"]] == [one["pid"] for one in before["analyzers"]]
    for name in ("a", "b"):
        times = [line.mono_s for line in site.lines(name)]
        assert times[-1] > lost_s + AWAY_S
        assert max(b - a for a, b in pairwise(times)) < 5.0
    (site.folder / "a.bad").unlink()
    eventually(lambda: "while-away:closed" in site.told(), 30)
    assert sorted(site.told()) == ["while-away:closed", "while-away:opened"]
    site.status(lambda status: status["open_incidents"] == 0)
