"""Wanted and running in, actions out. Pure: time is an argument, an action says why, nothing is done here.

Law: carry the actions out and plan again, and there is nothing left to do.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import TypeAlias

import msgspec

from vqa_ray.core import rebalance
from vqa_ray.core.placement import NO_BOUND, Hall, Kind, Passenger, Seat, boarding, millionths
from vqa_ray.core.policies.registry import BY_NAME

SUSPECT_AFTER = 2  # crashes of its process until a stream shall crash no others
DRAINS = 5  # times as many streams as else leave an analyzer at once when its machine goes: there is a deadline
FEW_SOON = 0.25  # of those that are ready: for so few analyzers that start new streams do not wait


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
    LOAD = "what the streams take asks for more analyzers"
    DRAINED = "its machine is being emptied"
    ENDING = "its process was told to end"
    RECYCLED = "its process uses more memory than its budget"
    ASKED = "an operator asked for it"
    SURPLUS = "fewer analyzers will do"
    APART = "another stream of its group is on the same node"
    OVERLOADED = "its analyzer has too much to do"
    BALANCE = "another analyzer has less to do"


class Wanted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stream that should run.

    version: digest of spec and profile. crashes: of processes that it was in. not_before_s: after failures, wait.
    apart: streams with the same word there go on different nodes. alone_until_s: so long it waits for an analyzer of
    its own, if its crashes ask for one.
    """

    stream_id: str
    version: str
    share: float
    size_bytes: int = 0
    priority: int = 0
    apart: str = ""
    crashes: int = 0
    not_before_s: float = 0.0
    alone_until_s: float = float("inf")


class Running(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stream that has been given to an analyzer.

    lost: it is known not to run there any more. busy: an action on it is under way; it only takes up room.
    settled: it has been there for a while, and may move where that is better.
    """

    stream_id: str
    analyzer: str
    epoch: int
    version: str
    share: float
    size_bytes: int = 0
    lost: Reason | None = None
    busy: bool = False
    stuck: bool = False
    settled: bool = False


class Phase(enum.StrEnum):
    """Of an analyzer."""

    STARTING = "starting"  # asked for; perhaps it waits for a machine
    READY = "ready"
    SILENT = "silent"  # a few beats missed: it keeps its streams, but gets no more
    DRAINING = "draining"  # it gets no more, and what it has leaves as soon as there is a seat


class Analyzer(msgspec.Struct, frozen=True, kw_only=True):
    """An analyzer as observed. lease_until_s: until then it may still work on what it was given, heard or not.

    soon: it starts, and was asked for only just now. leaves: why, of one that is DRAINING; overdue: it waited for
    seats elsewhere for long enough, and ends now. node: where it is, "" if that is not known. budget: bytes that its
    streams may have.
    """

    name: str
    capacity: float
    budget: int = NO_BOUND
    node: str = ""
    phase: Phase = Phase.READY
    soon: bool = False
    leaves: Reason = Reason.DRAINED
    overdue: bool = False
    lease_until_s: float = float("inf")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many analyzers there may be, and how streams are spread. held: none is started now (the last died at once).

    capacity, budget: of a new analyzer. load: so many analyzers are right for the load. policy: its name in the
    registry. moves: at most so many streams move at a time without need; DRAINS times as many off a machine that goes.
    """

    minimum: int
    maximum: int
    capacity: float
    budget: int = NO_BOUND
    load: int = 0
    policy: str = "spread"
    moves: int = 10
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
    newest epoch; what is kept stays where it is but for a stated reason, and then it is released and assigned in the
    same plan; what finds no seat stays wanted, and leads to StartAnalyzer. New streams wait for analyzers that are
    about to be ready, so that the first one does not get them all. What an analyzer has that is being drained stays
    there until another is ready to take it.
    """
    doomed = _doomed(analyzers, running, now_s)
    alive = [a for a in analyzers if a.name not in doomed]
    by_id = {w.stream_id: w for w in wanted}
    kept, releases, homeless = _sort_out(by_id, {a.name for a in alive}, running, doomed)
    leaving = {a.name: a.leaves for a in alive if a.phase is Phase.DRAINING}
    moving = {r.stream_id: r for r in kept if not r.busy and r.analyzer in leaving} if leaving else {}
    homeless |= {stream_id: leaving[r.analyzer] for stream_id, r in moving.items()}
    staying = [a for a in alive if a.name not in leaving]
    suspects = _suspects(wanted, max(limits.maximum, limits.minimum, len(staying)))
    hall = Hall(_seats(staying, kept, suspects), BY_NAME[limits.policy])
    _tell_who_is_apart(hall, kept, by_id, moving)
    taken = {a.name for a in analyzers} | {r.analyzer for r in running}
    new = _new_seats(staying, taken, limits)
    waiting = _waiting(wanted, kept, moving, running, suspects, now_s)
    pending = [(p, homeless.get(p.stream_id, Reason.NEW)) for p in boarding(waiting)]
    assigns, started = _place(pending, hall, new, limits, len(staying))
    if _worth_waiting_for(alive, started):
        assigns = [action for action in assigns if action.reason is not Reason.NEW]
    going = [(moving[a.stream_id], a.reason) for a in assigns if a.stream_id in moving]
    better = _better(hall, kept, by_id, suspects, moving, limits, sum(reason in _CALM for _, reason in going))
    going += [(entry, action.reason) for entry, action in better]
    actions: list[Action] = [*releases, *assigns, *(action for _, action in better)]
    actions += [Release(r.stream_id, r.analyzer, r.epoch, reason) for r, reason in going]
    actions += [StopAnalyzer(name, reason) for name, reason in doomed.items()]
    full = {r.analyzer for r in running if r.lost is None} if leaving else set()
    actions += [StopAnalyzer(name, reason) for name, reason in leaving.items() if name not in full]
    actions += [StartAnalyzer(seat.name, reason) for seat, reason in started]
    return sorted(actions, key=_key)


_CALM = (Reason.SURPLUS,)  # reasons to drain an analyzer that are not urgent


def _worth_waiting_for(alive: Sequence[Analyzer], started: Sequence[tuple[Seat, Reason]]) -> bool:
    """Whether so many analyzers are about to be ready that new streams should wait for them."""
    soon = sum(a.soon and a.phase is Phase.STARTING for a in alive) + sum(
        reason is not Reason.NO_SEAT for _, reason in started
    )
    return soon > FEW_SOON * sum(a.phase is Phase.READY for a in alive)


def _key(action: Action) -> tuple[int, str, str, int]:
    stream_id = action.stream_id if isinstance(action, Release | Assign) else ""
    epoch = action.epoch if isinstance(action, Release) else 0
    return (_ORDER.index(type(action)), stream_id, action.analyzer, epoch)


def _doomed(analyzers: Iterable[Analyzer], running: Iterable[Running], now_s: float) -> dict[str, Reason]:
    """The analyzers to end, and why."""
    stuck = {r.analyzer for r in running if r.stuck and not r.lost}
    doomed = {a.name: Reason.STUCK for a in analyzers if a.name in stuck}
    overdue = {a.name: a.leaves for a in analyzers if a.phase is Phase.DRAINING and a.overdue}
    silent = {a.name: Reason.SILENT for a in analyzers if a.phase is not Phase.STARTING and a.lease_until_s < now_s}
    return overdue | doomed | silent


def _sort_out(
    wanted: Mapping[str, Wanted], alive: set[str], running: Sequence[Running], doomed: dict[str, Reason]
) -> tuple[list[Running], list[Release], dict[str, Reason]]:
    """What is kept, what is released, and which streams that ran are without an analyzer (or will be), and why."""
    kept: list[Running] = []
    releases: list[Release] = []
    homeless: dict[str, Reason] = {}
    seen: set[str] = set()
    for entry in _newest_first(running):
        stream_id = entry.stream_id
        fate = None if entry.busy else _fate(entry, alive, doomed, wanted.get(stream_id), superseded=stream_id in seen)
        if fate is None:
            kept.append(entry)
            seen.add(stream_id)
            continue
        if _answers(entry, alive, doomed):
            releases.append(Release(stream_id, entry.analyzer, entry.epoch, fate))
        homeless.setdefault(stream_id, fate)
    return kept, releases, homeless


def _newest_first(running: Sequence[Running]) -> Sequence[Running]:
    """By stream, what is under way and then the newest epoch first; as it is where each stream is there once."""
    if len({r.stream_id for r in running}) == len(running):
        return running
    return sorted(running, key=lambda r: (r.stream_id, not r.busy, -r.epoch, r.analyzer))


def _fate(
    entry: Running, alive: set[str], doomed: dict[str, Reason], wanted: Wanted | None, *, superseded: bool
) -> Reason | None:
    """Why an entry cannot stay as it is, or None."""
    if entry.lost is not None:
        return entry.lost
    if entry.analyzer not in alive:
        return doomed.get(entry.analyzer, Reason.DIED)
    if wanted is None:
        return Reason.REMOVED
    if superseded:
        return Reason.SUPERSEDED
    return None if entry.version == wanted.version else Reason.CHANGED


def _answers(entry: Running, alive: set[str], doomed: dict[str, Reason]) -> bool:
    """Whether it makes sense to ask the analyzer to release the stream: it lives, and the stream does not hang."""
    if entry.lost is not None or entry.stuck:
        return False
    return entry.analyzer in alive or doomed.get(entry.analyzer, Reason.SILENT) is not Reason.SILENT


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
    wanted: Iterable[Wanted],
    kept: Iterable[Running],
    moving: Mapping[str, Running],
    running: Iterable[Running],
    suspects: set[str],
    now_s: float,
) -> list[Passenger]:
    """The streams to place."""
    placed = {r.stream_id for r in kept} - moving.keys()
    waiting = [w for w in wanted if w.stream_id not in placed and w.not_before_s <= now_s]
    if not waiting:
        return []
    owner = {r.stream_id: r.analyzer for r in sorted(running, key=lambda r: (r.epoch, r.analyzer))}  # the newest wins
    return [
        _passenger(w, suspect=w.stream_id in suspects, patient=now_s < w.alone_until_s, stay=owner.get(w.stream_id))
        for w in waiting
    ]


def _passenger(wanted: Wanted, *, suspect: bool = False, patient: bool = True, stay: str | None = None) -> Passenger:
    return Passenger(
        stream_id=wanted.stream_id,
        load=millionths(wanted.share),
        size_bytes=wanted.size_bytes,
        priority=wanted.priority,
        suspect=suspect,
        patient=patient,
        apart=wanted.apart,
        stay=stay,
    )


def _seats(staying: Iterable[Analyzer], kept: Iterable[Running], suspects: set[str]) -> list[Seat]:
    """The seats there are or will be, with what is kept in them."""
    kinds = {Phase.READY: Kind.READY, Phase.STARTING: Kind.STARTING}
    seats = {
        a.name: Seat(a.name, millionths(a.capacity), kinds[a.phase], budget=a.budget, node=a.node)
        for a in staying
        if a.phase in kinds
    }
    for entry in kept:
        if seat := seats.get(entry.analyzer):
            seat.take(millionths(entry.share), entry.size_bytes, suspect=entry.stream_id in suspects)
    return list(seats.values())


def _tell_who_is_apart(
    hall: Hall, kept: Iterable[Running], wanted: Mapping[str, Wanted], moving: Mapping[str, Running]
) -> None:
    groups = {stream_id: w.apart for stream_id, w in wanted.items() if w.apart}
    node = {seat.name: seat.node for seat in hall.seats} if groups else {}
    for entry in kept if groups else ():
        if entry.stream_id in groups and entry.stream_id not in moving:
            hall.found(groups[entry.stream_id], node.get(entry.analyzer, ""))


def _new_seats(staying: Sequence[Analyzer], taken: set[str], limits: Limits) -> list[Seat]:
    """Seats of analyzers that may be started. A name is free for use again once its analyzer is gone."""
    room = 0 if limits.held else max(0, max(limits.maximum, limits.minimum) - len(staying))
    names = (name for n in count() if (name := f"analyzer-{n}") not in taken)
    capacity = millionths(limits.capacity)
    return [Seat(name, capacity, Kind.POSSIBLE, budget=limits.budget) for name in islice(names, room)]


def _place(
    pending: Iterable[tuple[Passenger, Reason]], hall: Hall, new: list[Seat], limits: Limits, staying: int
) -> tuple[list[Assign], list[tuple[Seat, Reason]]]:
    """Assignments to seats that are ready, and the seats that have to be made: those missing, and what is needed."""
    fewest, right = max(0, limits.minimum - staying), max(0, limits.load - staying)
    started = [
        (seat, Reason.MINIMUM if n < fewest else Reason.LOAD) for n, seat in enumerate(new[: max(fewest, right)])
    ]
    unused = iter(new[len(started) :])
    for seat, _ in started:
        seat.kind = Kind.STARTING
        hall.add(seat)
    _add_one(hall, unused)
    assigns: list[Assign] = []
    left = {Reason.DRAINED: DRAINS * limits.moves} | dict.fromkeys(_CALM, limits.moves)
    for passenger, reason in pending:
        if left.get(reason) == 0:
            continue
        chosen = hall.choose(passenger, ready_only=reason in _CALM)
        if chosen is None:
            continue
        if chosen.kind is Kind.READY:
            assigns.append(Assign(passenger.stream_id, chosen.name, reason))
            if reason in left:
                left[reason] -= 1
        elif chosen.kind is Kind.POSSIBLE:
            hall.ask_for(chosen)
            started.append((chosen, Reason.NO_SEAT))
            _add_one(hall, unused)
        hall.seat(passenger, chosen)
    return assigns, started


def _add_one(hall: Hall, unused: Iterator[Seat]) -> None:
    """One seat at a time is offered of those that may be made."""
    if (seat := next(unused, None)) is not None:
        hall.add(seat)


def _better(
    hall: Hall,
    kept: Sequence[Running],
    wanted: Mapping[str, Wanted],
    suspects: set[str],
    moving: Mapping[str, Running],
    limits: Limits,
    gone: int,
) -> list[tuple[Running, Assign]]:
    """Who moves though nothing forces it to; fewer while others are on their way."""
    if not rebalance.wanted(hall):
        return []
    limit = limits.moves - gone - len({r.stream_id for r in kept if r.busy})
    may = {
        r.stream_id: r
        for r in kept
        if r.settled and not r.busy and not r.stuck and r.stream_id not in suspects and r.stream_id not in moving
    }
    riders: dict[str, list[Passenger]] = {seat.name: [] for seat in hall.seats}
    for stream_id, entry in may.items():
        if entry.analyzer in riders:
            passenger = msgspec.structs.replace(_passenger(wanted[stream_id]), load=millionths(entry.share))
            riders[entry.analyzer].append(msgspec.structs.replace(passenger, size_bytes=entry.size_bytes))
    board = rebalance.Board(hall, riders)
    made: list[tuple[Running, Assign]] = []
    for reason, find in _REASONS_TO_MOVE:
        moves = find(board, max(0, limit - len(made)))
        made += [(may[move.stream_id], Assign(move.stream_id, move.to, reason)) for move in moves]
    return made


_REASONS_TO_MOVE = (
    (Reason.APART, rebalance.separate),
    (Reason.OVERLOADED, rebalance.relieve),
    (Reason.BALANCE, rebalance.even),
)
