"""Channel `apprise`: the hundred services that the library apprise knows, for which there is no channel of our own.

Telegram, Matrix, Discord, ntfy, Pushover, Opsgenie, Twilio and so on: github.com/caronc/apprise has the list, and how
the URL of each is written. It says of a failure only that there was one, so all are tried again, for up to a day.
"""

import logging
import threading
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from vqa_ray.core.message import line, message, plain
from vqa_ray.core.notice import Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import ChannelSpec, Delivery, Outcome
from vqa_ray.sinks.extra import needed
from vqa_ray.sinks.http import unlogged
from vqa_ray.sinks.secret import Secret, masked

SHOWN_CHARS = 200
LOGGER = "apprise"
KINDS = {Severity.CRITICAL: "failure", Severity.MAJOR: "failure", Severity.MINOR: "warning", Severity.INFO: "info"}

_sending = threading.local()


class AppriseSpec(ChannelSpec, frozen=True, kw_only=True, tag="apprise"):
    """Sends by the service whose apprise URL is `url`, a secret as a whole: write `${TELEGRAM_URL}`.

    Needs `pip install 'vqa-ray[notify]'`.
    """

    id: ClassVar[str] = "apprise"

    url: Annotated[Secret, msgspec.Meta(description="apprise's URL of the service, as ${NAME} of the environment")]

    def build(self) -> "AppriseChannel":
        """The channel; raises ConfigError when apprise is not installed, or knows no such URL."""
        return AppriseChannel(self)


class AppriseChannel:
    """Sends by one service; see AppriseSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: AppriseSpec) -> None:
        self.name = spec.label
        self._page_url = spec.page_url
        url = spec.url.reveal()
        self._secrets = _parts(url)
        library = needed("apprise", "notify", "channel apprise")
        _listen()
        with _Heard():
            self._service = library.Apprise.instantiate(url, asset=library.AppriseAsset(app_id="vqa_ray"))
        if self._service is None:
            scheme = url.partition(":")[0] if "://" in url else ""
            raise ConfigError(f"channel {self.name}: apprise knows no such URL{f' ({scheme}://…)' if scheme else ''}")

    def send(self, notice: Notice, /) -> Delivery:
        """Sends once."""
        told = message(notice, self._page_url)
        body = plain(told).partition("\n")[2].strip()
        kind = "success" if notice.kind is NoticeKind.CLOSED else KINDS[told.severity]
        with unlogged(), _Heard() as heard:
            done = self._service.notify(title=told.title, body=body, notify_type=kind)
        if done:
            return Delivery(Outcome.SENT)
        words = masked(line(" ".join(heard.words), 10 * SHOWN_CHARS), self._secrets)[:SHOWN_CHARS]
        return Delivery(Outcome.RETRY, f"{self._service.service_name}: {words or 'not delivered'}")

    def close(self) -> None:
        """Nothing stays open between notices."""


class _Heard:
    """What apprise logs while it sends: its only word on what went wrong, kept out of our log, secrets and all."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __enter__(self) -> "_Heard":
        _sending.heard = self
        return self

    def __exit__(self, *_: object) -> None:
        _sending.heard = None


def _hear(record: logging.LogRecord) -> bool:
    heard = getattr(_sending, "heard", None)
    if heard is None:
        return True
    if record.levelno >= logging.WARNING:
        heard.words.append(record.getMessage())
    return False


def _listen() -> None:
    logging.getLogger(LOGGER).addFilter(_hear)


def _parts(url: str) -> list[str]:
    """All of an apprise URL that may be secret: that is, everything but its scheme."""
    try:
        split = urlsplit(url)
        pieces: list[Any] = [split.username, split.password, split.hostname, split.netloc, *split.path.split("/")]
    except ValueError:
        return [url]
    pieces += [value for _, value in parse_qsl(split.query)]
    return [url, *{form for piece in pieces if piece for form in (piece, unquote(piece))}]
