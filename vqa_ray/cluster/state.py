"""What must outlive the supervisor: the wanted fleet, epochs, the journal of incidents and undelivered alerts."""

import fcntl
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from vqa_ray.core.halves import Split
from vqa_ray.core.noise import FIRST_STEP, Telling
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.quiet import Mute
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.errors import StoreError

KEEP_NOTICES = 200_000  # journal rows; at 300 bytes each some 60 MB
_LOCK_WAIT_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS epochs (stream_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, analyzer TEXT, incarnation TEXT);
CREATE TABLE IF NOT EXISTS snapshots (stream_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS splits (stream_id TEXT PRIMARY KEY, split BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (
  number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, incident_id TEXT NOT NULL,
  epoch INTEGER NOT NULL, noticed_utc TEXT NOT NULL, notice BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS journal_of_incident ON journal (incident_id, number);
CREATE TABLE IF NOT EXISTS incidents (
  incident_id TEXT PRIMARY KEY, stream_id TEXT NOT NULL, open INTEGER NOT NULL, age INTEGER NOT NULL,
  start_utc TEXT NOT NULL, incident BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS incidents_by_start ON incidents (start_utc);
CREATE INDEX IF NOT EXISTS incidents_open ON incidents (stream_id) WHERE open = 1;
CREATE TABLE IF NOT EXISTS remarks (
  incident_id TEXT NOT NULL, kind TEXT NOT NULL, remark BLOB NOT NULL, PRIMARY KEY (incident_id, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tellings (incident_id TEXT PRIMARY KEY, telling BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mutes (mute_id TEXT PRIMARY KEY, mute BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (key TEXT NOT NULL, channel TEXT NOT NULL, PRIMARY KEY (key, channel)) WITHOUT ROWID;
"""


class Owner(msgspec.Struct, frozen=True):
    """The newest epoch of a stream, and the analyzer and process it was given to (None: released since)."""

    epoch: int
    analyzer: str | None
    incarnation: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """A transition to journal. delivered: the channels were told already, by the analyzer.

    of: under which name the stream is assigned, if not under its id: the snapshot is kept under it.
    """

    notice: Notice
    epoch: int
    snapshot: bytes | None = None
    delivered: bool = False
    of: str = ""

    @property
    def assigned(self) -> str:
        """The name whose epoch and snapshot these are."""
        return self.of or self.notice.incident.stream_id


class Undelivered(msgspec.Struct, frozen=True):
    """A notice of the journal and the channels that have yet to take it."""

    notice: Notice
    channels: frozenset[str]


class StateStore(Protocol):
    """Control state on disk. Each method is one transaction, on disk when it returns; StoreError if that fails.

    One writer: the supervisor. Methods block, and may be called from any one thread at a time.
    """

    def save_fleet(self, data: bytes) -> None:
        """Keeps what is wanted."""

    def fleet(self) -> bytes | None:
        """What was wanted last."""

    def next_epochs(self, owners: Mapping[str, tuple[str, str]]) -> dict[str, int]:
        """A new epoch for each stream, about to be given to (analyzer, its incarnation)."""

    def raise_epochs(self, owners: Mapping[str, Owner]) -> None:
        """Takes over epochs that were found running, where they are newer."""

    def disown(self, epochs: Mapping[str, int]) -> None:
        """These epochs were released: nobody works on them any more."""

    def owners(self) -> dict[str, Owner]:
        """The newest epoch of each stream."""

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
        """Keeps (epoch, snapshot) of streams."""

    def snapshots(self) -> dict[str, tuple[int, bytes]]:
        """The (epoch, snapshot) last kept of each stream."""

    def forget_snapshots(self, streams: Iterable[str]) -> None:
        """These streams start anew should they come back."""

    def save_splits(self, splits: Mapping[str, Split | None]) -> None:
        """Keeps how streams are watched in halves; None: not any more."""

    def splits(self) -> dict[str, Split]:
        """The streams that are watched in halves."""

    def unknown(self, keys: Iterable[str]) -> set[str]:
        """Those of which no notice is in the journal."""

    def journal(
        self,
        entries: Sequence[Entry],
        channels: Iterable[str],
        *,
        held: Collection[str] = (),
        again: Collection[str] = (),
        tellings: Mapping[str, Telling | None] | None = None,
    ) -> list[Notice]:
        """Writes what is new, with its snapshot, as yet to be delivered to `channels`; gives back what was new.

        held: keys that are not to be delivered (yet); again: keys of earlier ones that now are. tellings: to be kept,
        or forgotten (None).
        """

    def tellings(self) -> dict[str, Telling]:
        """What is kept of how incidents were told."""

    def save_mute(self, mute: Mute) -> None:
        """Keeps a mute."""

    def drop_mutes(self, mute_ids: Iterable[str]) -> int:
        """Forgets mutes; how many there were."""

    def mutes(self) -> list[Mute]:
        """Those that are kept."""

    def delivered(self, key: str, channel: str) -> None:
        """The channel took the notice, or will never."""

    def undelivered(self, channels: Iterable[str]) -> list[Undelivered]:
        """What one of the channels has yet to take, oldest first; what only others wanted is forgotten."""

    def count_undelivered(self) -> int:
        """Notices times channels that are yet to be delivered."""

    def count_open(self) -> int:
        """Incidents that last."""

    def incidents(self, *, limit: int, open_only: bool = False) -> list[Incident]:
        """The latest state of incidents, newest start first."""

    def incident(self, incident_id: str) -> Incident | None:
        """The latest state of one incident, None if there is none of that id (any more)."""

    def remark(self, remark: Remark) -> bool:
        """Keeps what was said of an incident, instead of what was of this kind; False if the incident is not known."""

    def retract(self, incident_id: str, kind: RemarkKind) -> None:
        """Forgets what was said of this kind."""

    def remarks(self) -> list[Remark]:
        """All that was said of incidents that are remembered."""

    def open_notices(self) -> list[Notice]:
        """The latest notice of each open incident."""

    def prune(self, keep: int = KEEP_NOTICES) -> None:
        """Forgets the oldest notices that are delivered, and closed incidents of which no notice is left."""

    def close(self) -> None:
        """Lets go of the files."""


class SqliteStore:
    """A StateStore in one SQLite file (WAL, synchronous=FULL: about 1 ms a transaction). See StateStore for methods."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes `folder`/control.sqlite; StoreError if it cannot be used, or another process has it."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (folder / "control.lock").open("w")
            _lock(self._lock.fileno(), folder)
            self._db = sqlite3.connect(
                folder / "control.sqlite", isolation_level=None, check_same_thread=False, timeout=10.0
            )
            (folder / "control.sqlite").chmod(0o600)  # channels' secrets may be written in the fleet
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"state folder {folder}: {error}") from error

    def save_fleet(self, data: bytes) -> None:  # noqa: D102
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('fleet', ?)", (data,))

    def fleet(self) -> bytes | None:  # noqa: D102
        row = self._db.execute("SELECT value FROM meta WHERE name = 'fleet'").fetchone()
        return bytes(row[0]) if row else None

    def next_epochs(self, owners: Mapping[str, tuple[str, str]]) -> dict[str, int]:  # noqa: D102
        sql = """INSERT INTO epochs VALUES (?, 1, ?, ?) ON CONFLICT (stream_id) DO UPDATE SET
                 epoch = epoch + 1, analyzer = excluded.analyzer, incarnation = excluded.incarnation RETURNING epoch"""
        with self._write() as db:
            return {stream: db.execute(sql, (stream, *owner)).fetchone()[0] for stream, owner in owners.items()}

    def raise_epochs(self, owners: Mapping[str, Owner]) -> None:  # noqa: D102
        sql = """INSERT INTO epochs VALUES (?, ?, ?, ?) ON CONFLICT (stream_id) DO UPDATE SET
                 epoch = excluded.epoch, analyzer = excluded.analyzer, incarnation = excluded.incarnation
                 WHERE excluded.epoch > epoch"""
        with self._write() as db:
            db.executemany(sql, [(stream, *msgspec.structs.astuple(owner)) for stream, owner in owners.items()])

    def disown(self, epochs: Mapping[str, int]) -> None:  # noqa: D102
        with self._write() as db:
            sql = "UPDATE epochs SET analyzer = NULL, incarnation = NULL WHERE stream_id = ? AND epoch = ?"
            db.executemany(sql, epochs.items())

    def owners(self) -> dict[str, Owner]:  # noqa: D102
        rows = self._db.execute("SELECT stream_id, epoch, analyzer, incarnation FROM epochs")
        return {stream: Owner(*owner) for stream, *owner in rows}

    def save_snapshots(self, snapshots: Mapping[str, tuple[int, bytes]]) -> None:  # noqa: D102
        with self._write() as db:
            _keep_snapshots(db, snapshots)

    def snapshots(self) -> dict[str, tuple[int, bytes]]:  # noqa: D102
        rows = self._db.execute("SELECT stream_id, epoch, data FROM snapshots")
        return {stream: (epoch, bytes(data)) for stream, epoch, data in rows}

    def forget_snapshots(self, streams: Iterable[str]) -> None:  # noqa: D102
        with self._write() as db:
            db.executemany("DELETE FROM snapshots WHERE stream_id = ?", [(stream,) for stream in streams])

    def save_splits(self, splits: Mapping[str, Split | None]) -> None:  # noqa: D102
        with self._write() as db:
            for stream_id, split in splits.items():
                db.execute("DELETE FROM splits WHERE stream_id = ?", (stream_id,))
                if split is not None:
                    db.execute("INSERT INTO splits VALUES (?, ?)", (stream_id, msgspec.json.encode(split)))

    def splits(self) -> dict[str, Split]:  # noqa: D102
        rows = self._db.execute("SELECT stream_id, split FROM splits")
        return {stream_id: msgspec.json.decode(data, type=Split) for stream_id, data in rows}

    def unknown(self, keys: Iterable[str]) -> set[str]:  # noqa: D102
        sql = "SELECT 1 FROM journal WHERE key = ?"
        return {key for key in keys if self._db.execute(sql, (key,)).fetchone() is None}

    def journal(  # noqa: D102
        self,
        entries: Sequence[Entry],
        channels: Iterable[str],
        *,
        held: Collection[str] = (),
        again: Collection[str] = (),
        tellings: Mapping[str, Telling | None] | None = None,
    ) -> list[Notice]:
        names = tuple(channels)
        with self._write() as db:
            new = [entry for entry in entries if _journal_one(db, entry)]
            keys = [e.notice.key for e in new if not e.delivered and e.notice.key not in held]
            pairs = [(key, name) for key in [*keys, *again] for name in names]
            db.executemany("INSERT OR IGNORE INTO outbox VALUES (?, ?)", pairs)
            _keep_tellings(db, tellings or {})
            told = {e.assigned: (e.epoch, e.snapshot) for e in new if e.snapshot is not None}
            _keep_snapshots(db, {stream: (epoch, data) for stream, (epoch, data) in told.items() if data})
        return [entry.notice for entry in new]

    def tellings(self) -> dict[str, Telling]:  # noqa: D102
        rows = self._db.execute("SELECT incident_id, telling FROM tellings")
        return {incident_id: msgspec.json.decode(data, type=Telling) for incident_id, data in rows}

    def save_mute(self, mute: Mute) -> None:  # noqa: D102
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO mutes VALUES (?, ?)", (mute.mute_id, msgspec.json.encode(mute)))

    def drop_mutes(self, mute_ids: Iterable[str]) -> int:  # noqa: D102
        with self._write() as db:
            return db.executemany("DELETE FROM mutes WHERE mute_id = ?", [(one,) for one in mute_ids]).rowcount

    def mutes(self) -> list[Mute]:  # noqa: D102
        return [msgspec.json.decode(row[0], type=Mute) for row in self._db.execute("SELECT mute FROM mutes")]

    def delivered(self, key: str, channel: str) -> None:  # noqa: D102
        with self._write() as db:
            db.execute("DELETE FROM outbox WHERE key = ? AND channel = ?", (key, channel))

    def undelivered(self, channels: Iterable[str]) -> list[Undelivered]:  # noqa: D102
        names = tuple(channels)
        with self._write() as db:
            db.execute(f"DELETE FROM outbox WHERE channel NOT IN ({','.join('?' * len(names))})", names)
            rows = db.execute(
                """SELECT notice, group_concat(channel, char(10)) FROM outbox JOIN journal USING (key)
                   GROUP BY number ORDER BY number"""
            ).fetchall()
        return [Undelivered(_notice(data), frozenset(names.split("\n"))) for data, names in rows]

    def count_undelivered(self) -> int:  # noqa: D102
        return int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def count_open(self) -> int:  # noqa: D102
        return int(self._db.execute("SELECT count(*) FROM incidents WHERE open = 1").fetchone()[0])

    def incidents(self, *, limit: int, open_only: bool = False) -> list[Incident]:  # noqa: D102
        where = "WHERE open = 1" if open_only else ""
        sql = f"SELECT incident FROM incidents {where} ORDER BY start_utc DESC, incident_id LIMIT ?"
        return [msgspec.json.decode(row[0], type=Incident) for row in self._db.execute(sql, (limit,))]

    def incident(self, incident_id: str) -> Incident | None:  # noqa: D102
        row = self._db.execute("SELECT incident FROM incidents WHERE incident_id = ?", (incident_id,)).fetchone()
        return msgspec.json.decode(row[0], type=Incident) if row else None

    def remark(self, remark: Remark) -> bool:  # noqa: D102
        sql = """INSERT OR REPLACE INTO remarks SELECT incident_id, ?, ? FROM incidents WHERE incident_id = ?"""
        with self._write() as db:
            return bool(db.execute(sql, (remark.kind, msgspec.json.encode(remark), remark.incident_id)).rowcount)

    def retract(self, incident_id: str, kind: RemarkKind) -> None:  # noqa: D102
        with self._write() as db:
            db.execute("DELETE FROM remarks WHERE incident_id = ? AND kind = ?", (incident_id, kind))

    def remarks(self) -> list[Remark]:  # noqa: D102
        return [msgspec.json.decode(row[0], type=Remark) for row in self._db.execute("SELECT remark FROM remarks")]

    def open_notices(self) -> list[Notice]:  # noqa: D102
        rows = self._db.execute(
            """SELECT notice FROM journal WHERE number IN (
                 SELECT max(number) FROM journal JOIN incidents USING (incident_id) WHERE open = 1 GROUP BY incident_id)
               ORDER BY number"""
        )
        return [_notice(row[0]) for row in rows]

    def prune(self, keep: int = KEEP_NOTICES) -> None:  # noqa: D102
        with self._write() as db:
            db.execute(
                """DELETE FROM journal WHERE number <= (SELECT max(number) FROM journal) - ?
                   AND key NOT IN (SELECT key FROM outbox)
                   AND incident_id NOT IN (SELECT incident_id FROM incidents WHERE open = 1)""",
                (keep,),
            )
            db.execute("DELETE FROM incidents WHERE open = 0 AND incident_id NOT IN (SELECT incident_id FROM journal)")
            db.execute("DELETE FROM remarks WHERE incident_id NOT IN (SELECT incident_id FROM incidents)")

    def close(self) -> None:  # noqa: D102
        self._db.close()
        self._lock.close()

    def _write(self) -> "_Transaction":
        return _Transaction(self._db)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT; on an error rolled back, SQLite's own raised as StoreError."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise StoreError(f"control state: {error}") from error
        return self._db

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._db.execute("COMMIT" if error is None else "ROLLBACK")
        except sqlite3.Error as failed:
            raise StoreError(f"control state: {failed}") from failed
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"control state: {error}") from error


def _journal_one(db: sqlite3.Connection, entry: Entry) -> bool:
    """Writes the notice and the incident's state; False if the notice was there already."""
    notice, incident = entry.notice, entry.notice.incident
    written = db.execute(
        "INSERT OR IGNORE INTO journal (key, incident_id, epoch, noticed_utc, notice) VALUES (?, ?, ?, ?, ?)",
        (notice.key, incident.incident_id, entry.epoch, _utc(notice.noticed_utc), msgspec.json.encode(notice)),
    ).rowcount
    if not written:
        return False
    if notice.sequence >= FIRST_STEP:  # told again, and no more: the incident is as it was
        return True
    data = (incident.open, _age(notice), _utc(incident.start_utc), msgspec.json.encode(incident))
    db.execute(
        """INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (incident_id) DO UPDATE SET
           open = excluded.open, age = excluded.age, start_utc = excluded.start_utc, incident = excluded.incident
           WHERE excluded.age > age""",
        (incident.incident_id, incident.stream_id, *data),
    )
    return True


def _keep_snapshots(db: sqlite3.Connection, snapshots: Mapping[str, tuple[int, bytes]]) -> None:
    db.executemany(
        """INSERT INTO snapshots VALUES (?, ?, ?) ON CONFLICT (stream_id)
           DO UPDATE SET epoch = excluded.epoch, data = excluded.data WHERE excluded.epoch >= epoch""",
        [(stream, epoch, data) for stream, (epoch, data) in snapshots.items()],
    )


def _keep_tellings(db: sqlite3.Connection, tellings: Mapping[str, Telling | None]) -> None:
    kept = [(one, msgspec.json.encode(telling)) for one, telling in tellings.items() if telling is not None]
    db.executemany("INSERT OR REPLACE INTO tellings VALUES (?, ?)", kept)
    over = [(one,) for one, telling in tellings.items() if telling is None]
    db.executemany("DELETE FROM tellings WHERE incident_id = ?", over)


def _age(notice: Notice) -> int:
    """Orders the states of one incident, whatever order they arrive in."""
    if notice.kind is NoticeKind.CLOSED:
        return 1 << 40
    return notice.sequence + 1 if notice.kind is NoticeKind.CHANGED else 0


def _notice(data: bytes) -> Notice:
    return msgspec.json.decode(data, type=Notice)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _lock(file: int, folder: Path) -> None:
    """Takes the lock of the one writer; waits a little for a predecessor that is just ending."""
    deadline_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise StoreError(f"state folder {folder}: another supervisor uses it") from None
            time.sleep(0.1)
        else:
            return
