"""What the supervisor knows: which streams are wanted, which analyzers there are, and what was given to whom.

No Ray, no disk, no clock: facts come in as calls with the time, `views` go to `plan`, answers to beats go out.
"""

import logging
from collections.abc import Mapping

import msgspec

from vqa_ray.cluster.messages import Beat, BeatReply, ClusterOptions, Ended, Hello
from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core.placement import expected_share, smoothed
from vqa_ray.core.reconcile import Analyzer, Limits, Phase, Reason, Running, Wanted
from vqa_ray.core.source import State
from vqa_ray.pipeline.worker import StreamReport

log = logging.getLogger(__name__)

FORGIVEN_AFTER_S = 600.0  # a stream that ran so long without a crash is as good as new
SILENT_AFTER_BEATS = 3.0
SOON_S = 10.0  # an analyzer starts within 1-3 s where there is room; later it waits for a machine
_FIRST_DELAY_S, _MAX_DELAY_S = 1.0, 60.0  # until a stream that was refused is offered again


class Stream:
    """One wanted stream, and what is remembered of it whoever runs it."""

    __slots__ = ("crashed_s", "crashes", "done", "not_before_s", "profile", "refusals", "share", "spec", "version")

    def __init__(self, spec: StreamSpec, profile: Profile, version: str) -> None:
        self.spec = spec
        self.profile = profile
        self.version = version
        self.share: float | None = None  # measured, smoothed
        self.crashes = 0
        self.crashed_s = 0.0
        self.refusals = 0
        self.not_before_s = 0.0
        self.done = False  # a file, read to its end

    def crashed(self, now_s: float) -> None:
        """Its process died, perhaps of it."""
        forgiven = now_s - self.crashed_s > FORGIVEN_AFTER_S
        self.crashes = 1 if forgiven else self.crashes + 1
        self.crashed_s = now_s

    @property
    def reserved(self) -> float:
        """The share to reckon with."""
        return expected_share(None) if self.share is None else self.share


class Place:
    """A stream at an analyzer, under an epoch."""

    __slots__ = ("after_beat", "analyzer", "busy", "epoch", "lost", "report", "since_s", "stream_id", "version")

    def __init__(self, stream_id: str, analyzer: str, epoch: int, version: str, now_s: float) -> None:
        self.stream_id = stream_id
        self.analyzer = analyzer
        self.epoch = epoch
        self.version = version
        self.since_s = now_s
        self.lost: Reason | None = None
        self.busy = True  # an action on it is under way
        self.after_beat: int | None = None  # beats after this number must list it; None: not yet confirmed
        self.report: StreamReport | None = None


class Member:
    """One analyzer."""

    __slots__ = ("beat", "heard_s", "hello", "lease_until_s", "name", "number", "phase", "started_s")

    def __init__(self, name: str, now_s: float) -> None:
        self.name = name
        self.phase = Phase.STARTING
        self.started_s = now_s
        self.hello: Hello | None = None
        self.beat: Beat | None = None
        self.number = -1
        self.heard_s = now_s
        self.lease_until_s = now_s


class Roster:
    """The supervisor's picture of the fleet. Times are of one monotonic clock, that of `now_s`."""

    def __init__(self, options: ClusterOptions, incarnation: str) -> None:
        self.options = options
        self.incarnation = incarnation
        self.streams: dict[str, Stream] = {}
        self.members: dict[str, Member] = {}
        self.places: dict[str, Place] = {}
        self.epochs: dict[str, int] = {}
        self.snapshots: dict[str, tuple[int, bytes]] = {}

    # ---- what is wanted

    def want(self, streams: Mapping[str, tuple[StreamSpec, Profile, str]]) -> tuple[list[str], list[str], list[str]]:
        """Takes over what is wanted now, by id; gives back the ids added, changed and removed."""
        added, changed = [], []
        removed = [stream_id for stream_id in self.streams if stream_id not in streams]
        for stream_id in removed:
            del self.streams[stream_id]
        for stream_id, (spec, profile, version) in streams.items():
            before = self.streams.get(stream_id)
            if before is None:
                added.append(stream_id)
            elif before.version != version:
                changed.append(stream_id)
            else:
                self._try_again(stream_id)
                continue
            stream = self.streams[stream_id] = Stream(spec, profile, version)
            stream.share = before.share if before else None
        return added, changed, removed

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
        """An analyzer that does not answer (yet) after our restart: it may work on what it was given."""
        member = self.members.setdefault(name, Member(name, now_s))
        member.phase = Phase.SILENT
        member.lease_until_s = now_s + self.options.lease_s + self.options.margin_s
        for stream_id, epoch in owned.items():
            version = self.streams[stream_id].version if stream_id in self.streams else ""
            place = self.places[stream_id] = Place(stream_id, name, epoch, version, now_s)
            place.busy = False

    def gone(self, name: str, reason: Reason, now_s: float, *, crashed: bool) -> list[str]:
        """The analyzer is no more; gives back the streams that are lost with it."""
        self.members.pop(name, None)
        lost = [place for place in self.places.values() if place.analyzer == name and place.lost is None]
        for place in lost:
            place.lost = reason
            place.busy = False
            if place.stream_id not in self.streams:
                del self.places[place.stream_id]
            hung = reason is Reason.STUCK and place.report is not None and place.report.stuck
            if (stream := self.streams.get(place.stream_id)) and (crashed or hung):
                stream.crashed(now_s)
        return sorted(place.stream_id for place in lost)

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
        self._heard(member, now_s)
        ended = [self._held(member, held.report, held.version, now_s) for held in beat.held]
        self._missing(member, {held.report.stream_id for held in beat.held}, beat.number)
        return BeatReply(supervisor=self.incarnation, ended=tuple(e for e in ended if e is not None))

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
        place = Place(report.stream_id, member.name, report.epoch, version, now_s)
        place.busy = False
        place.after_beat = member.number
        self.places[report.stream_id] = place
        self.epochs[report.stream_id] = max(report.epoch, self.epochs.get(report.stream_id, 0))
        return place

    def _note(self, place: Place, report: StreamReport, number: int) -> None:
        before = place.report
        place.report = msgspec.structs.replace(report, snapshot=None)
        if place.after_beat is None:
            place.after_beat = number
        self.remember(report.stream_id, report.epoch, report.snapshot)
        stream = self.streams.get(report.stream_id)
        if stream is None:
            return
        stream.done = report.state == State.ENDED
        if report.fps > 0 and report.state == State.LIVE and before is not None:
            stream.share = smoothed(stream.share, report.cpu_share, self.options.beat_s)
        if stream.done:
            stream.share = 0.0

    def _missing(self, member: Member, listed: set[str], number: int) -> None:
        """What the analyzer should have but does not list any more it has given up (its lease ran out)."""
        for place in self.places.values():
            if place.analyzer != member.name or place.busy or place.lost or place.stream_id in listed:
                continue
            if place.after_beat is None or number > place.after_beat:
                place.lost = Reason.DROPPED

    # ---- actions under way

    def assigning(self, stream_id: str, analyzer: str, epoch: int, now_s: float) -> Place:
        """The stream is about to be given to the analyzer, under a persisted epoch."""
        place = Place(stream_id, analyzer, epoch, self.streams[stream_id].version, now_s)
        self.places[stream_id] = place
        self.epochs[stream_id] = epoch
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
        place.lost = Reason.REFUSED
        if stream := self.streams.get(place.stream_id):
            stream.refusals += 1
            stream.not_before_s = now_s + min(_MAX_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(stream.refusals - 1, 20))

    def released(self, place: Place, reason: Reason, snapshot: bytes | None) -> None:
        """The analyzer has stopped it; if it is still wanted it is lost, for that reason, until it gets a new place."""
        self.remember(place.stream_id, place.epoch, snapshot)
        place.busy = False
        place.lost = reason
        if place.stream_id not in self.streams and self.places.get(place.stream_id) is place:
            del self.places[place.stream_id]

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
        """Marks the analyzers that have gone silent."""
        for member in self.members.values():
            silent_s = now_s - member.heard_s
            if member.phase is Phase.READY and silent_s > SILENT_AFTER_BEATS * self.options.beat_s:
                member.phase = Phase.SILENT

    def wanted(self) -> list[Wanted]:
        """The streams that should run: all but the files that were read to their end."""
        return [
            Wanted(
                stream_id=stream_id,
                version=s.version,
                share=s.reserved,
                priority=s.spec.priority,
                crashes=s.crashes,
                not_before_s=s.not_before_s,
            )
            for stream_id, s in self.streams.items()
            if not s.done or (stream_id in self.places and self.places[stream_id].lost is None)
        ]

    def analyzers(self, now_s: float) -> list[Analyzer]:
        """The analyzers."""
        capacity = self.options.capacity
        return [
            Analyzer(
                name=m.name,
                capacity=capacity,
                phase=m.phase,
                soon=m.phase is Phase.STARTING and now_s - m.started_s < SOON_S,
                lease_until_s=m.lease_until_s,
            )
            for m in self.members.values()
        ]

    def running(self) -> list[Running]:
        """What was given to them."""
        return [self.as_running(place) for place in self.places.values()]

    def as_running(self, place: Place) -> Running:
        """One place as `plan` sees it."""
        stream = self.streams.get(place.stream_id)
        return Running(
            stream_id=place.stream_id,
            analyzer=place.analyzer,
            epoch=place.epoch,
            version=place.version,
            share=stream.reserved if stream else 0.0,
            lost=place.lost,
            busy=place.busy,
            stuck=place.report is not None and place.report.stuck,
        )

    def limits(self, cores: float, *, held: bool) -> Limits:
        """How many analyzers there may be in a cluster of so many cores."""
        most = self.options.analyzers_max or max(1, int(cores / self.options.cores))
        return Limits(
            minimum=min(self.options.analyzers_min, most), maximum=most, capacity=self.options.capacity, held=held
        )
