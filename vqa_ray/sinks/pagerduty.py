"""Channel `pagerduty`: Events API v2, with one PagerDuty incident for each of ours, which ends with it.

Posted by our own HTTP code: apprise's plug-in gives no `dedup_key` of one's own, so that an incident could neither grow
worse nor be resolved, and a repeat would page again.
"""

from typing import Any, ClassVar

import msgspec

from vqa_ray.core.message import line, message
from vqa_ray.core.notice import Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.sinks.channel import Delivery
from vqa_ray.sinks.http import HttpChannelSpec, HttpUrl, Poster
from vqa_ray.sinks.secret import Secret

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"  # in Europe: https://events.eu.pagerduty.com/v2/enqueue
SUMMARY_CHARS = 1024  # limit of the API
SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.MAJOR: "error",
    Severity.MINOR: "warning",
    Severity.INFO: "info",
}


class PagerDutySpec(HttpChannelSpec, frozen=True, kw_only=True, tag="pagerduty"):
    """Triggers and resolves by the integration key `routing_key` of a service (Events API v2)."""

    id: ClassVar[str] = "pagerduty"

    routing_key: Secret
    url: HttpUrl = EVENTS_URL

    def build(self) -> "PagerDuty":
        """The channel; raises ConfigError when an environment variable is missing or the URL cannot be posted to."""
        return PagerDuty(self)


class PagerDuty:
    """Sends to one service; see PagerDutySpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: PagerDutySpec) -> None:
        self.name = spec.label
        self._page_url = spec.page_url
        self._key = spec.routing_key.reveal()
        self._poster = Poster(spec.url, timeout_s=spec.timeout_s, token=spec.bearer_token, hidden=[self._key])

    def send(self, notice: Notice, /) -> Delivery:
        """Posts once."""
        body = msgspec.json.encode(event(notice, self._key, self._page_url))
        return self._poster.post(body, {"Content-Type": "application/json"})

    def close(self) -> None:
        """Closes the connection."""
        self._poster.close()


def event(notice: Notice, routing_key: str, page_url: str | None = None) -> dict[str, Any]:
    """The event; `dedup_key` is the incident's id, so repeats and changes go to the same PagerDuty incident."""
    incident, told = notice.incident, message(notice, page_url)
    sent = {
        "routing_key": routing_key,
        "event_action": "resolve" if notice.kind is NoticeKind.CLOSED else "trigger",
        "dedup_key": incident.incident_id,
        "client": "vqa_ray",
        "payload": {
            "summary": line(told.title, SUMMARY_CHARS),
            "source": line(incident.stream_id, SUMMARY_CHARS) or "vqa_ray",
            "severity": SEVERITIES[incident.severity],
            "timestamp": incident.start_utc,
            "component": incident.part,
            "class": incident.detector,
            "custom_details": dict(told.facts) | incident.labels,
        },
        "links": [{"href": url, "text": name} for name, url in told.links],
        "images": [{"src": told.still, "alt": "Stills around the start"}] if told.still.startswith("https://") else [],
    }
    return sent | ({"client_url": told.links[0].url} if told.links else {})
