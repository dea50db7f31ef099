"""What reports and back-tests want of the store: coverage by second, when incidents were recorded, and tables out."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from vqa_ray.core.replay import Second
from vqa_ray.core.report import DayReport, Period, Seconds, StreamDay
from vqa_ray.core.window import HEALTH, WINDOW_S
from vqa_ray.errors import StoreError
from vqa_ray.sinks.store import read_states, read_windows

HOUR = timedelta(hours=1)


def read_analysed(uri: str, period: Period, *, stream: str | None = None) -> dict[str, Seconds]:
    """By stream, of each second of the period the share of its frames that was analysed; 0 where nobody watched.

    350 KB a stream and day; the store is read an hour at a time. Raises StoreError.
    """
    out: dict[str, Seconds] = {}
    since = period.since
    while since < period.until:
        until = min(since + HOUR, period.until)
        table: Any = read_windows(uri, since=since, until=until, stream=stream, detector=HEALTH)
        streams = table.column("stream").dictionary_encode().combine_chunks()
        micros = table.column("start_utc").cast(pa.int64()).to_numpy()
        at = (micros - int(period.since.timestamp()) * 1_000_000) // 1_000_000
        coverage = table.column("coverage").to_numpy().astype(np.float32)
        codes = streams.indices.to_numpy(zero_copy_only=False)
        for code, name in enumerate(streams.dictionary.to_pylist()):
            own = codes == code
            seconds = out.setdefault(name, np.zeros(period.seconds, np.float32))
            np.maximum.at(seconds, at[own], coverage[own])
        since = until
    return out


def read_recorded(uri: str, *, since: datetime, until: datetime) -> dict[str, datetime]:
    """When each incident that began in [since, until) was recorded first, by its id; raises StoreError."""
    states: Any = read_states(uri, since=since, until=until)
    first: dict[str, int] = {}
    for name, at_ns in zip(states["incident_id"].to_pylist(), states["recorded_ns"].to_pylist(), strict=True):
        first[name] = min(first.get(name, at_ns), at_ns)
    return {name: datetime.fromtimestamp(at_ns / 1e9, UTC) for name, at_ns in first.items()}


def write_report(report: DayReport, stem: Path) -> list[Path]:
    """`STEM.streams` and `STEM.incidents`, each as .csv and .parquet; the files. Raises StoreError."""
    tables = {"streams": _streams(report.streams), "incidents": _incidents(report)}
    written = []
    try:
        for name, table in tables.items():
            paths = [stem.with_name(f"{stem.name}.{name}.{kind}") for kind in ("csv", "parquet")]
            pc_csv.write_csv(table, paths[0])
            pq.write_table(table, paths[1])
            written += paths
    except OSError as error:
        raise StoreError(f"{stem.parent}: cannot be written to: {error.strerror or error}") from None
    return written


_STREAM_FIELDS: list[Any] = [
    ("stream", pa.string()),
    ("labels", pa.string()),
    ("availability", pa.float64()),
    ("coverage", pa.float64()),
    ("down_s", pa.float64()),
    ("incidents", pa.int64()),
    ("longest_s", pa.float64()),
]

_INCIDENT_FIELDS: list[Any] = [
    ("incident_id", pa.string()),
    ("stream", pa.string()),
    ("labels", pa.string()),
    ("detector", pa.string()),
    ("part", pa.string()),
    ("severity", pa.string()),
    ("start_utc", pa.timestamp("us", "UTC")),
    ("end_utc", pa.timestamp("us", "UTC")),
    ("seconds", pa.float64()),
    ("detect_s", pa.float64()),
    ("value", pa.float64()),
    ("unit", pa.string()),
    ("reason", pa.string()),
    ("evidence", pa.string()),
]


def _streams(streams: Iterable[StreamDay]) -> Any:
    rows = [msgspec.structs.asdict(one) | {"stream": one.stream_id, "labels": _words(one.labels)} for one in streams]
    return _table(rows, pa.schema(_STREAM_FIELDS))


def _incidents(report: DayReport) -> Any:
    rows = [
        msgspec.structs.asdict(one)
        | {
            "stream": one.stream_id,
            "labels": _words(one.labels),
            "severity": one.severity.value,
            "seconds": None if one.end_s is None else one.end_s - one.start_s,
            "detect_s": report.detect_s.get(one.incident_id),
        }
        for one in report.incidents
    ]
    return _table(rows, pa.schema(_INCIDENT_FIELDS))


def _table(rows: Sequence[dict[str, Any]], schema: Any) -> Any:
    return pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)


def _words(labels: dict[str, str]) -> str:
    return " ".join(f"{key}:{value}" for key, value in sorted(labels.items()))


def read_seconds(
    uri: str, *, since: datetime, until: datetime, stream: str, detector: str, lower_is_worse: bool = False
) -> dict[str, list[Second]]:
    """What a detector said of a stream in [since, until), by part; good seconds in a row are one. Raises StoreError."""
    table: Any = read_windows(uri, since=since, until=until, stream=stream, detector=detector)
    parts = np.array(table["part"].to_pylist(), dtype=object)
    at_s = (table["start_utc"].cast(pa.int64()).to_numpy() - round(since.timestamp() * 1e6)) / 1e6
    shares = table["bad_share"].to_numpy()
    worst = table["min" if lower_is_worse else "max"].to_numpy()
    return {
        str(part): _runs(at_s[parts == part], shares[parts == part], worst[parts == part])
        for part in dict.fromkeys(parts.tolist())
    }


def _runs(at_s: Any, shares: Any, worst: Any) -> list[Second]:
    """Seconds in order; two of the same moment (another analyzer took over within it) are one."""
    out: list[Second] = []
    good = shares <= 0
    joined = np.zeros(len(at_s), bool)  # to the one before it: both good, and nothing between them
    joined[1:] = good[1:] & good[:-1] & (np.diff(at_s) < 1.5 * WINDOW_S)
    starts = np.flatnonzero(~joined)
    for first, after in zip(starts, [*starts[1:], len(at_s)], strict=True):
        one = Second(
            float(at_s[first]), float(at_s[after - 1]) + WINDOW_S, float(shares[first]), float(worst[first])
        )  # fmt: skip
        if out and one.at_s < out[-1].until_s - WINDOW_S / 2:
            last = out.pop()
            if last.at_s < one.at_s:
                out.append(last._replace(until_s=one.at_s))
            elif last.share > one.share:
                one = last
        out.append(one)
    return out
