"""Channel `webhook`: a CloudEvent by HTTP POST, signed so that the receiver knows who sent it and when.

The signature follows the Standard Webhooks specification (standardwebhooks.com, 1.0.0), for which verifying libraries
exist in many languages: HMAC-SHA256 over `id.timestamp.body`.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import ClassVar

from vqa_ray.core.notice import Notice
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import Delivery
from vqa_ray.sinks.event import CONTENT_TYPE, cloud_event
from vqa_ray.sinks.http import HttpChannelSpec, Poster
from vqa_ray.sinks.secret import Secret, SecretText

KEY_PREFIX = "whsec_"


class WebhookSpec(HttpChannelSpec, frozen=True, kw_only=True, tag="webhook"):
    """Posts each notice to `url` as a CloudEvents 1.0 JSON event, whose `id` is the same for each telling of it.

    2xx means taken; 408, 425, 429, 5xx and network faults are tried again; any other status gives the notice up.
    With `secret` the headers webhook-id, webhook-timestamp and webhook-signature let the receiver verify it.
    """

    id: ClassVar[str] = "webhook"

    secret: Secret | None = None

    def build(self) -> "Webhook":
        """The channel; raises ConfigError when an environment variable is missing or the URL cannot be posted to."""
        return Webhook(self)


class Webhook:
    """Sends to one URL; see WebhookSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: WebhookSpec, *, utc_s: Callable[[], float] = time.time) -> None:
        self.name = spec.label
        self._page_url = spec.page_url
        self._utc_s = utc_s
        self._key = signing_key(spec.secret) if spec.secret else None
        hidden = [spec.secret.reveal()] if spec.secret else []
        self._poster = Poster(spec.url, timeout_s=spec.timeout_s, token=spec.bearer_token, hidden=hidden)

    def send(self, notice: Notice, /) -> Delivery:
        """Posts once."""
        body = cloud_event(notice, self._page_url)
        headers = {"Content-Type": CONTENT_TYPE}
        if self._key is not None:
            headers |= signature(self._key, notice.key, int(self._utc_s()), body)
        return self._poster.post(body, headers)

    def close(self) -> None:
        """Closes the connection."""
        self._poster.close()


def signing_key(secret: SecretText) -> bytes:
    """The key's bytes: base64 after `whsec_`, else the text itself in UTF-8; raises ConfigError for broken base64."""
    text = secret.reveal()
    if not text.startswith(KEY_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ConfigError(f"a secret that begins with {KEY_PREFIX} goes on in base64, and this one does not") from None


def signature(key: bytes, event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks for a body sent at `timestamp_s` (seconds since 1970)."""
    signed = f"{event_id}.{timestamp_s}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": event_id, "webhook-timestamp": str(timestamp_s), "webhook-signature": f"v1,{digest}"}
