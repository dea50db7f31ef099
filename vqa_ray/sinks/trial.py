"""A test message to a channel: an incident that is over at once, so that nothing stays open at the receiver."""

import time
from datetime import UTC, datetime

import msgspec

from vqa_ray.core.incident import incident_id
from vqa_ray.core.notice import Incident, Notice, NoticeKind, notice_of
from vqa_ray.core.reading import Severity
from vqa_ray.errors import VqaError
from vqa_ray.sinks.channel import ChannelSpec, Outcome

STREAM, DETECTOR = "vqa-channels-test", "test"
REASON = "this is a test of the alert channel; nothing is wrong"
CONFIG = "config"  # what a trial that could not even begin came to


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. outcome: `sent`, `retry`, `give_up`, or `config` where the channel cannot be built here."""

    name: str
    type: str
    outcome: str
    detail: str
    took_s: float

    @property
    def fine(self) -> bool:
        """Whether the receiver took all of it."""
        return self.outcome == Outcome.SENT.value


def notices(now: datetime) -> list[Notice]:
    """What is sent: severity info, a stream and a detector that there are not."""
    opened = Incident(
        incident_id=incident_id(STREAM, DETECTOR, "", now),
        stream_id=STREAM,
        detector=DETECTOR,
        severity=Severity.INFO,
        start_s=0.0,
        end_s=None,
        start_utc=now,
        end_utc=None,
        value=0.0,
        unit="",
        reason=REASON,
    )
    closed = msgspec.structs.replace(opened, end_s=0.0, end_utc=now)
    return [notice_of(NoticeKind.OPENED, opened, now), notice_of(NoticeKind.CLOSED, closed, now)]


def attempt(spec: ChannelSpec) -> Trial:
    """Sends once, whatever the channel's `min_severity`; blocks for at most a few of its timeouts. Never raises."""
    began_s = time.monotonic()
    outcome, detail = _attempt(spec)
    return Trial(name=spec.label, type=spec.id, outcome=outcome, detail=detail, took_s=time.monotonic() - began_s)


def _attempt(spec: ChannelSpec) -> tuple[str, str]:
    try:
        channel = spec.build()
    except VqaError as error:
        return CONFIG, str(error)
    detail = ""
    try:
        for notice in notices(datetime.now(UTC)):
            delivery = channel.send(notice)
            detail = detail or delivery.detail
            if delivery.outcome is not Outcome.SENT:
                return delivery.outcome.value, delivery.detail
    except Exception as error:  # noqa: BLE001  as in the outbox: its text may hold a secret
        return Outcome.RETRY.value, f"{type(error).__name__} in channel {spec.id}"
    finally:
        channel.close()
    return Outcome.SENT.value, detail
