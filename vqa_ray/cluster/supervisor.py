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

from vqa_ray.cluster import changes, metrics, outlets, process, status
from vqa_ray.cluster.absences import Absences, assigned_as
from vqa_ray.cluster.analyzer import Analyzer
from vqa_ray.cluster.crew import Crew
from vqa_ray.cluster.halving import Resolved
from vqa_ray.cluster.headcount import Headcount
from vqa_ray.cluster.journal import Journal
from vqa_ray.cluster.messages import (
    SUPERVISOR,
    ApplyResult,
    Beat,
    BeatReply,
    ClusterOptions,
    FleetStatus,
    Handed,
    Setup,
)
from vqa_ray.cluster.parking import Parking
from vqa_ray.cluster.port import Handle, Port, RayPort, never_repeated
from vqa_ray.cluster.raylocal import state_folder
from vqa_ray.cluster.roster import Roster
from vqa_ray.cluster.splitting import Splitting
from vqa_ray.cluster.state import Entry, Owner, SqliteStore, StateStore
from vqa_ray.config import FleetSpec, StreamSpec, profile_for, spread
from vqa_ray.core.exposure import Exposure
from vqa_ray.core.halves import PART, second
from vqa_ray.core.notice import Incident, Notice
from vqa_ray.core.quiet import Mute, Quiet
from vqa_ray.core.reconcile import Phase, Reason, plan
from vqa_ray.core.refusal import suggest
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.core.stay import Stay
from vqa_ray.core.urls import redact
from vqa_ray.errors import ClusterError, ConfigError
from vqa_ray.pipeline.handover import without_position
from vqa_ray.sinks import traces
from vqa_ray.sinks.secret import dec_hook, enc_hook

log = logging.getLogger(__name__)

INVENTORY_S = 3.0  # how long a new supervisor waits for the analyzers it finds
CORES_EVERY_S = 2.0
FIRST_UPKEEP_S = 60.0  # short runs shall leave no small files of earlier ones either
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
        process.log_to_stderr(SUPERVISOR)
        self._options = options
        self._clock = AwakeClock()
        self._port: Port = port or RayPort()
        self._journal = Journal(open_store or (lambda: SqliteStore(state_folder(state_dir))))
        self._roster = Roster(options, process.incarnation())
        self._crew = Crew(
            self._roster, self._journal, self._port, kind, now_s=self._clock.now_s, wake=lambda: self._wake.set()
        )
        self._absences = Absences(self._roster)
        self._headcount = Headcount(self._roster)
        self._exposure = Exposure()
        self._parking = Parking(self._roster, self._journal)
        self._splitting = Splitting(self._roster, self._journal, self._crew)
        self._fleet = FleetSpec()
        self._applying = asyncio.Lock()
        self._started_utc = datetime.now(UTC)
        self._stale = 0
        self._tick_failures = 0
        self._cores = 0.0
        self._cores_due_s = 0.0
        self._upkeep_due_s = self._clock.now_s() + FIRST_UPKEEP_S
        self._metrics_due_s = 0.0
        self._upkeeping: asyncio.Future[None] | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._recovered = asyncio.Event()
        self._loop = asyncio.get_running_loop().create_task(self._run())

    def __repr__(self) -> str:
        return "Supervisor()"

    # ---- what clients ask

    async def apply(self, fleet: FleetSpec, dry_run: bool = False) -> ApplyResult:
        """Makes `fleet` what is wanted, on disk when this returns. ConfigError, StoreError: nothing has changed.

        dry_run: only says what would change.
        """
        await self._recovered.wait()
        async with self._applying:
            return changes.between(self._fleet, fleet) if dry_run else await self._apply(fleet)

    async def add(self, streams: Sequence[StreamSpec]) -> ApplyResult:
        """Watches these too. ConfigError: one of another kind has the id already, or is wrong; nothing has changed."""
        await self._recovered.wait()
        async with self._applying:
            return await self._apply(changes.with_streams(self._fleet, streams))

    async def remove(self, stream_ids: Sequence[str]) -> ApplyResult:
        """Watches these no longer. ConfigError: there is none of an id; nothing has changed."""
        await self._recovered.wait()
        async with self._applying:
            return await self._apply(changes.without_streams(self._fleet, stream_ids))

    async def pause(self, stream_ids: Sequence[str], paused: bool) -> ApplyResult:
        """Leaves these declared, but unwatched (or watches them again). ConfigError as `remove`."""
        await self._recovered.wait()
        async with self._applying:
            return await self._apply(changes.with_paused(self._fleet, stream_ids, paused))

    async def move(self, stream_id: str, analyzer: str | None) -> str:
        """Has another analyzer (the best, if none is named) take a stream; its name, once that has begun.

        ClusterError: it cannot be moved there, or not now.
        """
        await self._recovered.wait()
        roster, place = self._roster, self._roster.places.get(stream_id)
        if stream_id not in roster.streams:
            raise ClusterError(f"there is no stream {stream_id!r}{suggest(stream_id, roster.streams)}")
        if stream_id in roster.moving:
            return roster.moving[stream_id]
        if place is not None and place.lost is None and place.analyzer == analyzer:
            return place.analyzer
        if place is None or place.lost is not None or place.busy:
            raise ClusterError(f"stream {stream_id} has no analyzer at the moment")
        ready = {m.name for m in roster.members.values() if roster.phase(m) is Phase.READY}
        if analyzer is not None and analyzer not in ready:
            raise ClusterError(f"there is no analyzer {analyzer!r} that is ready{suggest(analyzer, ready)}")
        target = roster.seat_for(stream_id, ready - {place.analyzer} if analyzer is None else {analyzer})
        if target is None:
            where = "no other analyzer has" if analyzer is None else f"{analyzer} has no"
            raise ClusterError(f"{where} room for stream {stream_id}")
        self._crew.begin_move(place, target, Reason.ASKED)
        return target

    async def _apply(self, fleet: FleetSpec) -> ApplyResult:
        data = _checked(fleet)
        wanted, options = _wanted(fleet), _options(fleet, self._options)
        result = changes.between(self._fleet, fleet)
        if fleet.store is not None and fleet.store != self._fleet.store:
            await asyncio.get_running_loop().run_in_executor(None, outlets.check, fleet.store)
        if fleet.outlets != self._fleet.outlets:
            await self._journal.use(self._journal.build(fleet.outlets))
        await self._journal.do(self._journal.store.save_fleet, data)
        self._fleet = fleet
        self._roster.options = options
        self._roster.want(wanted)
        self._crew.setup = _setup(fleet, self._journal.hush(fleet.noise))
        traces.HERE.use(fleet.traces, SUPERVISOR)
        await self._crew.tidy()
        self._wake.set()
        return result

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
            left={reason.value: count for reason, count in sorted(self._roster.losses.items())},
        )

    async def incidents(self, limit: int, open_only: bool) -> list[Incident]:
        """The latest incidents, newest first."""
        return await self._journal.do(self._journal.store.incidents, limit=limit, open_only=open_only)

    async def incident(self, incident_id: str) -> Incident | None:
        """The latest state of one incident; None if it is not remembered."""
        return await self._journal.do(self._journal.store.incident, incident_id)

    async def remark(self, remark: Remark) -> bool:
        """Keeps what someone says of an incident; False if there is none of that id."""
        return await self._journal.remark(remark)

    async def retract(self, incident_id: str, kind: RemarkKind) -> None:
        """Forgets what was said."""
        await self._journal.retract(incident_id, kind)

    async def remarks(self) -> list[Remark]:
        """All that was said of incidents that are remembered."""
        return await self._journal.do(self._journal.store.remarks)

    async def mute(self, mute: Mute) -> None:
        """Tells nothing of what it fits until it ends: on disk, and known to the analyzers, soon after this returns."""
        await self._recovered.wait()
        await self._journal.mute(mute)
        self._hush()

    async def unmute(self, mute_id: str) -> bool:
        """Ends a mute; whether it lasted."""
        await self._recovered.wait()
        lasted = await self._journal.unmute(mute_id)
        self._hush()
        return lasted

    async def quiet(self) -> Quiet:
        """The mutes that last, and the windows of the fleet."""
        await self._recovered.wait()
        return Quiet(windows=self._fleet.noise.windows, mutes=self._journal.mutes())

    def _hush(self) -> None:
        quiet = self._journal.hush(self._fleet.noise)
        self._crew.setup = msgspec.structs.replace(self._crew.setup, quiet=quiet)
        self._wake.set()

    async def store(self) -> str | None:
        """URI of the result store. It may hold credentials: not for showing."""
        await self._recovered.wait()
        return self._fleet.store

    async def declared(self) -> FleetSpec:
        """The fleet that is wanted, without its channels."""
        await self._recovered.wait()
        return msgspec.structs.replace(self._fleet, channels=())

    async def source(self, stream_id: str) -> str | None:
        """The URL of a wanted stream, without its secrets; None if it is not wanted."""
        await self._recovered.wait()
        stream = self._roster.streams.get(stream_id)
        return redact(stream.spec.url) if stream else None

    async def stays(self, stream_id: str) -> list[Stay]:
        """Where a stream was, and why it went there, the latest first; since this process began."""
        await self._recovered.wait()
        streams = self._roster.streams
        stays = [*streams[stream_id].stays] if stream_id in streams else []
        if (other := streams.get(second(stream_id))) is not None:
            stays += [msgspec.structs.replace(stay, why=f"{stay.why} ({PART})") for stay in other.stays]
        return sorted(stays, key=lambda stay: stay.since_utc, reverse=True)

    async def drain(self, node_id: str) -> int:
        """Empties a node of Ray's: other analyzers take its streams, then its own end. How many are left; ask again.

        Forgotten when this process restarts: who waits for it asks each second.
        """
        await self._recovered.wait()
        if node_id not in self._roster.draining:
            self._roster.draining.add(node_id)
            self._wake.set()
        return len(self._roster.at(node_id))

    async def unpark(self, stream_id: str) -> bool:
        """Gives a stream that was given up another chance; whether it was. ConfigError if there is no such stream."""
        await self._recovered.wait()
        if stream_id not in self._roster.streams:
            raise ConfigError(
                f"stream {stream_id!r}: there is no such stream{suggest(stream_id, self._roster.streams)}"
            )
        names = [name for name in (stream_id, second(stream_id)) if name in self._roster.streams]
        was = sum(self._roster.unpark(name, self._clock.now_s()) for name in names) > 0
        await self._parking.tell()
        self._wake.set()
        return was

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
        done = await self._journal.stop(OUTBOX_STOP_S)
        await asyncio.get_running_loop().run_in_executor(None, traces.HERE.close)
        return done

    # ---- what analyzers say

    @never_repeated  # a late beat is worthless
    async def heartbeat(self, beat: Beat) -> BeatReply:
        """An analyzer's inventory; renews its leases."""
        await self._recovered.wait()
        if self._stopping:
            return BeatReply(supervisor=self._roster.incarnation)
        return self._roster.beat(beat, self._clock.now_s())

    @never_repeated
    async def tell(self, handed: Sequence[Handed], to: str = "") -> None:
        """Transitions; journaled when this returns.

        to: the supervisor that is meant. A call that waited for this process while its predecessor was gone is refused:
        whoever made it does not wait any more, and has told the channels.
        """
        if to and to != self._roster.incarnation:
            raise ClusterError("said to another supervisor")
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
                async with asyncio.timeout(self._rest_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _rest_s(self) -> float:
        """Until the next tick: it is due, too, when the lease of an analyzer that has gone silent runs out."""
        now_s = self._clock.now_s()
        silent = [m.lease_until_s for m in self._roster.members.values() if m.phase is Phase.SILENT]
        soon = min((until_s - now_s + 0.01 for until_s in silent if until_s > now_s), default=self._options.tick_s)
        return min(self._options.tick_s, soon)

    async def _tick(self) -> None:
        self._wake.clear()
        self._clock.tick()
        now_s = self._clock.now_s()
        self._roster.look(now_s)
        self._crew.keep_set_up()
        await self._look_at_ray(now_s)
        await self._parking.tell()
        await self._journal.look()
        await self._splitting.look(now_s)
        roster = self._roster
        wanted = roster.wanted()
        self._headcount.look(wanted, now_s)
        limits = self._headcount.limits(self._cores, held=self._crew.held)
        await self._crew.carry_out(plan(wanted, roster.analyzers(now_s), roster.running(now_s), now_s, limits))
        await self._tell_absences(self._absences.look(now_s, datetime.now(UTC)))
        if now_s >= self._upkeep_due_s:
            self._upkeep_due_s = now_s + UPKEEP_EVERY_S
            await self._journal.do(self._journal.store.prune)
            self._keep_up()
        if now_s >= self._metrics_due_s:
            self._metrics_due_s = now_s + metrics.EVERY_S
            await self._tell_metrics(now_s)

    async def _tell_metrics(self, now_s: float) -> None:
        journal, status = self._journal, await self.status()
        lasting = await journal.do(journal.store.incidents, limit=metrics.MOST_OPEN, open_only=True)
        journal.tally.look(status.streams, status.analyzers, now_s)
        options = self._fleet.metrics
        view = metrics.View(
            status=status,
            channels=journal.channels,
            tally=journal.tally,
            losses=self._roster.losses,
            lasting=lasting,
            options=options,
            held_back=journal.gate.held_back,
            shown=self._exposure.choose(metrics.plights(status), options.streams, now_s),
        )
        delays = [metrics.Observation("vqa_alert_delay_s", {}, delay_s) for delay_s in journal.delays_s()]
        await self._port.publish([*metrics.gauges(view), *delays])

    def _keep_up(self) -> None:
        """Begins to merge the result store's small files and to remove old evidence, unless that still goes on."""
        fleet = self._fleet
        if fleet.store is None or (self._upkeeping is not None and not self._upkeeping.done()):
            return
        work = asyncio.get_running_loop().run_in_executor(None, outlets.upkeep, fleet.store, fleet.evidence)
        work.add_done_callback(_log_failure)
        self._upkeeping = work

    async def _look_at_ray(self, now_s: float) -> None:
        if now_s >= self._cores_due_s:
            self._cores_due_s = now_s + CORES_EVERY_S
            self._cores = await self._port.cores()
            self._roster.draining |= await self._port.draining()

    async def _tell_absences(self, notices: Sequence[Notice]) -> None:
        """Of streams that nobody analyses: journaled, alerted, and kept with the results."""
        if not notices:
            return
        entries = [Entry(n, self._roster.epochs.get(assigned_as(n.incident), 0)) for n in notices]
        await self._journal.write(entries)
        if self._fleet.store is not None:
            told = [(entry.notice.incident, entry.epoch) for entry in entries]
            work = asyncio.get_running_loop().run_in_executor(None, outlets.keep, self._fleet.store, told)
            work.add_done_callback(_log_failure)

    # ---- after a restart

    async def _recover(self) -> None:
        """What is wanted from the store, what runs from the analyzers; nothing is assigned before both are known."""
        store, journal = self._journal.store, self._journal
        owners = await journal.do(store.owners)
        self._roster.epochs = {stream_id: owner.epoch for stream_id, owner in owners.items()}
        snapshots = await journal.do(store.snapshots)
        self._roster.snapshots = {
            s: (epoch, data if _last_word(owners.get(s), epoch) else without_position(data))
            for s, (epoch, data) in snapshots.items()
        }
        await journal.recover()
        await self._splitting.recover()
        self._absences.resume(await journal.do(store.open_notices))
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
        self._roster.recover_halves()
        adopted = {p.stream_id: Owner(p.epoch, p.analyzer) for p in self._roster.places.values()}
        await journal.do(store.raise_epochs, adopted)

    async def _recover_fleet(self, data: bytes | None) -> None:
        if data is None:
            return
        self._fleet = msgspec.json.decode(data, type=FleetSpec, dec_hook=dec_hook)
        self._roster.options = _options(self._fleet, self._options)
        self._roster.want(_wanted(self._fleet))
        await self._parking.recover()
        self._crew.setup = _setup(self._fleet, self._journal.hush(self._fleet.noise))
        traces.HERE.use(self._fleet.traces, SUPERVISOR)
        try:
            await self._journal.use(self._journal.build(self._fleet.outlets))
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
            if owner.analyzer is None or stream_id in self._roster.places or stream_id in self._roster.parked:
                continue  # a stream is parked when its process has died
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


def _last_word(owner: Owner | None, epoch: int) -> bool:
    """Whether nobody was given the stream after the epoch that the snapshot is of."""
    return owner is None or owner.epoch <= epoch


def _setup(fleet: FleetSpec, quiet: Quiet) -> Setup:
    return Setup(store=fleet.store, channels=fleet.outlets, evidence=fleet.evidence, traces=fleet.traces, quiet=quiet)


def _checked(fleet: FleetSpec) -> bytes:
    """The fleet as it is written down, once it was read back: a program may have made what no file may say.

    ConfigError with path and value, of the plain kind that travels.
    """
    data = msgspec.json.encode(fleet, enc_hook=enc_hook)
    try:
        msgspec.json.decode(data, type=FleetSpec, dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"fleet: {error}") from None
    return data


def _wanted(fleet: FleetSpec) -> dict[str, Resolved]:
    """By id: spec, complete profile, and the digest of both. ConfigError, of the plain kind that travels."""
    try:
        return {stream.id: _resolved(fleet, stream) for stream in fleet.streams}
    except ConfigError as error:
        raise ConfigError(str(error)) from None


def _options(fleet: FleetSpec, options: ClusterOptions) -> ClusterOptions:
    """`options` as the fleet changes them. ConfigError, of the plain kind that travels."""
    try:
        return spread(fleet, options)
    except ConfigError as error:
        raise ConfigError(str(error)) from None


def _resolved(fleet: FleetSpec, stream: StreamSpec) -> Resolved:
    profile = profile_for(fleet, stream)
    plain = msgspec.structs.replace(stream, priority=0, paused=False)  # no reason to interrupt the stream
    data = msgspec.json.encode((plain, profile), enc_hook=enc_hook)
    return stream, profile, hashlib.blake2b(data, digest_size=8).hexdigest()


def _log_failure(work: asyncio.Future[None]) -> None:
    if not work.cancelled() and (error := work.exception()):
        log.error("the result store could not be written: %s", error)
