"""Evidence in the store: whole files, no way out of the folder, what is removed when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vqa_ray.core.evidence import EvidenceOptions
from vqa_ray.errors import StoreError
from vqa_ray.sinks.evidence import EvidenceStore, prune
from vqa_ray.sinks.store import ResultStore

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path) -> EvidenceStore:
    return EvidenceStore(str(tmp_path))


def kept(tmp_path: Path) -> list[str]:
    root = tmp_path / "evidence"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_file_is_written_read_and_listed_and_nothing_half_written_is_left(store, tmp_path):
    store.write("date=2026-03-01/stream=a/1/start.jpg", b"one")
    store.write("date=2026-03-01/stream=a/1/start.jpg", b"two!")
    assert store.read("date=2026-03-01/stream=a/1/start.jpg") == b"two!"
    assert store.names("date=2026-03-01/stream=a/1") == ["start.jpg"]
    assert store.read("date=2026-03-01/stream=a/1/none.jpg") is None
    assert store.read("date=2026-03-01/stream=a/1") is None
    assert store.names("date=2026-03-02") == []
    assert list((tmp_path / ".incoming").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "", "a/..", "a\\..\\b", "a\0b", "..", "a/./b"]
)
def test_no_path_leads_out_of_the_folder(path, store, tmp_path):
    (tmp_path / "x").write_bytes(b"secret")
    with pytest.raises(StoreError, match="no place in it"):
        store.read(path)
    with pytest.raises(StoreError, match="no place in it"):
        store.write(path, b"")


def test_what_a_stream_used_of_its_day_is_what_lies_there(store):
    store.write("date=2026-03-01/stream=a/1/start.jpg", bytes(100))
    store.write("date=2026-03-01/stream=a/2/start.mp4", bytes(1000))
    store.write("date=2026-03-01/stream=b/3/start.mp4", bytes(7))
    assert store.used_bytes("2026-03-01", "a") == 1100
    assert store.used_bytes("2026-03-02", "a") == 0


def test_days_that_are_too_old_go_and_nothing_else(store, tmp_path):
    for day in ("2026-03-01", "2026-03-06", "2026-03-07", "2026-03-10"):
        store.write(f"date={day}/stream=a/1/start.jpg", bytes(10))
    store.write("notes/mine.txt", b"x")
    removed = store.prune(EvidenceOptions(keep_days=3.0), NOW)
    assert (removed.days, removed.incidents) == (2, 0)
    assert kept(tmp_path) == [
        "date=2026-03-07/stream=a/1/start.jpg",
        "date=2026-03-10/stream=a/1/start.jpg",
        "notes/mine.txt",
    ]


def test_the_oldest_incidents_go_while_all_together_is_too_much(store, tmp_path):
    for day, number in (("2026-03-09", 1), ("2026-03-09", 2), ("2026-03-10", 3)):
        store.write(f"date={day}/stream=a/{number}/start.mp4", bytes(1000))
        store.write(f"date={day}/stream=a/{number}/start.jpg", bytes(100))
    removed = store.prune(EvidenceOptions(keep_bytes=2300), NOW)
    assert (removed.days, removed.incidents, removed.left_bytes) == (0, 1, 2200)
    assert {path.split("/")[2] for path in kept(tmp_path)} == {"2", "3"}
    assert store.prune(EvidenceOptions(keep_bytes=0), NOW).left_bytes == 0
    assert kept(tmp_path) == []


def test_where_evidence_is_off_nothing_is_removed(store, tmp_path):
    store.write("date=2020-03-09/stream=a/1/start.mp4", bytes(1000))
    prune(str(tmp_path), EvidenceOptions(enabled=False), NOW)
    assert len(kept(tmp_path)) == 1
    prune(str(tmp_path), EvidenceOptions(), NOW)
    assert kept(tmp_path) == []


def test_results_and_evidence_live_in_one_store(store, tmp_path):
    results = ResultStore(str(tmp_path), writer="w")
    store.write("date=2026-03-01/stream=a/1/start.jpg", b"one")
    results.compact(now=NOW + timedelta(days=1))
    results.close()
    assert kept(tmp_path) == ["date=2026-03-01/stream=a/1/start.jpg"]


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        EvidenceStore(str(tmp_path / "file")).write("a/b", b"")
