"""The supervisor's hands: carries out what `plan` said, and sees at once when an analyzer dies."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from vqa_ray.cluster.journal import Journal
from vqa_ray.cluster.messages import Assignment, Handed, Hello, Released, Setup
from vqa_ray.cluster.port import Away, Death, Gone, Handle, NoAnswer, Port
from vqa_ray.cluster.roster import Place, Roster
from vqa_ray.cluster.state import Entry
from vqa_ray.core.reconcile import Action, Assign, Phase, Reason, Release, StartAnalyzer, StopAnalyzer
from vqa_ray.core.urls import is_live
from vqa_ray.errors import ClusterError, VqaError

log = logging.getLogger(__name__)

ASSIGN_S = 10.0
RELEASE_S = 10.0
STOP_S = 10.0
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
        self._starts_failed = 0
        self._held_until_s = 0.0

    @property
    def held(self) -> bool:
        """Whether no analyzer is to be started now, since the last one failed at once."""
        return self._now_s() < self._held_until_s

    # ---- plan → act

    async def carry_out(self, actions: Sequence[Action]) -> None:
        """Begins all actions; what takes long goes on in tasks. Epochs are on disk before they are handed out."""
        for action in actions:
            log.info("%s", _words(action))
            match action:
                case Release():
                    self._begin_release(action)
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
                return await self._port.start_analyzer(self._kind, name, (name, options, setup), options.cores)
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
        if not todo:
            return
        owners = {a.stream_id: (a.analyzer, self._incarnation(a.analyzer)) for a in todo}
        epochs = await self._journal.do(self._journal.store.next_epochs, owners)
        for action in todo:
            if self._free(action):  # still, after the wait for the disk
                place = self._roster.assigning(
                    action.stream_id, action.analyzer, epochs[action.stream_id], self._now_s()
                )
                self._begin(self._assign(place, self._assignment(place)))

    def _free(self, action: Assign) -> bool:
        place = self._roster.places.get(action.stream_id)
        nobody = place is None or (place.lost is not None and not place.busy)
        return nobody and action.stream_id in self._roster.streams and action.analyzer in self._handles

    def _incarnation(self, name: str) -> str:
        hello = self._roster.members[name].hello
        return hello.incarnation if hello else ""

    def _assignment(self, place: Place) -> Assignment:
        stream = self._roster.streams[place.stream_id]
        _, snapshot = self._roster.snapshots.get(place.stream_id, (0, None))
        if not is_live(stream.spec.url):
            snapshot = None  # a file is read from its start again, and finds the same incidents under the same ids
        return Assignment(
            stream=stream.spec, profile=stream.profile, epoch=place.epoch, version=place.version, snapshot=snapshot
        )

    async def _assign(self, place: Place, assignment: Assignment) -> None:
        handle = self._handles.get(place.analyzer)
        try:
            number = await self._port.call(handle, "assign", assignment, timeout_s=ASSIGN_S)
        except Gone as error:
            self._died(place.analyzer, handle, error)
        except (Away, NoAnswer) as error:
            log.warning("%s: no answer to the assignment of %s: %s", place.analyzer, place.stream_id, error)
            place.busy = False  # its next inventory tells
        except VqaError as error:
            log.error("%s refused stream %s: %s", place.analyzer, place.stream_id, error)
            self._roster.refused(place, self._now_s())
        else:
            self._roster.assigned(place, number, self._now_s())

    # ---- taking streams back

    def _begin_release(self, action: Release) -> None:
        place = self._roster.places.get(action.stream_id)
        if place is None or place.busy or (place.analyzer, place.epoch) != (action.analyzer, action.epoch):
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
            log.warning("%s: stream %s could not be released: %s", place.analyzer, place.stream_id, error)
            place.busy = False
            return False
        await self.hear(released.handed)
        self._roster.released(place, reason, released.snapshot)
        return True

    async def tidy(self) -> None:
        """Forgets streams that are neither wanted nor running, and closes what they have open."""
        roster = self._roster
        over = [s for s in roster.epochs if s not in roster.streams and s not in roster.places]
        for stream_id in over:
            roster.forget(stream_id)
        await self._journal.do(self._journal.store.forget_snapshots, over)
        await self._journal.close_incidents(
            lambda s: s not in roster.streams and s not in roster.places, lambda s: roster.epochs.get(s, 0)
        )

    async def hear(self, handed: Iterable[Handed]) -> int:
        """Journals transitions; gives back how many were dropped since a newer epoch speaks for their stream."""
        entries: list[Entry] = []
        stale = 0
        for one in handed:
            told, stream_id = one.told, one.told.notice.incident.stream_id
            if not self._roster.current(stream_id, told.epoch):
                log.warning("dropped what epoch %d still says of stream %s", told.epoch, stream_id)
                stale += 1
                continue
            entries.append(Entry(told.notice, told.epoch, told.snapshot, one.delivered))
        if entries:
            await self._journal.write(entries)
        for entry in entries:
            self._roster.remember(entry.notice.incident.stream_id, entry.epoch, entry.snapshot)
        return stale

    # ---- the end

    async def stop(self) -> None:
        """Takes all streams back, keeps their snapshots, and ends the analyzers; in bounded time."""
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


def _words(action: Action) -> str:
    """`assign s1 to analyzer-0: new`."""
    verb = {Release: "release", StopAnalyzer: "end", StartAnalyzer: "start", Assign: "assign"}[type(action)]
    if isinstance(action, Release | Assign):
        return f"{verb} {action.stream_id} at {action.analyzer}: {action.reason}"
    return f"{verb} {action.analyzer}: {action.reason}"
