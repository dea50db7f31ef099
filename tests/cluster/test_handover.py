"""A real Ray, fake streams: moves that are cut short, a process that is told to end, streams that are paused."""

import os
import signal
import time
from itertools import pairwise

import msgspec
import pytest

from tests.cluster.conftest import Bench, eventually
from vqa_ray.cluster import port
from vqa_ray.cluster.messages import SUPERVISOR, FleetStatus, StreamStatus
from vqa_ray.config import FleetSpec
from vqa_ray.errors import ClusterError, ConfigError

pytestmark = pytest.mark.ray

NAMES = ("s0", "s1", "s2")


def one(status: FleetStatus, name: str = "s0") -> StreamStatus:
    return next(s for s in status.streams if s.stream_id == name)


def pid_of(status: FleetStatus, name: str | None) -> int:
    return next(a.pid for a in status.analyzers if a.name == name and a.pid)


def two_may_watch(bench: Bench, *names: str) -> FleetSpec:
    spec = bench.spec(*names)
    streams = [msgspec.structs.replace(s, url=f"http://127.0.0.1:9/{s.id}") for s in spec.streams]
    return msgspec.structs.replace(spec, streams=tuple(streams))


@pytest.fixture
def watched(bench: Bench) -> FleetStatus:
    """All are live, on two analyzers that are ready."""
    bench.fleet.apply(two_may_watch(bench, *NAMES))

    def ready(status: FleetStatus) -> bool:
        live = {x.stream_id for x in status.streams if x.state == "live"} == set(NAMES)
        return live and [a.phase for a in status.analyzers] == ["ready", "ready"]

    return bench.wait(ready, 40)


def begin(bench: Bench, name: str) -> str:
    """Has a move of it begun that does not get warm; to which analyzer."""
    (bench.folder / f"{name}.cold").touch()
    target = str(port.call(port.find(SUPERVISOR), "move", name, None, timeout_s=20))
    eventually(lambda: (bench.folder / f"{name}.{target}.rehearsed").exists())
    return target


def end(bench: Bench, name: str) -> None:
    (bench.folder / f"{name}.cold").unlink(missing_ok=True)
    for path in bench.folder.glob(f"{name}.*.rehearsed"):
        path.unlink()


def in_order(bench: Bench, name: str) -> bool:
    """Whether nothing came from an epoch after a newer one had begun: no two owners at work."""
    epochs = [line.epoch for line in bench.lines(name)]
    return all(a <= b for a, b in pairwise(epochs))


def test_a_stream_moves_with_its_open_incident_and_without_a_pause(bench: Bench, watched: FleetStatus):
    before = one(watched)
    bench.break_stream("s0", "moves")
    eventually(lambda: bench.told("moves") == ["moves:opened"])
    where = bench.fleet.move("s0")
    assert where != before.analyzer
    bench.mend_stream("s0")
    eventually(lambda: bench.told("moves") == ["moves:opened", "moves:closed"])
    lines = [line for line in bench.lines("s0") if line.epoch >= before.epoch]
    seam = next(b.mono_s - a.mono_s for a, b in pairwise(lines) if a.epoch != b.epoch)
    print(f"\n{seam * 1000:.0f} ms between the last tick there and the first here")
    assert seam < 2.0
    assert in_order(bench, "s0")
    end(bench, "s0")


@pytest.mark.parametrize("who", ["owner", "next"])
def test_whoever_is_killed_in_the_middle_of_a_move_the_stream_goes_on_under_one_owner(
    bench: Bench, watched: FleetStatus, who: str
):
    before = one(watched)
    bench.break_stream("s0", f"killed-{who}")
    eventually(lambda: bench.told(f"killed-{who}") == [f"killed-{who}:opened"])
    target = begin(bench, "s0")
    os.kill(pid_of(watched, before.analyzer if who == "owner" else target), signal.SIGKILL)
    end(bench, "s0")
    killed_s = time.monotonic()
    eventually(lambda: bench.lines("s0")[-1].mono_s > killed_s + 0.5)
    bench.mend_stream("s0")
    eventually(lambda: bench.told(f"killed-{who}") == [f"killed-{who}:opened", f"killed-{who}:closed"])
    assert in_order(bench, "s0")
    if who == "next":
        assert one(bench.fleet.status()).epoch == before.epoch  # it stayed where it was


def test_a_supervisor_killed_in_the_middle_of_a_move_leaves_the_stream_where_it_was(bench: Bench, watched: FleetStatus):
    before = one(watched)
    begin(bench, "s0")
    os.kill(watched.supervisor_pid, signal.SIGKILL)
    after = one(bench.wait(lambda s: all(x.state == "live" for x in s.streams)))
    assert after.analyzer == before.analyzer
    end(bench, "s0")
    assert bench.fleet.move("s0") != before.analyzer
    assert in_order(bench, "s0")


def test_an_analyzer_that_gets_sigterm_is_emptied_and_ends(bench: Bench, watched: FleetStatus):
    before = one(watched)
    pid = pid_of(watched, before.analyzer)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 60)  # noqa: PTH110
    after = bench.wait(lambda s: one(s).state == "live" and one(s).epoch > before.epoch)
    assert all(s.crashes == w.crashes for s, w in zip(after.streams, watched.streams, strict=True))
    lines = [line for line in bench.lines("s0") if line.epoch >= before.epoch]
    assert max(b.mono_s - a.mono_s for a, b in pairwise(lines)) < 10.0
    assert in_order(bench, "s0")


def test_a_paused_stream_is_left_alone_until_it_is_resumed(bench: Bench, watched: FleetStatus):
    bench.break_stream("s1", "paused")
    eventually(lambda: bench.told("paused") == ["paused:opened"])
    assert bench.fleet.pause(["s1"]).changed == ("s1",)
    bench.wait(lambda s: one(s, "s1").state == "paused")
    eventually(lambda: bench.told("paused") == ["paused:opened", "paused:closed"])
    count = len(bench.lines("s1"))
    bench.mend_stream("s1")
    os.kill(bench.fleet.status().supervisor_pid, signal.SIGKILL)
    assert one(bench.wait(lambda s: one(s, "s0").state == "live"), "s1").state == "paused"
    time.sleep(1.0)
    assert len(bench.lines("s1")) == count
    bench.fleet.pause(["s1"], paused=False)
    bench.wait(lambda s: one(s, "s1").state == "live")
    eventually(lambda: len(bench.lines("s1")) > count)


def test_streams_come_and_go_one_by_one(bench: Bench, watched: FleetStatus):
    new = two_may_watch(bench, "new").streams
    assert bench.fleet.add(new).added == ("new",)
    bench.wait(lambda s: any(x.stream_id == "new" and x.state == "live" for x in s.streams))
    assert bench.fleet.apply(two_may_watch(bench, *NAMES), dry_run=True).removed == ("new",)
    assert bench.fleet.remove(["new"]).removed == ("new",)
    with pytest.raises(ConfigError, match="no stream 'new'"):
        bench.fleet.remove(["new"])
    with pytest.raises(ClusterError, match="no stream 'new'"):
        bench.fleet.move("new")
