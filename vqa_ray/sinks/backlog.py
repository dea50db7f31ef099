"""What one channel has still to be told, and what to do next: state and decisions only, time is an argument.

Times are seconds of one monotonic clock. At most one send is under way: `next` gives it, `settle` ends it.
"""

import heapq
import math
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

import msgspec

from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.sinks.channel import Delivery, Outcome

OUTAGE_LANES = 3  # when so many have failed and none got through, the receiver is away, not a notice refused
PROBE_EVERY_S = 1.0  # then it is asked this often, with one notice

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
Lane = tuple[str, str, str]  # stream, detector, part


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential back-off with jitter: half of each delay is fixed, half is left to chance ("equal jitter")."""

    first_s: float = 0.5
    ceiling_s: float = 15.0
    give_up_after_s: float = 86400.0  # after it was put

    def delay_s(self, failures: int, chance: float) -> float:
        """How long to wait after the n-th failure in a row (from 1); `chance` in 0..1."""
        full_s = min(self.ceiling_s, self.first_s * 2.0 ** min(failures - 1, 60))
        return full_s * (0.5 + 0.5 * chance)


DEFAULT_RETRY = RetryPolicy()


class Send(msgspec.Struct, frozen=True):
    """Send this notice now. again: it was told before, and is told once more since its incident is still open."""

    notice: Notice
    again: bool = False


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do before `until_s`, or before something is put; infinite if only the latter helps."""

    until_s: float


class Settled(msgspec.Struct, frozen=True):
    """What an attempt came to. done: the channel needs the notice no more; given_up: it never got it."""

    done: bool
    given_up: bool = False
    failures: int = 0


class Counts(msgspec.Struct):
    """Since the start, in notices; `resent` and `retried` in attempts."""

    sent: int = 0
    resent: int = 0
    retried: int = 0
    given_up: int = 0
    dropped: int = 0
    repeated: int = 0
    evicted: int = 0  # open incidents that are no longer told again: more are open than there is room for


class _Entry:
    """A notice that waits."""

    __slots__ = ("failures", "notice", "put_s")

    def __init__(self, notice: Notice, put_s: float) -> None:
        self.notice = notice
        self.put_s = put_s
        self.failures = 0


class Backlog:
    """A bounded queue with a lane for each stream, detector and part, so that one refused notice delays no other lane.

    Within a lane order is kept, hence also within an incident; Alertmanager needs it across incidents, since to it
    the next incident of the same stream and detector is the same alert.
    """

    def __init__(
        self,
        *,
        capacity: int = 10_000,
        retry: RetryPolicy = DEFAULT_RETRY,
        resend_every_s: float | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity} is below 1")
        self.counts = Counts()
        self._capacity = capacity
        self._retry = retry
        self._resend_every_s = resend_every_s
        self._chance = chance
        self._number = 0
        self._failing: set[Lane] = set()  # since something last got through
        self._paused_until_s = -math.inf
        self._in_flight: str | None = None
        self._waiting: OrderedDict[str, _Entry] = OrderedDict()  # by key, in order of put
        self._changes: OrderedDict[str, None] = OrderedDict()  # keys of those that may be dropped first
        self._lanes: dict[Lane, deque[str]] = {}
        self._due: list[tuple[float, int, Lane]] = []  # heap; a lane's ticket makes its older entries void
        self._tickets: dict[Lane, int] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()  # keys, the latest 2 × capacity
        self._ended: OrderedDict[str, None] = OrderedDict()  # incidents known to be closed, the latest 2 × capacity
        self._open: OrderedDict[str, Notice] = OrderedDict()  # what was told of open incidents
        self._resends: list[tuple[float, int, str]] = []  # heap
        self._resend_tickets: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def open_incidents(self) -> int:
        """How many incidents are told again and again until they close."""
        return len(self._open)

    def put(self, notice: Notice, now_s: float) -> bool:
        """Takes a notice; False if it was taken before, or had to be dropped at once because all is full."""
        key = notice.key
        if key in self._waiting or key in self._settled:
            self.counts.repeated += 1
            return False
        if notice.kind is NoticeKind.CLOSED:
            self._end(notice.incident.incident_id)
        if len(self._waiting) >= self._capacity and not self._make_room(notice):
            return False
        self._waiting[key] = _Entry(notice, now_s)
        if notice.kind is NoticeKind.CHANGED:
            self._changes[key] = None
        lane = _lane(notice.incident)
        if lane in self._lanes:
            self._lanes[lane].append(key)
        else:
            self._lanes[lane] = deque([key])
            self._schedule(lane, now_s)
        return True

    def resume(self, notice: Notice, now_s: float) -> None:
        """Takes up an open incident of which the channel was told before a restart; it is told again at once.

        Not while something of the same lane waits: sending that does the same, and is newer.
        """
        if notice.kind is not NoticeKind.CLOSED and _lane(notice.incident) not in self._lanes:
            self._keep_open(notice, now_s)

    def next(self, now_s: float) -> Send | Wait:
        """What to do at `now_s`. A Send must be settled before the next call."""
        if now_s < self._paused_until_s:
            return Wait(self._paused_until_s)
        due_s = self._first_due_s()
        if due_s <= now_s:
            _, _, lane = heapq.heappop(self._due)
            self._in_flight = self._lanes[lane][0]
            return Send(self._waiting[self._in_flight].notice)
        resend_s = self._first_resend_s()
        if resend_s <= now_s:
            _, _, incident_id = heapq.heappop(self._resends)
            return Send(self._open[incident_id], again=True)
        return Wait(min(due_s, resend_s))

    def settle(self, send: Send, delivery: Delivery, now_s: float) -> Settled:
        """Takes note of how a send ended."""
        self._judge(_lane(send.notice.incident), delivery, now_s)
        if send.again:
            return self._settle_again(send.notice, delivery.outcome, now_s)
        self._in_flight = None
        entry = self._waiting[send.notice.key]
        if delivery.outcome is Outcome.RETRY and now_s - entry.put_s < self._retry.give_up_after_s:
            self.counts.retried += 1
            entry.failures += 1
            self._schedule(_lane(send.notice.incident), now_s + self._retry.delay_s(entry.failures, self._chance()))
            return Settled(done=False, failures=entry.failures)
        self._finish(send.notice, delivery.outcome, now_s)
        given_up = delivery.outcome not in (Outcome.SENT, Outcome.LEFT_OUT)
        return Settled(done=True, given_up=given_up, failures=entry.failures)

    def _judge(self, lane: Lane, delivery: Delivery, now_s: float) -> None:
        """What the outcome says of the receiver as a whole."""
        if delivery.outcome is Outcome.LEFT_OUT:
            return
        if delivery.outcome is not Outcome.RETRY:
            if len(self._failing) >= OUTAGE_LANES:
                self.hurry(now_s)
            self._failing.clear()
            return
        self._failing.add(lane)
        pause_s = delivery.retry_after_s or 0.0
        if len(self._failing) >= OUTAGE_LANES:
            pause_s = max(pause_s, PROBE_EVERY_S)
        self._paused_until_s = now_s + pause_s

    def hurry(self, now_s: float) -> None:
        """Makes all that waits in back-off due now."""
        for lane, keys in self._lanes.items():
            if keys[0] != self._in_flight:
                self._schedule(lane, now_s)

    def _make_room(self, newest: Notice) -> bool:
        """Drops the oldest change, else the oldest of all; False if that is `newest` itself."""
        self.counts.dropped += 1
        victim = next((key for key in self._changes if key != self._in_flight), None)
        if victim is None and newest.kind is NoticeKind.CHANGED:
            return False
        if victim is None:
            victim = next((key for key in self._waiting if key != self._in_flight), None)
        if victim is None:
            return False
        self._forget(victim)
        return True

    def _finish(self, notice: Notice, outcome: Outcome, now_s: float) -> None:
        lane = _lane(notice.incident)
        self._forget(notice.key)
        if lane in self._lanes:
            self._schedule(lane, now_s)
        _remember(self._settled, notice.key, None, 2 * self._capacity)
        if outcome is Outcome.LEFT_OUT:
            return
        if outcome is not Outcome.SENT:
            self.counts.given_up += 1
            return
        self.counts.sent += 1
        if notice.kind is not NoticeKind.CLOSED:
            self._keep_open(notice, now_s + (self._resend_every_s or 0.0))

    def _settle_again(self, notice: Notice, outcome: Outcome, now_s: float) -> Settled:
        incident_id = notice.incident.incident_id
        every_s = self._resend_every_s or 0.0
        wait_s = every_s
        if outcome is Outcome.SENT:
            self.counts.resent += 1
        elif outcome is Outcome.RETRY:
            self.counts.retried += 1
            wait_s = min(every_s, self._retry.delay_s(len(self._failing), self._chance()))
        if self._open.get(incident_id) is notice:  # else it closed or changed in the meantime
            self._schedule_resend(incident_id, now_s + wait_s)
        return Settled(done=False)

    def _forget(self, key: str) -> None:
        entry = self._waiting.pop(key)
        self._changes.pop(key, None)
        lane = _lane(entry.notice.incident)
        self._lanes[lane].remove(key)
        if not self._lanes[lane]:
            del self._lanes[lane]
            self._tickets.pop(lane, None)

    def _end(self, incident_id: str) -> None:
        self._open.pop(incident_id, None)
        self._resend_tickets.pop(incident_id, None)
        _remember(self._ended, incident_id, None, 2 * self._capacity)

    def _keep_open(self, notice: Notice, due_s: float) -> None:
        incident_id = notice.incident.incident_id
        if self._resend_every_s is None or incident_id in self._ended:
            return
        self._open.pop(incident_id, None)
        evicted = _remember(self._open, incident_id, notice, self._capacity)
        if evicted is not None:
            self.counts.evicted += 1
            self._resend_tickets.pop(evicted, None)
        self._schedule_resend(incident_id, due_s)

    def _schedule(self, lane: Lane, due_s: float) -> None:
        self._number += 1
        _push(self._due, self._tickets, (due_s, self._number, lane))

    def _schedule_resend(self, incident_id: str, due_s: float) -> None:
        self._number += 1
        _push(self._resends, self._resend_tickets, (due_s, self._number, incident_id))

    def _first_due_s(self) -> float:
        return _first_valid(self._due, self._tickets)

    def _first_resend_s(self) -> float:
        return _first_valid(self._resends, self._resend_tickets)


def _lane(incident: Incident) -> Lane:
    return incident.stream_id, incident.detector, incident.part


def _push(heap: list[tuple[float, int, _Key]], tickets: dict[_Key, int], item: tuple[float, int, _Key]) -> None:
    """Adds to a heap, of whose entries for one key only the newest is valid; keeps the void ones a minority."""
    tickets[item[2]] = item[1]
    heapq.heappush(heap, item)
    if len(heap) > 2 * len(tickets) + 64:
        heap[:] = [entry for entry in heap if tickets.get(entry[2]) == entry[1]]
        heapq.heapify(heap)


def _first_valid(heap: list[tuple[float, int, _Key]], tickets: dict[_Key, int]) -> float:
    """The time of the heap's first entry whose ticket is still the valid one; void entries before it are removed."""
    while heap:
        due_s, number, key = heap[0]
        if tickets.get(key) == number:
            return due_s
        heapq.heappop(heap)
    return math.inf


def _remember(memory: "OrderedDict[_Key, _Value]", key: _Key, value: _Value, limit: int) -> _Key | None:
    """Adds to a bounded memory; gives the oldest key when that had to go."""
    memory[key] = value
    memory.move_to_end(key)
    return memory.popitem(last=False)[0] if len(memory) > limit else None
