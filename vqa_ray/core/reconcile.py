"""Wanted and running in, actions out. Pure: time is an argument, an action says why, nothing is done here.

Law: carry the actions out and plan again, and there is nothing left to do.
"""

import enum
from collections.abc import Iterable, Sequence
from itertools import count, islice
from typing import TypeAlias

import msgspec

from vqa_ray.core.placement import Kind, Passenger, Seat, boarding, choose

SUSPECT_AFTER = 2  # crashes of its process until a stream shall crash no others


class Reason(enum.StrEnum):
    """Why an action is taken, or why a stream has no analyzer."""

    NEW = "new"
    CHANGED = "its spec or profile changed"
    REMOVED = "no longer wanted"
    DIED = "its analyzer died"
    SILENT = "its analyzer was not heard of until its lease ran out"
    STUCK = "a call in its analyzer hangs"
    DROPPED = "its analyzer gave it up"
    SUPERSEDED = "a newer epoch runs elsewhere"
    REFUSED = "its analyzer could not take it"
    NO_SEAT = "no analyzer has room for waiting streams"
    MINIMUM = "fewer analyzers than asked for"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that should run.

    version: digest of spec and profile. crashes: of processes that it was in. not_before_s: after failures, wait.
    """

    stream_id: str
    version: str
    share: float
    priority: int = 0
    crashes: int = 0
    not_before_s: float = 0.0


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that has been given to an analyzer.

    lost: it is known not to run there any more. busy: an action on it is under way; it only takes up room.
    """

    stream_id: str
    analyzer: str
    epoch: int
    version: str
    share: float
    lost: Reason | None = None
    busy: bool = False
    stuck: bool = False


class Phase(enum.StrEnum):
    """Of an analyzer."""

    STARTING = "starting"  # asked for; perhaps it waits for a machine
    READY = "ready"
    SILENT = "silent"  # a few beats missed: it keeps its streams, but gets no more


class Analyzer(msgspec.Struct, frozen=True, kw_only=True):
    """An analyzer as observed. lease_until_s: until then it may still work on what it was given, heard or not.

    soon: it starts, and was asked for only just now.
    """

    name: str
    capacity: float
    phase: Phase = Phase.READY
    soon: bool = False
    lease_until_s: float = float("inf")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many analyzers there may be. held: none is started now (the last ones died at once)."""

    minimum: int
    maximum: int
    capacity: float  # of a new analyzer
    held: bool = False


class Release(msgspec.Struct, frozen=True, tag=True):
    """Have the analyzer stop the stream and give back its snapshot."""

    stream_id: str
    analyzer: str
    epoch: int
    reason: Reason


class StopAnalyzer(msgspec.Struct, frozen=True, tag=True):
    """End the process, with whatever still runs in it."""

    analyzer: str
    reason: Reason


class StartAnalyzer(msgspec.Struct, frozen=True, tag=True):
    """Ask for a new analyzer of that name."""

    analyzer: str
    reason: Reason


class Assign(msgspec.Struct, frozen=True, tag=True):
    """Give the stream to the analyzer, under a new epoch."""

    stream_id: str
    analyzer: str
    reason: Reason


Action: TypeAlias = Release | StopAnalyzer | StartAnalyzer | Assign
_ORDER = (Release, StopAnalyzer, StartAnalyzer, Assign)


def plan(
    wanted: Sequence[Wanted],
    analyzers: Sequence[Analyzer],
    running: Sequence[Running],
    now_s: float,
    limits: Limits,
) -> list[Action]:
    """What to do, sorted in the order of doing.

    `now_s` is on the clock of `lease_until_s` and `not_before_s`. At most one live entry of a stream is kept, the
    newest epoch; what is kept stays where it is; what finds no seat stays wanted, and leads to StartAnalyzer.
    New streams wait for analyzers that are about to be ready, so that the first one does not get them all.
    """
    doomed = _doomed(analyzers, running, now_s)
    alive = [a for a in analyzers if a.name not in doomed]
    kept, releases, homeless = _sort_out(wanted, {a.name for a in alive}, running, doomed)
    room = max(limits.maximum, limits.minimum, len(alive))
    suspects = _suspects(wanted, room)
    seats = _seats(alive, kept, suspects)
    taken = {a.name for a in analyzers} | {r.analyzer for r in running}
    new = _new_seats(alive, taken, limits)
    missing = max(0, limits.minimum - len(alive))
    waiting = _waiting(wanted, kept, running, suspects, now_s)
    pending = [(p, homeless.get(p.stream_id, Reason.NEW)) for p in boarding(waiting)]
    assigns, used = _place(pending, seats, new, missing)
    if any(a.soon for a in alive) or any(reason is Reason.MINIMUM for _, reason in used):
        assigns = [action for action in assigns if action.reason is not Reason.NEW]
    actions: list[Action] = [*releases, *assigns]
    actions += [StopAnalyzer(name, reason) for name, reason in doomed.items()]
    actions += [StartAnalyzer(seat.name, reason) for seat, reason in used]
    return sorted(actions, key=_key)


def _key(action: Action) -> tuple[int, str, str, int]:
    stream_id = action.stream_id if isinstance(action, Release | Assign) else ""
    epoch = action.epoch if isinstance(action, Release) else 0
    return (_ORDER.index(type(action)), stream_id, action.analyzer, epoch)


def _doomed(analyzers: Iterable[Analyzer], running: Iterable[Running], now_s: float) -> dict[str, Reason]:
    """The analyzers to end, and why."""
    stuck = {r.analyzer for r in running if r.stuck and not r.lost}
    doomed = {a.name: Reason.STUCK for a in analyzers if a.name in stuck}
    silent = {a.name: Reason.SILENT for a in analyzers if a.phase is not Phase.STARTING and a.lease_until_s < now_s}
    return doomed | silent


def _sort_out(
    wanted: Iterable[Wanted], alive: set[str], running: Iterable[Running], doomed: dict[str, Reason]
) -> tuple[list[Running], list[Release], dict[str, Reason]]:
    """What is kept, what is released, and which streams that ran are without an analyzer (or will be), and why."""
    version = {w.stream_id: w.version for w in wanted}
    kept: list[Running] = []
    releases: list[Release] = []
    homeless: dict[str, Reason] = {}
    seen: set[str] = set()
    for entry in sorted(running, key=lambda r: (r.stream_id, not r.busy, -r.epoch, r.analyzer)):
        if entry.busy:
            kept.append(entry)
            seen.add(entry.stream_id)
            continue
        fate = _fate(entry, alive, doomed, version, superseded=entry.stream_id in seen)
        if fate is None:
            kept.append(entry)
            seen.add(entry.stream_id)
        elif _answers(entry, alive, doomed):
            releases.append(Release(entry.stream_id, entry.analyzer, entry.epoch, fate))
        if fate is not None:
            homeless.setdefault(entry.stream_id, fate)
    return kept, releases, homeless


def _fate(
    entry: Running, alive: set[str], doomed: dict[str, Reason], version: dict[str, str], *, superseded: bool
) -> Reason | None:
    """Why an entry cannot stay as it is, or None."""
    if entry.lost is not None:
        return entry.lost
    if entry.analyzer not in alive:
        return doomed.get(entry.analyzer, Reason.DIED)
    if entry.stream_id not in version:
        return Reason.REMOVED
    if superseded:
        return Reason.SUPERSEDED
    return None if entry.version == version[entry.stream_id] else Reason.CHANGED


def _answers(entry: Running, alive: set[str], doomed: dict[str, Reason]) -> bool:
    """Whether it makes sense to ask the analyzer to release the stream: it lives, and the stream does not hang."""
    if entry.lost is not None or entry.stuck:
        return False
    return entry.analyzer in alive or doomed.get(entry.analyzer) is Reason.STUCK


def _suspects(wanted: Iterable[Wanted], room: int) -> set[str]:
    """The streams that get an analyzer of their own: those of the most crashes, as many as leave one for the others.

    Whoever was killed together is suspected together; when that is more than can be kept apart, it tells nothing.
    """
    suspects: set[str] = set()
    for crashes in sorted({w.crashes for w in wanted if w.crashes >= SUSPECT_AFTER}, reverse=True):
        suspects |= (group := {w.stream_id for w in wanted if w.crashes == crashes})
        if len(suspects) >= room:
            return suspects - group
    return suspects


def _waiting(
    wanted: Iterable[Wanted], kept: Iterable[Running], running: Iterable[Running], suspects: set[str], now_s: float
) -> list[Passenger]:
    """The streams to place."""
    placed = {r.stream_id for r in kept}
    owner = {r.stream_id: r.analyzer for r in sorted(running, key=lambda r: (r.epoch, r.analyzer))}  # the newest wins
    return [
        Passenger(
            stream_id=w.stream_id,
            share=w.share,
            priority=w.priority,
            suspect=w.stream_id in suspects,
            stay=owner.get(w.stream_id),
        )
        for w in wanted
        if w.stream_id not in placed and w.not_before_s <= now_s
    ]


def _seats(alive: Iterable[Analyzer], kept: Iterable[Running], suspects: set[str]) -> list[Seat]:
    """The seats there are or will be, with what is kept in them."""
    kinds = {Phase.READY: Kind.READY, Phase.STARTING: Kind.STARTING}
    seats = {a.name: Seat(a.name, a.capacity, kinds[a.phase]) for a in alive if a.phase in kinds}
    for entry in kept:
        if seat := seats.get(entry.analyzer):
            seat.take(entry.share, suspect=entry.stream_id in suspects)
    return list(seats.values())


def _new_seats(alive: Sequence[Analyzer], taken: set[str], limits: Limits) -> list[Seat]:
    """Seats of analyzers that may be started. A name is free for use again once its analyzer is gone."""
    room = 0 if limits.held else max(0, max(limits.maximum, limits.minimum) - len(alive))
    names = (name for n in count() if (name := f"analyzer-{n}") not in taken)
    return [Seat(name, limits.capacity, Kind.POSSIBLE) for name in islice(names, room)]


def _place(
    pending: Iterable[tuple[Passenger, Reason]], seats: list[Seat], new: list[Seat], missing: int
) -> tuple[list[Assign], list[tuple[Seat, Reason]]]:
    """Assignments to seats that are ready, and the seats that have to be made: those missing, and what is needed."""
    started = [(seat, Reason.MINIMUM) for seat in new[:missing]]
    unused = new[missing:]
    for seat, _ in started:
        seat.kind = Kind.STARTING
        seats.append(seat)
    assigns: list[Assign] = []
    for passenger, reason in pending:
        chosen = choose(passenger, [*seats, *unused[:1]])
        if chosen is None:
            continue
        chosen.take(passenger.share, suspect=passenger.suspect)
        if chosen.kind is Kind.READY:
            assigns.append(Assign(passenger.stream_id, chosen.name, reason))
        elif chosen.kind is Kind.POSSIBLE:
            chosen.kind = Kind.STARTING
            started.append((chosen, Reason.NO_SEAT))
            seats.append(unused.pop(0))
    return assigns, started
