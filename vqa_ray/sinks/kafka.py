"""Channel `kafka`: CloudEvents to a topic, by confluent-kafka (librdkafka), acknowledged by all replicas in sync.

Its own extra: the wheel is 4 MB of native code that only few need.
"""

import logging
import re
import threading
import time
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from vqa_ray.core.message import line
from vqa_ray.core.notice import Notice
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import ChannelSpec, Delivery, Outcome, SendTimeout
from vqa_ray.sinks.event import CONTENT_TYPE, cloud_event
from vqa_ray.sinks.extra import needed
from vqa_ray.sinks.secret import Secret

FLUSH_S = 1.0
CLIENT = "vqa_ray"


class KafkaSpec(ChannelSpec, frozen=True, kw_only=True, tag="kafka"):
    """Produces to `topic` through the brokers `servers`, keyed by the incident, so that its notices keep their order.

    security: `plaintext`, `tls`, or with `user` and `password` `sasl_tls`, by `mechanism`. ca_file: PEM file of the
    authority that signed the brokers' certificates, where the system does not know it. The record is the JSON that
    `webhook` posts; header `ce_id` is the same for each telling. Needs `pip install 'vqa-ray[kafka]'`.
    """

    id: ClassVar[str] = "kafka"

    servers: Annotated[
        str, msgspec.Meta(pattern=r"^[^\s,@]+:\d+(,[^\s,@]+:\d+)*$", description="host:port, several with commas")
    ]
    topic: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$", description="letters, digits and . _ -")]
    security: Literal["plaintext", "tls", "sasl_tls"] = "plaintext"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    user: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    password: Secret | None = None
    ca_file: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    timeout_s: SendTimeout = 10.0

    def __post_init__(self) -> None:
        if (self.user is None) is not (self.password is None):
            raise ValueError("user and password go together: give both or none")
        if (self.security == "sasl_tls") is not (self.password is not None):
            raise ValueError("user and password go with security sasl_tls, and only with that")

    def build(self) -> "Kafka":
        """The channel; raises ConfigError when confluent-kafka is not installed, or refuses the options."""
        return Kafka(self)


class Kafka:
    """Produces to one topic; see KafkaSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: KafkaSpec) -> None:
        self.name = spec.label
        self._spec = spec
        self._kafka = needed("confluent_kafka", "kafka", "channel kafka")
        self._last_error = ""
        self._closed = threading.Event()
        try:
            self._producer = self._kafka.Producer(_settings(spec) | {"error_cb": self._note}, logger=_silent())
        except self._kafka.KafkaException as error:
            raise ConfigError(f"channel {self.name}: {_reason(error.args[0])}") from None

    def send(self, notice: Notice, /) -> Delivery:
        """Produces one record and waits until the brokers have it."""
        reports: list[Any] = []
        try:
            self._producer.produce(
                self._spec.topic,
                key=notice.incident.incident_id,
                value=cloud_event(notice, self._spec.page_url),
                headers={"content-type": CONTENT_TYPE, "ce_id": notice.key},
                on_delivery=lambda error, _: reports.append(error),
            )
        except BufferError:
            return self._failed(Outcome.RETRY, "too much waits for the brokers")
        except self._kafka.KafkaException as error:
            return self._judged(error.args[0])
        until_s = time.monotonic() + self._spec.timeout_s + FLUSH_S
        while not reports and not self._closed.is_set() and (left_s := until_s - time.monotonic()) > 0:
            self._producer.poll(min(left_s, 0.1))
        if not reports:
            return self._failed(Outcome.RETRY, self._last_error or "no answer in time")
        return Delivery(Outcome.SENT) if reports[0] is None else self._judged(reports[0])

    def close(self) -> None:
        """Lets go of the connections."""
        self._closed.set()
        self._producer.flush(FLUSH_S)

    def _judged(self, error: Any) -> Delivery:
        """A refused record is refused again; a topic that is not there, or rights, may be put right."""
        codes = self._kafka.KafkaError
        final = error.code() in (codes.MSG_SIZE_TOO_LARGE, codes.INVALID_MSG, codes.TOPIC_EXCEPTION)
        timed_out = error.code() == codes._MSG_TIMED_OUT and self._last_error
        return self._failed(Outcome.GIVE_UP if final else Outcome.RETRY, timed_out or _reason(error))

    def _failed(self, outcome: Outcome, why: str) -> Delivery:
        return Delivery(outcome, f"{self._spec.servers}: {line(why, 200)}")

    def _note(self, error: Any) -> None:
        """Keeps why no broker can be reached, rather than that none can."""
        if error.code() != self._kafka.KafkaError._ALL_BROKERS_DOWN or not self._last_error:
            self._last_error = _reason(error)


def _settings(spec: KafkaSpec) -> dict[str, Any]:
    """For librdkafka. It must not go on trying by itself for longer than a send may take: the outbox does."""
    settings: dict[str, Any] = {
        "bootstrap.servers": spec.servers,
        "client.id": CLIENT,
        "acks": "all",
        "max.in.flight.requests.per.connection": 1,  # in order; an idempotent producer may fail for good, instead
        "linger.ms": 0,
        "message.timeout.ms": int(spec.timeout_s * 1000),
        "socket.timeout.ms": max(10, int(spec.timeout_s * 1000)),
        "security.protocol": {"plaintext": "PLAINTEXT", "tls": "SSL", "sasl_tls": "SASL_SSL"}[spec.security],
    }
    if spec.ca_file is not None:
        settings["ssl.ca.location"] = spec.ca_file
    if spec.user is not None and spec.password is not None:
        settings |= {
            "sasl.mechanism": spec.mechanism,
            "sasl.username": spec.user,
            "sasl.password": spec.password.reveal(),
        }
    return settings


def _reason(error: Any) -> str:
    """librdkafka's words, without its own names of threads and sockets."""
    return re.sub(r"^\S+:\d+/\S+: ", "", str(error.str()))


def _silent() -> logging.Logger:
    """librdkafka logs to standard error else; what matters comes back as an error."""
    quiet = logging.getLogger("vqa_ray.sinks.kafka.client")
    quiet.propagate = False
    if not quiet.handlers:
        quiet.addHandler(logging.NullHandler())
    return quiet
