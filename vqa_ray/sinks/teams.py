"""Channel `teams`: an Adaptive Card to a Microsoft Teams workflow ("When a Teams webhook request is received").

Posted by our own HTTP code: apprise's plug-in takes the parts of a workflow's URL only for Microsoft's own hosts, and
says of a failure only that there was one. Connectors of Office 365 (`webhook.office.com`) take the same card.
"""

import re
from typing import Any, ClassVar

import msgspec

from vqa_ray.core.message import Message, message
from vqa_ray.core.notice import Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.sinks.channel import Delivery
from vqa_ray.sinks.http import HttpChannelSpec, Poster

CARD = "application/vnd.microsoft.card.adaptive"
VERSION = "1.4"  # what Teams shows everywhere, phones included
COLOURS = {
    Severity.CRITICAL: "attention",
    Severity.MAJOR: "attention",
    Severity.MINOR: "warning",
    Severity.INFO: "accent",
}

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|<>~-])")


class TeamsSpec(HttpChannelSpec, frozen=True, kw_only=True, tag="teams"):
    """Posts to the workflow at `url`, which is a secret as a whole: write `${TEAMS_URL}`."""

    id: ClassVar[str] = "teams"

    def build(self) -> "Teams":
        """The channel; raises ConfigError when an environment variable is missing or the URL cannot be posted to."""
        return Teams(self)


class Teams:
    """Posts to one workflow; see TeamsSpec."""

    resend_every_s: float | None = None

    def __init__(self, spec: TeamsSpec) -> None:
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
    """The message as a card, some 2 KB of the 28 that Teams takes."""
    colour = "good" if told.kind is NoticeKind.CLOSED else COLOURS[told.severity]
    body: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": _escaped(told.title), "weight": "bolder", "color": colour, "wrap": True},
        {"type": "FactSet", "facts": [{"title": name, "value": _escaped(text)} for name, text in told.facts]},
    ]
    if told.still:
        body.append({"type": "Image", "url": told.still, "altText": "Stills around the start"})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": VERSION,
        "msteams": {"width": "Full"},
        "fallbackText": told.title,
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in told.links],
    }
    return {"type": "message", "summary": told.title, "attachments": [{"contentType": CARD, "content": card}]}


def _escaped(text: str) -> str:
    """Cards read a little Markdown: a name with `_` or `[…](…)` in it shall show as it is."""
    return _MARKUP.sub(r"\\\1", text)
