"""The store's folder on any pyarrow file system: hours as hive partitions, files that appear whole or not at all.

A file is named `part-…` when a writer made it, `merged-…` when compaction made it of others. A merged file carries the
names of all the parts in it, its leaves, in its Parquet footer. From the moment it appears, readers leave those parts
out, whether they have been removed yet or not: there is no moment at which a row is missing or there twice.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from vqa_ray.core.urls import redact, resolve
from vqa_ray.errors import StoreError

MERGED = "merged-"
LEAVES = b"vqa_ray.leaves"
HOUR = timedelta(hours=1)
SPOOL_BYTES = 16 << 20  # of a file on its way to an object store that is held in memory; the rest on local disk
_INCOMING = ".incoming"  # readers of hive partitions, ours and others', pass over names that begin with a dot


class Stored(msgspec.Struct, frozen=True):
    """A file of the store, with its path on the file system and the time it was written."""

    name: str
    path: str
    written: datetime


class Folder:
    """A store's root. Errors are StoreError, with the place and without secrets."""

    def __init__(self, filesystem: Any, root: str, shown: str) -> None:
        self.filesystem = filesystem
        self.shown = shown
        self._root = root.rstrip("/")
        if not self._root:
            raise StoreError(f"store {shown}: names no folder")
        self._local = isinstance(filesystem, fs.LocalFileSystem)

    @classmethod
    def open(cls, uri: str) -> "Folder":
        """The folder at a local path or a URI; `${NAME}` is resolved from the environment."""
        shown = redact(uri)
        target = resolve(uri)
        if "://" not in target and not target.startswith("file:"):
            return cls(fs.LocalFileSystem(), str(Path(target).expanduser().absolute()), shown)
        try:
            filesystem, root = fs.FileSystem.from_uri(target)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise StoreError(f"store {shown}: {_words(error, target, shown)}") from None
        return cls(filesystem, root, shown)

    def prepare(self) -> None:
        """Makes the folder and sees that it can be written to."""
        with self.errors():
            for name in ("incidents", "windows"):
                self.filesystem.create_dir(f"{self._root}/{name}", recursive=True)
            if self._local:
                self._temporary().unlink()

    def check(self) -> None:
        """Sees that the folder is there and can be read."""
        with self.errors():
            if self.filesystem.get_file_info(self._root).type is not fs.FileType.Directory:
                raise StoreError(f"store {self.shown}: there is no such folder")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the file system raises into StoreError."""
        try:
            yield
        except (OSError, ValueError, pa.ArrowException) as error:
            raise StoreError(f"store {self.shown}: {_words(error, self._root, self.shown)}") from None

    def place(self, table: str, hour: datetime, name: str) -> str:
        """The path of a file in the partition of `hour`."""
        return f"{self._hour(table, hour)}/{name}"

    def _hour(self, table: str, hour: datetime) -> str:
        utc = hour.astimezone(UTC)
        return f"{self._root}/{table}/date={utc:%Y-%m-%d}/hour={utc:%H}"

    def hours(self, table: str, since: datetime | None, until: datetime | None) -> list[datetime]:
        """The hours that have a partition and overlap [since, until), in order."""
        hours = []
        for date in self._subfolders(f"{self._root}/{table}", "date="):
            day = _moment(date, "00")
            if day is None or (until and day >= until) or (since and day + timedelta(days=1) <= since):
                continue
            for text in self._subfolders(f"{self._root}/{table}/date={date}", "hour="):
                hour = _moment(date, text)
                if hour and (not until or hour < until) and (not since or hour + HOUR > since):
                    hours.append(hour)
        return sorted(hours)

    def _subfolders(self, path: str, prefix: str) -> list[str]:
        found = self.filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return [info.base_name.removeprefix(prefix) for info in found if info.base_name.startswith(prefix)]

    def files(self, table: str, hour: datetime) -> list[Stored]:
        """All Parquet files of a partition, superseded ones too, by name."""
        selector = fs.FileSelector(self._hour(table, hour), allow_not_found=True)
        found = [info for info in self.filesystem.get_file_info(selector) if info.is_file]
        now = datetime.now(UTC)  # where the file system tells no time a file counts as new, and is not removed
        files = [Stored(info.base_name, info.path, info.mtime or now) for info in found if info.extension == "parquet"]
        return sorted(files, key=lambda file: file.name)

    def live_files(self, table: str, hour: datetime) -> list[Stored]:
        """The files that together hold each row of the hour once."""
        files = self.files(table, hour)
        names = live([file.name for file in files], self.leaves(files))
        return [file for file in files if file.name in names]

    def leaves(self, files: Collection[Stored]) -> dict[str, frozenset[str]]:
        """The parts that went into each merged file. A file that is alone is not opened: it supersedes nothing."""
        if len(files) < 2:
            return {}
        return {file.name: self.leaves_of(file) for file in files if file.name.startswith(MERGED)}

    def leaves_of(self, file: Stored) -> frozenset[str]:
        """The parts that went into one file: those it names, or itself."""
        if not file.name.startswith(MERGED):
            return frozenset({file.name})
        with self.filesystem.open_input_file(file.path) as source:
            text = (pq.read_metadata(source).metadata or {}).get(LEAVES, b"")
        return frozenset(text.decode().split("\n")) - {""}

    @contextlib.contextmanager
    def writer(self, path: str, schema: Any) -> Iterator[Any]:
        """A ParquetWriter; the file appears under `path` when the block ends without an error, and not otherwise."""
        with self._whole(path) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            yield writer

    def at(self, path: str) -> str:
        """The place of a path below the root on the file system; StoreError for one that leads out of it."""
        parts = path.split("/")
        if not path or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            raise StoreError(f"store {self.shown}: {path!r} is no place in it")
        return f"{self._root}/{path}"

    def write(self, path: str, data: bytes) -> None:
        """Makes a file of `data` at `path` below the root, in place of what was there; whole or not at all."""
        with self.errors(), self._whole(self.at(path)) as sink:
            sink.write(data)

    @contextlib.contextmanager
    def _whole(self, path: str) -> Iterator[Any]:
        self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        if self._local:
            with self._renamed(path) as sink:
                yield sink
            return
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            yield spool
            spool.seek(0)
            self._upload(spool, path)

    def _upload(self, spool: IO[bytes], path: str) -> None:
        """An object appears when its stream is closed; should that happen after a fault, it is removed."""
        try:
            with self.filesystem.open_output_stream(path) as stream:
                shutil.copyfileobj(spool, stream, 8 << 20)
        except BaseException:
            with contextlib.suppress(OSError):
                self.filesystem.delete_file(path)
            raise

    @contextlib.contextmanager
    def _renamed(self, path: str) -> Iterator[Any]:
        temporary = self._temporary()
        try:
            with temporary.open("wb") as sink:
                yield sink
                sink.flush()
                os.fsync(sink.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _temporary(self) -> Path:
        folder = Path(self._root) / _INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{uuid.uuid4().hex}.parquet"
        temporary.touch(exist_ok=False)
        return temporary

    def remove(self, file: Stored) -> None:
        """Removes a file; one that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(file.path)

    def sweep(self, before: datetime) -> None:
        """Removes what writers that died left half-written."""
        if not self._local:
            return
        for file in (Path(self._root) / _INCOMING).glob("*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                if datetime.fromtimestamp(file.stat().st_mtime, UTC) < before:
                    file.unlink()


def live(names: Collection[str], leaves: Mapping[str, frozenset[str]]) -> set[str]:
    """Which of the files of one hour hold its rows once: merged files that are in no larger one, and parts in none."""
    merged = {name for name in leaves if not any(leaves[name] < other for other in leaves.values())}
    covered = frozenset().union(*(leaves[name] for name in merged))
    return merged | {name for name in names if name not in leaves and name not in covered}


def _moment(date: str, hour: str) -> datetime | None:
    """The beginning of a partition; None for a folder that is none of ours."""
    try:
        return datetime.strptime(f"{date} {hour}", "%Y-%m-%d %H").replace(tzinfo=UTC)
    except ValueError:
        return None


def _words(error: BaseException, target: str, shown: str) -> str:
    text = (str(error).splitlines() or [""])[0] or type(error).__name__
    return redact(text.replace(target, shown))
