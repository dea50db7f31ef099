"""One outbox around all alert channels: it never blocks its caller, and a slow channel delays no other.

Each channel has a thread and a bounded backlog of its own; what to send when is decided in `backlog.py`.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from vqa_ray.core.notice import Notice
from vqa_ray.core.span import alerted
from vqa_ray.errors import ConfigError
from vqa_ray.sinks import traces
from vqa_ray.sinks.backlog import DEFAULT_RETRY, Backlog, RetryPolicy, Send, Settled, Wait
from vqa_ray.sinks.channel import Channel, Delivery, Outcome

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0  # a thread that has nothing to do looks again after this


class ChannelStats(msgspec.Struct, frozen=True, kw_only=True):
    """One channel since the start: notices sent, given up (refused for good), dropped (no room) and repeated (known).

    resent: repeats of open incidents; retried: attempts that failed and were or will be repeated; waiting: notices
    yet to be sent; open: incidents that are told again until they close; evicted: open
    ones beyond the room for these. last_error is "" after a success.
    """

    sent: int
    resent: int
    retried: int
    given_up: int
    dropped: int
    repeated: int
    evicted: int
    waiting: int
    open: int
    last_error: str


class Outbox:
    """Delivers notices to channels, at least once each, in order for each incident.

    capacity: notices that wait for one channel. on_delivered(channel, key) is called on the channel's thread when the
    channel needs a notice no more: it has it, or refused it for good; on_left_out in its place, where given, when it
    did not want it. resends=False leaves open incidents to another outbox. clock: seconds, monotonic.
    """

    def __init__(
        self,
        channels: Iterable[Channel],
        *,
        capacity: int = 10_000,
        retry: RetryPolicy = DEFAULT_RETRY,
        resends: bool = True,
        on_delivered: Callable[[str, str], None] | None = None,
        on_left_out: Callable[[str, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._couriers: dict[str, _Courier] = {}
        for channel in channels:
            if channel.name in self._couriers:
                raise ConfigError(f"two channels are named {channel.name!r}: give one of them another `name`")
            backlog = Backlog(
                capacity=capacity,
                retry=retry,
                resend_every_s=channel.resend_every_s if resends else None,
                chance=chance,
            )
            self._couriers[channel.name] = _Courier(channel, backlog, on_delivered, on_left_out or on_delivered, clock)

    @property
    def names(self) -> tuple[str, ...]:
        """The channels' names."""
        return tuple(self._couriers)

    def put(self, notice: Notice, *, only: Collection[str] | None = None) -> bool:
        """Takes a notice for all channels, or for those in `only`; False if none took it (a repeat, or no room).

        Never blocks, may be called from any thread, before start() too: what a journal holds is put first.
        """
        wanted = self._couriers if only is None else [name for name in self._couriers if name in only]
        taken = [self._couriers[name].put(notice) for name in wanted]
        return any(taken)

    def resume(self, open_notices: Sequence[Notice]) -> None:
        """Takes up open incidents that were told before a restart, for channels that want them told again and again."""
        for courier in self._couriers.values():
            for notice in open_notices:
                courier.resume(notice)

    def start(self) -> None:
        """Starts the threads; a second call does nothing."""
        for courier in self._couriers.values():
            courier.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Tries once more all that waits, then ends within `timeout_s`. Whether everything was delivered."""
        deadline_s = time.monotonic() + timeout_s
        for courier in self._couriers.values():
            courier.finish(deadline_s)
        for courier in self._couriers.values():
            courier.join(deadline_s)
        return all(courier.stats().waiting == 0 for courier in self._couriers.values())

    def stats(self) -> dict[str, ChannelStats]:
        """By the channels' names."""
        return {name: courier.stats() for name, courier in self._couriers.items()}


class _Courier:
    """One channel with its backlog and its thread."""

    def __init__(
        self,
        channel: Channel,
        backlog: Backlog,
        on_delivered: Callable[[str, str], None] | None,
        on_left_out: Callable[[str, str], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._backlog = backlog
        self._on_delivered = on_delivered
        self._on_left_out = on_left_out
        self._clock = clock
        self._changed = threading.Condition()
        self._deadline_s: float | None = None  # time.monotonic(); set by finish()
        self._last_error = ""
        self._thread = threading.Thread(target=self._run, name=f"outbox-{channel.name}", daemon=True)

    def put(self, notice: Notice) -> bool:
        with self._changed:
            dropped = self._backlog.counts.dropped
            taken = self._backlog.put(notice, self._clock())
            if self._backlog.counts.dropped > dropped == 0:
                log.error("channel %s: its backlog is full, notices are dropped", self._channel.name)
            self._changed.notify()
        return taken

    def resume(self, notice: Notice) -> None:
        with self._changed:
            self._backlog.resume(notice, self._clock())
            self._changed.notify()

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def finish(self, deadline_s: float) -> None:
        with self._changed:
            self._deadline_s = deadline_s
            self._backlog.hurry(self._clock())
            self._changed.notify()

    def join(self, deadline_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        self._channel.close()

    def stats(self) -> ChannelStats:
        with self._changed:
            counts = msgspec.structs.asdict(self._backlog.counts)
            return ChannelStats(
                **counts, waiting=len(self._backlog), open=self._backlog.open_incidents, last_error=self._last_error
            )

    def _run(self) -> None:
        while (send := self._next()) is not None:
            delivery = self._send(send.notice)
            with self._changed:
                settled = self._backlog.settle(send, delivery, self._clock())
                recovered = self._last_error
                if delivery.outcome is not Outcome.LEFT_OUT:
                    self._last_error = delivery.detail
            self._trace(send, delivery, settled)
            self._report(send, delivery, settled, recovered)

    def _next(self) -> Send | None:
        """Waits for what to send; None when it is time to end."""
        with self._changed:
            while True:
                stopping = self._deadline_s is not None
                if self._deadline_s is not None and time.monotonic() >= self._deadline_s:
                    return None
                step = self._backlog.next(self._clock())
                if isinstance(step, Send):
                    return None if stopping and step.again else step
                if stopping:
                    return None
                self._wait(step)

    def _wait(self, step: Wait) -> None:
        wait_s = min(step.until_s - self._clock(), LONGEST_WAIT_S)
        if wait_s > 0:
            self._changed.wait(wait_s)

    def _send(self, notice: Notice) -> Delivery:
        try:
            return self._channel.send(notice)
        except Exception as error:  # noqa: BLE001  the fence: whatever a channel does, the thread goes on
            # Only the type is told: the text of a foreign exception may hold a URL with a token in it.
            return Delivery(Outcome.RETRY, f"{type(error).__name__} in channel {type(self._channel).__name__}")

    def _trace(self, send: Send, delivery: Delivery, settled: Settled) -> None:
        if traces.HERE.on and settled.done and delivery.outcome is not Outcome.LEFT_OUT:
            error = delivery.detail if settled.given_up else ""
            traces.HERE.put(alerted(send.notice, self._channel.name, time.time_ns(), settled.failures + 1, error))

    def _report(self, send: Send, delivery: Delivery, settled: Settled, last_error: str) -> None:
        name, key = self._channel.name, send.notice.key
        if settled.given_up:
            log.error("channel %s: gave up %s: %s", name, key, delivery.detail)
        elif delivery.outcome in (Outcome.RETRY, Outcome.GIVE_UP) and delivery.detail != last_error:
            log.warning("channel %s: not delivered, will try again: %s", name, delivery.detail)
        elif delivery.outcome is Outcome.SENT and last_error:
            log.info("channel %s: delivers again", name)
        on_done = self._on_left_out if delivery.outcome is Outcome.LEFT_OUT else self._on_delivered
        if settled.done and on_done is not None:
            try:
                on_done(name, key)
            except Exception:  # the fence again: the journal's trouble must not stop alerts
                log.exception("channel %s: delivery of %s could not be recorded", name, key)
