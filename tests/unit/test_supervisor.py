"""The supervisor without Ray: a port that plays the analyzers, a real store, short times."""

import asyncio
import itertools
import platform
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vqa_ray.cluster import crew, metrics, outlets, roster, supervisor
from vqa_ray.cluster.messages import Assignment, Beat, ClusterOptions, Handed, Held, Hello, Released
from vqa_ray.cluster.metrics import MEANING, Gauge, Observation
from vqa_ray.cluster.port import Death, Gone, NoAnswer
from vqa_ray.cluster.state import SqliteStore
from vqa_ray.cluster.supervisor import AwakeClock, Supervisor
from vqa_ray.config import FleetSpec, SpreadingChanges, StreamSpec
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.core.reconcile import Reason
from vqa_ray.errors import ClusterError, ConfigError, StoreError
from vqa_ray.pipeline.worker import StreamReport, Told, Warmth
from vqa_ray.sinks.jsonl import JsonLinesSpec
from vqa_ray.sinks.store import ResultStore, read_incidents

OPTIONS = ClusterOptions(
    analyzers_min=1, analyzers_max=2, beat_s=0.05, tick_s=0.05, lease_s=0.4, margin_s=0.2, grace_s=0.9, fill=0.85
)
QUICK = msgspec.structs.replace(OPTIONS, not_analysed_after_s=0.8)


class Played:
    """An analyzer as the port plays it."""

    def __init__(self, name: str, process: int) -> None:
        self.hello = Hello(name=name, incarnation=f"elsewhere:{process}:1", pid=process, node_id=f"node-{process}")
        self.held: dict[str, Assignment] = {}
        self.rehearsed: set[str] = set()
        self.warm: list[bool] = []  # of each assignment, whether it was rehearsed here
        self.rss_bytes = 1
        self.ending = False
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.number = 0
        self.refuses: Exception | None = None
        self.mute = False  # answers nothing, and does not beat
        self.untold: tuple[Handed, ...] = ()

    def beat(self) -> Beat:
        self.number += 1
        held = tuple(Held(report=report(a), version=a.version) for a in self.held.values())
        return Beat(
            hello=self.hello,
            number=self.number,
            held=held,
            load=0.1,
            rss_bytes=self.rss_bytes,
            ending=self.ending,
        )


def report(assignment: Assignment, **more: object) -> StreamReport:
    values: dict[str, Any] = {"state": "live", "reason": "", "at_s": 1.0, "cpu_share": 0.05, "coverage": 1.0}
    values |= {
        "fps": 25.0,
        "tier": "all",
        "open_incidents": 0,
        "reconnects": 0,
        "snapshot": b"snap",
        "connected_once": True,
    }
    return StreamReport(stream_id=assignment.stream.id, epoch=assignment.epoch, **values | more)


class FakePort:
    """Stands in for Ray: starts, calls and kills played analyzers at once."""

    def __init__(self) -> None:
        self.alive: dict[str, Played] = {}
        self.assigned: list[tuple[str, str, int, bytes | None]] = []
        self.refuse_next: Exception | None = None
        self.fail_starts = 0
        self.ray_drains: set[str] = set()
        self.warmth: Warmth | Exception = Warmth.WARM
        self.asked: list[str] = []  # of rehearsals
        self.published: dict[tuple[str, ...], float] = {}
        self.observed: list[float] = []
        self._processes = itertools.count(1)

    async def start_analyzer(
        self, kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float, memory_bytes: int
    ) -> Played:
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

    async def draining(self) -> frozenset[str]:
        return frozenset(self.ray_drains)

    async def publish(self, samples: Sequence[Gauge | Observation]) -> None:
        self.published = {(one.name, *one.labels.values()): one.value for one in samples if isinstance(one, Gauge)}
        self.observed += [one.value for one in samples if isinstance(one, Observation)]

    def die(self, name: str, death: Death = Death.PROCESS) -> None:
        played = self.alive.pop(name)
        played.died.set_exception(Gone("worker process has died", death))

    def _hello(self, played: Played) -> Hello:
        return played.hello

    def _inventory(self, played: Played) -> Beat:
        return played.beat()

    def _configure(self, played: Played, setup: object) -> None:
        pass

    def _prepare(self, played: Played, assignment: Assignment) -> None:
        self.asked.append(f"prepare {assignment.stream.id} at {played.hello.name}")
        played.rehearsed.add(assignment.stream.id)

    def _warmth(self, played: Played, stream_id: str, reached_s: float) -> Warmth:
        if isinstance(self.warmth, Exception):
            raise self.warmth
        return self.warmth

    def _dismiss(self, played: Played, stream_id: str) -> None:
        self.asked.append(f"dismiss {stream_id} at {played.hello.name}")
        played.rehearsed.discard(stream_id)

    def _assign(self, played: Played, assignment: Assignment) -> int:
        if self.refuse_next is not None:
            error, self.refuse_next = self.refuse_next, None
            raise error
        others = [p for p in self.alive.values() if p is not played and assignment.stream.id in p.held]
        assert not others, f"{assignment.stream.id} has two owners"
        played.warm.append(assignment.stream.id in played.rehearsed)
        played.rehearsed.discard(assignment.stream.id)
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


def two_may_watch(*names: str, **more: Any) -> FleetSpec:
    """Streams of which a second connection gets as much as the first."""
    streams = [{"id": name, "url": f"http://127.0.0.1:9/{name}"} | more for name in names]
    return msgspec.convert({"streams": streams}, FleetSpec)


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


def test_what_is_declared_is_told_without_the_channels(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        channels = (JsonLinesSpec(path="/tmp/alerts.jsonl"),)
        await stage.supervisor.apply(msgspec.structs.replace(fleet("a", "b"), channels=channels))
        assert await stage.supervisor.declared() == fleet("a", "b")

    play(scene)


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


def test_the_next_tick_is_due_when_the_lease_of_a_silent_analyzer_runs_out(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        roster, now_s = stage.supervisor._roster, stage.supervisor._clock.now_s()
        roster.presume("analyzer-9", {}, now_s)
        roster.members["analyzer-9"].lease_until_s = now_s + OPTIONS.tick_s / 5
        assert stage.supervisor._rest_s() < OPTIONS.tick_s / 2

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


def test_what_was_said_to_a_predecessor_is_refused(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        with pytest.raises(ClusterError, match="another supervisor"):
            await stage.supervisor.tell([Handed(told=told("a", 1))], "the one before")
        assert await stage.supervisor.incidents(9, False) == []

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
        assert result.details == {"a": ("priority: 0 → 5",)}
        with pytest.raises(TimeoutError):
            await stage.until(lambda: len(stage.port.assigned) > 1, timeout_s=0.5)

    play(scene)


def test_a_fleet_that_no_file_may_say_is_refused_since_it_could_not_be_read_back(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        with pytest.raises(ConfigError, match="id"):
            await stage.supervisor.apply(fleet("north/one"))
        assert [s.stream_id for s in (await stage.supervisor.status()).streams] == ["a"]

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


def test_after_a_restart_streams_of_an_analyzer_that_is_gone_wait_for_its_grace(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        await stage.drop_supervisor()
        stage.port.alive.clear()
        began_s = asyncio.get_running_loop().time()
        stage.supervisor = stage.raise_supervisor()
        await stage.until(lambda: "a" in stage.running())
        assert asyncio.get_running_loop().time() - began_s >= OPTIONS.grace_s
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


def test_a_stream_that_keeps_killing_its_analyzer_is_parked_told_of_and_stays_so_over_a_restart(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("bad")
        for n in range(3):
            stage.port.die(stage.running()["bad"])
            if n < 2:
                await stage.until(lambda: "bad" in stage.running())
        await stage.until(lambda: bool(stage.supervisor._roster.parked))
        await stage.until(lambda: len(stage.supervisor._journal.store.incidents(limit=9)) == 1)
        for _ in range(2):
            (row,) = (await stage.supervisor.status()).streams
            assert (row.state, row.crashes > 0) == (
                "parked",
                stage.supervisor._roster.streams["bad"].record.crashes > 0,
            )
            (incident,) = await stage.supervisor.incidents(9, True)
            assert incident.detector == "parked"
            assert "died 3 times" in incident.reason
            assert "vqa unpark bad" in incident.reason
            assert "bad" not in stage.running()
            await stage.drop_supervisor()
            stage.supervisor = stage.raise_supervisor()
        assert await stage.supervisor.unpark("bad")
        await stage.until(lambda: "bad" in stage.running())
        (incident,) = await stage.supervisor.incidents(9, False)
        assert not incident.open
        assert not await stage.supervisor.unpark("bad")

    play(scene)


def test_a_stream_that_is_not_there_cannot_be_unparked(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("news")
        with pytest.raises(ConfigError, match="mean 'news'"):
            await stage.supervisor.unpark("new")

    play(scene)


def test_the_incident_of_a_parked_stream_that_is_removed_is_closed(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("bad", "good")
        stage.supervisor._roster.park("bad", "why")
        await stage.until(lambda: [i.open for i in stage.supervisor._journal.store.incidents(limit=9)] == [True])
        await stage.until(lambda: "bad" not in stage.running())
        await stage.supervisor.apply(fleet("good"))
        await stage.until(lambda: [i.open for i in stage.supervisor._journal.store.incidents(limit=9)] == [False])

    play(scene)


def test_the_section_cluster_of_a_fleet_changes_how_streams_are_spread_while_it_runs(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        cluster = SpreadingChanges(policy="pack", analyzers_min=3, analyzers_max=3)
        await stage.supervisor.apply(msgspec.structs.replace(fleet("a", "b"), cluster=cluster))
        await stage.until(lambda: len(stage.port.alive) == 3)
        assert stage.supervisor._roster.options.policy == "pack"
        with pytest.raises(ConfigError, match="analyzers_min, 4, is more than analyzers_max, 3"):
            wrong = SpreadingChanges(analyzers_min=4, analyzers_max=3)
            await stage.supervisor.apply(msgspec.structs.replace(fleet("a"), cluster=wrong))
        await stage.drop_supervisor()
        stage.supervisor = stage.raise_supervisor()
        await stage.supervisor.status()
        assert stage.supervisor._roster.options.analyzers_min == 3
        await stage.supervisor.apply(fleet("a", "b"))
        assert stage.supervisor._roster.options == OPTIONS

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


def test_a_node_that_is_drained_is_emptied_without_a_crash_of_any_stream(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        (before,) = set(stage.running().values())
        node = stage.port.alive[before].hello.node_id
        assert await stage.supervisor.drain(node) == 1
        await stage.until(lambda: before not in stage.port.alive)
        await stage.until(lambda: set(stage.running()) == {"a", "b"})
        assert before not in stage.running().values()
        assert await stage.supervisor.drain(node) == 0
        status = await stage.supervisor.status()
        assert [one.crashes for one in status.streams] == [0, 0]
        moved = [row for row in stage.port.assigned if row[1] != before]
        assert [(row[2], row[3]) for row in moved] == [(2, b"released")] * 2  # a new epoch, with what was open

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


def test_small_files_of_the_hours_before_are_merged_while_the_fleet_runs(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervisor, "FIRST_UPKEEP_S", 0.2)
    monkeypatch.setattr(supervisor, "UPKEEP_EVERY_S", 0.2)
    results = tmp_path / "results"
    store = ResultStore(str(results), writer="before")
    for n in range(6):
        store.add_incident(told(f"s{n}", 1).notice.incident, epoch=1)
        store.flush()
    store.close()
    (today,) = (results / "incidents").rglob("hour=*")
    before = read_incidents(str(results))
    earlier = today.parent.with_name("date=2026-01-02") / "hour=03"
    earlier.parent.mkdir()
    today.rename(earlier)
    monkeypatch.setattr(outlets, "LOOK_BACK", timedelta(days=40_000))

    async def scene(stage: Stage) -> None:
        await stage.supervisor.apply(msgspec.structs.replace(fleet("a"), store=str(results)))
        await stage.until(lambda: any("merged-" in file.name for file in earlier.glob("*.parquet")))
        assert len(list(earlier.glob("*.parquet"))) == 7  # the parts go later, when no reader can be on its way to them
        assert stage.running() == {"a": "analyzer-0"}

    play(scene)
    assert read_incidents(str(results)) == before


def test_metrics_are_set_anew_all_the_time_and_hold_no_url(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "EVERY_S", 0.1)
    alerts = JsonLinesSpec(path=str(tmp_path / "alerts.jsonl"), name="duty")

    async def scene(stage: Stage) -> None:
        await stage.supervisor.apply(msgspec.structs.replace(fleet("a", "b"), channels=(alerts,)))
        port = stage.port
        await stage.until(lambda: port.published.get(("vqa_streams", "live")) == 2)
        assert port.published["vqa_stream_up", "a"] == 1
        assert port.published["vqa_stream_coverage", "b"] == 1.0
        assert port.published["vqa_stream_tier", "b"] == 0
        assert port.published["vqa_stream_health", "b"] == 100.0
        await stage.supervisor.tell([Handed(told=told("a", 1))])
        await stage.until(lambda: port.published["vqa_incidents_open",] == 1)
        await stage.until(lambda: port.published.get(("vqa_channel_delivered", "duty")) == 1)
        await stage.until(lambda: len(port.observed) == 1 and port.observed[0] >= 0)  # from open to alert
        opened = told("a", 1).notice.incident
        kind = (opened.detector, opened.severity.value)
        assert port.published["vqa_incidents_opened_total", *kind] == 1
        assert port.published["vqa_kind_incidents_open", *kind] == 1
        assert port.published["vqa_group_incidents_open", "none", opened.severity.value] == 1
        assert {name for name, *_ in port.published} == set(MEANING)
        assert not any("://" in label for _, *labels in port.published for label in labels)
        await stage.supervisor.apply(fleet("a"))
        await stage.until(lambda: ("vqa_stream_up", "b") not in port.published)

    play(scene)


async def two_analyzers(stage: Stage, *names: str, **more: Any) -> str:
    """Watches these, with an analyzer that has none of them; its name."""
    await stage.supervisor.apply(two_may_watch(*names, **more))
    await stage.until(lambda: set(stage.running()) == set(names))
    place = stage.supervisor._roster.places
    await stage.until(lambda: all(name in place and place[name].report for name in names))
    spare = next(n for n in ("analyzer-0", "analyzer-1") if n not in stage.running().values())
    if spare not in stage.port.alive:
        stage.supervisor._roster.started(spare, stage.supervisor._clock.now_s())
        await stage.supervisor._crew._start(spare)
    return spare


def test_a_move_is_rehearsed_and_the_owner_lets_go_when_the_next_is_warm(play: Play):
    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a")
        before = stage.running()["a"]
        stage.port.warmth = Warmth.COLD
        assert await stage.supervisor.move("a", None) == spare
        await stage.until(lambda: bool(stage.port.asked))
        await asyncio.sleep(0.3)
        assert stage.running() == {"a": before}  # the owner goes on meanwhile
        stage.port.warmth = Warmth.WARM
        await stage.until(lambda: stage.running() == {"a": spare})
        assert stage.port.assigned[-1] == ("a", spare, 2, b"released")
        assert stage.port.alive[spare].warm == [True]
        assert stage.port.asked == [f"prepare a at {spare}"]
        assert stage.supervisor._journal.store.snapshots()["a"] == (1, b"released")
        await stage.until(lambda: stage.supervisor._roster.moving == {})
        assert await stage.supervisor.move("a", spare) == spare

    play(scene)


@pytest.mark.parametrize("warmth", [Warmth.FAILED, NoAnswer("slow")])
def test_a_move_whose_rehearsal_fails_lets_go_first(play: Play, warmth: Any):
    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a")
        stage.port.warmth = warmth
        await stage.supervisor.move("a", spare)
        await stage.until(lambda: stage.running() == {"a": spare})
        assert stage.port.asked == [f"prepare a at {spare}", f"dismiss a at {spare}"]
        assert (stage.port.assigned[-1][2:], stage.port.alive[spare].warm) == ((2, b"released"), [False])

    play(scene)


def test_a_rehearsal_that_never_gets_warm_is_given_up(play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "WARM_UP_S", 0.3)

    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a")
        stage.port.warmth = Warmth.COLD
        await stage.supervisor.move("a", spare)
        await stage.until(lambda: stage.running() == {"a": spare})
        assert stage.port.alive[spare].warm == [False]

    play(scene)


def test_a_source_that_serves_one_client_is_let_go_first(play: Play):
    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a", source={"single_client": True})
        await stage.supervisor.move("a", spare)
        await stage.until(lambda: stage.running() == {"a": spare})
        assert stage.port.asked == []
        assert stage.port.assigned[-1][2:] == (2, b"released")

    play(scene)


def test_when_the_next_owner_dies_while_it_rehearses_nothing_has_happened(play: Play):
    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a")
        before, assigned = stage.running(), list(stage.port.assigned)
        stage.port.warmth = Warmth.COLD
        await stage.supervisor.move("a", spare)
        await stage.until(lambda: bool(stage.port.asked))
        stage.port.die(spare)
        await stage.until(lambda: stage.supervisor._roster.moving == {})
        await asyncio.sleep(0.3)
        assert (stage.running(), stage.port.assigned) == (before, assigned)
        assert not stage.supervisor._roster.places["a"].busy

    play(scene)


def test_when_the_owner_dies_in_the_middle_of_a_move_the_stream_goes_on_elsewhere(play: Play):
    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a")
        stage.port.warmth = Warmth.COLD
        await stage.supervisor.move("a", spare)
        await stage.until(lambda: bool(stage.port.asked))
        stage.port.die(stage.running()["a"])
        await stage.until(lambda: "a" in stage.running())
        assert stage.port.assigned[-1][2:] == (2, b"snap")
        await stage.until(lambda: stage.supervisor._roster.moving == {})

    play(scene)


def test_when_the_next_owner_dies_after_the_last_let_go_the_stream_goes_on_elsewhere(play: Play):
    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a")
        stage.port.refuse_next = Gone("died in the middle")
        await stage.supervisor.move("a", spare)
        await stage.until(lambda: len(stage.port.assigned) == 2)
        assert stage.port.assigned[-1][2:] == (3, b"released")

    play(scene)


def test_what_is_removed_in_the_middle_of_a_move_is_released(play: Play):
    async def scene(stage: Stage) -> None:
        spare = await two_analyzers(stage, "a", "b")
        stage.port.warmth = Warmth.COLD
        await stage.supervisor.move("a", spare)
        await stage.until(lambda: bool(stage.port.asked))
        await stage.supervisor.remove(["a"])
        await stage.until(lambda: set(stage.running()) == {"b"})
        await stage.until(lambda: stage.supervisor._roster.moving == {})
        await stage.until(lambda: "a" not in stage.supervisor._roster.places)

    play(scene)


def test_a_changed_profile_takes_effect_by_a_rehearsal_beside_the_owner(play: Play):
    async def scene(stage: Stage) -> None:
        await two_analyzers(stage, "a")
        here = stage.running()["a"]
        changed = two_may_watch("a", detectors={"black": {"raise_after_s": 9.0}})
        result = await stage.supervisor.apply(changed)
        assert result.details == {"a": ("detectors.black.raise_after_s: 2.0 → 9.0",)}
        await stage.until(lambda: stage.port.assigned[-1][2:] == (2, b"released"))
        assert stage.port.alive[here].warm == [False, True]
        assert stage.port.alive[here].held["a"].profile.detectors.black.raise_after_s == 9.0

    play(scene)


def test_a_stream_cannot_be_moved_to_nowhere_or_where_there_is_no_room(play: Play):
    async def scene(stage: Stage) -> None:
        await two_analyzers(stage, "a")
        with pytest.raises(ClusterError, match="no stream 'b'"):
            await stage.supervisor.move("b", None)
        with pytest.raises(ClusterError, match="no analyzer 'analyzer-7'"):
            await stage.supervisor.move("a", "analyzer-7")
        known = stage.supervisor._roster
        known.streams["a"].share = 0.5
        known.moving["other"] = next(n for n in known.members if n != stage.running()["a"])
        known.places["other"] = known.places["a"]
        with pytest.raises(ClusterError, match="no other analyzer has room"):
            await stage.supervisor.move("a", None)
        del known.places["other"], known.moving["other"]

    play(scene)


def test_streams_are_added_and_removed_one_by_one_and_that_outlives_the_supervisor(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        one = StreamSpec(id="b", url="udp://127.0.0.1:9/b")
        assert (await stage.supervisor.add([one])).added == ("b",)
        assert (await stage.supervisor.add([one])).added == ()  # again is fine
        with pytest.raises(ConfigError, match="another stream 'b'"):
            await stage.supervisor.add([StreamSpec(id="b", url="udp://127.0.0.1:9/c")])
        with pytest.raises(ConfigError, match="no stream 'x'"):
            await stage.supervisor.remove(["a", "x"])
        assert (await stage.supervisor.remove(["a"])).removed == ("a",)
        await stage.until(lambda: set(stage.running()) == {"b"})
        await stage.drop_supervisor()
        stage.supervisor = stage.raise_supervisor()
        assert [s.stream_id for s in (await stage.supervisor.status()).streams] == ["b"]

    play(scene)


def test_a_paused_stream_is_released_shown_as_such_and_stays_so_over_a_restart(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        await stage.supervisor.tell([Handed(told=told("a", 1))])
        assert (await stage.supervisor.pause(["a"], True)).details == {"a": ("paused: False → True",)}
        await stage.until(lambda: set(stage.running()) == {"b"})
        await stage.until(lambda: not any(i.open for i in stage.supervisor._journal.store.incidents(limit=9)))
        await stage.drop_supervisor()
        stage.supervisor = stage.raise_supervisor()
        status = await stage.supervisor.status()
        assert [(s.stream_id, s.state) for s in status.streams] == [("a", "paused"), ("b", "live")]
        await asyncio.sleep(0.3)
        assert (set(stage.running()), status.waiting) == ({"b"}, 0)
        assert (await stage.supervisor.pause(["a"], False)).changed == ("a",)
        await stage.until(lambda: set(stage.running()) == {"a", "b"})
        assert stage.port.assigned[-1][2:] == (2, None)  # anew: nobody knows what was meanwhile

    play(scene)


def test_a_dry_run_changes_nothing(play: Play):
    async def scene(stage: Stage) -> None:
        await stage.watch("a", "b")
        result = await stage.supervisor.apply(fleet("b", "c"), True)
        assert (result.added, result.changed, result.removed) == (("c",), (), ("a",))
        assert set(stage.running()) == {"a", "b"}
        with pytest.raises(ConfigError, match="unheard-of"):
            await stage.supervisor.apply(fleet("b", profile="unheard-of"), True)

    play(scene)


def test_an_analyzer_over_its_memory_budget_hands_its_streams_over_and_ends(
    play: Play, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(roster, "RECYCLED_FROM_AGE_S", 0.3)

    async def scene(stage: Stage) -> None:
        await two_analyzers(stage, "a")
        full = stage.running()["a"]
        stage.port.alive[full].rss_bytes = 3 * OPTIONS.memory_bytes
        await stage.until(lambda: full not in stage.port.alive)
        await stage.until(lambda: "a" in stage.running())
        assert stage.running()["a"] != full
        assert [row[2] for row in stage.port.assigned] == [1, 2]
        assert stage.port.assigned[-1][3] == b"released"
        assert (await stage.supervisor.status()).streams[0].crashes == 0

    play(scene)


def test_where_there_is_no_other_seat_its_streams_are_interrupted_in_the_end(
    play: Play, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(roster, "RECYCLED_FROM_AGE_S", 0.3)
    monkeypatch.setitem(roster.PATIENCE_S, Reason.RECYCLED, 0.5)

    async def scene(stage: Stage) -> None:
        await stage.watch("a")
        full = stage.running()["a"]
        stage.supervisor._crew._held_until_s = float("inf")  # no other can be started
        stage.port.alive[full].rss_bytes = 3 * OPTIONS.memory_bytes
        await stage.until(lambda: full not in stage.port.alive)
        stage.supervisor._crew._held_until_s = 0.0
        await stage.until(lambda: "a" in stage.running())
        assert stage.port.assigned[-1][2:] == (2, b"released")

    play(scene)


def test_an_analyzer_that_was_told_to_end_is_emptied(play: Play):
    async def scene(stage: Stage) -> None:
        await two_analyzers(stage, "a")
        before = stage.running()["a"]
        stage.port.alive[before].ending = True
        await stage.until(lambda: before not in stage.port.alive)
        await stage.until(lambda: "a" in stage.running())
        assert (await stage.supervisor.status()).streams[0].crashes == 0

    play(scene)


def test_a_node_that_ray_drains_is_emptied(play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supervisor, "CORES_EVERY_S", 0.1)

    async def scene(stage: Stage) -> None:
        await two_analyzers(stage, "a")
        before = stage.running()["a"]
        stage.port.ray_drains.add(stage.port.alive[before].hello.node_id)
        await stage.until(lambda: before not in stage.port.alive)
        await stage.until(lambda: "a" in stage.running())

    play(scene)


def test_a_stream_that_nobody_analyses_for_long_is_an_incident_that_outlives_the_supervisor(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    results = str(tmp_path / "results")
    alerts = JsonLinesSpec(path=str(tmp_path / "alerts.jsonl"))

    async def scene(stage: Stage) -> None:
        wanted = msgspec.structs.replace(two_may_watch("a"), store=results, channels=(alerts,))
        await stage.supervisor.apply(wanted)
        await stage.until(lambda: "a" in stage.running())
        await stage.until(lambda: stage.supervisor._roster.places["a"].reached_s is not None)
        stage.supervisor._crew._held_until_s = float("inf")
        stage.port.die(stage.running()["a"])
        await asyncio.sleep(0.3)
        assert await stage.supervisor.incidents(9, False) == []  # that is no long time
        await stage.until(lambda: stage.supervisor._journal.store.count_open() == 1)
        (opened,) = await stage.supervisor.incidents(9, True)
        assert (opened.detector, opened.start_s, opened.reason) == ("not_analysed", 1.0, "its analyzer died")
        await stage.drop_supervisor()
        stage.supervisor = stage.raise_supervisor()
        await stage.until(
            lambda: stage.supervisor._recovered.is_set() and stage.supervisor._journal.store.count_open() == 0
        )
        (closed,) = await stage.supervisor.incidents(9, False)
        assert closed.incident_id == opened.incident_id
        assert closed.value == pytest.approx((closed.end_utc - closed.start_utc).total_seconds())
        assert closed.value > QUICK.not_analysed_after_s
        await stage.until(lambda: len(Path(alerts.path).read_text().splitlines()) == 2)
        await stage.until(lambda: [i.open for i in read_incidents(results)] == [False])

    monkeypatch.setitem(globals(), "OPTIONS", QUICK)
    play(scene)
