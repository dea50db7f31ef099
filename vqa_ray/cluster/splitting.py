"""When streams that are too heavy for an analyzer go to two, in halves, and when they are made whole again."""

import logging

from vqa_ray.cluster.crew import Crew
from vqa_ray.cluster.halving import told_by, why
from vqa_ray.cluster.journal import Journal
from vqa_ray.cluster.records import Place
from vqa_ray.cluster.roster import SETTLED_AFTER_S, Roster
from vqa_ray.core.halves import Half, Split, Stage, divide, fits_together, is_second, parts, pays, second
from vqa_ray.core.placement import millionths
from vqa_ray.core.reconcile import Phase

log = logging.getLogger(__name__)

EVERY_S = 5.0
AGAIN_AFTER_S = 300.0  # a stream that gains nothing by it is looked at again
HALF_BLIND_S = 60.0  # a second half without a place for so long: rather the whole, if with fewer frames


class Splitting:
    """Looks for streams to split and to join; what the roster holds of that is on disk before anything is done."""

    def __init__(self, roster: Roster, journal: Journal, crew: Crew) -> None:
        self._roster = roster
        self._journal = journal
        self._crew = crew
        self._kept: dict[str, Split] = {}
        self._due_s = 0.0
        self._not_before_s: dict[str, float] = {}
        self._blind_since_s: dict[str, float] = {}

    async def recover(self) -> None:
        """After a restart: what is split."""
        self._kept = await self._journal.do(self._journal.store.splits)
        self._roster.splits = dict(self._kept)

    async def look(self, now_s: float) -> None:
        """Splits, joins, and takes each that is on its way a stage further."""
        await self._forget_what_is_whole()
        if now_s < self._due_s:
            return
        self._due_s = now_s + EVERY_S
        for of in (self._not_before_s, self._blind_since_s):
            for stream_id in of.keys() - self._roster.streams.keys():
                del of[stream_id]  # it is not wanted any more
        for stream_id, split in list(self._roster.splits.items()):
            if (stage := self._next(stream_id, split, now_s)) is not None:
                await self._begin(stream_id, Split(moved=split.moved, stage=stage))
        if self._roster.options.split:
            for place in self._too_heavy(now_s):
                await self._split(place, now_s)

    async def _begin(self, stream_id: str, split: Split) -> None:
        await self._keep({stream_id: split})
        if stream_id in self._roster.streams:  # still, after the wait for the disk
            self._roster.resplit(stream_id, split)
            log.info("stream %s, in halves: %s; the second half has %s", stream_id, split.stage, ", ".join(split.moved))

    async def _forget_what_is_whole(self) -> None:
        over = self._kept.keys() - self._roster.splits.keys()
        if over:
            await self._keep(dict.fromkeys(over))
            await self._crew.tidy()

    async def _keep(self, splits: dict[str, Split | None]) -> None:
        await self._journal.do(self._journal.store.save_splits, splits)
        for stream_id, split in splits.items():
            if split is None:
                self._kept.pop(stream_id, None)
            else:
                self._kept[stream_id] = split

    # ---- to halves

    def _too_heavy(self, now_s: float) -> list[Place]:
        """The streams that have had an analyzer for a while, all of which is not enough."""
        roster, capacity = self._roster, self._roster.options.capacity
        heavy = [
            name
            for name, stream in roster.streams.items()
            if stream.share is not None and stream.share > capacity and stream.free
        ]
        places = [p for name in heavy if not self._split_already(name) and (p := roster.place_of(name)) is not None]
        return [p for p in places if self._settled(p, now_s) and self._not_before_s.get(p.stream_id, now_s) <= now_s]

    def _split_already(self, name: str) -> bool:
        return is_second(name) or name in self._roster.splits

    @staticmethod
    def _settled(place: Place, now_s: float) -> bool:
        return not place.busy and now_s - place.since_s >= SETTLED_AFTER_S

    async def _split(self, place: Place, now_s: float) -> None:
        """Splits the stream, if that makes it lighter and there is an analyzer for the other half."""
        roster, stream_id = self._roster, place.stream_id
        weights = await self._crew.toll(place)
        stream = roster.streams.get(stream_id)
        if stream is None or roster.place_of(stream_id) is not place or not weights:
            return
        self._not_before_s[stream_id] = now_s + AGAIN_AFTER_S
        needs, share = why(stream.profile), stream.reserved
        moved = divide(needs, weights)
        expected = parts(moved, needs, weights) if moved else (1.0, 1.0)
        if moved is None or not pays(share, roster.options.capacity, expected):
            log.info("stream %s takes %.2f of a core; in halves it would take %.2f and %.2f: left whole",
                     stream_id, share, *(part * share for part in expected))  # fmt: skip
            return
        ready = {m.name for m in roster.members.values() if roster.phase(m) is Phase.READY} - {place.analyzer}
        if roster.seat_for(stream_id, ready, millionths(expected[1] * share)) is None:
            self._not_before_s[stream_id] = now_s + EVERY_S
            return  # one is started by and by, since the load asks for it
        await self._begin(stream_id, Split(moved=moved))
        for name, part in zip((stream_id, second(stream_id)), expected, strict=True):
            if name in roster.streams:
                roster.streams[name].share = part * share

    # ---- and back

    def _next(self, stream_id: str, split: Split, now_s: float) -> Stage | None:
        """The stage that is due, if one is."""
        roster = self._roster
        place, other = roster.place_of(stream_id), roster.place_of(second(stream_id))
        if split.stage is Stage.JOINING:
            return Stage.WHOLE if other is None else None
        if split.stage is Stage.WHOLE:
            return None
        if not roster.options.split or self._tells_nothing(stream_id, split):
            return Stage.JOINING
        if self._blind_for_long(stream_id, blind=other is None and not roster.waits(second(stream_id)), now_s=now_s):
            return Stage.JOINING
        if place is None or other is None or not (self._settled(place, now_s) and self._settled(other, now_s)):
            return None
        shares = [roster.streams[name].reserved for name in (stream_id, second(stream_id))]
        return Stage.JOINING if fits_together(shares, roster.options.capacity) else None

    def _tells_nothing(self, stream_id: str, split: Split) -> bool:
        """Whether one half has nothing left to tell, since detectors were switched off."""
        profile = self._roster.streams[stream_id].profile
        return not told_by(profile, Half(moved=split.moved, second=False)) or not told_by(
            self._roster.streams[second(stream_id)].profile, Half(moved=split.moved, second=True)
        )

    def _blind_for_long(self, stream_id: str, *, blind: bool, now_s: float) -> bool:
        if not blind:
            self._blind_since_s.pop(stream_id, None)
            return False
        return now_s - self._blind_since_s.setdefault(stream_id, now_s) > HALF_BLIND_S
