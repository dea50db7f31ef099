"""The supervisor's hands: carries out what `plan` said, and sees at once when an analyzer dies."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from vqa_ray.cluster.journal import Journal
from vqa_ray.cluster.messages import Assignment, Handed, Hello, Released, Setup
from vqa_ray.cluster.port import Away, Death, Gone, Handle, NoAnswer, Port
from vqa_ray.cluster.records import Place
from vqa_ray.cluster.roster import Roster
from vqa_ray.cluster.state import Entry
from vqa_ray.core.halves import second
from vqa_ray.core.reconcile import Action, Assign, Phase, Reason, Release, StartAnalyzer, StopAnalyzer
from vqa_ray.core.source import State
from vqa_ray.core.urls import is_live
from vqa_ray.errors import ClusterError, VqaError
from vqa_ray.media.schemes import serves_one
from vqa_ray.pipeline.marks import Marks, about
from vqa_ray.pipeline.worker import Warmth

log = logging.getLogger(__name__)

ASSIGN_S = 10.0
RELEASE_S = 10.0
STOP_S = 10.0
WARM_UP_S = 15.0  # then what moves is taken from its owner all the same
LOOK_S = 0.2  # between two looks at a rehearsal
REHEARSALS = 16  # at once, in the whole fleet: each opens its source and probes it
WATCH_S = 60.0
SET_UP_AGAIN_S = 10.0
_NAME_TAKEN_TRIES = 25  # of 0.2 s: Ray frees the name of a dead actor a moment after its death is known
_FIRST_HOLD_S, _MAX_HOLD_S = 1.0, 60.0  # no starts, after one that failed


class Crew:
    """The analyzers as actors. Only ever used on the supervisor's event loop.

    now_s: the roster's clock. wake: something has changed, plan again.
    """

    def __init__(
        self,
        roster: Roster,
        journal: Journal,
        port: Port,
        kind: type[Any],
        *,
        now_s: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.setup = Setup()
        self._roster = roster
        self._journal = journal
        self._port = port
        self._kind = kind
        self._now_s = now_s
        self._wake = wake
        self._handles: dict[str, Handle] = {}
        self._set_up: dict[str, Setup] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rehearsals = asyncio.Semaphore(REHEARSALS)
        self._stopping = False
        self._starts_failed = 0
        self._held_until_s = 0.0

    @property
    def held(self) -> bool:
        """Whether no analyzer is to be started now, since the last one failed at once."""
        return self._now_s() < self._held_until_s

    # ---- plan → act

    async def carry_out(self, actions: Sequence[Action]) -> None:
        """Begins all actions; what takes long goes on in tasks. Epochs are on disk before they are handed out.

        A release and an assignment of the same stream are a move.
        """
        targets = {action.stream_id: action.analyzer for action in actions if isinstance(action, Assign)}
        for action in actions:
            log.info("%s", _words(action), extra=_about(action))
            match action:
                case Release():
                    self._begin_release(action, targets.get(action.stream_id))
                case StopAnalyzer():
                    self._begin_stop(action)
                case StartAnalyzer():
                    self._roster.started(action.analyzer, self._now_s())
                    self._begin(self._start(action.analyzer))
        await self._assign_all([action for action in actions if isinstance(action, Assign)])

    def keep_set_up(self) -> None:
        """Tells analyzers that do not know it yet where results go."""
        for name, member in self._roster.members.items():
            if member.phase is Phase.READY and name in self._handles and self._set_up.get(name) != self.setup:
                self._set_up[name] = self.setup
                self._begin(self._configure(name, self.setup))

    def adopt(self, hello: Hello, handle: Handle) -> None:
        """An analyzer that lives already."""
        self._handles[hello.name] = handle
        self._roster.ready(hello, self._now_s())
        self._begin(self._watch(hello.name, handle))

    def expect(self, name: str, handle: Handle) -> None:
        """An analyzer that Ray knows, but that has not answered yet."""
        self._handles[name] = handle
        self._begin(self._watch(name, handle))

    # ---- starting and stopping analyzers

    async def _start(self, name: str) -> None:
        try:
            handle = await self._create(name, self.setup)
            self._handles[name] = handle
            hello: Hello = await self._port.call(handle, "hello", timeout_s=None)  # pending is demand: no limit
        except ClusterError as error:
            self._start_failed(name, error)
            return
        self._starts_failed = 0
        self.adopt(hello, handle)
        self._wake()

    async def _create(self, name: str, setup: Setup) -> Handle:
        options = self._roster.options
        for attempt in range(_NAME_TAKEN_TRIES):
            try:
                arguments = (name, options, setup)
                return await self._port.start_analyzer(self._kind, name, arguments, options.cores, options.memory_bytes)
            except ClusterError:
                if attempt == _NAME_TAKEN_TRIES - 1:
                    raise
                await asyncio.sleep(0.2)
        raise ClusterError(f"{name}: could not be started")

    def _start_failed(self, name: str, error: ClusterError) -> None:
        self._handles.pop(name, None)
        self._roster.gone(name, Reason.DIED, self._now_s(), crashed=False)
        hold_s = min(_MAX_HOLD_S, _FIRST_HOLD_S * 2.0 ** min(self._starts_failed, 20))
        self._starts_failed += 1
        self._held_until_s = self._now_s() + hold_s
        log.error("%s did not start, next try in %.0f s: %s", name, hold_s, error)

    def _begin_stop(self, action: StopAnalyzer) -> None:
        places = self._roster.places.values()
        if any(place.busy and place.analyzer == action.analyzer for place in places):
            return  # its other streams are being released; planned again when that is done
        lost = self._roster.gone(action.analyzer, action.reason, self._now_s(), crashed=False)
        log.warning("%s is ended (%s) with streams %s", action.analyzer, action.reason, lost)
        self._set_up.pop(action.analyzer, None)
        if handle := self._handles.pop(action.analyzer, None):
            self._begin(self._port.kill(handle))

    async def _configure(self, name: str, setup: Setup) -> None:
        try:
            await self._port.call(self._handles[name], "configure", setup, timeout_s=ASSIGN_S)
        except VqaError as error:
            log.error("%s could not be set up: %s", name, error)
            if self._set_up.get(name) == setup and not isinstance(error, Gone):
                await asyncio.sleep(SET_UP_AGAIN_S)
                self._set_up.pop(name, None)

    # ---- death

    async def _watch(self, name: str, handle: Handle) -> None:
        """A call that is always under way: it fails some 20 ms after the process has died."""
        while self._handles.get(name) is handle:
            try:
                await self._port.call(handle, "watch", WATCH_S, timeout_s=None)
            except Gone as error:
                self._died(name, handle, error)
            except ClusterError as error:
                log.warning("%s cannot be watched: %s", name, error)
                await asyncio.sleep(0.5)

    def _died(self, name: str, handle: Handle, error: Gone) -> None:
        if self._handles.get(name) is not handle:
            return
        if error.death is Death.NODE:
            log.warning("%s: Ray lost its node; its leases are waited for: %s", name, error)
            self._handles.pop(name)
            if member := self._roster.members.get(name):
                member.phase = Phase.SILENT
            return
        self._handles.pop(name)
        self._set_up.pop(name, None)
        lost = self._roster.gone(name, Reason.DIED, self._now_s(), crashed=True)
        log.warning("%s died with %d streams: %s", name, len(lost), error)
        self._wake()

    # ---- giving streams

    async def _assign_all(self, assigns: Iterable[Assign]) -> None:
        todo = [action for action in assigns if self._free(action)]
        if not todo or self._stopping:
            return
        owners = {a.stream_id: (a.analyzer, self._incarnation(a.analyzer)) for a in todo}
        epochs = await self._journal.do(self._journal.store.next_epochs, owners)
        for action in todo:
            if self._free(action):  # still, after the wait for the disk
                place = self._roster.assigning(
                    action.stream_id, action.analyzer, epochs[action.stream_id], self._now_s(), action.reason
                )
                self._begin(self._assign(place, self._assignment(place)))

    def _free(self, action: Assign) -> bool:
        place = self._roster.places.get(action.stream_id)
        nobody = place is None or (place.lost is not None and not place.busy)
        wanted = self._roster.watches(action.stream_id) and action.stream_id not in self._roster.parked
        return nobody and wanted and action.analyzer in self._handles

    def _incarnation(self, name: str) -> str:
        hello = self._roster.members[name].hello
        return hello.incarnation if hello else ""

    def _assignment(self, place: Place) -> Assignment:
        stream = self._roster.streams[place.stream_id]
        _, snapshot = self._roster.snapshots.get(place.stream_id, (0, None))
        return Assignment(
            stream=stream.spec,
            profile=stream.profile,
            epoch=place.epoch,
            version=place.version,
            snapshot=snapshot,
            reached_s=place.reached_s,
        )

    async def _assign(self, place: Place, assignment: Assignment) -> None:
        handle = self._handles.get(place.analyzer)
        try:
            number = await self._port.call(handle, "assign", assignment, timeout_s=ASSIGN_S)
        except Gone as error:
            self._died(place.analyzer, handle, error)
        except (Away, NoAnswer) as error:
            words = "%s: no answer to the assignment of %s: %s"
            log.warning(words, place.analyzer, place.stream_id, error, extra=about(place.stream_id, place.epoch))
            place.busy = False  # its next inventory tells
        except VqaError as error:
            words = "%s refused stream %s: %s"
            log.error(words, place.analyzer, place.stream_id, error, extra=about(place.stream_id, place.epoch))
            self._roster.refused(place, self._now_s())
        else:
            self._roster.assigned(place, number, self._now_s())

    # ---- taking streams back

    def _begin_release(self, action: Release, target: str | None) -> None:
        """Of a stream that goes to `target`, or to nobody for now."""
        place = self._roster.places.get(action.stream_id)
        if place is None or place.busy or (place.analyzer, place.epoch) != (action.analyzer, action.epoch):
            return
        if target is not None and target in self._handles:
            self.begin_move(place, target, action.reason)
            return
        place.busy = True
        self._begin(self._release(place, action.reason))

    async def _release(self, place: Place, reason: Reason) -> None:
        if await self._give_back(place, reason):
            await self._journal.do(self._journal.store.disown, {place.stream_id: place.epoch})
            if reason is Reason.REMOVED:
                await self.tidy()
        self._wake()

    async def _give_back(self, place: Place, reason: Reason) -> bool:
        """Has the analyzer stop it; whether it did. What it had to tell is journaled first."""
        handle = self._handles.get(place.analyzer)
        try:
            released: Released = await self._port.call(
                handle, "release", place.stream_id, place.epoch, timeout_s=RELEASE_S
            )
        except Gone as error:
            self._died(place.analyzer, handle, error)
            return False
        except VqaError as error:
            words = "%s: stream %s could not be released: %s"
            log.warning(words, place.analyzer, place.stream_id, error, extra=about(place.stream_id, place.epoch))
            place.busy = False
            return False
        await self.hear(released.handed)
        self._roster.remember(place.stream_id, place.epoch, released.snapshot)
        if released.snapshot is not None:
            kept = self._roster.left_by(place)
            await self._journal.do(self._journal.store.save_snapshots, kept)
        self._roster.released(place, reason)
        return True

    async def toll(self, place: Place) -> dict[str, float]:
        """Share of the stream's time that each of its detectors takes; empty where nobody can tell."""
        try:
            known: dict[str, float] = await self._port.call(
                self._handles.get(place.analyzer), "toll", place.stream_id, timeout_s=ASSIGN_S
            )
        except VqaError as error:
            log.warning("%s does not tell what stream %s takes: %s", place.analyzer, place.stream_id, error)
            return {}
        return known

    # ---- moving streams

    def begin_move(self, place: Place, target: str, reason: Reason) -> None:
        """Has the stream go from where it is to `target`, which may be the same analyzer: with another profile, say."""
        place.busy = True
        self._roster.moving[place.stream_id] = target
        self._begin(self._move(place, target, reason))

    async def _move(self, place: Place, target: str, reason: Reason) -> None:
        """Make before break, where the source lets two connect: the next owner is warm before the last one stops.

        Whatever fails on the way, the stream is then where it was, or without an owner and planned for anew: an epoch
        is given out only after the last owner has stopped, and what was rehearsed has no output until it gets one.
        """
        stream_id = place.stream_id
        try:
            if self._may_rehearse(place):
                async with self._rehearsals:
                    warm = await self._warm_up(place, target)
                if not warm:
                    await self._dismiss(stream_id, target)
            if self._still(place, target):
                await self._give_back(place, reason)
            await self._assign_all([Assign(stream_id, target, reason)])  # unless the last owner has it still
        finally:
            self._roster.moving.pop(stream_id, None)
            if self._roster.places.get(stream_id) is place and place.lost is None:
                place.busy = False
        now = self._roster.places.get(stream_id)
        if now is None or now is place or now.analyzer != target:
            await self._dismiss(stream_id, target)
        self._wake()

    def _may_rehearse(self, place: Place) -> bool:
        """Whether two may watch it at once, and there is something to watch."""
        stream = self._roster.streams.get(place.stream_id)
        if stream is None or place.report is None or place.stream_id not in self._roster.snapshots:
            return False
        live = is_live(stream.spec.url) and place.report.state == State.LIVE
        return live and not serves_one(stream.spec.url, stream.profile.source)

    async def _warm_up(self, place: Place, target: str) -> bool:
        """Has the stream rehearsed at the target; whether it is warm."""
        handle, stream = self._handles.get(target), self._roster.streams.get(place.stream_id)
        if handle is None or stream is None:
            return False
        _, snapshot = self._roster.snapshots[place.stream_id]
        rehearsal = Assignment(
            stream=stream.spec, profile=stream.profile, epoch=0, version=stream.version, snapshot=snapshot
        )
        until_s = self._now_s() + WARM_UP_S
        try:
            await self._port.call(handle, "prepare", rehearsal, timeout_s=ASSIGN_S)
            while self._now_s() < until_s and self._still(place, target):
                reached_s = place.report.at_s if place.report else 0.0
                warmth = await self._port.call(handle, "warmth", place.stream_id, reached_s, timeout_s=ASSIGN_S)
                if warmth != Warmth.COLD:
                    return bool(warmth == Warmth.WARM)
                await asyncio.sleep(LOOK_S)
        except Gone as error:
            self._died(target, handle, error)
        except VqaError as error:
            log.warning("%s: stream %s cannot be rehearsed: %s", target, place.stream_id, error)
        return False

    def _still(self, place: Place, target: str) -> bool:
        """Whether the stream is where it was, and is still to go to the target."""
        here = self._roster.places.get(place.stream_id) is place and place.lost is None
        return here and self._roster.watches(place.stream_id) and target in self._handles

    async def _dismiss(self, stream_id: str, target: str) -> None:
        if handle := self._handles.get(target):
            try:
                await self._port.call(handle, "dismiss", stream_id, timeout_s=ASSIGN_S)
            except VqaError as error:
                log.warning("%s: what it rehearsed of %s ends by itself: %s", target, stream_id, error)

    async def tidy(self) -> None:
        """Forgets streams that are neither watched nor running, and closes what they have open."""
        roster = self._roster
        over = [s for s in roster.epochs if roster.is_forgotten(s)]
        for stream_id in over:
            roster.forget(stream_id)
        await self._journal.do(self._journal.store.forget_snapshots, over)
        await self._journal.close_incidents(
            lambda s: roster.is_over(s) and roster.is_over(second(s)), lambda s: roster.epochs.get(s, 0)
        )

    async def hear(self, handed: Iterable[Handed]) -> int:
        """Journals transitions; gives back how many were dropped since a newer epoch speaks for their stream."""
        entries: list[Entry] = []
        stale = 0
        for one in handed:
            told, stream_id = one.told, one.told.assigned
            if not self._roster.current(stream_id, told.epoch):
                words = "dropped what epoch %d still says of stream %s"
                log.warning(words, told.epoch, stream_id, extra=about(stream_id, told.epoch))
                stale += 1
                continue
            entries.append(Entry(told.notice, told.epoch, told.snapshot, one.delivered, of=told.of))
        if entries:
            await self._journal.write(entries)
        for entry in entries:
            self._roster.remember(entry.assigned, entry.epoch, entry.snapshot)
        return stale

    # ---- the end

    async def stop(self) -> None:
        """Takes all streams back, keeps their snapshots, and ends the analyzers; in bounded time."""
        self._stopping = True
        places = [p for p in self._roster.places.values() if p.lost is None and p.analyzer in self._handles]
        await asyncio.gather(*(self._give_back(place, Reason.REMOVED) for place in places))
        await self._journal.do(self._journal.store.disown, {place.stream_id: place.epoch for place in places})
        await self._journal.do(self._journal.store.save_snapshots, dict(self._roster.snapshots))
        handles, self._handles = self._handles, {}
        await asyncio.gather(*(self._end(handle) for handle in handles.values()))
        for task in self._tasks:
            task.cancel()

    async def _end(self, handle: Handle) -> None:
        try:
            await self._port.call(handle, "stop", timeout_s=STOP_S)
        except ClusterError as error:
            log.warning("an analyzer did not stop by itself: %s", error)
        await self._port.kill(handle)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("an action failed: %s", error, exc_info=error)


def _about(action: Action) -> Marks:
    """The stream, the epoch and the analyzer that it is about, for the log."""
    found: Marks = {"analyzer": action.analyzer}
    if isinstance(action, Release | Assign):
        found["stream"] = action.stream_id
    if isinstance(action, Release):
        found["epoch"] = action.epoch
    return found


def _words(action: Action) -> str:
    """`assign s1 to analyzer-0: new`."""
    verb = {Release: "release", StopAnalyzer: "end", StartAnalyzer: "start", Assign: "assign"}[type(action)]
    if isinstance(action, Release | Assign):
        return f"{verb} {action.stream_id} at {action.analyzer}: {action.reason}"
    return f"{verb} {action.analyzer}: {action.reason}"
