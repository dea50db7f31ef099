"""A stream too heavy for an analyzer goes to two and comes back: real store, played analyzers, short times."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.unit.test_supervisor import Played, Stage, fleet, play, told, two_may_watch  # noqa: F401
from vqa_ray.cluster import roster, splitting
from vqa_ray.cluster.messages import Handed, Released
from vqa_ray.config import SpreadingChanges
from vqa_ray.core.halves import Stage as At
from vqa_ray.core.halves import second
from vqa_ray.core.hold import HoldState, Phase
from vqa_ray.core.notice import NoticeKind
from vqa_ray.pipeline.analysis import StreamState

HEAVY = {"black": 0.3, "freeze": 0.2, "blockiness": 0.2, "clipping": 0.1}  # shares of the stream's time
ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, seconds in (
        (splitting, "EVERY_S", 0.05),
        (splitting, "SETTLED_AFTER_S", 0.2),
        (splitting, "AGAIN_AFTER_S", 0.3),
        (splitting, "HALF_BLIND_S", 0.5),
        (roster, "SETTLED_AFTER_S", 30.0),
    ):
        monkeypatch.setattr(module, name, seconds)


def snapshot(*detectors: str) -> bytes:
    holds = tuple(
        HoldState(detector=d, part="", phase=Phase.OPEN, start_s=1.0, bad_until_s=2.0, good_since_s=None, value=1.0)
        for d in detectors
    )
    return msgspec.json.encode(StreamState(origin_utc=ORIGIN, holds=holds, incidents=()))


class Heavy(Stage):
    """Stream `a` takes as much as `share` says; what is asked of its detectors is `weights`."""

    share = 0.95
    weights = HEAVY
    left: dict[str, bytes]

    def prepare(self) -> None:
        stage, self.left = self, {}

        def toll(played: Played, name: str) -> dict[str, float]:
            return stage.weights

        def release(played: Played, name: str, epoch: int) -> Released:
            return Released(snapshot=stage.left.get(name) if played.held.pop(name, None) else None)

        self.port._toll = toll  # type: ignore[attr-defined]
        self.port._release = release  # type: ignore[method-assign]

    def weigh(self, **shares: float) -> None:
        for name, share in shares.items():
            self.supervisor._roster.streams[name.replace("_2", "~2")].share = share


def scene(stage: Stage) -> Heavy:
    stage.__class__ = Heavy
    stage.prepare()  # type: ignore[attr-defined]
    return stage  # type: ignore[return-value]


async def split(stage: Heavy) -> None:
    """Until `a` is at two analyzers. What its owner leaves speaks of black and clipping."""
    options = SpreadingChanges(analyzers_min=2)
    await stage.supervisor.apply(msgspec.structs.replace(two_may_watch("a"), cluster=options))
    await stage.until(lambda: set(stage.running()) == {"a"} and len(stage.port.alive) == 2)
    stage.left["a"] = snapshot("black", "clipping")
    keep = asyncio.get_running_loop().create_task(keep_heavy(stage))
    await stage.until(lambda: set(stage.running()) == {"a", "a~2"})
    keep.cancel()


async def keep_heavy(stage: Heavy) -> None:
    while True:
        stage.weigh(a=stage.share)
        await asyncio.sleep(0.01)


def test_a_stream_that_is_too_heavy_goes_to_two_analyzers_each_with_some_of_its_detectors(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        assert len(set(stage.running().values())) == 2
        held = {name: played.held[name] for played in stage.port.alive.values() for name in played.held}
        on = {name: {spec.id for spec in one.profile.specs} for name, one in held.items()}
        halves = {name: one.profile.half for name, one in held.items()}
        assert halves["a"] is not None and halves["a~2"] is not None
        for detector in HEAVY:
            (teller,) = [name for name, half in halves.items() if half is not None and half.tells(detector)]
            assert detector in on[teller]
        (row,) = (await stage.supervisor.status()).streams
        assert (row.stream_id, {row.analyzer, row.second}) == ("a", set(stage.running().values()))

    play(lambda stage: act(scene(stage)))


def test_both_halves_go_on_with_what_the_whole_left(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        last = {name: data for name, _, _, data in stage.port.assigned}
        assert last["a"] == last["a~2"] == stage.left["a"]
        kept = stage.supervisor._journal.store.snapshots()
        assert kept["a~2"][1] == stage.left["a"]

    play(lambda stage: act(scene(stage)))


def test_a_stream_whose_detectors_take_little_stays_whole(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        stage.weights = {"black": 0.05, "freeze": 0.04}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await split(stage)
        assert set(stage.running()) == {"a"}

    play(lambda stage: act(scene(stage)))


def test_a_source_that_serves_one_client_is_not_split(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await stage.supervisor.apply(msgspec.structs.replace(fleet("a"), cluster=SpreadingChanges(analyzers_min=2)))
        await stage.until(lambda: set(stage.running()) == {"a"} and len(stage.port.alive) == 2)
        keep = asyncio.get_running_loop().create_task(keep_heavy(stage))
        await asyncio.sleep(0.8)
        keep.cancel()
        assert set(stage.running()) == {"a"}

    play(lambda stage: act(scene(stage)))


def test_what_a_half_says_counts_under_its_own_epoch_and_for_the_stream(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        epoch = stage.supervisor._roster.epochs["a~2"]
        say = msgspec.structs.replace(told("a", epoch), of="a~2")
        await stage.supervisor.tell([Handed(told=say)])
        (open_one,) = await stage.supervisor.incidents(10, True)
        assert open_one.stream_id == "a"
        late = msgspec.structs.replace(told("a", epoch - 1, NoticeKind.CLOSED), of="a~2")
        await stage.supervisor.tell([Handed(told=late)])
        assert len(await stage.supervisor.incidents(10, True)) == 1

    play(lambda stage: act(scene(stage)))


def test_halves_that_have_become_light_are_one_stream_again_with_what_both_left(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        moved = stage.supervisor._roster.splits["a"].moved
        ours = next(name for name in HEAVY if name not in moved)
        stage.left["a"], stage.left["a~2"] = snapshot(ours, moved[0]), snapshot(moved[0], ours)
        stage.weigh(a=0.1, a_2=0.1)
        await stage.until(lambda: set(stage.running()) == {"a"} and not stage.supervisor._roster.splits)
        await stage.until(lambda: all(place.busy is False for place in stage.supervisor._roster.places.values()))
        last = msgspec.json.decode(stage.port.assigned[-1][3] or b"", type=StreamState)
        assert sorted(hold.detector for hold in last.holds) == sorted((ours, moved[0]))
        await stage.until(lambda: not stage.supervisor._journal.store.splits())
        (row,) = (await stage.supervisor.status()).streams
        assert row.second is None

    play(lambda stage: act(scene(stage)))


def test_a_supervisor_that_is_restarted_leaves_the_halves_where_they_are(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        stage.weigh(a=0.6, a_2=0.6)
        before, count = stage.running(), len(stage.port.assigned)
        await stage.drop_supervisor()
        stage.supervisor = stage.raise_supervisor()
        await stage.until(lambda: stage.supervisor._recovered.is_set())
        assert stage.supervisor._roster.splits["a"].stage is At.SPLIT
        for _ in range(30):
            stage.weigh(a=0.6, a_2=0.6)
            await asyncio.sleep(0.01)
        assert (stage.running(), len(stage.port.assigned)) == (before, count)

    play(lambda stage: act(scene(stage)))


def test_a_stream_that_is_removed_goes_with_both_halves_and_closes_what_they_have_open(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        say = msgspec.structs.replace(told("a", stage.supervisor._roster.epochs["a~2"]), of="a~2")
        await stage.supervisor.tell([Handed(told=say)])
        await stage.supervisor.apply(fleet())
        await stage.until(lambda: not stage.running())
        await stage.until(lambda: not stage.supervisor._journal.store.incidents(limit=9, open_only=True))
        await stage.until(lambda: not stage.supervisor._journal.store.splits())
        assert second("a") not in stage.supervisor._roster.streams

    play(lambda stage: act(scene(stage)))


def test_an_analyzer_that_dies_with_one_half_loses_that_half_alone(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        stage.weigh(a=0.6, a_2=0.6)
        at = stage.running()
        epoch = stage.supervisor._roster.epochs["a"]
        stage.port.die(at["a~2"])
        await stage.until(lambda: set(stage.running()) == {"a", "a~2"})
        assert stage.supervisor._roster.epochs["a"] == epoch

    play(lambda stage: act(scene(stage)))


def test_half_a_stream_that_finds_no_seat_for_long_is_made_whole(play: Any) -> None:  # noqa: F811
    async def act(stage: Heavy) -> None:
        await split(stage)
        stage.port.fail_starts = 1000
        stage.port.die(stage.running()["a~2"])
        for _ in range(400):
            if not stage.supervisor._roster.splits and set(stage.running()) == {"a"}:
                return
            for name in ("a", "a~2"):
                if (stream := stage.supervisor._roster.streams.get(name)) is not None:
                    stream.share = 0.6
            await asyncio.sleep(0.02)
        raise AssertionError("it is in halves still")

    play(lambda stage: act(scene(stage)))
