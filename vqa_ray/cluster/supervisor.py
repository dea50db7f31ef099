"""The supervisor actor: keeps what is wanted and what is running the same.

Observe, plan, act: once a second, and at once when something happens. One asyncio loop; the disk is used on another
thread. It may be killed at any moment: the store has what is wanted and every epoch, the living analyzers have what
is running.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from vqa_ray.cluster import outlets, process, status
from vqa_ray.cluster.analyzer import Analyzer
from vqa_ray.cluster.crew import Crew
from vqa_ray.cluster.journal import Journal
from vqa_ray.cluster.messages import ApplyResult, Beat, BeatReply, ClusterOptions, FleetStatus, Handed, Setup
from vqa_ray.cluster.port import Handle, Port, RayPort, never_repeated
from vqa_ray.cluster.raylocal import state_folder
from vqa_ray.cluster.roster import Roster
from vqa_ray.cluster.state import Owner, SqliteStore, StateStore
from vqa_ray.config import FleetSpec, Profile, StreamSpec, profile_for
from vqa_ray.core.notice import Incident
from vqa_ray.core.reconcile import plan
from vqa_ray.errors import ClusterError, ConfigError
from vqa_ray.sinks.secret import dec_hook, enc_hook

log = logging.getLogger(__name__)

INVENTORY_S = 3.0  # how long a new supervisor waits for the analyzers it finds
CORES_EVERY_S = 5.0
UPKEEP_EVERY_S = 1800.0
OUTBOX_STOP_S = 5.0
STALL_S = 3.0  # a longer pause between ticks is the supervisor's own, and counts as no silence of others


class AwakeClock:
    """Monotonic seconds while the supervisor was able to listen: its own stalls are left out."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last_s = monotonic()
        self._stalled_s = 0.0

    def now_s(self) -> float:
        """The time."""
        return self._monotonic() - self._stalled_s

    def tick(self) -> None:
        """Called at least every STALL_S."""
        now_s = self._monotonic()
        self._stalled_s += max(0.0, now_s - self._last_s - STALL_S)
        self._last_s = now_s


class Supervisor:
    """Named, detached, on the head; created by `Fleet`. All methods may be repeated. Must be made on an event loop."""

    def __init__(
        self,
        state_dir: str | None,
        options: ClusterOptions,
        *,
        port: Port | None = None,
        kind: type[Any] = Analyzer,
        open_store: Callable[[], StateStore] | None = None,
    ) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._options = options
        self._clock = AwakeClock()
        self._port: Port = port or RayPort()
        self._journal = Journal(open_store or (lambda: SqliteStore(state_folder(state_dir))))
        self._roster = Roster(options, process.incarnation())
        self._crew = Crew(
            self._roster, self._journal, self._port, kind, now_s=self._clock.now_s, wake=lambda: self._wake.set()
        )
        self._fleet = FleetSpec()
        self._started_utc = datetime.now(UTC)
        self._stale = 0
        self._tick_failures = 0
        self._cores = 0.0
        self._cores_due_s = 0.0
        self._upkeep_due_s = self._clock.now_s() + UPKEEP_EVERY_S
        self._compacting: asyncio.Future[None] | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._recovered = asyncio.Event()
        self._loop = asyncio.get_running_loop().create_task(self._run())

    def __repr__(self) -> str:
        return "Supervisor()"

    # ---- what clients ask

    async def apply(self, fleet: FleetSpec) -> ApplyResult:
        """Makes `fleet` what is wanted, on disk when this returns. ConfigError, StoreError: nothing has changed."""
        await self._recovered.wait()
        wanted = _wanted(fleet)
        if fleet.store is not None and fleet.store != self._fleet.store:
            await asyncio.get_running_loop().run_in_executor(None, outlets.check, fleet.store)
        if fleet.channels != self._fleet.channels:
            await self._journal.use(self._journal.build(fleet.channels))
        await self._journal.do(self._journal.store.save_fleet, msgspec.json.encode(fleet, enc_hook=enc_hook))
        self._fleet = fleet
        added, changed, removed = self._roster.want(wanted)
        self._crew.setup = Setup(store=fleet.store, channels=fleet.channels)
        await self._crew.tidy()
        self._wake.set()
        return ApplyResult(added=tuple(sorted(added)), changed=tuple(sorted(changed)), removed=tuple(sorted(removed)))

    async def status(self) -> FleetStatus:
        """How everything is now."""
        await self._recovered.wait()
        store = self._journal.store
        return FleetStatus(
            streams=status.stream_statuses(self._roster),
            analyzers=status.analyzer_statuses(self._roster),
            waiting=status.waiting(self._roster),
            open_incidents=await self._journal.do(store.count_open),
            undelivered=await self._journal.do(store.count_undelivered),
            dropped_stale=self._stale,
            tick_failures=self._tick_failures,
            started_utc=self._started_utc,
            supervisor_pid=os.getpid(),
        )

    async def incidents(self, limit: int, open_only: bool) -> list[Incident]:
        """The latest incidents, newest first."""
        return await self._journal.do(self._journal.store.incidents, limit=limit, open_only=open_only)

    async def stop(self) -> bool:
        """Releases all streams, ends the analyzers, delivers what waits; whether all was delivered. Then kill me."""
        await self._recovered.wait()
        if self._stopping:
            return True
        self._stopping = True
        self._loop.cancel()
        await self._crew.stop()
        empty = msgspec.json.encode(FleetSpec())
        await self._journal.do(self._journal.store.save_fleet, empty)
        return await self._journal.stop(OUTBOX_STOP_S)

    # ---- what analyzers say

    @never_repeated  # a late beat is worthless
    async def heartbeat(self, beat: Beat) -> BeatReply:
        """An analyzer's inventory; renews its leases."""
        await self._recovered.wait()
        if self._stopping:
            return BeatReply(supervisor=self._roster.incarnation)
        return self._roster.beat(beat, self._clock.now_s())

    @never_repeated
    async def tell(self, handed: Sequence[Handed]) -> None:
        """Transitions; journaled when this returns."""
        await self._recovered.wait()
        self._stale += await self._crew.hear(handed)

    # ---- observe, plan, act

    async def _run(self) -> None:
        """Fence: a tick that fails is counted, logged and tried again."""
        while True:
            try:
                if not self._recovered.is_set():
                    await self._recover()
                    self._recovered.set()
                await self._tick()
            except Exception:
                self._tick_failures += 1
                log.exception("a tick failed")
                await asyncio.sleep(self._options.tick_s)
            try:
                async with asyncio.timeout(self._options.tick_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _tick(self) -> None:
        self._wake.clear()
        self._clock.tick()
        now_s = self._clock.now_s()
        self._roster.look(now_s)
        self._crew.keep_set_up()
        await self._count_cores(now_s)
        limits = self._roster.limits(self._cores, held=self._crew.held)
        roster = self._roster
        await self._crew.carry_out(plan(roster.wanted(), roster.analyzers(now_s), roster.running(), now_s, limits))
        if now_s >= self._upkeep_due_s:
            self._upkeep_due_s = now_s + UPKEEP_EVERY_S
            await self._journal.do(self._journal.store.prune)
            self._compact()

    def _compact(self) -> None:
        """Begins to merge the result store's small files, on a thread of its own, unless that still goes on."""
        if self._fleet.store is None or (self._compacting is not None and not self._compacting.done()):
            return
        work = asyncio.get_running_loop().run_in_executor(None, outlets.compact, self._fleet.store)
        work.add_done_callback(_log_failure)
        self._compacting = work

    async def _count_cores(self, now_s: float) -> None:
        if now_s >= self._cores_due_s:
            self._cores_due_s = now_s + CORES_EVERY_S
            self._cores = await self._port.cores()

    # ---- after a restart

    async def _recover(self) -> None:
        """What is wanted from the store, what runs from the analyzers; nothing is assigned before both are known."""
        store, journal = self._journal.store, self._journal
        owners = await journal.do(store.owners)
        self._roster.epochs = {stream_id: owner.epoch for stream_id, owner in owners.items()}
        self._roster.snapshots = await journal.do(store.snapshots)
        await self._recover_fleet(await journal.do(store.fleet))
        found = await self._port.analyzers()
        beats = await asyncio.gather(*(self._inventory(handle) for handle in found.values()))
        for (name, handle), beat in zip(found.items(), beats, strict=True):
            if beat is None:
                self._crew.expect(name, handle)
                self._roster.presume(name, {}, self._clock.now_s())
            else:
                self._crew.adopt(beat.hello, handle)
                self._roster.beat(beat, self._clock.now_s())
        self._presume(owners)
        adopted = {p.stream_id: Owner(p.epoch, p.analyzer) for p in self._roster.places.values()}
        await journal.do(store.raise_epochs, adopted)

    async def _recover_fleet(self, data: bytes | None) -> None:
        if data is None:
            return
        self._fleet = msgspec.json.decode(data, type=FleetSpec, dec_hook=dec_hook)
        self._roster.want(_wanted(self._fleet))
        self._crew.setup = Setup(store=self._fleet.store, channels=self._fleet.channels)
        try:
            await self._journal.use(self._journal.build(self._fleet.channels))
        except ConfigError as error:
            log.error("alerts are journaled but not delivered: %s", error)

    async def _inventory(self, handle: Handle) -> Beat | None:
        try:
            beat: Beat = await self._port.call(handle, "inventory", timeout_s=INVENTORY_S)
        except ClusterError as error:
            log.warning("an analyzer gives no inventory: %s", error)
            return None
        return beat

    def _presume(self, owners: dict[str, Owner]) -> None:
        """Who was given streams and said nothing may still work on them, unless its process is known to be dead."""
        silent: dict[str, dict[str, int]] = {}
        for stream_id, owner in owners.items():
            if owner.analyzer is None or stream_id in self._roster.places:
                continue
            member = self._roster.members.get(owner.analyzer)
            said = member is not None and member.hello is not None
            if owner.incarnation and process.surely_dead(owner.incarnation):
                continue
            if said and member and member.hello and member.hello.incarnation == owner.incarnation:
                continue  # it answered, and does not have it
            name = f"{owner.analyzer} ({owner.incarnation})" if said else owner.analyzer
            silent.setdefault(name, {})[stream_id] = owner.epoch
        for name, owned in silent.items():
            self._roster.presume(name, owned, self._clock.now_s())


def _wanted(fleet: FleetSpec) -> dict[str, tuple[StreamSpec, Profile, str]]:
    """By id: spec, complete profile, and the digest of both. ConfigError, of the plain kind that travels."""
    try:
        return {stream.id: _resolved(fleet, stream) for stream in fleet.streams}
    except ConfigError as error:
        raise ConfigError(str(error)) from None


def _resolved(fleet: FleetSpec, stream: StreamSpec) -> tuple[StreamSpec, Profile, str]:
    profile = profile_for(fleet, stream)
    plain = msgspec.structs.replace(stream, priority=0)  # of placing only: no reason to interrupt the stream
    data = msgspec.json.encode((plain, profile), enc_hook=enc_hook)
    return stream, profile, hashlib.blake2b(data, digest_size=8).hexdigest()


def _log_failure(work: asyncio.Future[None]) -> None:
    if not work.cancelled() and (error := work.exception()):
        log.error("the result store could not be compacted: %s", error)
