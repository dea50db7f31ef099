"""Compaction: the small files of a finished hour become one.

Two steps, each safe to break off and repeat. First the merged file appears, and by that supersedes its parts (see
`folder.py`). A later call, at least `grace_s` after, removes the parts; by then no reader that listed the folder before
is still on its way. Two compactors at once do no harm either: what both make of the same files has the same name, and
of two merged files of which one holds all of the other's parts only the larger is read.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vqa_ray.sinks.folder import HOUR, LEAVES, MERGED, Folder, Stored, live
from vqa_ray.sinks.tables import TABLES, Table

ROW_GROUP_ROWS = 100_000
ABANDONED_AFTER = timedelta(hours=1)  # a half-written file; no write takes that long


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What a call did: hours whose files were merged, files that went into them, superseded files removed."""

    hours: int = 0
    merged: int = 0
    removed: int = 0


def compact(folder: Folder, *, now: datetime, settle_s: float, grace_s: float, look_back: timedelta) -> Compacted:
    """Merges hours that ended at least `settle_s` before `now`, and removes what was superseded `grace_s` before."""
    hours = merged = removed = 0
    with folder.errors():
        folder.sweep(now - ABANDONED_AFTER)
        for table in TABLES:
            for hour in folder.hours(table.name, now - look_back, now - timedelta(seconds=settle_s) - HOUR):
                removed += _remove_superseded(folder, table, hour, now - timedelta(seconds=grace_s))
                count = _merge(folder, table, hour)
                hours, merged = hours + bool(count), merged + count
    return Compacted(hours=hours, merged=merged, removed=removed)


def _remove_superseded(folder: Folder, table: Table, hour: datetime, before: datetime) -> int:
    """Removes files all of whose rows are in a live merged file that was written before `before`."""
    files = folder.files(table.name, hour)
    leaves = folder.leaves(files)
    names = live([file.name for file in files], leaves)
    old = [leaves[file.name] for file in files if file.name in names & leaves.keys() and file.written <= before]
    removed = 0
    for file in files:
        held = leaves.get(file.name, frozenset({file.name}))
        if file.name not in names and any(held <= whole for whole in old):
            folder.remove(file)
            removed += 1
    return removed


def _merge(folder: Folder, table: Table, hour: datetime) -> int:
    """Writes the live files of an hour into one; how many there were, 0 if nothing was to do."""
    files = folder.live_files(table.name, hour)
    if len(files) < 2:
        return 0
    leaves = sorted(frozenset().union(*(folder.leaves_of(file) for file in files)))
    name = MERGED + hashlib.sha256("\n".join(leaves).encode()).hexdigest()[:32] + ".parquet"
    with folder.writer(folder.place(table.name, hour, name), table.schema) as writer:
        for group in _row_groups(folder, table, files):
            writer.write_table(group)
        writer.add_key_value_metadata({LEAVES.decode(): "\n".join(leaves)})
    return len(files)


def _row_groups(folder: Folder, table: Table, files: list[Stored]) -> Any:
    """The rows of all files in tables of a good size; memory holds one of these and one row group of a file."""
    waiting: list[Any] = []
    for file in files:
        with folder.filesystem.open_input_file(file.path) as source:
            for batch in pq.ParquetFile(source).iter_batches(ROW_GROUP_ROWS):
                waiting.append(_fit(pa.Table.from_batches([batch]), table.schema))
                if sum(one.num_rows for one in waiting) >= ROW_GROUP_ROWS:
                    yield pa.concat_tables(waiting)
                    waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _fit(rows: Any, schema: Any) -> Any:
    """Rows of a file that an older version wrote, in today's columns: missing ones are null."""
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
