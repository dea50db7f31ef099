"""From a stream's thread to the supervisor: each transition at once, and past it when it does not answer."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from vqa_ray.cluster.messages import Handed
from vqa_ray.errors import ClusterError
from vqa_ray.pipeline.worker import Told

log = logging.getLogger(__name__)

PATIENCE_S = 2.0  # a transition that is not acknowledged after this is delivered by the analyzer itself
RETRY_S = 0.5
CAPACITY = 10_000  # unacknowledged transitions; beyond that the oldest that were delivered are forgotten
BATCH = 200


class Link(Protocol):
    """The way to the supervisor."""

    def tell(self, handed: Sequence[Handed], timeout_s: float) -> None:
        """Hands over transitions; they are journaled when this returns. ClusterError if that is not sure."""


class _Pending:
    __slots__ = ("due_s", "handed")

    def __init__(self, handed: Handed, due_s: float) -> None:
        self.handed = handed
        self.due_s = due_s


class Teller:
    """One thread that hands over; `put` never blocks.

    deliver: tells the channels without the supervisor; False where that is not ours to tell any more.
    taken: sees each transition once, on the teller's thread.
    """

    def __init__(
        self,
        link: Link,
        *,
        deliver: Callable[[Told], bool],
        taken: Callable[[Told], object] = lambda told: None,
        name: str = "",
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._link = link
        self._deliver = deliver
        self._taken = taken
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._pending: OrderedDict[tuple[str, int], _Pending] = OrderedDict()  # by key and epoch
        self._new: list[Told] = []
        self._ended = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"teller-{name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, told: Told) -> None:
        """Takes a transition."""
        with self._changed:
            self._pending[told.notice.key, told.epoch] = _Pending(
                Handed(told=told), time.monotonic() + self._patience_s
            )
            self._new.append(told)
            self._make_room()
            self._changed.notify()

    def pending(self, stream_id: str) -> tuple[Handed, ...]:
        """The stream's transitions that the supervisor has not acknowledged."""
        with self._changed:
            every = [one.handed for one in self._pending.values()]
        return tuple(handed for handed in every if handed.told.assigned == stream_id)

    def waiting_streams(self) -> set[str]:
        """The streams that have such transitions."""
        with self._changed:
            return {one.handed.told.assigned for one in self._pending.values()}

    def stop(self, timeout_s: float) -> bool:
        """Hands over what waits, or delivers it, and ends; whether in time."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._pending and not self._ended:
                    self._changed.wait()
                if not self._pending:
                    return
                batch = list(self._pending.items())[:BATCH]
                new, self._new = self._new, []
                ended = self._ended
            for told in new:
                self._taken(told)
            if not self._hand_over(batch, ended):
                if ended:
                    return
                self._rest(batch)

    def _hand_over(self, batch: list[tuple[tuple[str, int], _Pending]], ended: bool) -> bool:
        """Tries once; what is due and not acknowledged is delivered here."""
        due_s = min((one.due_s for _, one in batch if not one.handed.delivered), default=None)
        wait_s = self._patience_s if due_s is None else max(0.1, due_s - time.monotonic())
        try:
            self._link.tell([one.handed for _, one in batch], wait_s)
        except ClusterError as error:
            log.warning("%d transitions are not acknowledged: %s", len(batch), error)
            self._deliver_due(batch, all_of_them=ended)
            return False
        with self._changed:
            for key, one in batch:
                if self._pending.get(key) is one:
                    del self._pending[key]
        return True

    def _deliver_due(self, batch: list[tuple[tuple[str, int], _Pending]], *, all_of_them: bool) -> None:
        now_s = time.monotonic()
        for _, one in batch:
            due = all_of_them or one.due_s <= now_s
            if not one.handed.delivered and due and self._deliver(one.handed.told):
                one.handed = msgspec.structs.replace(one.handed, delivered=True)

    def _rest(self, batch: list[tuple[tuple[str, int], _Pending]]) -> None:
        """A little until the next try; but not past the moment when something becomes due, or is new."""
        due_s = min((one.due_s for _, one in batch if not one.handed.delivered), default=float("inf"))
        with self._changed:
            if not self._new:
                self._changed.wait(max(0.0, min(RETRY_S, due_s - time.monotonic())))

    def _make_room(self) -> None:
        while len(self._pending) > CAPACITY:
            key = next((k for k, one in self._pending.items() if one.handed.delivered), None)
            if key is None:
                key, oldest = next(iter(self._pending.items()))
                self._deliver(oldest.handed.told)
            del self._pending[key]
            self.dropped += 1
