"""The page's API on a real fleet: a live source, its still, an incident with proof, and what is said of it stays."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from tests.cluster.conftest import eventually
from vqa_ray.cli.replay import changed, differing, one_stream, profile_of, rules
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.core.notice import Incident
from vqa_ray.media.synthetic import Fault, FaultKind, Source, serve
from vqa_ray.sinks.store import read_incidents
from vqa_ray.web.desk import FleetDesk
from vqa_ray.web.server import Served

pytestmark = pytest.mark.ray

NAME = "north-one"


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    made = serve("http")
    made.wait()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fleet(ray_env: Path, source: Source) -> Iterator[Fleet]:
    options = ClusterOptions(analyzers_min=1, analyzers_max=1)
    made = Fleet.start(
        options=options, state_dir=ray_env / "state", cores=2, temp_dir=str(ray_env / "r"), dashboard=False
    )
    url = source.url.replace("http://", "http://somebody:secret-word@")
    made.apply(FleetSpec(streams=(StreamSpec(id=NAME, url=url),), store=str(ray_env / "store")))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def api(fleet: Fleet) -> Iterator["Client"]:
    served = Served(FleetDesk(fleet), "127.0.0.1", 0, None)
    yield Client(served)
    served.stop()


class Client:
    """Asks at most some times a second, as the API wants it."""

    def __init__(self, served: Served) -> None:
        self._url = served.url + "api/v1/"
        self._headers = {"Authorization": f"Bearer {served.token}"}

    def get(self, path: str) -> requests.Response:
        time.sleep(0.1)
        return requests.get(self._url + path, headers=self._headers, timeout=40)

    def post(self, path: str, body: Any) -> requests.Response:
        return requests.post(self._url + path, json=body, headers=self._headers, timeout=40)


def evidence(api: Client, path: str) -> list[str]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    names: list[str] = answer.json()["evidence"]
    return names


def stream_path() -> str:
    return f"streams/{requests.utils.quote(NAME, safe='')}"


def test_a_stream_shows_its_picture_and_its_source_without_secrets(api: Client):
    eventually(lambda: any(one["fps"] > 0 for one in api.get("streams").json()), timeout_s=40)
    eventually(lambda: api.get(f"{stream_path()}/still").status_code == 200, timeout_s=20)
    assert api.get(f"{stream_path()}/still").content.startswith(b"\xff\xd8\xff")
    told = api.get(stream_path())
    assert told.json()["stream"]["state"] == "live"
    assert told.json()["source"].startswith("http://")
    assert [stay["why"] for stay in told.json()["stays"]] == ["new"]
    known = api.get(f"{stream_path()}/about").json()
    assert (known["source"]["video"]["codec"], known["source"]["audio"]["layout"]) == ("h264", "stereo")
    assert 0.1 < known["gop_s"] < 10.0
    for path in (stream_path(), f"{stream_path()}/about", "streams", "fleet", "incidents"):
        assert "secret-word" not in api.get(path).text


def test_an_incident_comes_with_stills_and_a_clip_and_what_is_said_outlives_the_supervisor(
    api: Client, fleet: Fleet, source: Source
):
    eventually(lambda: any(one["fps"] > 0 for one in api.get("streams").json()), timeout_s=40)
    source.schedule([Fault(FaultKind.BLACK, source.now_s + 3.0, 5.0)])
    eventually(lambda: "black" in [one["detector"] for one in api.get("incidents").json()], timeout_s=30)
    found = next(one for one in api.get("incidents").json() if one["detector"] == "black")
    path = f"incidents/{found['incident_id']}"
    said = {"kind": "acknowledged", "by": "Ada", "note": "the encoder is being looked at"}
    assert api.post(f"{path}/remarks", said).status_code == 201
    eventually(lambda: any(name.endswith(".mp4") for name in evidence(api, path)), timeout_s=40)
    names = evidence(api, path)
    for name in names:
        kind = {"mp4": "video/mp4", "jpg": "image/jpeg", "json": "application/json"}[name.rpartition(".")[2]]
        file = api.get(f"{path}/evidence/{name}")
        assert (file.status_code, file.headers["Content-Type"]) == (200, kind)
    os.kill(fleet.status().supervisor_pid, signal.SIGKILL)
    began_s = time.monotonic()
    eventually(lambda: api.get(path).status_code == 200, timeout_s=60)
    print(f"\nthe page answers again {time.monotonic() - began_s:.1f} s after its supervisor was killed")
    assert [one["note"] for one in api.get(path).json()["remarks"]] == [said["note"]]


def test_what_is_secret_is_in_no_log_and_no_metric(api: Client, fleet: Fleet, ray_env: Path):
    import ray

    eventually(lambda: any(one["fps"] > 0 for one in api.get("streams").json()), timeout_s=40)
    ports = [node["MetricsExportPort"] for node in ray.nodes()]
    eventually(lambda: any("vqa_streams" in metrics(port) for port in ports), timeout_s=60)
    assert not any("secret-word" in metrics(port) for port in ports)
    logs = [path for path in (ray_env / "r").rglob("*") if path.is_file() and "logs" in path.parts]
    assert any("worker" in path.name for path in logs)
    assert [path.name for path in logs if b"secret-word" in path.read_bytes()] == []


def metrics(port: int) -> str:
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


def test_the_days_timeline_is_read_from_the_store(api: Client):
    def curves() -> set[str]:
        answer = api.get(f"{stream_path()}/timeline").json()
        return {curve["detector"] for curve in answer.get("curves", ())}

    eventually(lambda: {"black", "silence"} <= curves(), timeout_s=60)


def test_a_replay_of_its_store_gives_exactly_what_was_raised_live(fleet: Fleet, ray_env: Path):
    store, until = str(ray_env / "store"), datetime.now(UTC) + timedelta(minutes=5)

    def stored() -> list[Incident]:
        return read_incidents(store, since=until - timedelta(hours=1), until=until)

    def raised() -> list[Incident]:
        return fleet.incidents(limit=1000)

    eventually(lambda: not any(one.open for one in raised()), timeout_s=40)
    eventually(lambda: {one.incident_id for one in stored() if not one.open} == {i.incident_id for i in raised()}, 60)
    declared = fleet.declared()
    live = profile_of(declared, NAME)
    longer = {"profiles": {"longer": {"extends": "live", "detectors": {"black": {"raise_after_s": 2.6}}}}}
    other = profile_of(changed(declared, msgspec.convert(longer | {"profile": "longer"}, FleetSpec)), NAME)
    assert rules(other)["black"] != rules(live)["black"]
    for profile in (live, other):  # a hold that five seconds outlast changes nothing either
        done = one_stream(store, NAME, stored(), rules(live), rules(profile), until - timedelta(hours=1), until)
        again = {one.after.incident_id: one.after for one in done.verdicts if one.after is not None}
        assert differing(done.verdicts) == []
        assert "black" in {one.detector for one in again.values()}
        for one in raised():
            made = again.pop(one.incident_id)
            assert (made.start_s, made.end_s, made.severity) == (one.start_s, one.end_s, one.severity)
        assert again == {}
