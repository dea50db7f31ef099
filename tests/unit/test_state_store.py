"""Control state on disk."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vqa_ray.cluster import state
from vqa_ray.cluster.state import Entry, Owner, SqliteStore
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import StoreError

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path)
    yield made
    made.close()


def again(store: SqliteStore, tmp_path: Path) -> SqliteStore:
    """The store as a restarted supervisor finds it."""
    store.close()
    return SqliteStore(tmp_path)


def notice(number: int, kind: NoticeKind = NoticeKind.OPENED, *, stream: str = "s", sequence: int = 0) -> Notice:
    start = BEGAN + timedelta(minutes=number)
    closed = kind is NoticeKind.CLOSED
    incident = Incident(
        incident_id=f"i{number}",
        stream_id=stream,
        detector="black",
        severity=Severity.MAJOR,
        start_s=60.0 * number,
        end_s=60.0 * number + 5 if closed else None,
        start_utc=start,
        end_utc=start + timedelta(seconds=5) if closed else None,
        value=float(sequence),
        unit="share",
    )
    return Notice(kind=kind, incident=incident, noticed_utc=start, sequence=sequence)


def test_an_epoch_is_handed_out_once_even_over_a_restart(store: SqliteStore, tmp_path: Path):
    assert store.next_epochs({"a": ("analyzer-0", "h:1:1"), "b": ("analyzer-1", "h:2:1")}) == {"a": 1, "b": 1}
    store = again(store, tmp_path)
    assert store.next_epochs({"a": ("analyzer-1", "h:2:1")}) == {"a": 2}
    assert store.owners() == {"a": Owner(2, "analyzer-1", "h:2:1"), "b": Owner(1, "analyzer-1", "h:2:1")}
    store.close()


def test_a_released_epoch_has_no_owner_but_an_older_release_changes_nothing(store: SqliteStore):
    store.next_epochs({"a": ("analyzer-0", "x")})
    store.next_epochs({"a": ("analyzer-1", "y")})
    store.disown({"a": 1})
    assert store.owners()["a"].analyzer == "analyzer-1"
    store.disown({"a": 2})
    assert store.owners()["a"] == Owner(2, None, None)


def test_epochs_found_running_are_taken_over_when_they_are_newer(store: SqliteStore):
    store.next_epochs({"a": ("analyzer-0", "x")})
    store.raise_epochs({"a": Owner(9, "analyzer-3"), "b": Owner(4, "analyzer-1")})
    store.raise_epochs({"a": Owner(5, "analyzer-0")})
    assert store.next_epochs({"a": ("z", "z"), "b": ("z", "z")}) == {"a": 10, "b": 5}


def test_the_fleet_and_snapshots_survive(store: SqliteStore, tmp_path: Path):
    assert store.fleet() is None
    store.save_fleet(b"one")
    store.save_fleet(b"two")
    store.save_snapshots({"a": (3, b"new"), "b": (1, b"b")})
    store.save_snapshots({"a": (2, b"old")})
    store.forget_snapshots(["b"])
    store = again(store, tmp_path)
    assert (store.fleet(), store.snapshots()) == (b"two", {"a": (3, b"new")})
    store.close()


def test_a_notice_is_journaled_once_and_waits_for_each_channel(store: SqliteStore, tmp_path: Path):
    assert [n.key for n in store.journal([Entry(notice(1), 1, b"snap")], ["x", "y"])] == ["i1:opened"]
    assert store.journal([Entry(notice(1), 1)], ["x", "y"]) == []
    store.delivered("i1:opened", "x")
    store = again(store, tmp_path)
    waiting = store.undelivered(["x", "y"])
    assert [(w.notice, w.channels) for w in waiting] == [(notice(1), frozenset({"y"}))]
    assert store.count_undelivered() == 1
    assert store.snapshots() == {"s": (1, b"snap")}
    store.close()


def test_what_the_analyzer_has_delivered_itself_waits_for_nobody(store: SqliteStore):
    store.journal([Entry(notice(1), 1, delivered=True)], ["x"])
    assert store.undelivered(["x"]) == []
    assert [i.incident_id for i in store.incidents(limit=5)] == ["i1"]


def test_a_channel_that_is_gone_is_waited_for_no_longer(store: SqliteStore):
    store.journal([Entry(notice(1), 1), Entry(notice(2), 1)], ["x", "gone"])
    assert [w.channels for w in store.undelivered(["x"])] == [frozenset({"x"})] * 2
    assert store.count_undelivered() == 2


def test_an_incident_shows_its_latest_state_whatever_the_order_of_arrival(store: SqliteStore):
    changed = notice(1, NoticeKind.CHANGED, sequence=2)
    store.journal([Entry(notice(1, NoticeKind.CLOSED), 1), Entry(notice(1), 1), Entry(changed, 1)], [])
    store.journal([Entry(notice(2), 1), Entry(notice(2, NoticeKind.CHANGED, sequence=3), 1)], [])
    store.journal([Entry(notice(2, NoticeKind.CHANGED, sequence=1), 1)], [])
    assert [(i.incident_id, i.open, i.value) for i in store.incidents(limit=9)] == [("i2", True, 3.0), ("i1", False, 0)]
    assert [i.incident_id for i in store.incidents(limit=9, open_only=True)] == ["i2"]
    assert store.count_open() == 1
    assert [n.key for n in store.open_notices()] == ["i2:changed:1"]


def test_pruning_keeps_what_is_open_or_undelivered(store: SqliteStore):
    store.journal([Entry(notice(1), 1)], [])
    store.journal([Entry(notice(2, NoticeKind.CLOSED), 1)], ["x"])
    store.journal([Entry(notice(n, NoticeKind.CLOSED), 1) for n in range(3, 9)], [])
    store.prune(keep=2)
    assert sorted(i.incident_id for i in store.incidents(limit=99)) == ["i1", "i2", "i7", "i8"]


def test_a_second_supervisor_is_refused(store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(state, "_LOCK_WAIT_S", 0.1)
    with pytest.raises(StoreError, match="another supervisor"):
        SqliteStore(tmp_path)


def test_the_successor_waits_for_a_predecessor_that_is_ending(store: SqliteStore, tmp_path: Path):
    threading.Timer(0.3, store.close).start()
    began_s = time.monotonic()
    SqliteStore(tmp_path).close()
    assert 0.2 < time.monotonic() - began_s < 5


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        SqliteStore(tmp_path / "file" / "state")


def test_a_failed_write_is_a_store_error_and_leaves_nothing_half_done(store: SqliteStore, tmp_path: Path):
    class Broken(dict[str, tuple[str, str]]):
        def items(self):
            yield "a", ("analyzer-0", "x")
            raise sqlite3.OperationalError("disk full")

    with pytest.raises(StoreError, match="disk full"):
        store.next_epochs(Broken())
    assert store.owners() == {}


def test_the_file_is_for_its_owner_only_since_secrets_may_stand_in_it(store: SqliteStore, tmp_path: Path):
    assert (tmp_path / "control.sqlite").stat().st_mode & 0o077 == 0
