"""Channel `slack`: a message by an incoming webhook of Slack (or of Mattermost, which takes the same).

Posted by our own HTTP code rather than apprise's, which says only whether it worked: a 429 with Retry-After, a hook
that was removed (404) and a network fault are three different things to the outbox; and apprise knows only slack.com.
"""

from typing import Any, ClassVar

import msgspec

from vqa_ray.core.message import Link, Message, line, message
from vqa_ray.core.notice import Notice
from vqa_ray.sinks.channel import Delivery
from vqa_ray.sinks.http import HttpChannelSpec, Poster

FIELD_CHARS = 2000  # limits of Slack's Block Kit: of a field,
HEADER_CHARS = 150  # of a header,
FIELDS = 10  # and how many fields a section has


class SlackSpec(HttpChannelSpec, frozen=True, kw_only=True, tag="slack"):
    """Posts to the incoming webhook at `url`, which is a secret as a whole: write `${SLACK_URL}`."""

    id: ClassVar[str] = "slack"

    def build(self) -> "Slack":
        """The channel; raises ConfigError when an environment variable is missing or the URL cannot be posted to."""
        return Slack(self)


class Slack:
    """Posts to one webhook; see SlackSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: SlackSpec) -> None:
        self.name = spec.label
        self._page_url = spec.page_url
        self._poster = Poster(spec.url, timeout_s=spec.timeout_s, token=spec.bearer_token)

    def send(self, notice: Notice, /) -> Delivery:
        """Posts once."""
        body = msgspec.json.encode(payload(message(notice, self._page_url)))
        return self._poster.post(body, {"Content-Type": "application/json"})

    def close(self) -> None:
        """Closes the connection."""
        self._poster.close()


def payload(told: Message) -> dict[str, Any]:
    """The message in Block Kit, coloured by severity; `text` is what notifications on a phone show.

    All that may come from a stream or a detector is plain text, in which nothing is a link, a mention or mark-up. The
    still is linked and not embedded: Slack refuses a message with a picture that it cannot fetch itself.
    """
    fields = [
        {"type": "plain_text", "text": line(f"{name}: {text}", FIELD_CHARS), "emoji": False}
        for name, text in told.facts[:FIELDS]
    ]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": line(told.title, HEADER_CHARS), "emoji": False}},
        {"type": "section", "fields": fields},
    ]
    if told.links:
        words = " · ".join(map(_link, told.links))
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": words}]})
    return {"text": _escaped(told.title), "attachments": [{"color": told.colour, "blocks": blocks}]}


def _link(link: Link) -> str:
    return f"<{_escaped(link.url).replace('|', '%7C')}|{_escaped(link.name)}>"


def _escaped(text: str) -> str:
    """As Slack asks for it in text with mark-up; so no `<!channel>` comes from outside."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
