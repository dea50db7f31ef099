"""Where an analyzer's results go: the result store, evidence, and the channels while the supervisor is away."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vqa_ray.cluster.messages import Setup
from vqa_ray.core.evidence import EvidenceOptions, base
from vqa_ray.core.notice import Incident, Notice
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import VqaError
from vqa_ray.pipeline.evidence import Case, Desk
from vqa_ray.pipeline.worker import Told
from vqa_ray.sinks import traces
from vqa_ray.sinks.channel import built
from vqa_ray.sinks.outbox import Outbox

if TYPE_CHECKING:
    from vqa_ray.sinks.store import ResultStore

log = logging.getLogger(__name__)

STOP_S = 5.0
LOOK_BACK = timedelta(days=7)  # for hours with small files
NO_EVIDENCE = EvidenceOptions(enabled=False)


class Evidence:
    """A `Keeper` in front of whatever desk there is now; without one nothing is kept. Thread-safe."""

    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._lost = 0  # by desks that are closed

    @property
    def options(self) -> EvidenceOptions:
        """What is kept now."""
        desk = self._desk
        return desk.options if desk is not None else NO_EVIDENCE

    @property
    def lost(self) -> int:
        """Moments whose evidence was dropped or could not be kept."""
        desk = self._desk
        stats = desk.stats() if desk is not None else None
        return self._lost + (stats.dropped + stats.failed if stats else 0)

    def link(self, incident: Incident) -> str:
        """Where the incident's evidence will be."""
        desk = self._desk
        return desk.link(incident) if desk is not None else ""

    def put(self, case: Case) -> bool:
        """Takes a case, if it can."""
        desk = self._desk
        return desk is not None and desk.put(case)

    def use(self, desk: Desk | None) -> None:
        """Another desk from now on; the one before makes what waits there, in bounded time."""
        before, self._desk = self._desk, desk
        if before is not None:
            before.close(STOP_S)
            stats = before.stats()
            self._lost += stats.dropped + stats.failed

    def change(self, options: EvidenceOptions) -> None:
        """Other options for the same desk."""
        if self._desk is not None:
            self._desk.options = options


class Outlets:
    """Swapped as a whole when the fleet's store or channels change. Thread-safe.

    writer: the part of file names that no other writer has. who: the process's name in traces.
    """

    def __init__(self, writer: str, who: str = "") -> None:
        self._writer = writer
        self._who = who or writer
        self._lock = threading.Lock()
        self._setup = Setup()
        self._store: ResultStore | None = None
        self._outbox: Outbox | None = None
        self.evidence = Evidence()

    def configure(self, setup: Setup) -> None:
        """Uses these from now on; VqaError, with nothing changed, if one cannot be opened."""
        traces.HERE.use(setup.traces, self._who)
        with self._lock:
            if setup == self._setup:
                return
            store, outbox = self._store, self._outbox
            new_store = store if setup.store == self._setup.store else _open_store(setup.store, self._writer)
            if setup.channels != self._setup.channels:
                self._outbox = Outbox((built(spec) for spec in setup.channels), resends=False)
                self._outbox.start()
            moved = (setup.store, setup.evidence.url) != (self._setup.store, self._setup.evidence.url)
            desk = _open_desk(setup.store, setup.evidence) if moved else None
            self._store, self._setup = new_store, setup
        if moved:
            self.evidence.use(desk)
        else:
            self.evidence.change(setup.evidence)
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

    def silent(self, incident: Incident) -> bool:
        """Whether a mute or a window is for it."""
        return bool(self._setup.quiet.why(incident, datetime.now(UTC)))

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
        traces.HERE.close()
        self.evidence.use(None)  # last: what the others hold matters more, should this process be killed


def _open_store(uri: str | None, writer: str) -> "ResultStore | None":
    if uri is None:
        return None
    from vqa_ray.sinks.store import ResultStore  # pyarrow: 0.3 s and 40 MB, for those who keep results

    return ResultStore(uri, writer=writer)


def _open_desk(uri: str | None, options: EvidenceOptions) -> Desk | None:
    if uri is None:
        return None
    from vqa_ray.sinks.evidence import EvidenceStore

    return Desk(EvidenceStore(uri), options, base=base(uri, options))


def check(uri: str) -> None:
    """StoreError if results cannot be kept there; blocks."""
    store = _open_store(uri, "check")
    if store is not None:
        store.close()


def keep(uri: str, told: Sequence[tuple[Incident, int]]) -> None:
    """Incidents, with epochs, that no analyzer can write; blocks. StoreError."""
    store = _open_store(uri, f"supervisor-{os.getpid()}-{time.time_ns()}")
    if store is not None:
        for incident, epoch in told:
            store.add_incident(incident, epoch)
        store.close()


def upkeep(uri: str, options: EvidenceOptions) -> None:
    """Merges small files of the result store, removes old evidence; blocks, for minutes where there are many files.

    Raises StoreError.
    """
    from vqa_ray.sinks.evidence import prune
    from vqa_ray.sinks.store import ResultStore

    store = ResultStore(uri, writer="supervisor")
    try:
        done = store.compact(look_back=LOOK_BACK)
    finally:
        store.close()
    log.info("result store compacted: %s; evidence: %s", done, prune(uri, options, datetime.now(UTC)))
