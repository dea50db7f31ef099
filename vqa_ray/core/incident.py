"""All incidents of one stream: holds, root causes, coincidence, identities. Pure: time comes with the readings.

A root cause hides what follows from it (no signal hides black, freeze and silence; black hides freeze), as
Alertmanager's inhibition does, but by overlap in media time, since detectors answer with different delays.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from vqa_ray.core.coincidence import together
from vqa_ray.core.health import Health
from vqa_ray.core.hold import Edge, Hold, HoldState, Phase, Rule
from vqa_ray.core.notice import Incident, NoticeKind
from vqa_ray.core.reading import Reading, Severity

Transition = tuple[NoticeKind, Incident]
SWITCHED_OFF = "its detector was switched off"  # reason of an incident that closes for that


class BookState(msgspec.Struct, frozen=True, kw_only=True):
    """What the next owner of a stream needs to go on with its incidents: a few KB."""

    origin_utc: datetime
    holds: tuple[HoldState, ...]
    incidents: tuple[Incident, ...]
    health: Health = Health()


class IncidentBook:
    """The incidents of one stream.

    `step` takes the readings of one detector in time order and returns what opened, changed and closed. Opened and
    closed alternate strictly for each detector and part; between them it may have changed, that is, grown worse.
    audible: whether sound is heard now; False if that is not known.
    """

    def __init__(
        self,
        stream_id: str,
        rules: Iterable[Rule],
        origin_utc: datetime,
        labels: dict[str, str] | None = None,
        pts_minus_at_s: Callable[[], float | None] = lambda: None,
        audible: Callable[[], bool] = lambda: False,
    ) -> None:
        self.stream_id = stream_id
        self.origin_utc = origin_utc
        self.labels = dict(labels or {})
        self._pts_minus_at_s = pts_minus_at_s  # from the timeline to the container's timestamps
        self._audible = audible
        self.health = Health()
        self._now_s = -float("inf")  # the latest moment that a reading spoke of
        self._rules = {rule.detector: rule for rule in rules}
        self._holds: dict[tuple[str, str], Hold] = {}
        self._incidents: dict[tuple[str, str], Incident] = {}
        self._reasons: dict[str, str] = {}
        self._hides = {
            cause: [r.detector for r in self._rules.values() if cause in r.hidden_by] for cause in self._rules
        }

    @property
    def open_incidents(self) -> list[Incident]:
        """Incidents that last, oldest first."""
        return sorted(self._incidents.values(), key=lambda i: (i.start_s, i.detector, i.part))

    def explain(self, detector: str, reason: str) -> None:
        """What incidents of the detector that open from now on give as their reason."""
        self._reasons[detector] = reason

    def attach(self, incident: Incident, evidence: str) -> None:
        """Note where the evidence of an incident lies, if it is still open: it stays with it, also elsewhere."""
        key = incident.detector, incident.part
        known = self._incidents.get(key)
        if known is not None and known.incident_id == incident.incident_id:
            self._incidents[key] = msgspec.structs.replace(known, evidence=evidence)

    def busy(self, detector: str) -> bool:
        """Whether good readings matter: False when all holds of the detector are quiet, which is nearly always."""
        return any(
            hold.phase is not Phase.QUIET for (name, _), hold in self._holds.items() if name == detector
        )  # fmt: skip

    def step(self, detector: str, readings: Iterable[Reading]) -> list[Transition]:
        """Take readings of one detector, in time order; what opened and closed."""
        out: list[Transition] = []
        for reading in readings:
            hold = self._holds.get((detector, reading.part))
            if hold is None:
                if not reading.bad:
                    continue
                hold = self._holds[detector, reading.part] = Hold(self._rules[detector], reading.part)
            elif not reading.bad and hold.phase is Phase.QUIET:
                continue
            self._now_s = max(self._now_s, reading.until_s)
            out += self._take(hold, reading)
        return out

    def interrupt(self, *, lasting: Collection[str] = ()) -> list[Transition]:
        """The connection ended: pending runs are judged by what was seen, open incidents stay open.

        lasting: detectors that watch on without a connection, and whose runs go on.
        """
        holds = [hold for hold in self._sorted() if hold.rule.detector not in lasting]
        return [t for hold in holds for t in self._record(hold, hold.interrupt())]

    def finish(self) -> list[Transition]:
        """The media ended: everything that is open closes with the end of its last bad frame."""
        return [t for hold in self._sorted() for t in self._record(hold, hold.finish())]

    def close_detectors(self, detectors: Iterable[str]) -> list[Transition]:
        """These detectors watch no longer: what they have open closes where it was last seen bad."""
        gone = set(detectors)
        return [
            t for hold in self._sorted() if hold.rule.detector in gone for t in self._record(hold, hold.finish())
        ]  # fmt: skip

    def state(self) -> BookState:
        """Everything as a value."""
        holds = tuple(hold.state() for hold in self._sorted() if hold.phase is not Phase.QUIET)
        incidents = tuple(self.open_incidents)
        return BookState(origin_utc=self.origin_utc, holds=holds, incidents=incidents, health=self.health)

    def resume(self, state: BookState) -> list[Transition]:
        """Continue from a value that `state` gave; rules may have changed meanwhile, and then hold from now on.

        What closes: the incidents of detectors that are no longer on, where they were last seen bad.
        """
        self.origin_utc = state.origin_utc
        for saved in state.holds:
            if saved.detector in self._rules:
                hold = self._holds[saved.detector, saved.part] = Hold(self._rules[saved.detector], saved.part)
                hold.resume(saved)
        for incident in state.incidents:
            if incident.detector in self._rules:
                self._incidents[incident.detector, incident.part] = incident
        self.health, self._now_s = state.health, state.health.at_s
        self._weigh()
        ends_s = {(saved.detector, saved.part): saved.bad_until_s for saved in state.holds}
        return [
            (NoticeKind.CLOSED, self._switched_off(incident, ends_s.get((incident.detector, incident.part))))
            for incident in state.incidents
            if incident.detector not in self._rules
        ]

    def _switched_off(self, incident: Incident, end_s: float | None) -> Incident:
        end_s = incident.start_s if end_s is None else max(incident.start_s, end_s)
        return msgspec.structs.replace(incident, end_s=end_s, end_utc=self._utc(end_s), reason=SWITCHED_OFF)

    def _sorted(self) -> Iterator[Hold]:
        return (self._holds[key] for key in sorted(self._holds))

    def _take(self, hold: Hold, reading: Reading) -> list[Transition]:
        if reading.bad and not hold.is_open and self._hidden(hold.rule, reading):
            hold.mask(reading.until_s)
            return []
        out = self._record(hold, hold.step(reading))
        if any(kind is NoticeKind.OPENED for kind, _ in out):
            out += self._take_over(hold)
        if len(self._incidents) > 1:
            out += self._worsened()
        return out

    def _worsened(self) -> list[Transition]:
        """What another incident at the same time makes critical, and was not."""
        return [
            self._changed(self._holds[key], cause)
            for key, incident in sorted(self._incidents.items())
            if incident.severity is not Severity.CRITICAL and (cause := self._together(self._holds[key])) is not None
        ]

    def _together(self, hold: Hold) -> Hold | None:
        return together(hold, self._sorted()) if hold.rule.worse_with else None

    def _hidden(self, rule: Rule, reading: Reading) -> bool:
        return any(
            hold.covers(reading.at_s, reading.until_s)
            for cause in rule.hidden_by
            for (detector, _), hold in self._holds.items()
            if detector == cause
        )

    def _take_over(self, cause: Hold) -> list[Transition]:
        hidden = set(self._hides.get(cause.rule.detector, ()))
        return [
            t
            for hold in self._sorted()
            if hold.rule.detector in hidden
            for t in self._record(hold, hold.take_over(cause.start_s), f"taken over by {cause.rule.detector}")
        ]

    def _record(self, hold: Hold, edges: list[Edge], reason: str = "") -> list[Transition]:
        return [self._opened(hold) if edge is Edge.OPENED else self._closed(hold, reason) for edge in edges]

    def _opened(self, hold: Hold) -> Transition:
        start_utc, offset_s = self._utc(hold.start_s), self._pts_minus_at_s()
        rule, worse = hold.rule, self._together(hold)
        reason = self._reasons.get(rule.detector, "")
        incident = Incident(
            incident_id=incident_id(self.stream_id, rule.detector, hold.part, start_utc),
            stream_id=self.stream_id,
            detector=rule.detector,
            part=hold.part,
            severity=Severity.CRITICAL if worse else self._severity(rule),
            start_s=hold.start_s,
            end_s=None,
            start_utc=start_utc,
            end_utc=None,
            start_pts_s=None if offset_s is None else hold.start_s + offset_s,
            value=hold.value,
            unit=rule.unit,
            reason=_beside(reason, worse) if worse else reason,
            labels=self.labels,
        )
        self._incidents[rule.detector, hold.part] = incident
        self._weigh()
        return NoticeKind.OPENED, incident

    def _severity(self, rule: Rule) -> Severity:
        lower = rule.severity_with_sound
        return lower if lower is not None and self._audible() else rule.severity

    def _changed(self, hold: Hold, cause: Hold) -> Transition:
        key = hold.rule.detector, hold.part
        incident = self._incidents[key]
        worse = self._incidents[key] = msgspec.structs.replace(
            incident,
            severity=Severity.CRITICAL,
            severity_before=incident.severity,
            value=hold.value,
            reason=_beside(incident.reason, cause),
        )
        self._weigh()
        return NoticeKind.CHANGED, worse

    def _weigh(self) -> None:
        """The health that the incidents open now leave."""
        self.health = self.health.after(self._now_s, (one.severity for one in self._incidents.values()))

    def _closed(self, hold: Hold, reason: str) -> Transition:
        incident = self._incidents.pop((hold.rule.detector, hold.part))
        closed = msgspec.structs.replace(
            incident,
            end_s=hold.end_s,
            end_utc=self._utc(hold.end_s),
            value=hold.value,
            reason=reason or incident.reason,
        )
        self._weigh()
        return NoticeKind.CLOSED, closed

    def _utc(self, at_s: float) -> datetime:
        return (self.origin_utc + timedelta(seconds=at_s)).astimezone(UTC)


def _beside(reason: str, cause: Hold) -> str:
    words = f"together with {cause.rule.detector}"
    return f"{reason}; {words}" if reason else words


def incident_id(stream_id: str, detector: str, part: str, start_utc: datetime) -> str:
    """The same 16 hexadecimal digits whoever finds it: no epoch, worker or random part; start to the millisecond."""
    words = (stream_id, detector, part, start_utc.astimezone(UTC).isoformat(timespec="milliseconds"))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
