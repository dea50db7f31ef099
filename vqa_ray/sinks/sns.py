"""Channel `sns`: a topic of AWS Simple Notification Service, by boto3.

People who subscribed (mail, SMS) get words, programs (SQS, Lambda, HTTP, Firehose) the CloudEvent that `webhook` sends.
boto3 rather than apprise's plug-in: that one takes fixed keys only, where a pod or a machine has a role, knows no other
endpoint than AWS's own, and sends neither attributes, by which subscribers filter, nor what a FIFO topic needs.
"""

import json
from typing import Annotated, Any, ClassVar

import msgspec

from vqa_ray.core.message import line, message, plain
from vqa_ray.core.notice import Notice
from vqa_ray.sinks.channel import ChannelSpec, Delivery, Outcome, SendTimeout
from vqa_ray.sinks.event import cloud_event
from vqa_ray.sinks.extra import needed

SUBJECT_CHARS = 99  # the API takes less than 100, printable ASCII
SMS_CHARS = 140
MACHINES = ("sqs", "lambda", "http", "https", "firehose")
RETRIED = frozenset({408, 425, 429})  # and all of 5xx
TRANSIENT = frozenset(  # of what comes with a 400 or 403
    {"Throttling", "ThrottlingException", "ThrottledException", "Throttled", "RequestExpired", "ExpiredToken"}
)

Endpoint = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s@]+$", description="an http:// or https:// URL")]


class SnsSpec(ChannelSpec, frozen=True, kw_only=True, tag="sns"):
    """Publishes to `topic_arn`. Credentials are AWS's own: environment, role of the pod or machine, profile.

    endpoint_url: another address than AWS's, such as a VPC endpoint. Subscribers can filter by the attributes kind,
    severity, stream, detector. Needs `pip install 'vqa-ray[notify]'`.
    """

    id: ClassVar[str] = "sns"

    topic_arn: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+(\.fifo)?$",
            description="arn:aws:sns:REGION:ACCOUNT:TOPIC",
        ),
    ]
    endpoint_url: Endpoint | None = None
    timeout_s: SendTimeout = 5.0

    def build(self) -> "Sns":
        """The channel; raises ConfigError when boto3 is not installed."""
        return Sns(self)


class Sns:
    """Publishes to one topic; see SnsSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: SnsSpec) -> None:
        self.name = spec.label
        self._spec = spec
        boto3 = needed("boto3", "notify", "channel sns")
        self._errors = needed("botocore.exceptions", "notify", "channel sns")
        config = needed("botocore.config", "notify", "channel sns").Config(
            connect_timeout=min(3.0, spec.timeout_s),
            read_timeout=spec.timeout_s,
            retries={"total_max_attempts": 1},  # the outbox retries
        )
        region = spec.topic_arn.split(":")[3]
        self._client = boto3.client("sns", region_name=region, endpoint_url=spec.endpoint_url, config=config)

    def send(self, notice: Notice, /) -> Delivery:
        """Publishes once."""
        where = self._spec.topic_arn.rpartition(":")[2]
        try:
            self._client.publish(**publication(notice, self._spec))
        except self._errors.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            # The error's own text is left out: that of a wrong signature holds what was signed.
            return Delivery(judge(status, code), f"{where}: {status} {code}")
        except (self._errors.BotoCoreError, OSError) as error:
            return Delivery(Outcome.RETRY, f"{where}: {type(error).__name__}")
        return Delivery(Outcome.SENT)

    def close(self) -> None:
        """Closes connections."""
        self._client.close()


def judge(status: int, code: str) -> Outcome:
    """Whether a refusal by the service may pass: by its code where AWS hides that behind a 400, else by its status."""
    transient = code in TRANSIENT or status in RETRIED or status >= 500
    return Outcome.RETRY if transient else Outcome.GIVE_UP


def publication(notice: Notice, spec: SnsSpec) -> dict[str, Any]:
    """What `Publish` takes: one text by protocol, attributes to filter by; order and dedup on a FIFO topic."""
    incident, told = notice.incident, message(notice, spec.page_url)
    event = cloud_event(notice, spec.page_url).decode()
    texts = {"default": plain(told), "sms": line(told.title, SMS_CHARS)} | dict.fromkeys(MACHINES, event)
    sent: dict[str, Any] = {
        "TopicArn": spec.topic_arn,
        "Subject": line(told.title.encode("ascii", "replace").decode(), 2 * SUBJECT_CHARS)[:SUBJECT_CHARS],
        "Message": json.dumps(texts),
        "MessageStructure": "json",
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": line(value, 256) or "-"}
            for name, value in (
                ("kind", notice.kind.value),
                ("severity", incident.severity.value),
                ("stream", incident.stream_id),
                ("detector", incident.detector),
            )
        },
    }
    if spec.topic_arn.endswith(".fifo"):
        sent |= {"MessageGroupId": incident.incident_id, "MessageDeduplicationId": notice.key}
    return sent
