"""Real streams on a real Ray that go from one analyzer to another while something is wrong with them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.cluster.conftest import eventually
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions, StreamStatus
from vqa_ray.config import FleetSpec
from vqa_ray.core.notice import Incident
from vqa_ray.media.synthetic import Fault, FaultKind, Source, serve
from vqa_ray.sinks.store import read_windows

pytestmark = pytest.mark.ray

BLACK_S = 14.0  # long enough for two moves on a loaded machine


@pytest.fixture(scope="module")
def sources() -> Iterator[dict[str, Source]]:
    made = {"http": serve("http"), "rtsp": serve("rtsp")}
    for source in made.values():
        source.wait()
    yield made
    for source in made.values():
        source.stop()


@pytest.fixture(scope="module")
def fleet(ray_env: Path) -> Iterator[Fleet]:
    options = ClusterOptions(analyzers_min=2, analyzers_max=2, not_analysed_after_s=30.0)
    made = Fleet.start(
        options=options, state_dir=ray_env / "state", cores=2, temp_dir=str(ray_env / "r"), dashboard=False
    )
    yield made
    made.stop()


def spec(folder: Path, sources: dict[str, Source], raise_after_s: float) -> FleetSpec:
    """The RTSP one is told to serve one client."""
    black = {"black": {"raise_after_s": raise_after_s}, "null": True}
    streams = [
        {"id": name, "url": source.url, "detectors": black, "source": {"single_client": name == "rtsp"}}
        for name, source in sources.items()
    ]
    channels = [{"type": "jsonl", "path": str(folder / "alerts.jsonl")}]
    return msgspec.convert({"streams": streams, "channels": channels, "store": str(folder / "store")}, FleetSpec)


def told(folder: Path) -> list[str]:
    """`stream what` of each alert about black."""
    path = folder / "alerts.jsonl"
    events = [msgspec.json.decode(line)["data"] for line in path.read_text().splitlines()] if path.exists() else []
    found = [(event["incident"], event["kind"]) for event in events]
    return [f"{incident['stream_id']} {kind}" for incident, kind in found if incident["detector"] == "black"]


def streams(fleet: Fleet) -> dict[str, StreamStatus]:
    return {one.stream_id: one for one in fleet.status().streams}


def watched(fleet: Fleet) -> bool:
    return all(one.state == "live" and one.fps > 0 for one in streams(fleet).values())


def black(fleet: Fleet, name: str) -> list[Incident]:
    return [one for one in fleet.incidents() if (one.stream_id, one.detector) == (name, "black")]


def readings(folder: Path, name: str, detector: str) -> dict[float, tuple[int, float]]:
    """By second of the stream: readings of all owners together, and the least coverage."""
    found: dict[float, tuple[int, float]] = {}
    for row in read_windows(str(folder / "store")).to_pylist():
        if (row["stream"], row["detector"]) == (name, detector):
            count, coverage = found.get(row["start_s"], (0, 1.0))
            found[row["start_s"]] = (count + row["count"], min(coverage, row["coverage"]))
    return found


def test_an_open_incident_moves_with_its_stream_and_is_told_once(
    fleet: Fleet, sources: dict[str, Source], ray_env: Path
):
    fleet.apply(spec(ray_env, sources, 0.5))
    eventually(lambda: watched(fleet), timeout_s=60)
    for source in sources.values():
        source.schedule([Fault(FaultKind.BLACK, source.now_s + 0.5, BLACK_S)])
    eventually(lambda: sorted(told(ray_env)) == ["http opened", "rtsp opened"], timeout_s=30)
    before = streams(fleet)
    with ThreadPoolExecutor(2) as pool:
        where = dict(zip(sources, pool.map(fleet.move, sources), strict=True))
    assert all(where[name] != before[name].analyzer for name in sources)
    expected = [f"{name} {what}" for name in ("http", "rtsp") for what in ("closed", "opened")]
    eventually(lambda: sorted(told(ray_env)) == expected, timeout_s=40)
    for name in sources:
        (incident,) = black(fleet, name)
        assert incident.end_s is not None
        assert incident.end_s - incident.start_s == pytest.approx(BLACK_S, abs=0.1 if name == "http" else 5.0)
    assert [one.epoch for one in streams(fleet).values()] == [2, 2]


def test_a_changed_threshold_takes_effect_on_a_hold_that_runs(fleet: Fleet, sources: dict[str, Source], ray_env: Path):
    fleet.apply(spec(ray_env, sources, 60.0))
    eventually(lambda: all(one.epoch == 3 for one in streams(fleet).values()) and watched(fleet), timeout_s=40)
    count = len(told(ray_env))
    source = sources["http"]
    fault = Fault(FaultKind.BLACK, source.now_s + 0.5, BLACK_S)
    source.schedule([fault])
    eventually(lambda: source.now_s > fault.start_s + 2.0, timeout_s=20)
    fleet.apply(spec(ray_env, sources, 1.0))
    eventually(lambda: told(ray_env)[count:] == ["http opened", "http closed"], timeout_s=40)
    incident = black(fleet, "http")[0]
    assert incident.end_s is not None
    assert incident.end_s - incident.start_s == pytest.approx(BLACK_S, abs=0.1)


def test_windows_show_no_second_that_was_missed_but_where_one_client_is_served(fleet: Fleet, ray_env: Path):
    fleet.apply(FleetSpec(store=str(ray_env / "store")))  # streams are released, files are written soon
    eventually(lambda: bool(readings(ray_env, "http", "null")), timeout_s=30)
    eventually(lambda: not fleet.status().streams, timeout_s=20)
    seconds = readings(ray_env, "http", "null")
    inner = sorted(seconds)[1:-1]
    assert len(inner) == inner[-1] - inner[0] + 1
    missing = sum(max(0, 25 - seconds[second][0]) for second in inner)
    print(f"\n{missing} readings are missing in {len(inner)} s with three moves")
    assert missing <= 3
    assert readings(ray_env, "http", "not_analysed") == {}
    assert {coverage for _, coverage in readings(ray_env, "rtsp", "not_analysed").values()} <= {0.0}
