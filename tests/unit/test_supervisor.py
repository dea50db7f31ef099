"""The supervisor without Ray: a port that plays the analyzers, a real store, short times."""

import asyncio
import itertools
import platform
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vqa_ray.cluster import crew
from vqa_ray.cluster.messages import Assignment, Beat, ClusterOptions, Handed, Held, Hello, Released
from vqa_ray.cluster.port import Death, Gone, NoAnswer
from vqa_ray.cluster.state import SqliteStore
from vqa_ray.cluster.supervisor import AwakeClock, Supervisor
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ClusterError, ConfigError, StoreError
from vqa_ray.pipeline.worker import StreamReport, Told

OPTIONS = ClusterOptions(
    analyzers_min=1, analyzers_max=2, beat_s=0.05, tick_s=0.05, lease_s=0.4, margin_s=0.2, fill=0.85
)


class Played:
    """An analyzer as the port plays it."""

    def __init__(self, name: str, process: int) -> None:
        self.hello = Hello(name=name, incarnation=f"elsewhere:{process}:1", pid=process, node_id="n")
        self.held: dict[str, Assignment] = {}
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.number = 0
        self.refuses: Exception | None = None
        self.mute = False  # answers nothing, and does not beat
        self.untold: tuple[Handed, ...] = ()

    def beat(self) -> Beat:
        self.number += 1
        held = tuple(Held(report=report(a), version=a.version) for a in self.held.values())
        return Beat(hello=self.hello, number=self.number, held=held, load=0.1, rss_bytes=1)


def report(assignment: Assignment, **more: object) -> StreamReport:
    values: dict[str, Any] = {"state": "live", "reason": "", "at_s": 1.0, "cpu_share": 0.05, "coverage": 1.0}
    values |= {"fps": 25.0, "tier": "all", "open_incidents": 0, "reconnects": 0, "snapshot": b"snap"}
    return StreamReport(stream_id=assignment.stream.id, epoch=assignment.epoch, **values | more)


class FakePort:
    """Stands in for Ray: starts, calls and kills played analyzers at once."""

    def __init__(self) -> None:
        self.alive: dict[str, Played] = {}
        self.assigned: list[tuple[str, str, int, bytes | None]] = []
        self.refuse_next: Exception | None = None
        self.fail_starts = 0
        self._processes = itertools.count(1)

    async def start_analyzer(self, kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float) -> Played:
        if name in self.alive:
            raise ClusterError(f"{name} is taken")
        played = Played(name, next(self._processes))
        if self.fail_starts:
            self.fail_starts -= 1
            played.died.set_exception(Gone("no luck"))
            return played
        self.alive[name] = played
        return played

    async def analyzers(self) -> dict[str, Played]:
        return dict(self.alive)

    async def call(self, handle: Played, method: str, *arguments: Any, timeout_s: float | None) -> Any:
        await asyncio.sleep(0)
        if handle.died.done():
            await handle.died
            raise Gone("was ended")
        if method == "watch":
            return await asyncio.shield(handle.died)
        if handle.mute:
            raise NoAnswer(f"{method}: mute")
        return getattr(self, f"_{method}")(handle, *arguments)

    async def kill(self, handle: Played) -> None:
        self.alive = {n: p for n, p in self.alive.items() if p is not handle}
        if not handle.died.done():
            handle.died.set_exception(Gone("killed"))

    async def cores(self) -> float:
        return 2.0

    def die(self, name: str, death: Death = Death.PROCESS) -> None:
        played = self.alive.pop(name)
        played.died.set_exception(Gone("worker process has died", death))

    def _hello(self, played: Played) -> Hello:
        return played.hello

    def _inventory(self, played: Played) -> Beat:
        return played.beat()

    def _configure(self, played: Played, setup: object) -> None:
        pass

    def _assign(self, played: Played, assignment: Assignment) -> int:
        if self.refuse_next is not None:
            error, self.refuse_next = self.refuse_next, None
            raise error
        played.held[assignment.stream.id] = assignment
        row = (assignment.stream.id, played.hello.name, assignment.epoch, assignment.snapshot)
        self.assigned.append(row)
        return played.number

    def _release(self, played: Played, stream_id: str, epoch: int) -> Released:
        held = played.held.pop(stream_id, None)
        return Released(snapshot=b"released" if held else None, handed=played.untold)

    def _stop(self, played: Played) -> None:
        played.held.clear()


class Stage:
    """A supervisor with its port; analyzers beat until the end."""

    def __init__(self, folder: Path, port: FakePort | None = None) -> None:
        self.folder = folder
        self.port = port or FakePort()
        self.supervisor = self.raise_supervisor()
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    def raise_supervisor(self) -> Supervisor:
        return Supervisor(None, OPTIONS, port=self.port, open_store=lambda: SqliteStore(self.folder))

    async def drop_supervisor(self) -> None:
        """As if killed: nothing is said to anybody."""
        self.supervisor._loop.cancel()
        for task in list(self.supervisor._crew._tasks):
            task.cancel()
        await self.supervisor._journal.stop(0.1)

    async def _beat(self) -> None:
        while True:
            for played in list(self.port.alive.values()):
                if not played.mute and self.supervisor._recovered.is_set():
                    reply = await self.supervisor.heartbeat(played.beat())
                    for ended in reply.ended:
                        if (held := played.held.get(ended.stream_id)) and held.epoch == ended.epoch:
                            del played.held[ended.stream_id]
            await asyncio.sleep(OPTIONS.beat_s)

    async def until(self, true: Callable[[], bool], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not true():
                await asyncio.sleep(0.01)

    def running(self) -> dict[str, str]:
        """Stream to analyzer, by what the played analyzers hold."""
        return {s: name for name, played in self.port.alive.items() for s in played.held}

    async def watch(self, *names: str) -> None:
        await self.supervisor.apply(fleet(*names))
        await self.until(lambda: set(self.running()) == set(names))


def fleet(*names: str, **more: Any) -> FleetSpec:
    streams = tuple(StreamSpec(id=name, url=f"udp://127.0.0.1:9/{name}", **more) for name in names)
    return FleetSpec(streams=streams)


def told(stream: str, epoch: int, kind: NoticeKind = NoticeKind.OPENED) -> Told:
    now = datetime.now(UTC)
    incident = Incident(
        incident_id=f"black-of-{stream}",
        stream_id=stream,
        detector="black",
        severity=Severity.MAJOR,
        start_s=1.0,
        end_s=None,
        start_utc=now,
        end_utc=None,
        value=1.0,
        unit="share",
    )
    return Told(Notice(kind=kind, incident=incident, noticed_utc=now), epoch, b"open")


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]:
    """Runs a scene on a fresh stage."""

    def run(scene: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            stage = Stage(tmp_path)
            try:
                async with asyncio.timeout(20):
                    await scene(stage)
            finally:
                stage._beating.cancel()
                await stage.drop_supervisor()

        asyncio.run(whole())

    return run


Play = Callable[[Callable[[Stage], Coroutine[Any, Any, None]]], None]


def test_wanted_streams_are_given_out_under_epochs_that_are_on_disk(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        epochs = {s: epoch for s, _, epoch, _ in stage.port.assigned}
        owners = stage.supervisor._journal.store.owners()
        assert {s: owner.epoch for s, owner in owners.items()} == epochs == {"a": 1, "b": 1}

    play(scene)


def test_a_dead_analyzer_is_acted_on_at_once_with_the_last_snapshot(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        await stage.until(lambda: "a" in stage.supervisor._roster.snapshots)
        (name,) = set(stage.running().values())
        stage.port.die(name)
        began_s = asyncio.get_running_loop().time()
        await stage.until(lambda: "a" in stage.running())
        assert asyncio.get_running_loop().time() - began_s < OPTIONS.lease_s
        assert stage.port.assigned[-1][2:] == (2, b"snap")

    play(scene)


def test_a_lost_node_is_waited_for_until_the_leases_ran_out(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        (name,) = set(stage.running().values())
        began_s = asyncio.get_running_loop().time()
        stage.port.die(name, Death.NODE)
        await stage.until(lambda: "a" in stage.running())
        assert asyncio.get_running_loop().time() - began_s >= OPTIONS.lease_s

    play(scene)


def test_a_silent_analyzer_keeps_its_streams_until_the_lease_then_loses_them_and_its_process(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        (name,) = set(stage.running().values())
        silent = stage.port.alive[name]
        silent.mute = True
        began_s = asyncio.get_running_loop().time()
        await stage.until(lambda: len(stage.port.assigned) == 2)
        assert asyncio.get_running_loop().time() - began_s >= OPTIONS.lease_s
        assert silent.died.done()

    play(scene)


def test_what_an_older_epoch_says_is_dropped_and_counted(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        stage.port.die(next(iter(stage.running().values())))
        await stage.until(lambda: stage.port.assigned[-1][2] == 2)
        await stage.supervisor.tell([Handed(told=told("a", 1))])
        assert await stage.supervisor.incidents(9, False) == []
        await stage.supervisor.tell([Handed(told=told("a", 2)), Handed(told=told("a", 2))])
        status = await stage.supervisor.status()
        assert (status.dropped_stale, status.open_incidents) == (1, 1)

    play(scene)


def test_what_is_told_survives_with_its_snapshot_for_the_next_owner(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        await stage.supervisor.tell([Handed(told=told("a", 1))])
        assert stage.supervisor._journal.store.snapshots()["a"] == (1, b"open")

    play(scene)


def test_a_removed_stream_is_released_what_it_still_had_to_say_kept_and_its_incident_closed(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        played = stage.port.alive[stage.running()["a"]]
        played.untold = (Handed(told=told("a", 1)),)
        result = await stage.supervisor.apply(fleet("b"))
        assert result.removed == ("a",)
        await stage.until(lambda: "a" not in stage.running())
        await stage.until(lambda: [i.open for i in stage.supervisor._journal.store.incidents(limit=9)] == [False])
        assert "a" not in stage.supervisor._roster.places
        assert (await stage.supervisor.status()).open_incidents == 0

    play(scene)


def test_a_changed_stream_is_restarted_and_the_others_are_not(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        changed = fleet("a", "b")
        new = msgspec.structs.replace(changed.streams[0], labels={"x": "y"})
        result = await stage.supervisor.apply(msgspec.structs.replace(changed, streams=(new, changed.streams[1])))
        assert (result.added, result.changed, result.removed) == ((), ("a",), ())
        await stage.until(lambda: stage.port.assigned[-1][0] == "a" and stage.port.assigned[-1][2] == 2)
        assert stage.port.assigned[-1][3] == b"released"
        assert [row[0] for row in stage.port.assigned].count("b") == 1

    play(scene)


def test_a_new_priority_is_no_reason_to_interrupt_a_stream(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        result = await stage.supervisor.apply(fleet("a", priority=5))
        assert result.changed == ()

    play(scene)


def test_a_fleet_that_is_wrong_changes_nothing(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        with pytest.raises(ConfigError, match="unheard-of"):
            await stage.supervisor.apply(fleet("b", profile="unheard-of"))
        assert [s.stream_id for s in (await stage.supervisor.status()).streams] == ["a"]

    play(scene)


def test_a_restarted_supervisor_adopts_what_runs_and_interrupts_nothing(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        before = list(stage.port.assigned)
        await stage.drop_supervisor()
        stage.supervisor = stage.raise_supervisor()
        status = await stage.supervisor.status()
        assert [(s.stream_id, s.epoch) for s in status.streams] == [("a", 1), ("b", 1)]
        await asyncio.sleep(OPTIONS.lease_s + OPTIONS.margin_s + 0.3)
        assert stage.port.assigned == before

    play(scene)


def test_after_a_restart_streams_of_an_analyzer_that_is_gone_wait_for_its_lease(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        await stage.drop_supervisor()
        stage.port.alive.clear()
        began_s = asyncio.get_running_loop().time()
        stage.supervisor = stage.raise_supervisor()
        await stage.until(lambda: "a" in stage.running())
        assert asyncio.get_running_loop().time() - began_s >= OPTIONS.lease_s
        assert stage.port.assigned[-1][2:] == (2, None)

    play(scene)


def test_but_not_when_its_process_is_known_to_be_dead(play: Play, monkeypatch: pytest.MonkeyPatch):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        await stage.drop_supervisor()
        stage.port.alive.clear()
        store = SqliteStore(stage.folder)
        store.next_epochs({"a": ("analyzer-0", f"{platform.node()}:999999999:1")})
        store.close()
        stage.supervisor = stage.raise_supervisor()
        began_s = asyncio.get_running_loop().time()
        await stage.until(lambda: "a" in stage.running())
        assert asyncio.get_running_loop().time() - began_s < OPTIONS.lease_s

    play(scene)


def test_a_stranger_is_told_to_end(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        reply = await stage.supervisor.heartbeat(Played("analyzer-0", 77).beat())
        assert not reply.known

    play(scene)


def test_a_stream_that_an_analyzer_has_given_up_is_placed_again(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        await stage.until(lambda: stage.supervisor._roster.places["a"].report is not None)
        stage.port.alive[stage.running()["a"]].held.clear()
        await stage.until(lambda: stage.port.assigned[-1][2] == 2)

    play(scene)


def test_a_refused_stream_is_offered_again_after_a_while_under_a_new_epoch(play: Play):
    async def scene(stage: Stage) -> None:
        stage.port.refuse_next = StoreError("cannot")
        await stage.supervisor.apply(fleet("a"))
        await stage.until(lambda: "a" in stage.running())
        assert stage.port.assigned == [("a", stage.running()["a"], 2, None)]

    play(scene)


def test_starts_that_fail_are_tried_again_after_a_while(play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "_FIRST_HOLD_S", 0.1)

    async def scene(stage: Stage) -> None:
        stage.port.fail_starts = 2
        await stage.watch("a")
        assert stage.port.fail_starts == 0

    play(scene)


def test_a_stream_whose_process_died_twice_gets_an_analyzer_of_its_own(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("bad")
        for _ in range(2):
            stage.port.die(stage.running()["bad"])
            await stage.until(lambda: "bad" in stage.running())
        await stage.watch("bad", "good")
        assert stage.running()["bad"] != stage.running()["good"]

    play(scene)


def test_stopping_takes_streams_back_keeps_their_snapshots_and_ends_the_analyzers(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        assert await stage.supervisor.stop()
        assert stage.port.alive == {}
        store = SqliteStore(stage.folder)
        assert store.snapshots()["a"] == (1, b"released")
        assert store.owners()["a"].analyzer is None
        assert msgspec.json.decode(store.fleet() or b"")["streams"] == []
        store.close()

    play(scene)


def test_a_stall_of_the_supervisor_itself_counts_as_no_silence():
    now = [0.0]
    clock = AwakeClock(lambda: now[0])
    for now[0] in (1.0, 2.0, 60.0):
        clock.tick()
    assert clock.now_s() == pytest.approx(60.0 - 55.0)


def test_a_result_store_that_cannot_be_used_is_refused_when_it_is_applied(play: Play, tmp_path: Path):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError):
            await stage.supervisor.apply(msgspec.structs.replace(fleet("b"), store=str(tmp_path / "file" / "results")))
        assert [s.stream_id for s in (await stage.supervisor.status()).streams] == ["a"]

    play(scene)
