"""From a transition to the alert channels: written down first, then delivered, each channel's mark written again."""

import asyncio
import functools
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from vqa_ray.cluster.state import Entry, StateStore
from vqa_ray.cluster.tally import Tally
from vqa_ray.core import span
from vqa_ray.core.noise import FIRST_STEP, Gate, NoiseOptions
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.quiet import Mute, Quiet, lasting
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.sinks import traces
from vqa_ray.sinks.channel import Channel, built
from vqa_ray.sinks.outbox import ChannelStats, Outbox
from vqa_ray.sinks.registry import AnyChannelSpec

log = logging.getLogger(__name__)

REMEMBERED = 10_000  # openings of incidents whose delivery is timed

Result = TypeVar("Result")


class Journal:
    """The state store behind the one thread that may use it, and the outbox that delivers what it holds."""

    def __init__(self, open_store: Callable[[], StateStore]) -> None:
        """`open_store` is called here, and blocks; everything else may be called from the event loop."""
        self._store = open_store()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="control-state")
        self._outbox = Outbox(())
        self._opened: OrderedDict[str, datetime] = OrderedDict()  # when what was put last was noticed, by key
        self._taken: deque[float] = deque(maxlen=REMEMBERED)
        self.tally = Tally()
        self.gate = Gate()
        self._mutes: dict[str, Mute] = {}
        self._writing = asyncio.Lock()  # what is written while the channels change must reach the new ones

    async def do(self, method: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Runs one of the store's methods on its thread."""
        call = functools.partial(method, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    @property
    def store(self) -> StateStore:
        """The store, for `do`."""
        return self._store

    @staticmethod
    def build(specs: Iterable[AnyChannelSpec]) -> list[Channel]:
        """The channels; ConfigError where one cannot work here."""
        return [built(spec) for spec in specs]

    @property
    def channels(self) -> dict[str, ChannelStats]:
        """What became of notices, by channel."""
        return self._outbox.stats()

    def delays_s(self) -> list[float]:
        """From the opening of incidents until a channel had the notice: those since this was asked last."""
        return [self._taken.popleft() for _ in range(len(self._taken))]

    async def use(self, channels: Sequence[Channel]) -> None:
        """Delivers to these from now on: first what the journal holds for them, open incidents where they ask."""
        outbox = Outbox(channels, on_delivered=self._delivered, on_left_out=self._mark)
        async with self._writing:
            await asyncio.get_running_loop().run_in_executor(None, self._outbox.stop, 2.0)
            for waiting in await self.do(self._store.undelivered, outbox.names):
                outbox.put(waiting.notice, only=waiting.channels)
            still = await self.do(self._store.open_notices)
            outbox.resume([notice for notice in still if self.gate.tells(notice.incident.incident_id)])
            outbox.start()
            self._outbox = outbox

    async def write(self, entries: Sequence[Entry]) -> None:
        """On disk when it returns, and on its way to the channels unless it is held back.

        What was there already is left out.
        """
        async with self._writing:
            now, keys = datetime.now(UTC), [entry.notice.key for entry in entries]
            new = await self.do(self._store.unknown, keys)
            fresh = list({entry.notice.key: entry for entry in entries if entry.notice.key in new}.values())
            told = [n for entry in fresh for n in self.gate.take(entry.notice, now, delivered=entry.delivered)]
            if fresh:
                await self._keep(fresh, told)
            self.tally.noticed(entry.notice for entry in fresh)
            _trace(entry.notice for entry in fresh)

    async def look(self) -> None:
        """Tells what is due now: what was held back and lasts, escalations, repeats."""
        async with self._writing:
            told = self.gate.look(datetime.now(UTC))
            again = [Entry(notice, 0) for notice in told if notice.sequence >= FIRST_STEP]
            if told:
                await self._keep(again, told)

    async def _keep(self, entries: Sequence[Entry], told: Sequence[Notice]) -> None:
        keys, names = {notice.key for notice in told}, self._outbox.names
        here = {entry.notice.key for entry in entries}
        await self.do(
            self._store.journal, entries, names, held=here - keys, again=keys - here, tellings=self.gate.changes()
        )
        for notice in told:
            self._time(notice)
            self._outbox.put(notice)

    # ---- what people say

    async def recover(self) -> None:
        """Takes up what was told, held back, acknowledged and muted before this process began."""
        self.gate.resume(await self.do(self._store.open_notices), await self.do(self._store.tellings))
        said = await self.do(self._store.remarks)
        self.gate.acknowledged = {one.incident_id for one in said if one.kind is RemarkKind.ACKNOWLEDGED}
        self._mutes = {one.mute_id: one for one in await self.do(self._store.mutes)}

    def hush(self, options: NoiseOptions) -> Quiet:
        """Other options for what is told; what is silent by them and by mutes."""
        self.gate.options = options
        self.gate.quiet = Quiet(windows=options.windows, mutes=self.mutes())
        return self.gate.quiet

    def mutes(self) -> tuple[Mute, ...]:
        """Those that last, the soonest to end first."""
        return lasting(self._mutes.values(), datetime.now(UTC))

    async def mute(self, mute: Mute) -> None:
        """One more; `hush` makes it count."""
        await self.do(self._store.save_mute, mute)
        self._mutes[mute.mute_id] = mute

    async def unmute(self, mute_id: str) -> bool:
        """One less, and those that are over; whether it lasted."""
        lasts = any(one.mute_id == mute_id for one in self.mutes())
        over = self._mutes.keys() - {one.mute_id for one in self.mutes()}
        await self.do(self._store.drop_mutes, [*over, mute_id])
        self._mutes = {one.mute_id: one for one in self.mutes() if one.mute_id != mute_id}
        return lasts

    async def remark(self, remark: Remark) -> bool:
        """Keeps what was said; False if the incident is not known."""
        known: bool = await self.do(self._store.remark, remark)
        if known and remark.kind is RemarkKind.ACKNOWLEDGED:
            self.gate.acknowledged.add(remark.incident_id)
        return known

    async def retract(self, incident_id: str, kind: RemarkKind) -> None:
        """Forgets it."""
        await self.do(self._store.retract, incident_id, kind)
        if kind is RemarkKind.ACKNOWLEDGED:
            self.gate.acknowledged.discard(incident_id)

    async def close_incidents(self, unwatched: Callable[[str], bool], epoch_of: Callable[[str], int]) -> None:
        """Closes what is open on streams that nobody watches any more; else it would be alerted for ever."""
        now_utc = datetime.now(UTC)
        notices = await self.do(self._store.open_notices)
        closed = [n.incident for n in notices if unwatched(n.incident.stream_id)]
        if closed:
            await self.write([Entry(_closing(i, now_utc), epoch_of(i.stream_id)) for i in closed])

    async def stop(self, timeout_s: float) -> bool:
        """Delivers what waits, in bounded time, and lets go of the store. Whether everything was delivered."""
        done = await asyncio.get_running_loop().run_in_executor(None, self._outbox.stop, timeout_s)
        await self.do(self._store.close)
        return done

    def _time(self, notice: Notice) -> None:
        if notice.kind is NoticeKind.OPENED:
            self._opened[notice.key] = notice.noticed_utc
            if len(self._opened) > REMEMBERED:
                self._opened.popitem(last=False)

    def _delivered(self, channel: str, key: str) -> None:
        """On the channel's thread."""
        if (noticed_utc := self._opened.get(key)) is not None:
            self._taken.append(max(0.0, (datetime.now(UTC) - noticed_utc).total_seconds()))
        self._mark(channel, key)

    def _mark(self, channel: str, key: str) -> None:
        """On the channel's thread."""
        self._thread.submit(self._store.delivered, key, channel).add_done_callback(_log_failure)


def _trace(notices: Iterable[Notice]) -> None:
    """Each transition as it is written down, and the incident as a whole once it is over."""
    if not traces.HERE.on:
        return
    for notice in notices:
        traces.HERE.put(span.journaled(notice, time.time_ns()))
        if notice.kind is NoticeKind.CLOSED:
            traces.HERE.put(span.whole(notice.incident))


def _closing(incident: Incident, now_utc: datetime) -> Notice:
    lasted_s = max(0.0, (now_utc - incident.start_utc).total_seconds())
    closed = msgspec.structs.replace(
        incident, end_s=incident.start_s + lasted_s, end_utc=now_utc, reason="the stream is no longer watched"
    )
    return Notice(kind=NoticeKind.CLOSED, incident=closed, noticed_utc=now_utc)


def _log_failure(done: Any) -> None:
    if error := done.exception():
        log.error("a delivery could not be marked, it may be repeated: %s", error)
