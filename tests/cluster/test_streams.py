"""Real streams on a real Ray: live source, fault, alert, result store; and an analyzer killed in the middle."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cluster.conftest import eventually
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions, FleetStatus, StreamStatus
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.media.synthetic import Fault, FaultKind, Source, serve
from vqa_ray.sinks.jsonl import JsonLinesSpec
from vqa_ray.sinks.store import read_incidents

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def sources() -> Iterator[dict[str, Source]]:
    made = {"udp": serve("udp"), "http": serve("http")}
    for source in made.values():
        source.wait()
    yield made
    for source in made.values():
        source.stop()


@pytest.fixture(scope="module")
def fleet(ray_env: Path) -> Iterator[Fleet]:
    options = ClusterOptions(analyzers_min=2, analyzers_max=2)
    made = Fleet.start(
        options=options, state_dir=ray_env / "state", cores=2, temp_dir=str(ray_env / "r"), dashboard=False
    )
    yield made
    made.stop()


def spec(folder: Path, sources: dict[str, Source]) -> FleetSpec:
    streams = tuple(StreamSpec(id=name, url=source.url) for name, source in sources.items())
    channels = (JsonLinesSpec(path=str(folder / "alerts.jsonl")),)
    return FleetSpec(streams=streams, channels=channels, store=str(folder / "store"))


def told(folder: Path) -> list[str]:
    """`stream detector what` of each alert."""
    path = folder / "alerts.jsonl"
    events = [msgspec.json.decode(line) for line in path.read_text().splitlines()] if path.exists() else []
    incidents = [(event["data"]["incident"], event["data"]["kind"]) for event in events]
    return [f"{incident['stream_id']} {incident['detector']} {kind}" for incident, kind in incidents]


def watched(stream: StreamStatus) -> bool:
    return stream.state == "live" and stream.fps > 0


def by_id(status: FleetStatus) -> dict[str, StreamStatus]:
    return {stream.stream_id: stream for stream in status.streams}


def test_a_fault_of_a_live_source_is_told_once_although_its_analyzer_is_killed_while_it_lasts(
    fleet: Fleet, sources: dict[str, Source], ray_env: Path
):
    fleet.apply(spec(ray_env, sources))
    eventually(lambda: all(map(watched, fleet.status().streams)), timeout_s=40)
    black = Fault(FaultKind.BLACK, sources["udp"].now_s + 1.0, 15.0)
    sources["udp"].schedule([black])
    eventually(lambda: "udp black opened" in told(ray_env), timeout_s=20)
    before = fleet.status()
    victim = by_id(before)["udp"].analyzer
    lost = [s.stream_id for s in before.streams if s.analyzer == victim]
    os.kill(next(a.pid for a in before.analyzers if a.name == victim and a.pid), signal.SIGKILL)
    killed_s = time.monotonic()

    def back() -> bool:
        now = by_id(fleet.status())
        return all(watched(now[n]) and now[n].epoch > by_id(before)[n].epoch for n in lost)

    eventually(back, timeout_s=30)
    print(f"\n{len(lost)} streams are analysed again {time.monotonic() - killed_s:.2f} s after the kill")
    eventually(lambda: "udp black closed" in told(ray_env), timeout_s=30)
    assert told(ray_env).count("udp black opened") == 1
    assert told(ray_env).count("udp black closed") == 1
    incident = next(i for i in fleet.incidents() if (i.stream_id, i.detector) == ("udp", "black"))
    assert incident.end_s is not None
    assert incident.end_s - incident.start_s == pytest.approx(black.duration_s, abs=2.0)
    folder = Path(incident.evidence)  # of the next owner, which did not see the start
    assert folder.is_relative_to(ray_env / "store" / "evidence")
    eventually(lambda: (folder / "end.json").exists(), timeout_s=20)
    assert {"end.jpg", "end.mp4"} <= {path.name for path in folder.iterdir()}


def test_results_are_in_the_store(fleet: Fleet, sources: dict[str, Source], ray_env: Path):
    fleet.apply(FleetSpec(store=str(ray_env / "store")))  # streams are released, files are written soon
    eventually(
        lambda: (
            [i.end_s is not None for i in _found(ray_env) if (i.stream_id, i.detector) == ("udp", "black")] == [True]
        ),
        timeout_s=30,
    )


def _found(folder: Path):
    return read_incidents(str(folder / "store"))
