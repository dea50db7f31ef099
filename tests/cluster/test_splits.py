"""A real stream on a real Ray, too heavy for what an analyzer may use: two watch it, and then one again."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.cluster.conftest import eventually
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions, StreamStatus
from vqa_ray.config import FleetSpec
from vqa_ray.core.notice import Incident
from vqa_ray.detectors.registry import SPECS
from vqa_ray.media.synthetic import Fault, FaultKind, Programme, Source, serve

pytestmark = pytest.mark.ray

NOT_HERE = {"freeze", "av_sync", "playlist", "slate", "missing_audio", "bars"}  # the picture is small and drawn
WATCHED = ("black", "silence")


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    made = serve("http", programme=Programme(width=96, height=64))
    made.wait()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fleet(ray_env: Path) -> Iterator[Fleet]:
    options = ClusterOptions(analyzers_min=2, analyzers_max=2, not_analysed_after_s=30.0)
    made = Fleet.start(
        options=options, state_dir=ray_env / "state", cores=2, temp_dir=str(ray_env / "r"), dashboard=False
    )
    yield made
    made.stop()


def spec(folder: Path, source: Source, *, split: bool) -> FleetSpec:
    """Analyzers may use a hundredth of a core; what is found slowly, or by numbers of its own, is not told."""
    quiet = {one.id: {"raise_after_s": 3600.0} for one in SPECS if one.id not in NOT_HERE}
    loud = {name: {"raise_after_s": 1.0, "clear_after_s": 1.0} for name in WATCHED}
    stream = {"id": "a", "url": source.url, "detectors": quiet | loud}
    channels = [{"type": "jsonl", "path": str(folder / "alerts.jsonl")}]
    return msgspec.convert(
        {"streams": [stream], "channels": channels, "cluster": {"fill": 0.01, "split": split}}, FleetSpec
    )


def row(fleet: Fleet) -> StreamStatus:
    (one,) = fleet.status().streams
    return one


def told(folder: Path) -> Counter[tuple[str, str]]:
    """How often each detector's incidents opened and closed."""
    path = folder / "alerts.jsonl"
    events = [msgspec.json.decode(line)["data"] for line in path.read_text().splitlines()] if path.exists() else []
    return Counter((one["incident"]["detector"], one["kind"]) for one in events)


def incidents(fleet: Fleet) -> dict[str, Incident]:
    return {one.detector: one for one in reversed(fleet.incidents())}


def test_two_analyzers_watch_what_is_too_heavy_for_one_and_tell_each_thing_once(
    fleet: Fleet, source: Source, ray_env: Path
) -> None:
    fleet.apply(spec(ray_env, source, split=True))
    waited_s = eventually(lambda: bool(row(fleet).second), timeout_s=120)
    eventually(lambda: row(fleet).state == "live", timeout_s=30)
    print(f"\nin halves after {waited_s:.0f} s: {row(fleet).where}")
    assert row(fleet).analyzer != row(fleet).second
    at_s = source.now_s + 4.0
    source.schedule([Fault(FaultKind.BLACK, at_s, 6.0), Fault(FaultKind.SILENCE, at_s, 6.0)])
    expected = {(name, kind) for name in WATCHED for kind in ("opened", "closed")}
    eventually(lambda: expected <= told(ray_env).keys(), timeout_s=40)
    assert {told(ray_env)[one] for one in expected} == {1}
    assert all(one.severity.value == "critical" for name, one in incidents(fleet).items() if name == "black")


def test_an_incident_that_lasts_while_they_are_joined_is_one_incident(
    fleet: Fleet, source: Source, ray_env: Path
) -> None:
    before = told(ray_env)
    at_s = source.now_s + 2.0
    source.schedule([Fault(FaultKind.BLACK, at_s, 25.0), Fault(FaultKind.SILENCE, at_s, 25.0)])
    opened = {(name, "opened") for name in WATCHED}
    eventually(lambda: all(told(ray_env)[one] > before[one] for one in opened), timeout_s=30)
    fleet.apply(spec(ray_env, source, split=False))
    eventually(lambda: row(fleet).second is None and row(fleet).state == "live", timeout_s=60)
    closed = {(name, "closed") for name in WATCHED}
    eventually(lambda: all(told(ray_env)[one] > before[one] for one in closed), timeout_s=60)
    assert {told(ray_env)[one] - before[one] for one in opened | closed} == {1}
    for name in WATCHED:
        one = incidents(fleet)[name]
        assert one.end_s is not None
        assert one.end_s - one.start_s == pytest.approx(25.0, abs=0.3)
