"""One day of a fleet in figures: what was watched, what was broken, how soon it was known. Pure.

Definitions, of a period (a day in UTC, of today what is over of it):
    coverage      sum over its seconds of the share of the frames that was analysed, / its seconds. A second in which
                  no frame came counts as analysed when somebody watched: that the signal is gone is an incident.
    availability  the same, but only for the part of each second without a major or critical incident.
    time to detect  from the first bad frame until its analyzer recorded the incident, which is when alerts set out;
                  it holds `raise_after_s` and what the protocol delays, not the delivery of the alert.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np

from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.remark import Remark, RemarkKind

DOWN = frozenset({Severity.MAJOR, Severity.CRITICAL})  # incidents of these severities make a stream unavailable
Seconds = Any  # np.ndarray of float32: of each second of the period the share of its frames that was analysed


class Period(NamedTuple):
    """What a report is of: aware UTC times, whole seconds apart."""

    since: datetime
    until: datetime

    @property
    def seconds(self) -> int:
        """Its length."""
        return int((self.until - self.since).total_seconds())

    def cut(self, incident: Incident) -> tuple[float, float]:
        """The part of an incident that lies in it, in seconds from its start; what lasts, lasts to its end."""
        begin_s = (incident.start_utc - self.since).total_seconds()
        end_s = (incident.end_utc - self.since).total_seconds() if incident.end_utc else math.inf
        return max(0.0, begin_s), min(float(self.seconds), end_s)


class StreamDay(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. down_s: seconds with a major or critical incident, overlaps counted once; longest_s: of one."""

    stream_id: str
    labels: dict[str, str]
    availability: float
    coverage: float
    down_s: float
    incidents: int
    longest_s: float


class LabelDay(msgspec.Struct, frozen=True, kw_only=True):
    """The streams with one label: means over them, each counting the same."""

    label: str
    streams: int
    availability: float
    coverage: float
    incidents: int


class KindDay(msgspec.Struct, frozen=True, kw_only=True):
    """The incidents of one detector. detect_*_s: median and 95th percentile of the time to detect, None if unknown."""

    detector: str
    by_severity: dict[str, int]
    total_s: float
    longest_s: float
    detect_p50_s: float | None
    detect_p95_s: float | None

    @property
    def incidents(self) -> int:
        """How many."""
        return sum(self.by_severity.values())


class People(msgspec.Struct, frozen=True, kw_only=True):
    """What people said of the day's incidents, where the running fleet was there to tell.

    acknowledge_p50_s: median from the first bad frame until someone took it on, None if none was.
    """

    acknowledged: int
    acknowledge_p50_s: float | None
    false_alarms: int
    false_alarm_share: float


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. streams: the least available first; incidents: by start; people: None if nobody could be asked."""

    since: datetime
    until: datetime
    streams: tuple[StreamDay, ...]
    labels: tuple[LabelDay, ...]
    kinds: tuple[KindDay, ...]
    incidents: tuple[Incident, ...]
    detect_s: dict[str, float]  # by incident id
    detect_p50_s: float | None
    detect_p95_s: float | None
    per_hour: tuple[dict[str, int], ...]  # incidents that began in each hour, by severity
    people: People | None

    @property
    def availability(self) -> float | None:
        """The mean over streams; None without any."""
        return mean([one.availability for one in self.streams])

    @property
    def coverage(self) -> float | None:
        """The mean over streams; None without any."""
        return mean([one.coverage for one in self.streams])

    @property
    def longest(self) -> list[Incident]:
        """The incidents by the time that they took of the period, the longest first."""
        return sorted(self.incidents, key=lambda one: -_took_s(Period(self.since, self.until), one))


def make(
    period: Period,
    *,
    analysed: Mapping[str, Seconds],
    incidents: Iterable[Incident],
    recorded: Mapping[str, datetime],
    labels: Mapping[str, Mapping[str, str]],
    remarks: Collection[Remark] | None,
    only: Collection[str] = (),
) -> DayReport:
    """The report of a period.

    analysed: by stream, an array with an element a second of the period. recorded: when each incident was recorded
    first, by its id. labels: of streams, over those that incidents carry. only: streams with all these `key:value`.
    """
    within = [one for one in incidents if period.cut(one)[0] < period.cut(one)[1] or _began_in(period, one)]
    known = _labels(within, analysed, labels)
    kept = {stream for stream in known if set(only) <= set(_pairs(known[stream]))}
    shown = tuple(sorted((one for one in within if one.stream_id in kept), key=lambda one: one.start_utc))
    detect_s = {
        one.incident_id: (recorded[one.incident_id] - one.start_utc).total_seconds()
        for one in shown
        if one.incident_id in recorded and _began_in(period, one)
    }
    nothing = np.zeros(period.seconds, np.float32)
    streams = [
        _stream(period, stream, known[stream], analysed.get(stream, nothing), _of(shown, stream)) for stream in kept
    ]
    return DayReport(
        since=period.since,
        until=period.until,
        streams=tuple(sorted(streams, key=lambda one: (one.availability, one.stream_id))),
        labels=_by_label(streams),
        kinds=_by_kind(period, shown, detect_s),
        incidents=shown,
        detect_s=detect_s,
        detect_p50_s=quantile(detect_s.values(), 0.5),
        detect_p95_s=quantile(detect_s.values(), 0.95),
        per_hour=_per_hour(period, shown),
        people=None if remarks is None else _people(shown, remarks),
    )


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def quantile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least `share` of them do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def down(period: Period, incidents: Iterable[Incident]) -> Seconds:
    """Of each second of the period the share in which any of these incidents lasted."""
    share = np.zeros(period.seconds, np.float32)
    for begin_s, end_s in _union(period.cut(one) for one in incidents):
        first, last = int(begin_s), min(int(end_s), period.seconds - 1)
        if first == last:
            share[first] += end_s - begin_s
        else:
            share[first] += first + 1 - begin_s
            share[first + 1 : last] = 1.0
            share[last] += end_s - last
    return share


def _union(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(span for span in spans if span[0] < span[1]):
        if out and begin_s <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end_s)
        else:
            out.append((begin_s, end_s))
    return out


def _began_in(period: Period, incident: Incident) -> bool:
    return period.since <= incident.start_utc < period.until


def _took_s(period: Period, incident: Incident) -> float:
    begin_s, end_s = period.cut(incident)
    return max(0.0, end_s - begin_s)


def _of(incidents: Iterable[Incident], stream: str) -> list[Incident]:
    return [one for one in incidents if one.stream_id == stream]


def _pairs(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}:{value}" for key, value in labels.items()]


def _labels(
    incidents: Iterable[Incident], analysed: Iterable[str], given: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = {stream: {} for stream in analysed}
    for one in incidents:
        known.setdefault(one.stream_id, {}).update(one.labels)
    return {stream: own | dict(given.get(stream, {})) for stream, own in known.items()}


def _stream(
    period: Period, stream: str, labels: dict[str, str], analysed: Seconds, incidents: list[Incident]
) -> StreamDay:
    broken = down(period, [one for one in incidents if one.severity in DOWN])
    return StreamDay(
        stream_id=stream,
        labels=labels,
        availability=float(np.sum(analysed * (1.0 - broken), dtype=np.float64)) / period.seconds,
        coverage=float(np.sum(analysed, dtype=np.float64)) / period.seconds,
        down_s=float(np.sum(broken, dtype=np.float64)),
        incidents=len(incidents),
        longest_s=max((_took_s(period, one) for one in incidents), default=0.0),
    )


def _by_label(streams: Iterable[StreamDay]) -> tuple[LabelDay, ...]:
    groups: dict[str, list[StreamDay]] = {}
    for one in streams:
        for pair in _pairs(one.labels):
            groups.setdefault(pair, []).append(one)
    days = [
        LabelDay(
            label=label,
            streams=len(group),
            availability=sum(one.availability for one in group) / len(group),
            coverage=sum(one.coverage for one in group) / len(group),
            incidents=sum(one.incidents for one in group),
        )
        for label, group in groups.items()
    ]
    return tuple(sorted(days, key=lambda one: (one.availability, one.label)))


def _by_kind(period: Period, incidents: Iterable[Incident], detect_s: Mapping[str, float]) -> tuple[KindDay, ...]:
    groups: dict[str, list[Incident]] = {}
    for one in incidents:
        groups.setdefault(one.detector, []).append(one)
    days = []
    for detector, group in groups.items():
        took_s = [_took_s(period, one) for one in group]
        waits_s = [detect_s[one.incident_id] for one in group if one.incident_id in detect_s]
        days.append(
            KindDay(
                detector=detector,
                by_severity=_severities(group),
                total_s=sum(took_s),
                longest_s=max(took_s),
                detect_p50_s=quantile(waits_s, 0.5),
                detect_p95_s=quantile(waits_s, 0.95),
            )
        )
    return tuple(sorted(days, key=lambda one: (-one.incidents, one.detector)))


def _severities(incidents: Iterable[Incident]) -> dict[str, int]:
    counts = Counter(one.severity for one in incidents)
    return {severity.value: counts[severity] for severity in Severity if counts[severity]}


def _per_hour(period: Period, incidents: Sequence[Incident]) -> tuple[dict[str, int], ...]:
    hour = timedelta(hours=1)
    hours = range(math.ceil(period.seconds / 3600))
    begun: dict[int, list[Incident]] = {}
    for one in incidents:
        if _began_in(period, one):
            begun.setdefault((one.start_utc - period.since) // hour, []).append(one)
    return tuple(_severities(begun.get(number, ())) for number in hours)


def _people(incidents: Sequence[Incident], remarks: Iterable[Remark]) -> People:
    starts = {one.incident_id: one.start_utc for one in incidents}
    said = [one for one in remarks if one.incident_id in starts]
    waits_s = [
        (one.at_utc - starts[one.incident_id]).total_seconds() for one in said if one.kind is RemarkKind.ACKNOWLEDGED
    ]
    false = sum(one.kind is RemarkKind.FALSE_ALARM for one in said)
    return People(
        acknowledged=len(waits_s),
        acknowledge_p50_s=quantile(waits_s, 0.5),
        false_alarms=false,
        false_alarm_share=false / len(incidents) if incidents else 0.0,
    )
