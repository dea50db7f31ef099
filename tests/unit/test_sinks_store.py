"""The Parquet store: layout, whole files, retries, bounds, compaction, readers."""

import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs

from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import ConfigError, StoreError
from vqa_ray.sinks.compaction import Compacted
from vqa_ray.sinks.folder import MERGED, Folder, live
from vqa_ray.sinks.store import ResultStore, read_incidents, read_windows

NOON = datetime(2020, 3, 1, 12, 0, tzinfo=UTC)
AGES = timedelta(days=36500)
HOUR = timedelta(hours=1)


def window(second: float, stream: str = "news", **changes: Any) -> WindowRow:
    row = WindowRow(
        stream_id=stream,
        detector="black",
        part="",
        start_utc=NOON + timedelta(seconds=second),
        start_s=float(second),
        count=25,
        min=0.0,
        mean=0.25,
        max=1.0,
        bad_share=0.5,
        coverage=1.0,
        epoch=3,
    )
    return msgspec.structs.replace(row, **changes)


def incident(number: int = 1, **changes: Any) -> Incident:
    one = Incident(
        incident_id=f"id-{number}",
        stream_id="news",
        detector="black",
        severity=Severity.MAJOR,
        start_s=1.25,
        end_s=None,
        start_utc=NOON + timedelta(seconds=number, microseconds=250_001),
        end_utc=None,
        value=0.99,
        unit="share",
        part="",
        start_pts_s=90.5,
        reason="dark",
        labels={"site": "north", "rack": "7"},
    )
    return msgspec.structs.replace(one, **changes)


def closed(one: Incident, after_s: float = 3.0) -> Incident:
    return msgspec.structs.replace(one, end_s=one.start_s + after_s, end_utc=one.start_utc + timedelta(seconds=after_s))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultStore]:
    one = ResultStore(str(tmp_path), writer="w", flush_s=1000.0)
    yield one
    one.close()


def compact(store: ResultStore, grace_s: float = 0.0) -> Compacted:
    """Compacts all that lies in the past, at a moment after the last file was written."""
    return store.compact(now=datetime.now(UTC) + timedelta(seconds=1), grace_s=grace_s, look_back=AGES)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))


def seconds(uri: str) -> list[float]:
    return sorted(read_windows(uri)["start_s"].to_pylist())


def test_rows_lie_in_hive_partitions_by_the_hour_of_their_start(store, tmp_path):
    store.add_windows([window(0), window(3599.5), window(3600)])
    store.add_incident(incident(), epoch=1)
    store.flush()
    assert sorted(name.rpartition("/")[0] for name in files(tmp_path)) == [
        "incidents/date=2020-03-01/hour=12",
        "windows/date=2020-03-01/hour=12",
        "windows/date=2020-03-01/hour=13",
    ]
    assert all("/part-w-" in name for name in files(tmp_path))


def test_a_local_hour_is_put_where_utc_has_it(store, tmp_path):
    east = NOON.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo)
    store.add_windows([window(0, start_utc=east)])
    store.flush()
    assert "date=2020-03-01/hour=12" in files(tmp_path)[0]
    assert read_windows(str(tmp_path))["start_utc"].to_pylist()[0] == NOON


def test_windows_come_back_with_their_columns_and_in_order(store, tmp_path):
    store.add_windows([window(2, part="FL"), window(1, stream="sport", min=float("-inf"))])
    store.flush()
    found = read_windows(str(tmp_path))
    assert found.column_names == [
        *("stream", "detector", "part", "start_utc", "start_s", "count"),
        *("min", "mean", "max", "bad_share", "coverage", "epoch"),
    ]
    assert found.to_pylist()[1] == {
        "stream": "news",
        "detector": "black",
        "part": "FL",
        "start_utc": NOON + timedelta(seconds=2),
        "start_s": 2.0,
        "count": 25,
        "min": 0.0,
        "mean": 0.25,
        "max": 1.0,
        "bad_share": 0.5,
        "coverage": 1.0,
        "epoch": 3,
    }
    assert found["min"].to_pylist()[0] == float("-inf")


def test_other_readers_of_hive_partitions_see_the_same_rows(store, tmp_path):
    store.add_windows([window(0), window(3600)])
    store.flush()
    found = ds.dataset(tmp_path / "windows", partitioning="hive").to_table()
    assert found.num_rows == 2
    assert set(found["hour"].to_pylist()) == {12, 13}
    column = pq.read_metadata(tmp_path / files(tmp_path)[0]).row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert any("DICTIONARY" in encoding for encoding in column.encodings)


def test_an_incident_comes_back_as_it_was(store, tmp_path):
    told = [
        incident(1, evidence="/store/evidence/date=2020-03-01/stream=news/id-1"),
        incident(2, start_pts_s=None, labels={}, part="FR", severity=Severity.INFO),
    ]
    for one in told:
        store.add_incident(one, epoch=1)
    store.flush()
    assert read_incidents(str(tmp_path)) == told


def test_the_latest_state_of_an_incident_counts(store, tmp_path):
    store.add_incident(incident(), epoch=1)
    store.flush()
    store.add_incident(incident(value=1.0), epoch=1)
    store.add_incident(closed(incident()), epoch=1)
    store.flush()
    assert read_incidents(str(tmp_path)) == [closed(incident())]
    assert read_incidents(str(tmp_path), open_only=True) == []


def test_a_newer_epoch_overrules_an_older_one_that_speaks_later(store, tmp_path):
    store.add_incident(incident(reason="from the new owner"), epoch=2)
    store.add_incident(closed(incident()), epoch=1)
    store.flush()
    assert [one.reason for one in read_incidents(str(tmp_path))] == ["from the new owner"]
    assert len(read_incidents(str(tmp_path), open_only=True)) == 1


def test_readers_filter_by_time_stream_and_detector(store, tmp_path):
    store.add_windows([window(n * 1800, stream=f"s{n % 2}") for n in range(6)])
    store.add_windows([window(0, detector="freeze")])
    store.add_incident(incident(1), epoch=1)
    store.add_incident(incident(7200, stream_id="sport"), epoch=1)
    store.flush()
    uri = str(tmp_path)
    assert read_windows(uri, since=NOON + HOUR, until=NOON + 2 * HOUR)["start_s"].to_pylist() == [3600.0, 5400.0]
    assert read_windows(uri, since=NOON + timedelta(seconds=1), stream="s0").num_rows == 2
    assert read_windows(uri, detector="freeze").num_rows == 1
    assert [one.incident_id for one in read_incidents(uri, since=NOON + HOUR)] == ["id-7200"]
    assert [one.incident_id for one in read_incidents(uri, until=NOON + HOUR)] == ["id-1"]
    assert [one.incident_id for one in read_incidents(uri, stream="sport")] == ["id-7200"]


def test_an_empty_store_reads_as_nothing(store, tmp_path):
    assert read_incidents(str(tmp_path)) == []
    assert read_windows(str(tmp_path)).num_rows == 0


def test_nothing_is_written_for_nothing(store, tmp_path):
    store.flush()
    assert files(tmp_path) == []


def test_rows_are_in_a_file_soon_and_when_many_at_once(tmp_path):
    soon = ResultStore(str(tmp_path / "a"), writer="w", flush_s=0.05)
    many = ResultStore(str(tmp_path / "b"), writer="w", flush_s=1000.0, flush_rows=10)
    soon.add_windows([window(0)])
    many.add_windows([window(n) for n in range(10)])
    deadline_s = time.monotonic() + 5.0
    while soon.stats().rows < 1 or many.stats().rows < 10:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    soon.close()
    many.close()


def test_closing_writes_what_is_buffered_and_later_rows_are_counted_as_dropped(tmp_path):
    store = ResultStore(str(tmp_path), writer="w", flush_s=1000.0)
    store.add_windows([window(0)])
    store.close()
    store.close()
    store.add_windows([window(1)])
    assert seconds(str(tmp_path)) == [0.0]
    assert (store.stats().rows, store.stats().dropped) == (1, 1)


def test_writers_of_one_name_do_not_overwrite_each_other(tmp_path):
    for second in range(3):
        store = ResultStore(str(tmp_path), writer="../odd name", flush_s=1000.0)
        store.add_windows([window(second)])
        store.close()
    assert seconds(str(tmp_path)) == [0.0, 1.0, 2.0]
    assert all(name.startswith("windows/date=") for name in files(tmp_path))


def test_many_threads_lose_no_row(tmp_path):
    store = ResultStore(str(tmp_path), writer="w", flush_s=0.01)

    def add(thread: int) -> None:
        for number in range(50):
            store.add_windows([window(thread * 100 + number)])
            store.add_incident(incident(thread * 100 + number), epoch=1)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert len(set(seconds(str(tmp_path)))) == read_windows(str(tmp_path)).num_rows == 200
    assert len(read_incidents(str(tmp_path))) == 200


class Faulty:
    """A file system that refuses what creates or removes files while `broken`, or from the n-th such call on."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.broken = False
        self.calls_left: int | None = None

    def _check(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
        if self.broken or (self.calls_left is not None and self.calls_left < 0):
            raise OSError("the network is away: s3://user:hunter2@bucket/x")

    def open_output_stream(self, path: str) -> Any:
        self._check()
        return self._inner.open_output_stream(path)

    def delete_file(self, path: str) -> None:
        self._check()
        self._inner.delete_file(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def faulty_store(tmp_path: Path, **options: Any) -> tuple[ResultStore, Faulty]:
    """A store on an object store, as far as the code can tell: no rename, a file appears when its stream closes."""
    faulty = Faulty(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()))
    folder = Folder(faulty, "root", "s3://user@bucket/x")
    return ResultStore("", writer="w", flush_s=1000.0, folder=folder, **options), faulty


def test_rows_that_could_not_be_written_are_kept_counted_and_written_once_later(tmp_path):
    store, faulty = faulty_store(tmp_path)
    faulty.broken = True
    store.add_windows([window(0)])
    for _ in range(2):
        with pytest.raises(StoreError, match="the network is away"):
            store.flush()
    store.add_windows([window(1)])
    stats = store.stats()
    assert (stats.errors, stats.buffered, stats.rows) == (2, 2, 0)
    assert "hunter2" not in stats.last_error
    faulty.broken = False
    store.flush()
    assert store.stats().last_error == ""
    assert seconds(str(tmp_path / "root")) == [0.0, 1.0]
    store.close()


def test_a_write_that_only_seemed_to_fail_is_replaced_and_not_doubled(tmp_path, monkeypatch):
    store, _ = faulty_store(tmp_path)
    write = Folder._upload

    def late(self: Folder, spool: Any, path: str) -> None:
        write(self, spool, path)
        raise OSError("timeout, though all had been received")

    store.add_windows([window(0)])
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_upload", late)
        with pytest.raises(StoreError):
            store.flush()
    store.flush()
    assert seconds(str(tmp_path / "root")) == [0.0]
    store.close()


def test_the_flusher_goes_on_after_failures_and_says_so(tmp_path, caplog):
    faulty = Faulty(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()))
    store = ResultStore("", writer="w", flush_s=0.02, folder=Folder(faulty, "root", "s3://bucket/x"))
    faulty.broken = True
    store.add_windows([window(0)])
    deadline_s = time.monotonic() + 5.0
    while store.stats().errors < 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    faulty.broken = False
    while store.stats().rows < 1:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert "1 rows wait" in caplog.text
    assert "hunter2" not in caplog.text
    store.close()


def test_while_the_store_is_away_memory_is_bounded_and_the_oldest_rows_go(tmp_path):
    store, faulty = faulty_store(tmp_path, max_rows=10)
    faulty.broken = True
    for second in range(25):
        store.add_windows([window(second)])
    assert store.stats().buffered == 10
    assert store.stats().dropped == 15
    faulty.broken = False
    store.close()
    assert seconds(str(tmp_path / "root")) == [float(second) for second in range(15, 25)]


def test_closing_ends_in_time_though_the_store_hangs(tmp_path, monkeypatch, caplog):
    store, _ = faulty_store(tmp_path)
    hang = threading.Event()
    monkeypatch.setattr(Folder, "_upload", lambda *_: hang.wait(10.0))
    store.add_windows([window(0)])
    began_s = time.monotonic()
    store.close(0.2)
    assert time.monotonic() - began_s < 2.0
    assert "1 rows not written" in caplog.text
    hang.set()


def test_rows_that_fit_no_column_are_dropped_and_the_others_written(store, tmp_path, caplog):
    store.add_windows([window(0, count="many")])
    store.add_windows([window(3600)])
    store.flush()
    assert seconds(str(tmp_path)) == [3600.0]
    assert store.stats().dropped == 1
    assert "do not fit" in caplog.text


def test_a_write_that_breaks_off_leaves_no_file(store, tmp_path, monkeypatch):
    def torn(self: Any, table: Any) -> None:
        raise OSError("disk full")

    store.add_windows([window(0)])
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", torn)
        with pytest.raises(StoreError, match="disk full"):
            store.flush()
    assert files(tmp_path) == []
    store.flush()
    assert seconds(str(tmp_path)) == [0.0]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("warp://host/x", "[Uu]nrecognized"),
        ("s3://user:hunter2@x@y/z", "store s3://"),
        ("file:relative", "relative"),
        ("s3://", "store s3"),
        ("/", "names no folder"),
        ("/dev/null/folder", "/dev/null"),
    ],
)
def test_a_uri_that_cannot_be_used_is_refused_at_once_without_its_password(uri, words):
    with pytest.raises(StoreError, match=words) as caught:
        ResultStore(uri, writer="w")
    assert "hunter2" not in str(caught.value)


def test_a_variable_in_the_uri_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RESULTS", str(tmp_path))
    ResultStore("${RESULTS}/x", writer="w").close()
    assert (tmp_path / "x" / "incidents").is_dir()
    with pytest.raises(ConfigError, match="NO_SUCH_FOLDER"):
        ResultStore("${NO_SUCH_FOLDER}/x", writer="w")


def test_a_file_uri_is_the_local_folder(tmp_path):
    store = ResultStore(f"file://{tmp_path}/x%20y", writer="w", flush_s=1000.0)
    store.add_windows([window(0)])
    store.close()
    assert seconds(str(tmp_path / "x y")) == [0.0]


def test_reading_what_is_not_there_says_so(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        read_windows(str(tmp_path / "nowhere"))


def test_a_file_that_is_no_parquet_is_named(store, tmp_path):
    store.add_windows([window(0)])
    store.flush()
    broken = tmp_path / files(tmp_path)[0]
    broken.write_bytes(b"not parquet")
    with pytest.raises(StoreError, match="part-w"):
        read_windows(str(tmp_path))


def test_finished_hours_become_one_file_and_the_parts_go_later(store, tmp_path):
    for second in range(5):
        store.add_windows([window(second)])
        store.add_incident(incident(second), epoch=1)
        store.flush()
    uri = str(tmp_path)
    done = compact(store)
    assert (done.hours, done.merged, done.removed) == (2, 10, 0)
    assert len(files(tmp_path)) == 12
    assert seconds(uri) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert len(read_incidents(uri)) == 5
    done = compact(store)
    assert (done.hours, done.merged, done.removed) == (0, 0, 10)
    assert len(files(tmp_path)) == 2
    assert all(MERGED in name for name in files(tmp_path))
    assert seconds(uri) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert compact(store) == Compacted()


def test_parts_stay_for_the_readers_that_may_still_be_on_their_way_to_them(store, tmp_path):
    for second in range(2):
        store.add_windows([window(second)])
        store.flush()
    compact(store)
    assert compact(store, grace_s=60.0).removed == 0
    assert len(files(tmp_path)) == 3


def test_hours_that_are_not_over_are_left_alone(store, tmp_path):
    for second in range(2):
        store.add_windows([window(second)])
        store.flush()
    assert store.compact(now=NOON + HOUR + timedelta(seconds=599)).hours == 0
    assert store.compact(now=NOON + HOUR + timedelta(seconds=601)).hours == 1


def test_late_rows_are_merged_into_what_was_merged(store, tmp_path):
    for second in range(4):
        store.add_windows([window(second)])
        store.flush()
        if second % 2:
            compact(store)
            assert seconds(str(tmp_path)) == [float(n) for n in range(second + 1)]
    for _ in range(2):
        compact(store)
    assert len(files(tmp_path)) == 1
    assert seconds(str(tmp_path)) == [0.0, 1.0, 2.0, 3.0]


def test_what_dead_writers_left_half_written_is_swept(store, tmp_path):
    left = tmp_path / ".incoming" / "old.parquet"
    left.write_bytes(b"half")
    store.compact(now=datetime.now(UTC))
    assert left.exists()
    store.compact(now=datetime.now(UTC) + timedelta(hours=2))
    assert not left.exists()


def test_an_older_schema_is_read_and_merged_with_nulls(store, tmp_path):
    store.add_windows([window(0), window(1)])
    store.flush()
    path = tmp_path / files(tmp_path)[0]
    older = pq.read_table(path, partitioning=None).drop_columns(["coverage"])
    pq.write_table(older, path.with_name("part-older-1.parquet"))
    assert read_windows(str(tmp_path))["coverage"].null_count == 2
    compact(store)
    assert read_windows(str(tmp_path))["coverage"].null_count == 2


@given(crashes=st.lists(st.integers(0, 12), max_size=4), late=st.integers(0, 3))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_compaction_that_dies_anywhere_loses_and_doubles_nothing(tmp_path_factory, crashes, late):
    tmp_path = tmp_path_factory.mktemp("store")
    store, faulty = faulty_store(tmp_path)
    uri, written = str(tmp_path / "root"), 0
    for calls in [*crashes, None]:
        for _ in range(3 if not written else late):
            store.add_windows([window(written)])
            store.flush()
            written += 1
        faulty.calls_left = calls
        try:
            compact(store)
        except StoreError:
            assert calls is not None
        faulty.calls_left = None
        assert seconds(uri) == [float(n) for n in range(written)]
    compact(store)
    assert seconds(uri) == [float(n) for n in range(written)]
    assert len(files(tmp_path)) == 1
    store.close()


def test_two_compactors_at_once_lose_and_double_nothing(store, tmp_path, monkeypatch):
    """The second one has listed the hour before the first one's result appeared, and one part more."""
    for second in range(3):
        store.add_windows([window(second)])
        store.flush()
    listed = Folder.live_files
    before = listed(Folder.open(str(tmp_path)), "windows", NOON)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "live_files", lambda *_: before[:2] if _[1] == "windows" else [])
        compact(store, grace_s=1e9)
        patch.setattr(Folder, "live_files", lambda *_: before if _[1] == "windows" else [])
        compact(store, grace_s=1e9)
    assert sum(MERGED in name for name in files(tmp_path)) == 2
    assert seconds(str(tmp_path)) == [0.0, 1.0, 2.0]
    compact(store)
    assert seconds(str(tmp_path)) == [0.0, 1.0, 2.0]
    assert len(files(tmp_path)) == 1


def compact_at(uri: str, when_s: float) -> int:
    """Runs in a process of its own."""
    store = ResultStore(uri, writer="other")
    time.sleep(max(0.0, when_s - time.time()))
    done = compact(store, grace_s=60.0)
    store.close()
    return done.merged


def test_two_processes_that_compact_at_once_lose_and_double_nothing(store, tmp_path):
    for second in range(40):
        store.add_windows([window(second)])
        store.add_incident(incident(second), epoch=1)
        store.flush()
    uri = str(tmp_path)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as both:
        merged = list(both.map(compact_at, [uri] * 2, [time.time() + 2.5] * 2))
    assert max(merged) == 80
    assert seconds(uri) == [float(n) for n in range(40)]
    assert len(read_incidents(uri)) == 40
    compact(store)
    assert len(files(tmp_path)) == 2
    assert seconds(uri) == [float(n) for n in range(40)]


def test_a_reader_starts_anew_when_files_vanish_under_its_hands(store, tmp_path, monkeypatch):
    for second in range(3):
        store.add_windows([window(second)])
        store.flush()
    listed, compacted = Folder.live_files, []

    def then_compacted(self: Folder, table: str, hour: datetime) -> Any:
        found = listed(self, table, hour)
        if not compacted:
            compacted.append(True)
            for _ in range(2):
                compact(store)
        return found

    monkeypatch.setattr(Folder, "live_files", then_compacted)
    compacted.append(True)
    assert seconds(str(tmp_path)) == [0.0, 1.0, 2.0]
    compacted.clear()
    assert seconds(str(tmp_path)) == [0.0, 1.0, 2.0]
    assert len(files(tmp_path)) == 1


def test_of_merged_files_the_largest_counts_and_parts_in_none_count_too():
    leaves = {"merged-1": frozenset("ab"), "merged-2": frozenset("abc")}
    assert live([*"abcd", *leaves], leaves) == {"merged-2", "d"}
    assert live("ab", {}) == {"a", "b"}


def test_any_pyarrow_file_system_will_do():
    memory = fs._MockFileSystem()
    folder = Folder(memory, "results", "mock://results")
    store = ResultStore("", writer="w", flush_s=1000.0, folder=folder)
    store.add_windows([window(0), window(3600)])
    store.flush()
    store.add_windows([window(1)])
    store.flush()
    assert [len(folder.files("windows", hour)) for hour in folder.hours("windows", None, None)] == [2, 1]
    compact(store)
    assert [len(folder.live_files("windows", hour)) for hour in folder.hours("windows", None, None)] == [1, 1]
    store.close()


def test_a_merged_file_has_row_groups_of_a_good_size(store, tmp_path):
    for part in range(3):
        store.add_windows([window(part * 700 + n) for n in range(700)])
        store.flush()
    for _ in range(2):
        compact(store)
    (name,) = files(tmp_path)
    assert pq.ParquetFile(tmp_path / name).num_row_groups == 1
    assert read_windows(str(tmp_path)).num_rows == 2100


def test_the_schema_in_files_has_utc_times(store, tmp_path):
    store.add_incident(incident(), epoch=1)
    store.flush()
    schema = pq.read_schema(tmp_path / files(tmp_path)[0])
    assert schema.field("start_utc").type == pa.timestamp("us", tz="UTC")
    assert not logging.getLogger("pyarrow").handlers
