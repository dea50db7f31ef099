"""Results as Parquet on any file system that pyarrow knows: a local folder, `s3://`, `gs://` and others.

`incidents/` holds one row for each state of an incident, `windows/` one a second, stream and detector; both are hive
partitions `date=YYYY-MM-DD/hour=HH` in UTC, which DuckDB, Spark, Polars and pandas read as they are.
"""

import contextlib
import logging
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from vqa_ray.core.notice import Incident
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import StoreError
from vqa_ray.sinks import compaction
from vqa_ray.sinks.compaction import Compacted
from vqa_ray.sinks.folder import Folder
from vqa_ray.sinks.tables import INCIDENTS, WINDOWS, Recorded, Table, latest_states

log = logging.getLogger(__name__)

LONGEST_RETRY_S = 60.0
RELISTS = 5  # times that a reader starts anew when compaction removed a file under its hands


class StoreStats(msgspec.Struct, frozen=True, kw_only=True):
    """One writer since its start. buffered: rows not yet in a file; dropped: rows lost for lack of room."""

    rows: int
    files: int
    errors: int
    dropped: int
    buffered: int
    last_error: str


class _Batch(msgspec.Struct, frozen=True):
    """The rows of one file. Retries keep the path: a write that was only thought to have failed is replaced."""

    table: Table
    path: str
    rows: list[Any]


class ResultStore:
    """Writes results from any thread without waiting; a thread of its own makes files of them.

    writer: who writes, a part of file names. flush_s: how old a row gets before it is in a file, at most, while all is
    well. flush_rows: how many rows make a file earlier. max_rows: how many are held of each table while the store does
    not answer; then the oldest are dropped, and counted. Raises StoreError for a URI that cannot be used.
    """

    def __init__(
        self,
        uri: str,
        *,
        writer: str,
        flush_s: float = 10.0,
        flush_rows: int = 20_000,
        max_rows: int = 200_000,
        folder: Folder | None = None,
    ) -> None:
        self._folder = folder or Folder.open(uri)
        self._folder.prepare()
        self._name = f"part-{re.sub(r'[^A-Za-z0-9_.]+', '_', writer)}-{uuid.uuid4().hex[:12]}"
        self._flush_s = flush_s
        self._flush_rows = flush_rows
        self._lock = threading.Lock()  # of the buffers and counts
        self._writing = threading.Lock()  # of what makes files; never held together with waiting callers of add_*
        self._buffers: dict[str, deque[Any]] = {table.name: deque(maxlen=max_rows) for table in (INCIDENTS, WINDOWS)}
        self._batches: deque[_Batch] = deque()
        self._number = 0
        self._recorded_ns = 0
        self._rows = self._files = self._errors = self._dropped = 0
        self._last_error = ""
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"store-{writer}", daemon=True)
        self._thread.start()

    def add_windows(self, rows: Sequence[WindowRow]) -> None:
        """Takes rows; never waits, never raises."""
        self._add(WINDOWS, rows)

    def add_incident(self, incident: Incident, epoch: int) -> None:
        """Takes the present state of an incident; never waits, never raises."""
        with self._lock:
            self._recorded_ns = max(self._recorded_ns + 1, time.time_ns())
            recorded = Recorded(incident, epoch, self._recorded_ns)
        self._add(INCIDENTS, [recorded])

    def _add(self, table: Table, rows: Sequence[Any]) -> None:
        with self._lock:
            buffer = self._buffers[table.name]
            if self._closed:
                self._dropped += len(rows)
                return
            self._dropped += max(0, len(buffer) + len(rows) - (buffer.maxlen or 0))
            buffer.extend(rows)
            full = len(buffer) >= self._flush_rows
        if full:
            self._wake.set()

    def flush(self) -> None:
        """Writes all rows to files now; raises StoreError if that fails (they are kept, and tried again)."""
        with self._writing:
            self._write_all()

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what is buffered and ends within `timeout_s`; rows that could not be written stay `buffered`."""
        with self._lock:
            self._closed = True
        self._wake.set()
        self._thread.join(timeout_s)
        if lost := self.stats().buffered:
            log.error("store %s: closed with %d rows not written: %s", self._folder.shown, lost, self._last_error)

    def stats(self) -> StoreStats:
        """Counts since the start."""
        with self._lock:
            waiting = sum(map(len, self._buffers.values())) + sum(len(batch.rows) for batch in self._batches)
            return StoreStats(
                rows=self._rows,
                files=self._files,
                errors=self._errors,
                dropped=self._dropped,
                buffered=waiting,
                last_error=self._last_error,
            )

    def compact(
        self,
        *,
        older_than_s: float = 600.0,
        grace_s: float = 60.0,
        look_back: timedelta = timedelta(days=7),
        now: datetime | None = None,
    ) -> Compacted:
        """Merges the files of hours that ended `older_than_s` ago, and removes those merged by an earlier call."""
        return compaction.compact(
            self._folder, now=now or datetime.now(UTC), settle_s=older_than_s, grace_s=grace_s, look_back=look_back
        )

    def _run(self) -> None:
        failures = 0
        while True:
            wait_s = min(self._flush_s * 2.0**failures, max(LONGEST_RETRY_S, self._flush_s))
            self._wait(wait_s, early=failures == 0)
            closed = self._closed
            try:
                self.flush()
                failures = 0
            except StoreError as error:
                failures = min(failures + 1, 16)
                log.warning("%s; %d rows wait", error, self.stats().buffered)
            if closed:
                return

    def _wait(self, wait_s: float, *, early: bool) -> None:
        """Waits; a full buffer ends that early while the store answers, closing always."""
        deadline_s = time.monotonic() + wait_s
        while (left_s := deadline_s - time.monotonic()) > 0 and not self._closed:
            if self._wake.wait(left_s):
                self._wake.clear()
                if early:
                    return

    def _write_all(self) -> None:
        while True:
            if not self._batches:
                self._take()
            if not self._batches:
                return
            while self._batches:
                self._write(self._batches[0])
                with self._lock:
                    self._batches.popleft()

    def _take(self) -> None:
        """Moves what is buffered into batches, one an hour and table; not called while earlier ones wait."""
        with self._lock:
            taken = [(table, list(self._buffers[table.name])) for table in (INCIDENTS, WINDOWS)]
            for buffer in self._buffers.values():
                buffer.clear()
            for table, rows in taken:
                for hour, part in _by_hour(table, rows).items():
                    self._number += 1
                    path = self._folder.place(table.name, hour, f"{self._name}-{self._number:06d}.parquet")
                    self._batches.append(_Batch(table, path, part))

    def _write(self, batch: _Batch) -> None:
        try:
            table = batch.table.table(batch.rows)
        except (pa.ArrowException, TypeError, ValueError) as error:  # no retry makes such rows fit
            log.error("store %s: %d rows do not fit the schema: %s", self._folder.shown, len(batch.rows), error)
            with self._lock:
                self._dropped += len(batch.rows)
            return
        try:
            with self._folder.errors(), self._folder.writer(batch.path, batch.table.schema) as writer:
                writer.write_table(table)
        except StoreError as error:
            with self._lock:
                self._errors += 1
                self._last_error = str(error)
            raise
        with self._lock:
            self._rows += len(batch.rows)
            self._files += 1
            self._last_error = ""


def _by_hour(table: Table, rows: Iterable[Any]) -> dict[datetime, list[Any]]:
    hours: dict[datetime, list[Any]] = {}
    for row in rows:
        hour = table.begins(row).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        hours.setdefault(hour, []).append(row)
    return hours


def read_incidents(
    uri: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    stream: str | None = None,
    open_only: bool = False,
) -> list[Incident]:
    """The latest state of each incident that began in [since, until), in order of start; raises StoreError."""
    rows = read_states(uri, since=since, until=until, stream=stream)
    return [incident for incident in latest_states(rows) if incident.open or not open_only]


def read_states(
    uri: str, *, since: datetime | None = None, until: datetime | None = None, stream: str | None = None
) -> pa.Table:
    """Every state of the incidents that began in [since, until), as a pyarrow.Table of INCIDENT_SCHEMA."""
    rows: pa.Table = _read(Folder.open(uri), INCIDENTS, since, until, {"stream": stream})
    return rows


def read_windows(
    uri: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    stream: str | None = None,
    detector: str | None = None,
) -> pa.Table:
    """The windows that began in [since, until) as a pyarrow.Table of WINDOW_SCHEMA, in order of start."""
    rows: pa.Table = _read(Folder.open(uri), WINDOWS, since, until, {"stream": stream, "detector": detector})
    ordered: pa.Table = rows.sort_by([(name, "ascending") for name in ("start_utc", "stream", "detector", "part")])
    return ordered


def _read(
    folder: Folder, table: Table, since: datetime | None, until: datetime | None, equal: dict[str, str | None]
) -> Any:
    folder.check()
    wanted = pc.scalar(True)
    if since:
        wanted &= ds.field("start_utc") >= pa.scalar(since.astimezone(UTC), pa.timestamp("us", "UTC"))
    if until:
        wanted &= ds.field("start_utc") < pa.scalar(until.astimezone(UTC), pa.timestamp("us", "UTC"))
    for name, value in equal.items():
        if value is not None:
            wanted &= ds.field(name) == value
    for _ in range(RELISTS):
        with folder.errors(), contextlib.suppress(FileNotFoundError):
            hours = folder.hours(table.name, since, until)
            paths = [file.path for hour in hours for file in folder.live_files(table.name, hour)]
            found = ds.dataset(paths, schema=table.schema, format="parquet", filesystem=folder.filesystem)
            return found.to_table(filter=wanted)
    raise StoreError(f"store {folder.shown}: files vanish while they are read; is another program removing them?")
