"""An incident for each stream that is parked: what is not watched any more must be told, and who parked it, why."""

from datetime import UTC, datetime

import msgspec

from vqa_ray.cluster.absences import assigned_as
from vqa_ray.cluster.journal import Journal
from vqa_ray.cluster.roster import Roster
from vqa_ray.cluster.state import Entry
from vqa_ray.core.halves import PART, is_second, whole
from vqa_ray.core.incident import incident_id
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity

PARKED = "parked"  # stands where other incidents name their detector


class Parking:
    """Keeps journal and roster the same: what is parked has an open incident, and the other way round.

    The journal is what outlives a restart: a stream that is parked is one with an open incident of this kind.
    """

    def __init__(self, roster: Roster, journal: Journal) -> None:
        self._roster = roster
        self._journal = journal
        self._open: dict[str, Incident] = {}

    async def recover(self) -> None:
        """After a restart: parks again what was parked."""
        for notice in await self._journal.do(self._journal.store.open_notices):
            incident = notice.incident
            name = assigned_as(incident)
            if incident.detector == PARKED and name in self._roster.streams:
                self._open[name] = incident
                self._roster.park(name, incident.reason)

    async def tell(self) -> None:
        """Tells of what was parked, and of what is not any more. A removed stream's incident closes with all others."""
        parked, streams = self._roster.parked, self._roster.streams
        new = [stream_id for stream_id in parked if stream_id not in self._open]
        over = [stream_id for stream_id in self._open if stream_id not in parked]
        if not new and not over:
            return
        now_utc = datetime.now(UTC)
        opened = [self._incident(stream_id, now_utc) for stream_id in new]
        closed = [_ended(self._open.pop(stream_id), now_utc) for stream_id in over]
        notices = [Notice(kind=NoticeKind.OPENED, incident=one, noticed_utc=now_utc) for one in opened]
        notices += [
            Notice(kind=NoticeKind.CLOSED, incident=one, noticed_utc=now_utc)
            for one in closed
            if assigned_as(one) in streams
        ]
        self._open |= {assigned_as(one): one for one in opened}
        epochs = self._roster.epochs
        await self._journal.write([Entry(notice, epochs.get(assigned_as(notice.incident), 0)) for notice in notices])

    def _incident(self, stream_id: str, now_utc: datetime) -> Incident:
        stream, place = self._roster.streams[stream_id], self._roster.places.get(stream_id)
        part = PART if is_second(stream_id) else ""
        return Incident(
            incident_id=incident_id(whole(stream_id), PARKED, part, now_utc),
            stream_id=whole(stream_id),
            detector=PARKED,
            part=part,
            severity=Severity.CRITICAL,
            start_s=place.report.at_s if place is not None and place.report is not None else 0.0,
            end_s=None,
            start_utc=now_utc,
            end_utc=None,
            value=float(stream.record.crashes),
            unit="crashes",
            reason=f"{self._roster.parked[stream_id]}; `vqa unpark {whole(stream_id)}` tries again",
            labels=stream.spec.labels,
        )


def _ended(incident: Incident, now_utc: datetime) -> Incident:
    lasted_s = max(0.0, (now_utc - incident.start_utc).total_seconds())
    return msgspec.structs.replace(
        incident, end_s=incident.start_s + lasted_s, end_utc=now_utc, reason="is watched again"
    )  # fmt: skip
