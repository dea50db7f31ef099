"""The life of a live source, as a table: connecting, live, stalled, backing off, faulty, parked.

Pure: `Life.after` takes an event and the time and gives the next life; the stream's thread and the watchdog feed it.
"""

import enum
from typing import Annotated

import msgspec

from vqa_ray.core.reading import Seconds


class State(enum.StrEnum):
    """Where a source stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"  # connected, but no packet for a while
    BACKING_OFF = "backing_off"  # disconnected; the next try is at `retry_at_s`
    FAULTY = "faulty"  # our own pipeline failed in it; the next try is at `retry_at_s`. Of the source nothing is known
    PARKED = "parked"  # given up until somebody asks again
    ENDED = "ended"  # a file is read to its end
    STOPPED = "stopped"


class Event(enum.StrEnum):
    """What happened to it."""

    PACKET = "packet"  # came
    SILENT = "silent"  # no packet for `stall_after_s`
    FAILED = "failed"  # could not open, broke off, or ended though it is live
    FAULTED = "faulted"  # an error of our own, which says nothing of the source
    RETRY_DUE = "retry_due"
    FINISHED = "finished"
    STOP = "stop"


MOVES: dict[tuple[State, Event], State] = {
    (State.CONNECTING, Event.PACKET): State.LIVE,
    (State.CONNECTING, Event.SILENT): State.CONNECTING,
    (State.CONNECTING, Event.FAILED): State.BACKING_OFF,
    (State.CONNECTING, Event.FAULTED): State.FAULTY,
    (State.CONNECTING, Event.FINISHED): State.ENDED,
    (State.LIVE, Event.PACKET): State.LIVE,
    (State.LIVE, Event.SILENT): State.STALLED,
    (State.LIVE, Event.FAILED): State.BACKING_OFF,
    (State.LIVE, Event.FAULTED): State.FAULTY,
    (State.LIVE, Event.FINISHED): State.ENDED,
    (State.STALLED, Event.PACKET): State.LIVE,
    (State.STALLED, Event.SILENT): State.STALLED,
    (State.STALLED, Event.FAILED): State.BACKING_OFF,
    (State.STALLED, Event.FAULTED): State.FAULTY,
    (State.STALLED, Event.FINISHED): State.ENDED,
    (State.BACKING_OFF, Event.RETRY_DUE): State.CONNECTING,
    (State.BACKING_OFF, Event.SILENT): State.BACKING_OFF,
    (State.BACKING_OFF, Event.FAULTED): State.FAULTY,
    (State.FAULTY, Event.RETRY_DUE): State.CONNECTING,
    (State.FAULTY, Event.SILENT): State.FAULTY,
} | {(state, Event.STOP): State.STOPPED for state in State}


class ReconnectOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a live source is watched and connected again."""

    stall_after_s: Annotated[
        Seconds, msgspec.Meta(description="No packet for this long: the source counts as stalled.")
    ] = 2.0
    first_delay_s: Annotated[Seconds, msgspec.Meta(description="Delay before the first new try.")] = 0.5
    max_delay_s: Annotated[Seconds, msgspec.Meta(description="Ceiling of the doubling delay.")] = 30.0
    stable_after_s: Annotated[
        Seconds, msgspec.Meta(description="A connection that lived this long starts the delays anew.")
    ] = 10.0
    park_after_s: Annotated[
        Seconds | None,
        msgspec.Meta(description="Give up after being down for so long, until applied again; null: never."),
    ] = None


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One source's state, and since when (monotonic seconds)."""

    state: State = State.CONNECTING
    since_s: float = 0.0
    tries: int = 0  # in a row without a stable connection
    faults: int = 0  # of our own, in a row without a stable connection
    unknown: bool = False  # we failed ourselves, and have not seen the source again since
    live_since_s: float | None = None  # of this connection
    down_since_s: float | None = None  # when it was last live, None while it is
    retry_at_s: float | None = None
    reason: str = ""

    @property
    def down(self) -> bool:
        """Whether packets are missing that should come."""
        return self.state in (State.STALLED, State.BACKING_OFF, State.PARKED) or (
            self.state is State.CONNECTING and self.tries > 0 and not self.unknown
        )

    def after(
        self, event: Event, now_s: float, options: ReconnectOptions, *, reason: str = "", draw: float = 1.0
    ) -> "Life":
        """The life after `event` at `now_s` (monotonic).

        draw: uniform in [0, 1), the jitter: a delay lies between half and all of its nominal length.
        Raises ValueError, with both names, on a move that the table does not hold.
        """
        to = MOVES.get((self.state, event))
        if to is None:
            raise ValueError(f"a source that is {self.state.value} cannot take the event {event.value}")
        if to is State.BACKING_OFF and event is Event.FAILED:
            return self._failed(now_s, options, reason, draw)
        if to is State.FAULTY and event is Event.FAULTED:
            return self._faulted(now_s, options, reason, draw)
        if to is State.LIVE:
            return self._live(now_s)
        down_since_s = now_s if self.down_since_s is None and to is State.STALLED else self.down_since_s
        since_s = self.since_s if to is self.state else now_s
        return msgspec.structs.replace(
            self, state=to, since_s=since_s, down_since_s=down_since_s, reason=reason or self.reason
        )

    def _live(self, now_s: float) -> "Life":
        if self.state is State.LIVE:
            return self
        live_since_s = now_s if self.live_since_s is None else self.live_since_s
        return Life(
            state=State.LIVE, since_s=now_s, tries=self.tries, faults=self.faults, live_since_s=live_since_s
        )  # fmt: skip

    def _was_stable(self, now_s: float, options: ReconnectOptions) -> bool:
        return self.live_since_s is not None and now_s - self.live_since_s >= options.stable_after_s

    def _faulted(self, now_s: float, options: ReconnectOptions, reason: str, draw: float) -> "Life":
        faults = 1 if self._was_stable(now_s, options) else self.faults + 1
        return Life(
            state=State.FAULTY,
            since_s=now_s,
            tries=self.tries,
            faults=faults,
            unknown=True,
            down_since_s=self.down_since_s,
            retry_at_s=now_s + backoff_s(faults, options, draw),
            reason=reason,
        )

    def _failed(self, now_s: float, options: ReconnectOptions, reason: str, draw: float) -> "Life":
        stable = self._was_stable(now_s, options)
        tries = 1 if stable else self.tries + 1
        faults = 0 if stable else self.faults
        down_since_s = self.down_since_s if self.down_since_s is not None else now_s
        if options.park_after_s is not None and now_s - down_since_s >= options.park_after_s:
            return Life(
                state=State.PARKED, since_s=now_s, tries=tries, faults=faults, down_since_s=down_since_s, reason=reason
            )
        delay_s = backoff_s(tries, options, draw)
        return Life(
            state=State.BACKING_OFF,
            since_s=now_s,
            tries=tries,
            faults=faults,
            down_since_s=down_since_s,
            retry_at_s=now_s + delay_s,
            reason=reason,
        )


def backoff_s(tries: int, options: ReconnectOptions, draw: float) -> float:
    """Seconds before try number `tries` + 1: doubling, capped, between half and all of the nominal length."""
    nominal_s: float = min(options.max_delay_s, options.first_delay_s * 2.0 ** min(tries - 1, 30))
    return nominal_s * (0.5 + 0.5 * draw)
