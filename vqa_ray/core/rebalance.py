"""Which streams move though nothing died: to be apart, to relieve an analyzer, to even out loads. Pure.

What runs moves only for a stated reason, since each move is a new connection to its source. Thresholds differ for
beginning and ending, so that a move is never the reason for the next one.
"""

import heapq
from collections.abc import Iterable, Mapping

import msgspec

from vqa_ray.core.placement import Hall, Kind, Passenger, Seat

RELIEVED = 0.95  # of its capacity: an analyzer that was above gives streams away until it is below this
UNEVEN = 1.08  # times the mean load: an analyzer with more starts evening out …
EVEN = 1.04  # … and gives streams away until it has no more than this
WORTH = 0.04  # of the capacity: less than so much above the mean is not worth a move …
WORTH_AT_EASE = 0.15  # … nor so much where even the fullest analyzer is not half full


class Move(msgspec.Struct, frozen=True):
    """A stream that is to go on elsewhere."""

    stream_id: str
    to: str


class Board:
    """The hall as moves change it, and who may still move.

    riders: by analyzer, the streams that may be moved now; a stream moves once.
    """

    def __init__(self, hall: Hall, riders: Mapping[str, list[Passenger]]) -> None:
        self.hall = hall
        self.riders = {name: list(those) for name, those in riders.items()}

    def find(self, rider: Passenger, source: Seat) -> Seat | None:
        """The best seat elsewhere, which must not bring it to those from which it shall be apart."""
        self.hall.found(rider.apart, source.node, -1)
        to = self.hall.choose(rider, ready_only=True)
        if to is not None and self.hall.close(rider.apart, to):
            to = None
        self.hall.found(rider.apart, source.node)
        return to

    def move(self, rider: Passenger, source: Seat, to: Seat) -> Move:
        """Does it."""
        self.hall.rise(rider, source)
        self.hall.seat(rider, to)
        self.riders[source.name].remove(rider)
        return Move(rider.stream_id, to.name)


def wanted(hall: Hall) -> bool:
    """Whether there may be anything to move: a look at the seats only."""
    return hall.crowded or any(map(_overloaded, hall.seats)) or _mean_if_uneven(hall) is not None


def separate(board: Board, limit: int) -> list[Move]:
    """Streams that must be apart, and share a node, as far as another node has room; the more important one stays."""
    made: list[Move] = []
    hall = board.hall
    if not hall.crowded:
        return made
    apart = [(r, seat) for seat in hall.seats for r in board.riders.get(seat.name, ()) if r.apart]
    for rider, seat in sorted(apart, key=lambda pair: (pair[0].priority, pair[0].stream_id)):
        if len(made) == limit:
            break
        if hall.crowd(rider.apart, seat) > 1 and (to := hall.far_from_others(rider)) is not None:
            made.append(board.move(rider, seat, to))
    return made


def relieve(board: Board, limit: int) -> list[Move]:
    """Out of analyzers above capacity or budget, the fullest first; of their streams the unimportant leave first."""
    made: list[Move] = []
    for seat in sorted(filter(_overloaded, board.hall.seats), key=lambda s: (-s.load, s.name)):
        while len(made) < limit and _shared(seat) and not _is_relieved(seat):
            if (move := _give_one(board, seat)) is None:
                break
            made.append(move)
    return made


def even(board: Board, limit: int) -> list[Move]:
    """From the fullest analyzers to the emptiest, while one is far above the mean."""
    made: list[Move] = []
    mean = _mean_if_uneven(board.hall)
    if mean is None:
        return made
    donors = [(-seat.load, seat.name) for seat in _clean(board.hall) if seat.load > EVEN * mean]
    heapq.heapify(donors)
    while donors and len(made) < limit:
        seat = board.hall[heapq.heappop(donors)[1]]
        if (move := _hand_on(board, seat, mean)) is None:
            continue
        made.append(move)
        if seat.load > EVEN * mean:
            heapq.heappush(donors, (-seat.load, seat.name))
    return made


def _shared(seat: Seat) -> bool:
    return seat.clean + seat.suspects > 1  # a stream that is alone is as well off as it can be


def _overloaded(seat: Seat) -> bool:
    full = seat.load > seat.capacity or seat.used > seat.budget
    return full and seat.kind is Kind.READY and _shared(seat)


def _is_relieved(seat: Seat) -> bool:
    return seat.load <= RELIEVED * seat.capacity and seat.used <= RELIEVED * seat.budget


def _give_one(board: Board, seat: Seat) -> Move | None:
    excess = seat.load - RELIEVED * seat.capacity
    riders = board.riders.get(seat.name, ())
    for rider in sorted(riders, key=lambda r: (r.priority, *_nearest(r.load, excess), r.stream_id)):
        to = board.find(rider, seat) if rider.load or rider.size_bytes else None
        if to is not None and to.holds(rider.load, rider.size_bytes):  # too heavy for any, it would be as bad there
            return board.move(rider, seat, to)
    return None


def _nearest(load: int, excess: float) -> tuple[bool, int]:
    """The lightest that is enough, else the heaviest."""
    return (load < excess, load if load >= excess else -load)


def _hand_on(board: Board, seat: Seat, mean: float) -> Move | None:
    """The heaviest stream that brings neither its old nor its new analyzer past the mean."""
    light = [r for r in board.riders.get(seat.name, ()) if 0 < r.load <= seat.load - mean]
    for rider in sorted(light, key=lambda r: (-r.load, r.priority, r.stream_id)):
        to = board.find(rider, seat)
        if to is not None and not to.suspects and to.load + rider.load <= mean:
            return board.move(rider, seat, to)
    return None


def _clean(hall: Hall) -> Iterable[Seat]:
    return (seat for seat in hall.seats if seat.kind is Kind.READY and not seat.suspects)


def _mean_if_uneven(hall: Hall) -> float | None:
    """The mean load, if the policy evens out and an analyzer is so far above it that others should help."""
    seats = [seat for seat in _clean(hall) if hall.policy.evens]
    if len(seats) < 2:
        return None
    fullest = max(seats, key=lambda seat: seat.load)
    mean = sum(seat.load for seat in seats) / len(seats)
    worth = WORTH_AT_EASE if fullest.load <= fullest.capacity / 2 else WORTH
    return mean if fullest.load > UNEVEN * mean and fullest.load - mean > worth * fullest.capacity else None
