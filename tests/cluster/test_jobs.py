"""`ray job submit … -- vqa run fleet.yaml` on a Ray that wants a token, and what its dashboard then shows."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import eventually
from tests.real_servers import free_tcp_ports
from vqa_ray.media.synthetic import Source, serve

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

BIN = Path(sys.executable).parent
TOKEN = "7" * 40
SUBMISSIONS = 4  # tries


class Head:
    """`ray start --head` as a machine's service does it, with its dashboard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port, dashboard, client, agent, grpc = free_tcp_ports(5)
        self.address = f"127.0.0.1:{port}"
        self.dashboard = f"http://127.0.0.1:{dashboard}"
        self.env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_TMPDIR": str(folder)}
        self.env |= {"RAY_USAGE_STATS_ENABLED": "0", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        (folder / "ray").mkdir(exist_ok=True)
        command = [
            str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
            f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
            f"--dashboard-agent-grpc-port={grpc}",
            f"--dashboard-agent-listen-port={agent}", "--num-cpus=2", "--object-store-memory=104857600",
        ]  # fmt: skip
        with (folder / "head.log").open("wb") as log:
            self._process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def get(self, path: str, token: str | None = TOKEN) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with urllib.request.urlopen(
            urllib.request.Request(self.dashboard + path, headers=headers), timeout=10
        ) as answer:
            return json.load(answer)

    def up(self) -> bool:
        assert self._process.poll() is None, (self.folder / "head.log").read_text()
        try:
            return isinstance(self.get("/api/jobs/"), list)
        except OSError:
            return False

    def run(self, *command: str, token: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in self.env.items() if token or k not in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]], env=env, cwd=cwd, capture_output=True, text=True, timeout=120
        )

    def stop(self) -> None:
        self._process.terminate()  # ends what it started
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def head(ray_env: Path) -> Iterator[Head]:
    made = Head(ray_env)
    try:
        eventually(made.up, 90)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    with serve("http") as made:
        yield made


@pytest.fixture(scope="module")
def job(head: Head, source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The id of a job that watches a fleet of two streams."""
    folder = tmp_path_factory.mktemp("job")
    streams = "".join(f"  - {{id: s{n}, url: {source.url}}}\n" for n in range(2))
    (folder / "fleet.yaml").write_text(f"streams:\n{streams}")
    for name in (f"vqa-job-{n}" for n in range(SUBMISSIONS)):
        submit = ("ray", "job", "submit", "--address", head.dashboard, "--working-dir", ".", "--submission-id", name)
        command = ("--no-wait", "--", "vqa", "run", "fleet.yaml", "--analyzers", "1:1")
        done = head.run(*submit, *command, cwd=folder)
        if done.returncode == 0:
            break
        time.sleep(5.0)  # a loaded machine: the part of the dashboard that takes jobs is not up yet
    assert done.returncode == 0, done.stdout + done.stderr
    yield name
    head.run("vqa", "stop", "--address", head.address)


def wait(true_of: Any, timeout_s: float = 90.0) -> Any:
    """What it gives, once that is true."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := true_of()):
        assert time.monotonic() < deadline_s
        time.sleep(0.5)
    return found


def actors(head: Head) -> list[dict[str, Any]]:
    return [one for one in head.get("/logical/actors")["data"]["actors"].values() if one["state"] == "ALIVE"]


def test_the_dashboard_wants_the_token(head: Head):
    for token in (None, "wrong"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            head.get("/api/jobs/", token)
        assert caught.value.code in (401, 403)


def test_the_job_runs_the_fleet(head: Head, job: str):
    wait(lambda: "2 live" in head.run("vqa", "status", "--address", head.address).stdout)
    (listed,) = [one for one in head.get("/api/jobs/") if one["submission_id"] == job]
    assert listed["status"] == "RUNNING"
    assert "run fleet.yaml" in listed["entrypoint"]


def test_the_actor_page_has_the_analyzer_by_name_with_its_stream_count(head: Head, job: str):
    def analyzer() -> dict[str, Any] | None:
        found = next((one for one in actors(head) if one["name"] == "analyzer-0"), None)
        titles = ((found or {}).get("processStats") or {}).get("cmdline") or []
        return found if any("analyzer-0, 2 streams" in title for title in titles) else None

    found = wait(analyzer)
    assert (found["reprName"], found["state"]) == ("Analyzer(analyzer-0)", "ALIVE")
    assert {one["name"] for one in actors(head)} >= {"analyzer-0", "supervisor"}


def test_the_logs_of_job_and_analyzer_are_there(head: Head, job: str):
    assert "2 added" in wait(lambda: head.get(f"/api/jobs/{job}/logs")["logs"])
    (analyzer,) = [one for one in actors(head) if one["name"] == "analyzer-0"]
    url = f"{head.dashboard}/api/v0/logs/file?actor_id={analyzer['actorId']}&suffix=err&lines=100"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def test_the_fleet_goes_on_when_the_job_is_stopped(head: Head, job: str):
    done = head.run("ray", "job", "stop", "--address", head.dashboard, job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 live" in head.run("vqa", "status", "--address", head.address).stdout


def test_without_the_token_the_fleet_cannot_be_reached_and_the_error_says_why(head: Head, job: str):
    done = head.run("vqa", "status", "--address", head.address, token=False)
    assert done.returncode != 0
    assert "token" in done.stderr
