"""Scripted against found: a pure decision on whether the watch did its work."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from vqa_ray.core.notice import Incident
from vqa_ray.media.synthetic.script import FaultKind
from vqa_ray.media.synthetic.source import Kind

CLASS_OF = {
    FaultKind.BLACK: "black",
    FaultKind.FREEZE: "freeze",
    FaultKind.SILENCE: "silence",
    FaultKind.CORRUPTION: "corruption",
    FaultKind.OUTAGE: "signal_loss",
}
# What else such a fault truly is, seen from another side: no alarm of these is unexplained while it lasts.
ALSO = {
    FaultKind.CORRUPTION: frozenset({"cc_error", "pts_gap", "green", "grey"}),
    FaultKind.OUTAGE: frozenset({"cc_error", "pts_gap", "pts_jump"}),
}
EARLY_S = 1.0
EARLY_RTMP_S = 2.0  # its first picture is the next key frame, which may come a second after we were let in
BEHIND_S = 2.5  # how far a player may be behind the source
SETTLE_S = 2.0  # from the source's end of a fault to the first good frame: up to the next key frame
RECONNECT_S = 5.0  # from a source's return to its first packet: back-off, opening


class Expected(msgspec.Struct, frozen=True):
    """One scripted fault of one stream."""

    stream_id: str
    served: Kind
    kind: FaultKind
    start_utc: datetime
    end_utc: datetime

    @property
    def detector(self) -> str:
        """The class under which it must be found."""
        return CLASS_OF[self.kind]

    @property
    def early_s(self) -> float:
        """How much earlier than the source sent it a player may date it."""
        return EARLY_RTMP_S if self.served is Kind.RTMP else EARLY_S

    @property
    def end_late_s(self) -> float:
        """How late the incident may end."""
        return BEHIND_S + (RECONNECT_S if self.kind is FaultKind.OUTAGE else SETTLE_S)


class Row(msgspec.Struct, frozen=True):
    """A scripted fault and what was found of it. why: what is wrong with that, "" if nothing.

    start_off_s, end_off_s: found minus scripted; told_after_s: from the scripted start to the alert's arrival.
    """

    expected: Expected
    found: Incident | None = None
    start_off_s: float | None = None
    end_off_s: float | None = None
    told_after_s: float | None = None
    why: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """Everything that was scripted, and everything that was found or told beside it."""

    rows: tuple[Row, ...]
    unexplained: tuple[Incident, ...]
    told_twice: tuple[str, ...]  # keys of notices that came more than once
    untold: tuple[str, ...]  # keys of notices that never came

    @property
    def fine(self) -> bool:
        """Whether everything was found, as scripted, and told once, and nothing else was."""
        return not (self.unexplained or self.told_twice or self.untold or any(row.why for row in self.rows))


class Alert(msgspec.Struct, frozen=True):
    """A notice as it reached the operator: its key, and when."""

    key: str
    received_utc: datetime


def judge(expected: Sequence[Expected], incidents: Iterable[Incident], alerts: Sequence[Alert]) -> Verdict:
    """Match scripted faults with incidents, one to one and in order, and count what was told."""
    left = sorted(incidents, key=lambda incident: incident.start_utc)
    every = tuple(left)
    arrived = {alert.key: alert.received_utc for alert in reversed(alerts)}
    rows = []
    for fault in sorted(expected, key=lambda one: (one.start_utc, one.stream_id)):
        found = next((incident for incident in left if _is(incident, fault)), None)
        if found is not None:
            left.remove(found)
        rows.append(_row(fault, found, arrived))
    unexplained = tuple(incident for incident in left if not any(_explains(fault, incident) for fault in expected))
    counts = Counter(alert.key for alert in alerts)
    twice = tuple(sorted(key for key, count in counts.items() if count > 1))
    untold = tuple(key for incident in every for key in _keys(incident) if key not in counts)
    return Verdict(tuple(rows), unexplained, twice, untold)


def _is(incident: Incident, fault: Expected) -> bool:
    off_s = (incident.start_utc - fault.start_utc).total_seconds()
    same = incident.stream_id == fault.stream_id and incident.detector == fault.detector
    return same and -fault.early_s <= off_s <= BEHIND_S


def _explains(fault: Expected, incident: Incident) -> bool:
    if incident.stream_id != fault.stream_id or incident.detector not in ALSO.get(fault.kind, frozenset()):
        return False
    after_start_s = (incident.start_utc - fault.start_utc).total_seconds()
    after_end_s = (incident.start_utc - fault.end_utc).total_seconds()
    return after_start_s >= -fault.early_s and after_end_s <= fault.end_late_s


def _row(fault: Expected, found: Incident | None, arrived: dict[str, datetime]) -> Row:
    if found is None:
        return Row(fault, why="not found")
    told = arrived.get(f"{found.incident_id}:opened")
    end_off_s = (found.end_utc - fault.end_utc).total_seconds() if found.end_utc else None
    return Row(
        fault,
        found,
        start_off_s=(found.start_utc - fault.start_utc).total_seconds(),
        end_off_s=end_off_s,
        told_after_s=(told - fault.start_utc).total_seconds() if told else None,
        why=_wrong(fault, end_off_s, told),
    )


def _wrong(fault: Expected, end_off_s: float | None, told: datetime | None) -> str:
    if told is None:
        return "not told"
    if end_off_s is None:
        return "never ended"
    if not -SETTLE_S <= end_off_s <= fault.end_late_s:
        return f"ended {abs(end_off_s):.1f} s too {'early' if end_off_s < 0 else 'late'}"
    return ""


def _keys(incident: Incident) -> list[str]:
    kinds = ["opened"] if incident.open else ["opened", "closed"]
    return [f"{incident.incident_id}:{kind}" for kind in kinds]
