"""Channel `alertmanager`: Prometheus Alertmanager's API v2, which groups, mutes and routes alerts to people.

Alertmanager forgets an alert whose `endsAt` has passed, so an open incident is told again every `resend_s`, each time
with an `endsAt` that lies `expire_s` ahead (as Prometheus does, rules/alerting.go); a closed one with its real end.

An alert is its labels, `severity` among them, by which people route: a label that stayed behind would never page whom
it should. So where severity rose, the request that fires the new alert ends the one before: of one incident one fires.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.advice import advice
from vqa_ray.core.evidence import START, STRIP
from vqa_ray.core.message import page_of
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.sinks.channel import Delivery
from vqa_ray.sinks.http import HttpChannelSpec, Poster

LabelName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", description="letters, digits and _")]
OWN_LABELS = frozenset({"alertname", "stream", "detector", "severity", "part"})


class AlertmanagerSpec(HttpChannelSpec, frozen=True, kw_only=True, tag="alertmanager"):
    """Sends alerts to Alertmanager at `url` (with its path prefix, if it has one; one channel a replica).

    Labels: alertname, stream, detector, severity, part, the stream's own labels, and `labels` of this section.
    """

    id: ClassVar[str] = "alertmanager"

    alertname: Annotated[str, msgspec.Meta(min_length=1)] = "VqaIncident"
    labels: dict[LabelName, str] = msgspec.field(default_factory=dict)
    resend_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0
    expire_s: Annotated[float, msgspec.Meta(ge=2, le=86400)] = 300.0

    def __post_init__(self) -> None:
        HttpChannelSpec.__post_init__(self)
        if self.expire_s < 2 * self.resend_s:
            raise ValueError(f"expire_s {self.expire_s:g} must be at least twice resend_s {self.resend_s:g}")
        if taken := OWN_LABELS & self.labels.keys():
            raise ValueError(f"labels {', '.join(sorted(taken))} are set by vqa_ray: choose other names")

    def build(self) -> "Alertmanager":
        """The channel; raises ConfigError when an environment variable is missing or the URL cannot be posted to."""
        return Alertmanager(self)


class Alertmanager:
    """Sends to one Alertmanager; see AlertmanagerSpec."""

    def __init__(self, spec: AlertmanagerSpec, *, utc_s: Callable[[], float] = time.time) -> None:
        self.name = spec.label
        self.resend_every_s: float | None = spec.resend_s
        self._spec = spec
        self._utc_s = utc_s
        self._poster = Poster(spec.url, timeout_s=spec.timeout_s, token=spec.bearer_token, path="/api/v2/alerts")

    def send(self, notice: Notice, /) -> Delivery:
        """Posts the incident as one alert, once; with the end of the one before where its severity rose."""
        now = datetime.fromtimestamp(self._utc_s(), UTC)
        body = msgspec.json.encode(list(alerts(notice, self._spec, now)))
        return self._poster.post(body, {"Content-Type": "application/json"})

    def close(self) -> None:
        """Closes the connection."""
        self._poster.close()


def alerts(notice: Notice, spec: AlertmanagerSpec, now: datetime) -> Iterator[dict[str, object]]:
    """The incident's alert, and, where its severity has just risen, the end of the milder one that it was before.

    That end is the same each time, so that telling it again changes nothing.
    """
    incident = notice.incident
    yield alert(incident, spec, now)
    if notice.kind is NoticeKind.CHANGED and incident.severity_before is not None:
        end_utc = notice.noticed_utc
        end_s = incident.start_s + (end_utc - incident.start_utc).total_seconds()
        milder = msgspec.structs.replace(
            incident, severity=incident.severity_before, end_s=end_s, end_utc=end_utc, reason="grew worse"
        )
        yield alert(milder, spec, now)


def alert(incident: Incident, spec: AlertmanagerSpec, now: datetime) -> dict[str, object]:
    """A `postableAlert` of Alertmanager's OpenAPI document, as told at `now`."""
    return {
        "labels": _labels(incident, spec),
        "annotations": _annotations(incident, spec.page_url),
        "startsAt": incident.start_utc,
        "endsAt": _ends_at(incident, now, spec.expire_s),
    }


def _ends_at(incident: Incident, now: datetime, expire_s: float) -> datetime:
    """The real end, which may not precede the start (Alertmanager refuses that); of an open one, when to forget it."""
    end = now + timedelta(seconds=expire_s) if incident.end_utc is None else incident.end_utc
    return max(end, incident.start_utc)


def _labels(incident: Incident, spec: AlertmanagerSpec) -> dict[str, str]:
    """What identifies the alert: of what is here only severity may change while the incident is open."""
    own = {
        "alertname": spec.alertname,
        "stream": incident.stream_id,
        "detector": incident.detector,
        "severity": incident.severity.value,
        "part": incident.part,
    }
    user = {_label_name(name): value for name, value in incident.labels.items()}
    return {name: value for name, value in (user | spec.labels | own).items() if value}


def _label_name(text: str) -> str:
    """A label's name as Prometheus allows it: [a-zA-Z_][a-zA-Z0-9_]*."""
    name = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in text)
    return f"_{name}" if name[:1].isdigit() else name


def _annotations(incident: Incident, page_url: str | None) -> dict[str, str]:
    where = f"{incident.detector} {incident.part}".rstrip()
    state = "since" if incident.open else "from"
    summary = f"{where} on {incident.stream_id} {state} {incident.start_utc:%Y-%m-%d %H:%M:%S} UTC"
    lines = [incident.reason, f"worst value {incident.value:g} {incident.unit}".rstrip()]
    if incident.end_s is not None:
        lines.append(f"lasted {incident.end_s - incident.start_s:.3f} s")
    told = {
        "summary": summary,
        "description": "; ".join(line for line in lines if line),
        "incident_id": incident.incident_id,
        "advice": advice(incident.detector),
    }
    if page := page_of(incident, page_url):
        told["page"] = page
    return told | ({"evidence": f"{incident.evidence}/{START}{STRIP}"} if incident.evidence else {})
