"""Streams that nobody analyses: since when, and the incident that says so when it lasts. No Ray, no disk, no clock."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from vqa_ray.cluster.records import Place
from vqa_ray.cluster.roster import Roster
from vqa_ray.core.halves import PART, is_second, second, whole
from vqa_ray.core.incident import incident_id
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.core.reconcile import Phase, Reason
from vqa_ray.core.source import State
from vqa_ray.pipeline.analysis import NOT_ANALYSED

FIRST_S = 60.0  # a stream that was never analysed waits for its first analyzer, which may wait for a machine


class Absences:
    """The incidents of detector `not_analysed`. Times in seconds are of the roster's clock."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._open: dict[str, Incident] = {}
        self._since_s: dict[str, float] = {}  # when each that is watched was analysed last, as far as is known here

    def resume(self, notices: Iterable[Notice]) -> None:
        """What a supervisor before this one has told and not closed."""
        for notice in notices:
            if notice.incident.detector == NOT_ANALYSED:
                self._open[assigned_as(notice.incident)] = notice.incident

    def look(self, now_s: float, now_utc: datetime) -> list[Notice]:
        """What opened and closed since the last look. Runs for every stream at each tick: kept flat."""
        roster, since_s = self._roster, {}
        heard = {m.name: m.heard_s for m in roster.members.values() if m.phase is not Phase.SILENT}
        out: list[Notice] = []
        for stream_id, stream in roster.streams.items():
            if stream.spec.paused or roster.waits(stream_id):
                continue
            place = roster.places.get(stream_id)
            heard_s = heard.get(place.analyzer) if place is not None and _analyses(place) else None
            if stream.done or stream_id in roster.parked:  # what is parked has an incident that says so
                heard_s = now_s
            since_s[stream_id] = self._since_s.get(stream_id, now_s) if heard_s is None else heard_s
            if heard_s is None and stream_id not in self._open:
                out += self._due(stream_id, place, now_s - since_s[stream_id], now_utc)
            elif heard_s is not None and stream_id in self._open:
                out.append(_notice(NoticeKind.CLOSED, _until(self._open[stream_id], now_utc), now_utc))
                del self._open[stream_id]
        self._since_s = since_s
        for stream_id in self._open.keys() - since_s.keys():
            del self._open[stream_id]  # it is not watched any more: closed with all it has open
        return out

    def _due(self, stream_id: str, place: Place | None, absent_s: float, now_utc: datetime) -> list[Notice]:
        limit_s = self._roster.options.not_analysed_after_s
        if place is None or place.reached_s is None:
            limit_s = max(limit_s, FIRST_S)
        if absent_s <= limit_s:
            return []
        opened = self._open[stream_id] = self._opened(stream_id, place, now_utc - timedelta(seconds=absent_s))
        return [_notice(NoticeKind.OPENED, opened, now_utc)]

    def _opened(self, stream_id: str, place: Place | None, start_utc: datetime) -> Incident:
        report = place.report if place is not None else None
        reason = (place.lost or (report.reason if report else "")) if place is not None else Reason.NO_SEAT
        part = PART if is_second(stream_id) else ""
        start_s = (place.reached_s if place is not None else None) or 0.0
        return Incident(
            incident_id=incident_id(whole(stream_id), NOT_ANALYSED, part, start_utc),
            stream_id=whole(stream_id),
            detector=NOT_ANALYSED,
            part=part,
            severity=Severity.MAJOR,
            start_s=start_s,
            end_s=None,
            start_utc=start_utc,
            end_utc=None,
            value=0.0,
            unit="s",
            reason=str(reason),
            labels=self._roster.streams[stream_id].spec.labels,
        )


def assigned_as(incident: Incident) -> str:
    """The name under which the stream, or the half of it that the incident is about, is assigned."""
    return second(incident.stream_id) if incident.part == PART else incident.stream_id


def _analyses(place: Place) -> bool:
    """Whether its analyzer analyses the stream, as far as it has said; that it is heard of is another matter."""
    report = place.report
    if place.lost is not None or report is None or report.stuck:
        return False
    first_try = report.state == State.CONNECTING and not report.connected_once and not report.reconnects
    return not first_try and report.state != State.FAULTY


def _until(incident: Incident, end_utc: datetime) -> Incident:
    lasted_s = max(0.0, (end_utc - incident.start_utc).total_seconds())
    return msgspec.structs.replace(incident, end_s=incident.start_s + lasted_s, end_utc=end_utc, value=lasted_s)


def _notice(kind: NoticeKind, incident: Incident, now_utc: datetime) -> Notice:
    return Notice(kind=kind, incident=incident, noticed_utc=now_utc)
