"""A notice as an event that other software understands: CloudEvents 1.0, structured JSON."""

from urllib.parse import quote

import msgspec

from vqa_ray.core.message import page_of
from vqa_ray.core.notice import Notice

TYPE_PREFIX = "io.vqa-ray.incident."
CONTENT_TYPE = "application/cloudevents+json"

_encoder = msgspec.json.Encoder()


def cloud_event(notice: Notice, page_url: str | None = None) -> bytes:
    """One line of UTF-8 JSON; `id` with `source` is the same for each telling of the notice (CloudEvents 1.0.2, 3.1).

    `data` is the incident with the fields of `core.notice.Incident`, `sequence` of a change, and where `page_url` is
    known the incident's `page` on the operator's page; `why` and `streams` of a `core.notice.Notice` that has them.
    """
    incident = notice.incident
    data: dict[str, object] = {"kind": notice.kind, "sequence": notice.sequence, "incident": incident}
    if notice.why:
        data["why"] = notice.why
    if notice.streams:
        data["streams"] = notice.streams
    if page := page_of(incident, page_url):
        data["page"] = page
    return _encoder.encode(
        {
            "specversion": "1.0",
            "id": notice.key,
            "source": f"/vqa_ray/streams/{quote(incident.stream_id, safe='')}",
            "type": f"{TYPE_PREFIX}{notice.kind.value}",
            "subject": incident.incident_id,
            "time": notice.noticed_utc,
            "datacontenttype": "application/json",
            "data": data,
        }
    )
