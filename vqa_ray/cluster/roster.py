"""What the supervisor knows: which streams are wanted, which analyzers there are, and what was given to whom.

No Ray, no disk, no clock: facts come in as calls with the time, `views` go to `plan`, answers to beats go out.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from vqa_ray.cluster.halving import Resolved, expanded
from vqa_ray.cluster.messages import Beat, BeatReply, ClusterOptions, Ended, Hello
from vqa_ray.cluster.records import Member, Place, Stream
from vqa_ray.config import APART
from vqa_ray.core import poison
from vqa_ray.core.demand import expected_bytes, smoothed
from vqa_ray.core.halves import Split, Stage, is_second, second, whole
from vqa_ray.core.placement import NO_BOUND, Hall, Kind, Passenger, Seat, millionths
from vqa_ray.core.policies.registry import BY_NAME
from vqa_ray.core.reconcile import SUSPECT_AFTER, Analyzer, Phase, Reason, Running, Wanted
from vqa_ray.core.source import State
from vqa_ray.core.stay import Stay
from vqa_ray.pipeline.handover import together
from vqa_ray.pipeline.worker import StreamReport

log = logging.getLogger(__name__)

SETTLED_AFTER_S = 30.0  # a stream that was so long with its analyzer may move to where it is better off
BARE_BYTES = 160 << 20  # of an analyzer without streams, until one was seen
MEMORY_FILL = 0.9  # of an analyzer's memory: more streams than fit into that are not given to it
SILENT_AFTER_BEATS = 3.0
RECYCLED_FROM_AGE_S = 600.0  # a process that is over its budget sooner than that has more streams than fit, and no leak
PATIENCE_S = {Reason.RECYCLED: 60.0, Reason.ENDING: 20.0}  # for a seat elsewhere; then what is left is interrupted
SOON_S = 10.0  # an analyzer starts within 1-3 s where there is room; later it waits for a machine
_FIRST_DELAY_S, _MAX_DELAY_S = 1.0, 60.0  # until a stream that was refused is offered again


class Roster:
    """The supervisor's picture of the fleet. Times are of one monotonic clock, that of `now_s`.

    places: what was given to whom; changed by `_put` and `_drop` alone.
    """

    def __init__(self, options: ClusterOptions, incarnation: str) -> None:
        self.options = options
        self.incarnation = incarnation
        self.streams: dict[str, Stream] = {}
        self.members: dict[str, Member] = {}
        self.places: dict[str, Place] = {}
        self.epochs: dict[str, int] = {}
        self.snapshots: dict[str, tuple[int, bytes]] = {}
        self.draining: set[str] = set()  # ids of Ray's nodes that are being emptied
        self.moving: dict[str, str] = {}  # streams, and the analyzers to which they move
        self.parked: dict[str, str] = {}  # streams that are given up since they crash their process, and why
        self.splits: dict[str, Split] = {}  # streams that are watched in halves
        self._declared: Mapping[str, Resolved] = {}
        self.bare_bytes = BARE_BYTES
        self._at: dict[str, set[str]] = {}  # by analyzer, the streams of its places
        self._accused: set[str] = set()  # streams with crashes that are not forgiven
        self.losses: Counter[Reason] = Counter()  # how often a stream's place ended, since this process started
        self._deaths: deque[float] = deque()  # of processes, within what `poison` looks back

    def _put(self, place: Place) -> Place:
        self._drop(place.stream_id)
        self.places[place.stream_id] = place
        self._at.setdefault(place.analyzer, set()).add(place.stream_id)
        return place

    def _drop(self, stream_id: str) -> None:
        if (place := self.places.pop(stream_id, None)) is not None:
            self._at[place.analyzer].discard(stream_id)
            if not self._at[place.analyzer]:
                del self._at[place.analyzer]

    def places_at(self, name: str) -> list[Place]:
        """The places at that analyzer, lost ones included."""
        return [self.places[stream_id] for stream_id in self._at.get(name, ())]

    # ---- what is wanted

    def want(self, streams: Mapping[str, Resolved]) -> tuple[list[str], list[str], list[str]]:
        """Takes over what is wanted now, by id; gives back the ids added, changed and removed."""
        self._declared = streams
        self.splits = {stream_id: split for stream_id, split in self.splits.items() if stream_id in streams}
        streams = expanded(streams, self.splits)
        added, changed = [], []
        removed = [stream_id for stream_id in self.streams if stream_id not in streams]
        for stream_id in removed:
            del self.streams[stream_id]
            self.parked.pop(stream_id, None)
            if (place := self.places.get(stream_id)) is not None and place.lost is not None:
                self._drop(stream_id)
        for stream_id, (spec, profile, version) in streams.items():
            before = self.streams.get(stream_id)
            if before is None:
                added.append(stream_id)
            elif before.version != version:
                changed.append(stream_id)
            else:
                if before.spec.paused is not spec.paused:
                    changed.append(stream_id)
                before.spec = spec  # its priority may be another
                self._try_again(stream_id)
                continue
            stream = self.streams[stream_id] = Stream(spec, profile, version)
            self.parked.pop(stream_id, None)
            if before is not None:
                stream.share, stream.size_bytes, stream.stays = before.share, before.size_bytes, before.stays
        return added, changed, removed

    def resplit(self, stream_id: str, split: Split) -> None:
        """The stream is watched in halves from now on, or is at another stage of that; its owners change for it."""
        self.splits[stream_id] = split
        self.want(self._declared)
        place = self.places.get(stream_id)
        if split.stage is Stage.WHOLE and (place is None or place.lost is not None):
            self._join(stream_id)

    def waits(self, name: str) -> bool:
        """Whether nobody is to have it now: a second half, while the whole has its place still, or in the end."""
        split = self.splits.get(whole(name)) if is_second(name) else None
        if split is None:
            return False
        place = self.places.get(whole(name))
        return split.stage is Stage.JOINING or (place is not None and place.lost is None and not place.half)

    def is_forgotten(self, name: str) -> bool:
        """Whether nobody will go on from its snapshot: it is over, and the whole does not wait for it to be joined."""
        split = self.splits.get(whole(name)) if is_second(name) else None
        return self.is_over(name) and (split is None or split.stage is not Stage.WHOLE)

    def is_over(self, name: str) -> bool:
        """Whether it is neither to be watched nor has a place."""
        return not self.watches(name) and name not in self.places

    def watches(self, stream_id: str) -> bool:
        """Whether it is to be watched: declared, and not paused."""
        stream = self.streams.get(stream_id)
        return stream is not None and not stream.spec.paused

    def _try_again(self, stream_id: str) -> None:
        """A stream that was given up and is applied once more gets another chance."""
        place, stream = self.places.get(stream_id), self.streams[stream_id]
        stream.not_before_s = 0.0
        if place and place.report and place.report.state == State.PARKED:
            place.version = ""

    # ---- analyzers come and go

    def started(self, name: str, now_s: float) -> None:
        """An analyzer was asked for."""
        self.members[name] = Member(name, now_s)

    def ready(self, hello: Hello, now_s: float) -> None:
        """It answered, and is set up."""
        member = self.members.setdefault(hello.name, Member(hello.name, now_s))
        member.hello = hello
        member.phase = Phase.READY
        self._heard(member, now_s)

    def presume(self, name: str, owned: Mapping[str, int], now_s: float) -> None:
        """An analyzer that does not answer (yet) after our restart: it may work on what it was given.

        For the whole grace: Ray may have told it that we were away, and then its leases last so long.
        """
        member = self.members.setdefault(name, Member(name, now_s))
        member.phase = Phase.SILENT
        member.lease_until_s = now_s + max(self.options.lease_s, self.options.grace_s) + self.options.margin_s
        for stream_id, epoch in owned.items():
            version = self.streams[stream_id].version if stream_id in self.streams else ""
            self._put(Place(stream_id, name, epoch, version, now_s)).busy = False

    def gone(self, name: str, reason: Reason, now_s: float, *, crashed: bool) -> list[str]:
        """The analyzer is no more; gives back the streams that are lost with it."""
        self.members.pop(name, None)
        lost = [place for place in self.places_at(name) if place.lost is None]
        if crashed:
            self._note_death(now_s)
        for place in lost:
            self._lose(place, reason)
            place.busy = False
            if not self.watches(place.stream_id):
                self._drop(place.stream_id)
            hung = reason is Reason.STUCK and place.report is not None and place.report.stuck
            if crashed or hung:
                self._crashed(place.stream_id, now_s, alone=hung or len(lost) == 1)
        return sorted(place.stream_id for place in lost)

    def _lose(self, place: Place, reason: Reason) -> None:
        place.lost = reason
        self.losses[reason] += 1
        split = self.splits.get(place.stream_id)
        if split is None:
            return
        if split.stage is Stage.WHOLE:
            self._join(place.stream_id)
        elif split.stage is Stage.SPLIT and not place.half:
            self._hand_to_second(place)

    def left_by(self, place: Place) -> dict[str, tuple[int, bytes]]:
        """With what its next owner, or owners, go on once this one has stopped: snapshots, by name."""
        name, known = place.stream_id, self.snapshots.get(place.stream_id)
        split, other = self.splits.get(name), second(name)
        if known is None:
            return {}
        if split is not None and split.stage is Stage.WHOLE:
            return self._joined(name, split)
        if split is not None and split.stage is Stage.SPLIT and not place.half and other not in self.snapshots:
            return {name: known, other: (self.epochs.get(other, 0), known[1])}
        return {name: known}

    def _joined(self, stream_id: str, split: Split) -> dict[str, tuple[int, bytes]]:
        """The snapshot of a stream that is whole again, of what both halves left; none without the first's."""
        known, other = self.snapshots.get(stream_id), self.snapshots.get(second(stream_id))
        if known is None or other is None:
            return {} if known is None else {stream_id: known}
        return {stream_id: (known[0], together(known[1], other[1], split.moved))}

    def _hand_to_second(self, place: Place) -> None:
        """The whole has stopped: its second half goes on from there, too."""
        self.snapshots |= self.left_by(place)
        other = second(place.stream_id)
        if other not in self.places:
            seat = self._put(Place(other, place.analyzer, 0, "", place.since_s))
            seat.busy, seat.lost, seat.reached_s = False, place.lost, place.reached_s

    def _join(self, stream_id: str) -> None:
        """The first half has stopped as well: it is one stream again."""
        self.snapshots |= self._joined(stream_id, self.splits.pop(stream_id))
        self.snapshots.pop(second(stream_id), None)

    def recover_halves(self) -> None:
        """After our restart, what runs being known: what a whole left to a second half that nobody had yet."""
        for stream_id, split in self.splits.items():
            other, known = second(stream_id), self.snapshots.get(stream_id)
            if split.stage is Stage.SPLIT and known and not self.waits(other) and other not in self.places:
                self.snapshots.setdefault(other, (self.epochs.get(other, 0), known[1]))

    def _note_death(self, now_s: float) -> None:
        self._deaths.append(now_s)
        while now_s - self._deaths[0] > poison.FORGIVEN_AFTER_S:
            self._deaths.popleft()

    def _crashed(self, stream_id: str, now_s: float, *, alone: bool) -> None:
        """Its process died, perhaps of it."""
        if (stream := self.streams.get(stream_id)) is None:
            return
        stream.record = stream.record.crashed(now_s, alone=alone)
        self._accused.add(stream_id)
        elsewhere = len(self._deaths) - stream.record.crashes
        if poison.guilty(stream.record, elsewhere, len(self.members), self.options.park_after):
            self.park(stream_id, stream.record.words)

    def park(self, stream_id: str, why: str) -> None:
        """The stream is given up until somebody asks for it again."""
        self.parked[stream_id] = why

    def unpark(self, stream_id: str, now_s: float) -> bool:
        """The stream gets another chance, at first on its own; whether it was parked. KeyError if it is not wanted."""
        stream, place = self.streams[stream_id], self.places.get(stream_id)
        by_source = place is not None and place.report is not None and place.report.state == State.PARKED
        self._try_again(stream_id)
        if self.parked.pop(stream_id, None) is None:
            return by_source
        stream.record = poison.Record(crashes=SUSPECT_AFTER, last_s=now_s)
        self._accused.add(stream_id)
        return True

    def _heard(self, member: Member, now_s: float) -> None:
        member.heard_s = now_s
        if member.phase is Phase.SILENT:
            member.phase = Phase.READY
        self.extend(member.name, now_s)

    def extend(self, name: str, now_s: float) -> None:
        """From now the analyzer may hold a lease for its full length."""
        if member := self.members.get(name):
            lease_s = self.options.lease_s + self.options.margin_s
            member.lease_until_s = max(member.lease_until_s, now_s + lease_s)

    # ---- beats

    def beat(self, beat: Beat, now_s: float) -> BeatReply:
        """Takes an inventory; the answer names what the analyzer shall stop. An unknown process is told to end."""
        member = self.members.get(beat.hello.name)
        if member is None or (member.hello is not None and member.hello.incarnation != beat.hello.incarnation):
            return BeatReply(supervisor=self.incarnation, known=False)
        if member.phase is Phase.STARTING:  # it beats before its answer to `hello` was heard
            return BeatReply(supervisor=self.incarnation)
        if beat.number <= member.number:
            return BeatReply(supervisor=self.incarnation)
        member.hello, member.beat, member.number = beat.hello, beat, beat.number
        if beat.ending:
            self._leave(member, Reason.ENDING, now_s)
        self._heard(member, now_s)
        ended = [self._held(member, held.report, held.version, now_s) for held in beat.held]
        self._weigh(member, beat)
        self._missing(member, {held.report.stream_id for held in beat.held}, beat.number)
        return BeatReply(
            supervisor=self.incarnation,
            ended=tuple(e for e in ended if e is not None),
            priorities=dict(self._other_priorities(beat)),
        )

    def _other_priorities(self, beat: Beat) -> Iterator[tuple[str, int]]:
        for held in beat.held:
            wanted = self.streams.get(held.report.stream_id)
            if wanted is not None and wanted.spec.priority != held.report.priority:
                yield held.report.stream_id, wanted.spec.priority

    def _held(self, member: Member, report: StreamReport, version: str, now_s: float) -> Ended | None:
        """One stream of an inventory: note it, adopt it, or have it ended."""
        stream_id, epoch = report.stream_id, report.epoch
        place = self.places.get(stream_id)
        unknown = place is None or (epoch > place.epoch and not place.busy)
        if unknown and stream_id in self.streams and self.current(stream_id, epoch):
            place = self._adopt(member, report, version, now_s)
        if place is None or place.lost is not None or (place.analyzer, place.epoch) != (member.name, epoch):
            return Ended(stream_id, epoch)
        self._note(place, report, member.number)
        return None

    def _adopt(self, member: Member, report: StreamReport, version: str, now_s: float) -> Place:
        """After our restart: the analyzer has it."""
        place = self._put(Place(report.stream_id, member.name, report.epoch, version, now_s))
        place.busy = False
        place.after_beat = member.number
        self.epochs[report.stream_id] = max(report.epoch, self.epochs.get(report.stream_id, 0))
        self._note_stay(place, "it was there when the supervisor began")
        return place

    def _note_stay(self, place: Place, why: str) -> None:
        if stream := self.streams.get(place.stream_id):
            stay = Stay(analyzer=place.analyzer, epoch=place.epoch, since_utc=datetime.now(UTC), why=why)
            stream.stays.append(stay)

    def _note(self, place: Place, report: StreamReport, number: int) -> None:
        before = place.report
        place.report = msgspec.structs.replace(report, snapshot=None)
        if place.after_beat is None:
            place.after_beat = number
        if report.state == State.LIVE and report.connected_once:
            place.reached_s = report.at_s
        self.remember(report.stream_id, report.epoch, report.snapshot)
        stream = self.streams.get(report.stream_id)
        if stream is None:
            return
        stream.done = report.state == State.ENDED
        if before is not None:
            stream.measured(report, self.options.beat_s)
        if stream.done:
            stream.share = 0.0

    def _weigh(self, member: Member, beat: Beat) -> None:
        """What the process has grown by is its streams': each has its part of it, by what it was expected to take."""
        if not beat.held:
            self.bare_bytes = beat.rss_bytes if member.fresh and beat.rss_bytes else self.bare_bytes
            return
        member.fresh = False
        expected = {held.report.stream_id: expected_bytes(held.report.shape) for held in beat.held}
        part = max(0, beat.rss_bytes - self.bare_bytes) / sum(expected.values())
        for stream_id, size_bytes in expected.items():
            if (stream := self.streams.get(stream_id)) is not None:
                stream.size_bytes = smoothed(stream.size_bytes, part * size_bytes, self.options.beat_s)

    def _missing(self, member: Member, listed: set[str], number: int) -> None:
        """What the analyzer should have but does not list any more it has given up (its lease ran out)."""
        for place in self.places_at(member.name):
            if place.busy or place.lost or place.stream_id in listed:
                continue
            if place.after_beat is None or number > place.after_beat:
                self._lose(place, Reason.DROPPED)

    # ---- actions under way

    def assigning(self, stream_id: str, analyzer: str, epoch: int, now_s: float, why: Reason = Reason.NEW) -> Place:
        """The stream is about to be given to the analyzer, under a persisted epoch."""
        before = self.places.get(stream_id)
        place = self._put(Place(stream_id, analyzer, epoch, self.streams[stream_id].version, now_s))
        place.reached_s = before.reached_s if before is not None else None
        self.epochs[stream_id] = epoch
        self._note_stay(place, why.value)
        self.extend(analyzer, now_s)
        return place

    def assigned(self, place: Place, beat_number: int, now_s: float) -> None:
        """The analyzer has taken it; its beats after that number list it."""
        place.busy = False
        place.after_beat = beat_number
        self.extend(place.analyzer, now_s)
        if stream := self.streams.get(place.stream_id):
            stream.refusals = 0

    def refused(self, place: Place, now_s: float) -> None:
        """The analyzer could not take it: offered again later, each time after a longer wait."""
        place.busy = False
        self._lose(place, Reason.REFUSED)
        if stream := self.streams.get(place.stream_id):
            stream.refusals += 1
            stream.not_before_s = now_s + min(_MAX_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(stream.refusals - 1, 20))

    def released(self, place: Place, reason: Reason, snapshot: bytes | None = None) -> None:
        """The analyzer has stopped it; if it is still wanted it is lost, for that reason, until it gets a new place."""
        self.remember(place.stream_id, place.epoch, snapshot)
        place.busy = False
        self._lose(place, reason)
        if not self.watches(place.stream_id) and self.places.get(place.stream_id) is place:
            self._drop(place.stream_id)

    def forget(self, stream_id: str) -> None:
        """The stream is no longer watched: should it come back it starts anew."""
        self.snapshots.pop(stream_id, None)

    def remember(self, stream_id: str, epoch: int, snapshot: bytes | None) -> None:
        """A snapshot of the stream, unless a newer epoch's is known."""
        if snapshot is not None and epoch >= self.snapshots.get(stream_id, (0, b""))[0]:
            self.snapshots[stream_id] = (epoch, snapshot)

    def current(self, stream_id: str, epoch: int) -> bool:
        """Whether the epoch may speak for the stream: no newer one was given out."""
        return epoch >= self.epochs.get(stream_id, 0)

    # ---- what plan sees

    def look(self, now_s: float) -> None:
        """Marks the analyzers that have gone silent, and one that uses too much memory; forgives streams.

        Forgiven is who has long crashed no process.
        """
        for member in self.members.values():
            silent_s = now_s - member.heard_s
            if member.phase is Phase.READY and silent_s > SILENT_AFTER_BEATS * self.options.beat_s:
                member.phase = Phase.SILENT
        if not any(member.leaves is Reason.RECYCLED for member in self.members.values()):
            over = [m for m in self.members.values() if self._over_budget(m, now_s)]
            if over:
                self._leave(max(over, key=lambda m: m.beat.rss_bytes if m.beat else 0), Reason.RECYCLED, now_s)
        for stream_id in list(self._accused):
            stream = self.streams.get(stream_id)
            if stream is None or now_s - stream.record.last_s > poison.FORGIVEN_AFTER_S:
                self._accused.discard(stream_id)
                if stream is not None and stream_id not in self.parked:
                    stream.record = poison.Record()

    def _over_budget(self, member: Member, now_s: float) -> bool:
        old = now_s - member.started_s >= RECYCLED_FROM_AGE_S
        return old and member.beat is not None and member.beat.rss_bytes > self.options.budget_bytes

    def _leave(self, member: Member, why: Reason, now_s: float) -> None:
        if member.leaves is None:
            member.leaves, member.leaves_s = why, now_s
            log.warning("%s hands its streams over and ends: %s", member.name, why)

    @property
    def budget(self) -> int:
        """Bytes that the streams of one analyzer may have; no bound where analyzers ask for no more than they are."""
        room = int(MEMORY_FILL * self.options.memory_bytes) - self.bare_bytes
        return room if room > 0 else NO_BOUND

    def wanted(self) -> list[Wanted]:
        """The streams that should run: all but those paused or parked, and the files that were read to their end."""
        return [
            Wanted(
                stream_id=stream_id,
                version=s.version,
                share=s.reserved,
                size_bytes=s.reserved_bytes,
                priority=s.spec.priority,
                apart=s.spec.labels.get(APART, ""),
                crashes=s.record.crashes,
                not_before_s=s.not_before_s,
                alone_until_s=s.record.alone_until_s,
            )
            for stream_id, s in self.streams.items()
            if (not s.done or self._runs(stream_id))
            and not s.spec.paused
            and stream_id not in self.parked
            and not self.waits(stream_id)
        ]

    def _runs(self, stream_id: str) -> bool:
        return self.place_of(stream_id) is not None

    def place_of(self, stream_id: str) -> Place | None:
        """Its place, unless that is lost."""
        place = self.places.get(stream_id)
        return place if place is not None and place.lost is None else None

    def analyzers(self, now_s: float) -> list[Analyzer]:
        """The analyzers."""
        capacity, budget = self.options.capacity, self.budget
        return [
            Analyzer(
                name=m.name,
                capacity=capacity,
                budget=budget,
                node=m.hello.node_id if m.hello is not None else "",
                phase=self.phase(m),
                leaves=Reason.DRAINED if self._machine_goes(m) else m.leaves or Reason.DRAINED,
                soon=m.phase is Phase.STARTING and now_s - m.started_s < SOON_S,
                overdue=m.leaves is not None and now_s - m.leaves_s > PATIENCE_S.get(m.leaves, float("inf")),
                lease_until_s=m.lease_until_s,
            )
            for m in self.members.values()
        ]

    def at(self, node_id: str) -> list[Member]:
        """The analyzers on that node of Ray's."""
        return [m for m in self.members.values() if m.hello is not None and m.hello.node_id == node_id]

    def phase(self, member: Member) -> Phase:
        """Of a member, draining included."""
        leaves = member.leaves is not None or self._machine_goes(member)
        return Phase.DRAINING if leaves and member.phase is Phase.READY else member.phase

    def stays(self, member: Member) -> bool:
        """Whether neither it nor its machine is to go."""
        return member.leaves is None and not self._machine_goes(member)

    def _machine_goes(self, member: Member) -> bool:
        return member.hello is not None and member.hello.node_id in self.draining

    def running(self, now_s: float) -> list[Running]:
        """What was given to them."""
        running = [self._running(place, now_s) for place in self.places.values()]
        return running + [self._rehearsal(stream_id, to) for stream_id, to in self.moving.items()]

    def _rehearsal(self, stream_id: str, analyzer: str) -> Running:
        """What moves takes up room at both ends."""
        stream = self.streams.get(stream_id)
        return Running(
            stream_id=stream_id,
            analyzer=analyzer,
            epoch=0,
            version="",
            share=stream.reserved if stream else 0.0,
            size_bytes=stream.reserved_bytes if stream else 0,
            busy=True,
        )

    def _running(self, place: Place, now_s: float) -> Running:
        """One place as `plan` sees it."""
        stream, report = self.streams.get(place.stream_id), place.report
        return Running(
            stream_id=place.stream_id,
            analyzer=place.analyzer,
            epoch=place.epoch,
            version=place.version,
            share=stream.reserved if stream else 0.0,
            size_bytes=stream.reserved_bytes if stream else 0,
            lost=place.lost,
            busy=place.busy,
            stuck=report is not None and report.stuck,
            settled=stream is not None and stream.free and now_s - place.since_s >= SETTLED_AFTER_S,
        )

    def reserved(self, name: str) -> float:
        """What the streams of that analyzer are reckoned to need."""
        streams = (self.streams.get(place.stream_id) for place in self.places_at(name) if place.lost is None)
        return sum(stream.reserved for stream in streams if stream is not None)

    def seat_for(self, stream_id: str, names: Iterable[str], load: int | None = None) -> str | None:
        """The best of these analyzers that has room for the stream, or None. load: millionths, if not as measured."""
        coming = [(to, self.places[moving]) for moving, to in self.moving.items() if moving in self.places]
        riders = {
            name: [self.rider(p) for p in self.places_at(name) if p.lost is None]
            + [self.rider(p) for to, p in coming if to == name]
            for name in names
        }
        hall = Hall((self.seat(self.members[name], riders[name]) for name in riders), BY_NAME[self.options.policy])
        rider = self.rider(self.places[stream_id])
        rider = rider if load is None else msgspec.structs.replace(rider, load=load)
        chosen = hall.choose(rider, ready_only=True)
        return chosen.name if chosen is not None else None

    def rider(self, place: Place) -> Passenger:
        """A stream at its place, as placement sees it."""
        stream = self.streams.get(place.stream_id)
        return Passenger(
            stream_id=place.stream_id,
            load=millionths(stream.reserved) if stream else 0,
            size_bytes=stream.reserved_bytes if stream else 0,
            suspect=stream is not None and stream.record.crashes >= SUSPECT_AFTER,
            apart=stream.spec.labels.get(APART, "") if stream else "",
        )

    def seat(self, member: Member, riders: Iterable[Passenger]) -> Seat:
        """An analyzer with these streams in it, likewise."""
        node = member.hello.node_id if member.hello else ""
        seat = Seat(member.name, millionths(self.options.capacity), Kind.READY, budget=self.budget, node=node)
        for rider in riders:
            seat.take(rider.load, rider.size_bytes, suspect=rider.suspect)
        return seat
