"""Who gets which seat: streams packed onto analyzers by CPU share. Pure, and the same whoever computes it.

A share is CPU seconds per second of wall time: 1.0 is one core kept busy.
"""

import enum
import hashlib
import math
from collections.abc import Iterable

import msgspec

UNKNOWN_SHARE = 0.10  # a stream of which nothing is known: 720p25 H.264, measured 0.11
HALF_LIFE_S = 10.0  # of a measured share: long enough for a GOP and a scene change, short enough for a new ladder step
_PER_PIXEL = 4.9e-9  # CPU seconds a decoded and analysed pixel, and
_PER_FRAME = 6.0e-4  # a frame: fits 360p25 at 0.043, 720p25 at 0.11 and 1080p30 at 0.32 of a core, measured
_OF_CODEC = {"h264": 1.0, "mpeg2video": 0.7, "hevc": 1.5, "vp9": 1.3, "av1": 1.5}  # coarse; measured within seconds


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream's picture before it was ever analysed."""

    width: int
    height: int
    fps: float
    codec: str = "h264"


def expected_share(shape: Shape | None) -> float:
    """The share to reserve for a stream that was never measured."""
    if shape is None:
        return UNKNOWN_SHARE
    pixels = shape.width * shape.height * shape.fps
    return (pixels * _PER_PIXEL + shape.fps * _PER_FRAME) * _OF_CODEC.get(shape.codec, 1.0)


def smoothed(before: float | None, measured: float, elapsed_s: float) -> float:
    """`before` moved towards `measured`, half the way in HALF_LIFE_S; the first measurement counts in full."""
    if before is None:
        return measured
    weight = 1.0 - math.pow(0.5, max(0.0, elapsed_s) / HALF_LIFE_S)
    return before + weight * (measured - before)


class Passenger(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as placement sees it. suspect: its analyzers have crashed; it should crash no others."""

    stream_id: str
    share: float
    priority: int = 0
    suspect: bool = False
    stay: str | None = None  # the analyzer that has it now, preferred


class Kind(enum.IntEnum):
    """How soon a seat can be had; the sooner, the better."""

    READY = 0
    STARTING = 1  # the analyzer has been asked for
    POSSIBLE = 2  # if an analyzer is asked for


class Seat:
    """One analyzer while placement fills it. capacity, load: shares."""

    __slots__ = ("capacity", "clean", "kind", "load", "name", "suspects")

    def __init__(self, name: str, capacity: float, kind: Kind = Kind.READY) -> None:
        self.name = name
        self.capacity = capacity
        self.kind = kind
        self.load = 0.0
        self.clean = 0
        self.suspects = 0

    @property
    def empty(self) -> bool:
        """Whether no stream sits there."""
        return not self.clean and not self.suspects

    def take(self, share: float, *, suspect: bool = False) -> None:
        """One more stream."""
        self.load += share
        self.suspects += suspect
        self.clean += not suspect

    def fits(self, share: float) -> bool:
        """Whether the stream stays within the capacity; one that is heavier than any analyzer gets one alone."""
        return self.empty or self.load + share <= self.capacity + 1e-9


def boarding(passengers: Iterable[Passenger]) -> list[Passenger]:
    """The order of placing: the more important first, among equals the heavier (packs tighter), then by name."""
    return sorted(passengers, key=lambda p: (-p.priority, -p.share, p.stream_id))


def choose(passenger: Passenger, seats: Iterable[Seat]) -> Seat | None:
    """The best seat with room, or None.

    A clean stream goes to the analyzer that has it, else to the least loaded, ties by rendezvous hash; it shares
    with suspects only when nothing else is left. A suspect wants an analyzer of its own, then one with suspects.
    """
    ranked = [(_wish(passenger, seat), seat) for seat in seats if seat.fits(passenger.share)]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _wish(passenger: Passenger, seat: Seat) -> tuple[int, int, float, str]:
    """The smaller, the better. Of the seats that are not there yet the fullest: as few analyzers as will do."""
    company = seat.clean if passenger.suspect else seat.suspects
    rank = 4 if company else 3 if passenger.suspect and seat.suspects else int(seat.kind)
    if seat.kind is not Kind.READY:
        return (rank, 0, -round(seat.load, 6), seat.name)
    return (rank, int(seat.name != passenger.stay), round(seat.load, 6), rendezvous(passenger.stream_id, seat.name))


def rendezvous(stream_id: str, analyzer: str) -> str:
    """Highest random weight hash: the same analyzer wins for a stream in every process, and few move when one goes."""
    return hashlib.blake2b(f"{stream_id}\0{analyzer}".encode(), digest_size=8).hexdigest()
