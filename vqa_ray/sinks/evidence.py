"""Evidence in the result store: `evidence/date=…/stream=…/<incident>/`, what it takes, and what is removed of it."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from pyarrow import fs

from vqa_ray.core.evidence import FOLDER, EvidenceOptions, day, stream_place
from vqa_ray.sinks.folder import Folder


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What a call removed: days for their age, incidents for room, and the bytes that are left."""

    days: int = 0
    incidents: int = 0
    left_bytes: int = 0


class EvidenceStore:
    """Files of evidence below a store's root. Blocks; every method raises StoreError when the store does not answer."""

    def __init__(self, uri: str, *, folder: Folder | None = None) -> None:
        self._folder = folder or Folder.open(uri)

    @property
    def shown(self) -> str:
        """The store's URI without secrets."""
        return self._folder.shown

    def prepare(self) -> None:
        """Makes the folder."""
        with self._folder.errors():
            self._folder.filesystem.create_dir(self._folder.at(FOLDER), recursive=True)

    def write(self, path: str, data: bytes) -> None:
        """Puts a file at `path` below `evidence/`; it appears whole."""
        self._folder.write(f"{FOLDER}/{path}", data)

    def read(self, path: str) -> bytes | None:
        """The file at `path` below `evidence/`, None if there is none; a path that leads elsewhere is a StoreError."""
        place = self._folder.at(f"{FOLDER}/{path}")
        with self._folder.errors():
            if not self._folder.filesystem.get_file_info(place).is_file:
                return None
            with self._folder.filesystem.open_input_stream(place) as source:
                data: bytes = source.read()
                return data

    def names(self, path: str) -> list[str]:
        """The names of the files in the folder at `path` below `evidence/`."""
        with self._folder.errors():
            return sorted(info.base_name for info in self._list(path) if info.is_file)

    def used_bytes(self, day: str, stream_id: str) -> int:
        """What the stream's evidence of that day takes."""
        with self._folder.errors():
            return sum(info.size or 0 for info in self._list(stream_place(day, stream_id), deep=True) if info.is_file)

    def prune(self, options: EvidenceOptions, now: datetime) -> Removed:
        """Removes days that ended more than `keep_days` ago, then the oldest incidents while all takes too much."""
        days = incidents = 0
        with self._folder.errors():
            oldest = now.astimezone(UTC) - timedelta(days=options.keep_days + 1)
            for info in self._list(""):
                began = day(info.base_name.removeprefix("date="))
                if began is not None and info.base_name.startswith("date=") and began < oldest:
                    self._remove(info.path)
                    days += 1
            sizes = self._sizes()
            total = sum(size for _, size in sizes.values())
            for path, (_, size) in sorted(sizes.items(), key=lambda one: one[1][0]):
                if total <= options.keep_bytes:
                    break
                self._remove(path)
                total -= size
                incidents += 1
        return Removed(days=days, incidents=incidents, left_bytes=total)

    def _sizes(self) -> dict[str, tuple[tuple[str, datetime], int]]:
        """Of each incident's folder: its day with the time of its first file, and its bytes."""
        epoch = datetime.fromtimestamp(0, UTC)
        sizes: dict[str, tuple[tuple[str, datetime], int]] = {}
        for info in self._list("", deep=True):
            folder = info.path.rpartition("/")[0]
            if not info.is_file or "/date=" not in folder:
                continue
            written = info.mtime or epoch
            (of_day, first), size = sizes.get(folder, ((folder.rpartition("/date=")[2][:10], written), 0))
            sizes[folder] = (of_day, min(first, written)), size + (info.size or 0)
        return sizes

    def _list(self, path: str, *, deep: bool = False) -> Any:
        place = self._folder.at(f"{FOLDER}/{path}" if path else FOLDER)
        return self._folder.filesystem.get_file_info(fs.FileSelector(place, allow_not_found=True, recursive=deep))

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # another one removes too
            self._folder.filesystem.delete_dir(path)


def prune(uri: str, options: EvidenceOptions, now: datetime) -> Removed:
    """See `EvidenceStore.prune`; does nothing where evidence is off."""
    return EvidenceStore(uri).prune(options, now) if options.enabled else Removed()
