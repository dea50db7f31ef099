"""The store's tables: their Arrow schemas, and rows to and from them. The only place that names their columns."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.window import WindowRow

_UTC = pa.timestamp("us", tz="UTC")


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """One state of an incident. recorded_ns: wall clock of the writer, made to grow strictly within one writer."""

    incident: Incident
    epoch: int
    recorded_ns: int


class Table(msgspec.Struct, frozen=True):
    """One table: its folder below the store's root, its columns, and how rows become them.

    begins: the UTC time by which a row is put into its hour. All states of an incident lie in the hour of its start.
    """

    name: str
    schema: Any
    columns: Callable[[Sequence[Any]], dict[str, list[Any]]]
    begins: Callable[[Any], datetime]

    def table(self, rows: Sequence[Any]) -> Any:
        """The rows as a pyarrow.Table of this schema."""
        return pa.table(self.columns(rows), schema=self.schema)


_WINDOW_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("stream", pa.string(), nullable=False),
    pa.field("detector", pa.string(), nullable=False),
    pa.field("part", pa.string(), nullable=False),
    pa.field("start_utc", _UTC, nullable=False),
    pa.field("start_s", pa.float64(), nullable=False),
    pa.field("count", pa.int64(), nullable=False),
    pa.field("min", pa.float64()),
    pa.field("mean", pa.float64()),
    pa.field("max", pa.float64()),
    pa.field("bad_share", pa.float64()),
    pa.field("coverage", pa.float64()),
    pa.field("epoch", pa.int64(), nullable=False),
]

WINDOW_SCHEMA = pa.schema(_WINDOW_FIELDS)

_INCIDENT_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("incident_id", pa.string(), nullable=False),
    pa.field("stream", pa.string(), nullable=False),
    pa.field("detector", pa.string(), nullable=False),
    pa.field("part", pa.string(), nullable=False),
    pa.field("severity", pa.string(), nullable=False),
    pa.field("start_utc", _UTC, nullable=False),
    pa.field("end_utc", _UTC),
    pa.field("start_s", pa.float64(), nullable=False),
    pa.field("end_s", pa.float64()),
    pa.field("start_pts_s", pa.float64()),
    pa.field("value", pa.float64()),
    pa.field("unit", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("labels", pa.map_(pa.string(), pa.string())),
    pa.field("evidence", pa.string()),
    pa.field("epoch", pa.int64(), nullable=False),
    pa.field("recorded_ns", pa.int64(), nullable=False),
]

INCIDENT_SCHEMA = pa.schema(_INCIDENT_FIELDS)


def _window_columns(rows: Sequence[WindowRow]) -> dict[str, list[Any]]:
    plain = [name for name in WINDOW_SCHEMA.names if name != "stream"]
    return {"stream": [row.stream_id for row in rows]} | {name: [getattr(row, name) for row in rows] for name in plain}


def _incident_columns(rows: Sequence[Recorded]) -> dict[str, list[Any]]:
    incidents = [row.incident for row in rows]
    own: dict[str, list[Any]] = {
        "stream": [one.stream_id for one in incidents],
        "severity": [one.severity.value for one in incidents],
        "labels": [list(one.labels.items()) for one in incidents],
        "epoch": [row.epoch for row in rows],
        "recorded_ns": [row.recorded_ns for row in rows],
    }
    plain = [name for name in INCIDENT_SCHEMA.names if name not in own]
    return own | {name: [getattr(one, name) for one in incidents] for name in plain}


WINDOWS = Table("windows", WINDOW_SCHEMA, _window_columns, lambda row: row.start_utc)
INCIDENTS = Table("incidents", INCIDENT_SCHEMA, _incident_columns, lambda row: row.incident.start_utc)
TABLES = (INCIDENTS, WINDOWS)


def latest_states(table: Any) -> list[Incident]:
    """Of each incident in a table of INCIDENT_SCHEMA its latest state, in order of start.

    A newer epoch overrules an older one whatever their clocks say; within an epoch the later record counts.
    """
    rows = sorted(table.to_pylist(), key=lambda row: (row["epoch"], row["recorded_ns"]))
    latest = {row["incident_id"]: row for row in rows}
    return sorted(map(_incident, latest.values()), key=lambda one: (one.start_utc, one.incident_id))


def _incident(row: dict[str, Any]) -> Incident:
    end_utc = row["end_utc"]
    return Incident(
        incident_id=row["incident_id"],
        stream_id=row["stream"],
        detector=row["detector"],
        severity=Severity(row["severity"]),
        start_s=row["start_s"],
        end_s=row["end_s"],
        start_utc=row["start_utc"].astimezone(UTC),
        end_utc=end_utc.astimezone(UTC) if end_utc else None,
        value=row["value"],
        unit=row["unit"],
        part=row["part"],
        start_pts_s=row["start_pts_s"],
        reason=row["reason"],
        labels=dict(row["labels"] or ()),
        evidence=row["evidence"] or "",
    )
