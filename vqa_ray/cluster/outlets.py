"""Where an analyzer's results go: the result store, and the channels while the supervisor is away."""

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqa_ray.cluster.messages import Setup
from vqa_ray.core.notice import Notice
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import VqaError
from vqa_ray.pipeline.worker import Told
from vqa_ray.sinks.outbox import Outbox

if TYPE_CHECKING:
    from vqa_ray.sinks.store import ResultStore

log = logging.getLogger(__name__)

STOP_S = 5.0


class Outlets:
    """Swapped as a whole when the fleet's store or channels change. Thread-safe.

    writer: the part of file names that no other writer has.
    """

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self._setup = Setup()
        self._store: ResultStore | None = None
        self._outbox: Outbox | None = None

    def configure(self, setup: Setup) -> None:
        """Uses these from now on; VqaError, with nothing changed, if one cannot be opened."""
        with self._lock:
            if setup == self._setup:
                return
            store, outbox = self._store, self._outbox
            new_store = store if setup.store == self._setup.store else _open_store(setup.store, self._writer)
            if setup.channels != self._setup.channels:
                self._outbox = Outbox((spec.build() for spec in setup.channels), resends=False)
                self._outbox.start()
            self._store, self._setup = new_store, setup
        if outbox is not None and outbox is not self._outbox:
            outbox.stop(STOP_S)
        if store is not None and store is not new_store:
            store.close()

    def windows(self, rows: list[WindowRow]) -> None:
        """Seconds of a stream, rolled up."""
        self._write(rows, None)

    def incident(self, told: Told) -> None:
        """A new state of an incident."""
        self._write((), told)

    def _write(self, rows: Sequence[WindowRow], told: Told | None) -> None:
        store = self._store
        if store is None:
            return
        try:
            if rows:
                store.add_windows(rows)
            if told is not None:
                store.add_incident(told.notice.incident, told.epoch)
        except VqaError as error:
            log.error("results could not be kept: %s", error)

    def deliver(self, notice: Notice) -> None:
        """Tells the channels, since the supervisor does not; same key, so that a repeat can be known."""
        outbox = self._outbox
        if outbox is None:
            log.error("no channel to tell of %s", notice.key)
            return
        outbox.put(notice)

    def close(self) -> None:
        """Writes and delivers what waits, in bounded time."""
        if self._outbox is not None:
            self._outbox.stop(STOP_S)
        if self._store is not None:
            self._store.close()


def _open_store(uri: str | None, writer: str) -> "ResultStore | None":
    if uri is None:
        return None
    from vqa_ray.sinks.store import ResultStore  # pyarrow: 0.3 s and 40 MB, for those who keep results

    return ResultStore(uri, writer=writer)


def check(uri: str) -> None:
    """StoreError if results cannot be kept there; blocks."""
    store = _open_store(uri, "check")
    if store is not None:
        store.close()


def compact(uri: str) -> None:
    """Merges small files of the result store; blocks, for minutes where there are many. StoreError."""
    from vqa_ray.sinks.store import ResultStore

    store = ResultStore(uri, writer="supervisor")
    try:
        done = store.compact()
    finally:
        store.close()
    log.info("result store compacted: %s", done)
