"""Who gets which seat: streams packed onto analyzers by CPU and memory. Pure, and the same whoever computes it.

Shares are counted in millionths of a core: sums of whole numbers do not depend on the order of adding. Seats are kept
sorted by what is free in them, so that a stream finds its seat without a look at all of them.
"""

import enum
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable

import msgspec

from vqa_ray.core.policies.base import Policy
from vqa_ray.core.policies.pack import Pack

MILLION = 1_000_000
NO_BOUND = 1 << 62  # bytes


def millionths(share: float) -> int:
    """A share as a whole number."""
    return round(share * MILLION)


class Passenger(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stream as placement sees it. suspect: its analyzers have crashed; it should crash no others.

    patient: if it is suspect, it waits for an analyzer of its own, rather than share one that is ready.
    load: millionths of a core. apart: streams with the same word there go on different nodes (empty: anywhere).
    """

    stream_id: str
    load: int
    size_bytes: int = 0
    priority: int = 0
    suspect: bool = False
    patient: bool = True
    apart: str = ""
    stay: str | None = None  # the analyzer that has it now, preferred


class Kind(enum.IntEnum):
    """How soon a seat can be had; the sooner, the better."""

    READY = 0
    STARTING = 1  # the analyzer has been asked for
    POSSIBLE = 2  # if an analyzer is asked for


class Seat:
    """One analyzer while placement fills it. node: "" while it is not known.

    capacity, load: millionths of a core; budget, used: bytes.
    """

    __slots__ = ("budget", "capacity", "clean", "kind", "load", "name", "node", "suspects", "used")

    def __init__(
        self, name: str, capacity: int, kind: Kind = Kind.READY, *, budget: int = NO_BOUND, node: str = ""
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.budget = budget
        self.kind = kind
        self.node = node
        self.load = 0
        self.used = 0
        self.clean = 0
        self.suspects = 0

    @property
    def empty(self) -> bool:
        """Whether no stream sits there."""
        return not self.clean and not self.suspects

    def take(self, load: int, size_bytes: int, *, suspect: bool = False) -> None:
        """One more stream."""
        self.load += load
        self.used += size_bytes
        self.suspects += suspect
        self.clean += not suspect

    def give(self, load: int, size_bytes: int) -> None:
        """One stream less, not a suspect."""
        self.load -= load
        self.used -= size_bytes
        self.clean -= 1

    def holds(self, load: int, size_bytes: int) -> bool:
        """Whether the analyzer stays within capacity and budget with one more stream."""
        return self.load + load <= self.capacity and self.used + size_bytes <= self.budget

    def fits(self, load: int, size_bytes: int) -> bool:
        """The same, but that a stream which is heavier than any analyzer gets one alone."""
        return self.holds(load, size_bytes) or self.empty


def boarding(passengers: Iterable[Passenger]) -> list[Passenger]:
    """The order of placing: the more important first, among equals the heavier (packs tighter), then by name."""
    return sorted(passengers, key=lambda p: (-p.priority, -p.load, -p.size_bytes, p.stream_id))


class _Row:
    """Seats in which no suspect sits, sorted by what is free."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []  # (millionths, minus the seat's number): of equals, the first by name
        self.full = False  # since a seat became roomier for the last time `least` found none, so nothing larger will
        self.least = (0, 0)  # millionths, bytes

    def add(self, seat: Seat, number: int) -> None:
        insort(self.free, (seat.capacity - seat.load, -number))

    def remove(self, seat: Seat, number: int) -> None:
        del self.free[bisect_left(self.free, (seat.capacity - seat.load, -number))]


class Hall:
    """All seats while they are filled, and which streams must be apart."""

    def __init__(self, seats: Iterable[Seat], policy: Policy) -> None:
        self.policy = policy
        self._seats = sorted(seats, key=lambda seat: seat.name)
        self._number = {seat.name: number for number, seat in enumerate(self._seats)}
        self._rows = {kind: _Row() for kind in Kind}
        self._tainted: dict[str, Seat] = {}
        self._nodes: dict[str, Counter[str]] = {}  # of `apart`: where such streams sit
        for kind in Kind:
            row, of_kind = self._rows[kind], [s for s in self._seats if s.kind is kind and not s.suspects]
            row.free = sorted((s.capacity - s.load, -self._number[s.name]) for s in of_kind)
        self._tainted = {s.name: s for s in self._seats if s.suspects}

    @property
    def seats(self) -> list[Seat]:
        """All of them, by name."""
        return self._seats

    def __getitem__(self, name: str) -> Seat:
        """The seat of that name."""
        return self._seats[self._number[name]]

    def add(self, seat: Seat) -> None:
        """One more seat; its name comes after those of all others where they tie."""
        self._number[seat.name] = len(self._seats)
        self._seats.append(seat)
        self._enter(seat, roomier=True)

    def found(self, apart: str, node: str, count: int = 1) -> None:
        """Streams that must be apart sit on that node already (or less of them, with a negative count)."""
        if apart and node:
            self._nodes.setdefault(apart, Counter())[node] += count

    def close(self, apart: str, seat: Seat) -> bool:
        """Whether a stream from which this one shall be apart sits on the seat's node."""
        return self.crowd(apart, seat) > 0

    def seat(self, passenger: Passenger, seat: Seat) -> None:
        """Gives the seat to the passenger."""
        self._leave(seat)
        seat.take(passenger.load, passenger.size_bytes, suspect=passenger.suspect)
        self._enter(seat)
        self.found(passenger.apart, seat.node)

    def ask_for(self, seat: Seat) -> None:
        """The analyzer of a seat that was only possible is started."""
        self._leave(seat)
        seat.kind = Kind.STARTING
        self._enter(seat, roomier=True)

    def rise(self, passenger: Passenger, seat: Seat) -> None:
        """Takes the seat back from a passenger that is no suspect."""
        self._leave(seat)
        seat.give(passenger.load, passenger.size_bytes)
        self._enter(seat, roomier=True)
        self.found(passenger.apart, seat.node, -1)

    def choose(self, passenger: Passenger, *, ready_only: bool = False) -> Seat | None:
        """The best seat with room, or None.

        A clean stream goes to the analyzer that has it, else to the one that the policy prefers, apart from those that
        it must be apart from wherever that is possible; it shares with suspects only when nothing else is left. A
        suspect wants an analyzer of its own, then one with suspects; once it has waited for long enough, any that is
        ready.
        """
        if passenger.suspect:
            return self._for_suspect(passenger, ready_only=ready_only)
        if passenger.stay in self._number and self._may_stay(passenger, self[passenger.stay]):
            return self[passenger.stay]
        for kind in (Kind.READY,) if ready_only else Kind:
            if (seat := self._in_row(passenger, kind)) is not None:
                return seat
        return self._best(passenger, self._tainted.values(), ready_only=ready_only)

    def far_from_others(self, passenger: Passenger) -> Seat | None:
        """A seat that is ready and has room, on a node without any from which the passenger shall be apart."""
        seat = self._in_row(passenger, Kind.READY)
        return None if seat is None or self.close(passenger.apart, seat) else seat

    @property
    def crowded(self) -> bool:
        """Whether some that shall be apart are on one node."""
        return any(count > 1 for nodes in self._nodes.values() for count in nodes.values())

    def crowd(self, apart: str, seat: Seat) -> int:
        """How many of those that shall be apart are on the seat's node."""
        return self._nodes.get(apart, _NOWHERE)[seat.node] if apart and seat.node else 0

    def _may_stay(self, passenger: Passenger, seat: Seat) -> bool:
        ready = seat.kind is Kind.READY and not seat.suspects
        return ready and seat.fits(passenger.load, passenger.size_bytes) and not self.close(passenger.apart, seat)

    def _in_row(self, passenger: Passenger, kind: Kind) -> Seat | None:
        row, load, size = self._rows[kind], passenger.load, passenger.size_bytes
        if row.full and load >= row.least[0] and size >= row.least[1]:
            return None
        policy = self.policy if kind is Kind.READY else _NOT_THERE_YET
        heaviest = row.free[-1][0] if row.free else 0  # more than that no seat can give, but an empty one takes any
        close: Seat | None = None
        for index in policy.order(row.free, min(load, heaviest)):
            seat = self._seats[-row.free[index][1]]
            if seat.fits(load, size):
                if not self.close(passenger.apart, seat):
                    return seat
                close = close or seat
        if close is None and (not row.full or (load <= row.least[0] and size <= row.least[1])):
            row.full, row.least = True, (load, size)
        return close

    def _for_suspect(self, passenger: Passenger, *, ready_only: bool) -> Seat | None:
        if not passenger.patient and (seat := self._best(passenger, self._seats, ready_only=True)) is not None:
            return seat
        return self._best(passenger, self._seats, ready_only=ready_only)

    def _best(self, passenger: Passenger, seats: Iterable[Seat], *, ready_only: bool) -> Seat | None:
        """By looking at all of them: for what is rare."""
        fitting = [s for s in seats if s.fits(passenger.load, passenger.size_bytes)]
        fitting = [s for s in fitting if s.kind is Kind.READY] if ready_only else fitting
        return min(fitting, key=lambda seat: self._wish(passenger, seat), default=None)

    def _wish(self, passenger: Passenger, seat: Seat) -> tuple[int, bool, int, int, int]:
        """The smaller, the better. Of the seats that are not there yet the fullest: as few analyzers as will do."""
        company = seat.clean if passenger.suspect else seat.suspects
        rank = 4 if company else 3 if passenger.suspect and seat.suspects else int(seat.kind)
        close, number = self.close(passenger.apart, seat), self._number[seat.name]
        if seat.kind is not Kind.READY:
            return (rank, close, 0, -seat.load, number)
        return (rank, close, int(seat.name != passenger.stay), seat.load, number)

    def _enter(self, seat: Seat, *, roomier: bool = False) -> None:
        if seat.suspects:
            self._tainted[seat.name] = seat
            return
        row = self._rows[seat.kind]
        row.add(seat, self._number[seat.name])
        row.full = row.full and not roomier

    def _leave(self, seat: Seat) -> None:
        if self._tainted.pop(seat.name, None) is None:
            self._rows[seat.kind].remove(seat, self._number[seat.name])


_NOWHERE: Counter[str] = Counter()
_NOT_THERE_YET = Pack()  # the fullest of those: as few analyzers as will do
