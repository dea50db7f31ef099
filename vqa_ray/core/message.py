"""A notice in words that a person can act on: what, where, since when, how bad, proof, what to try. Pure.

One builder for all channels that speak to people; each only dresses the parts as its receiver wants them.
"""

import html
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from vqa_ray.core.advice import advice
from vqa_ray.core.evidence import START, STRIP
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity

TITLE_CHARS = 200
FACT_CHARS = 500
COLOURS = {
    Severity.CRITICAL: "#b3001b",
    Severity.MAJOR: "#d1541b",
    Severity.MINOR: "#9a7400",
    Severity.INFO: "#2f6f9f",
}
OVER = "#2d7d46"


class Fact(NamedTuple):
    """A line of the message."""

    name: str
    text: str


class Link(NamedTuple):
    """Where to go on."""

    name: str
    url: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The parts, a line each, nothing escaped. still: address of the strip of stills, where it is one for browsers."""

    kind: NoticeKind
    severity: Severity
    title: str
    facts: tuple[Fact, ...]
    links: tuple[Link, ...]
    still: str = ""

    @property
    def colour(self) -> str:
        """`#rrggbb` of the severity, or of good news."""
        return OVER if self.kind is NoticeKind.CLOSED else COLOURS[self.severity]


def message(notice: Notice, page_url: str | None = None) -> Message:
    """What to say of a notice. page_url: address of the operator's page, if there is one."""
    incident = notice.incident
    return Message(
        kind=notice.kind,
        severity=incident.severity,
        title=_title(notice),
        facts=tuple(Fact(name, line(text, FACT_CHARS)) for name, text in _facts(notice) if text),
        links=_links(incident, page_url),
        still=f"{incident.evidence}/{START}{STRIP}" if _for_browsers(incident.evidence) else "",
    )


def page_of(incident: Incident, page_url: str | None) -> str:
    """Address of the incident on the operator's page; "" where that is not known."""
    return f"{page_url.rstrip('/')}/incidents/{quote(incident.incident_id, safe='')}" if page_url else ""


def plain(told: Message) -> str:
    """As text: title, a line a fact, a line a link."""
    width = max((len(name) for name, _ in told.facts), default=0) + 2
    lines = [told.title, "", *(f"{name + ':':<{width}}{text}" for name, text in told.facts)]
    return "\n".join([*lines, *([""] if told.links else []), *(f"{name}: {url}" for name, url in told.links)]) + "\n"


def as_html(told: Message, image: str = "") -> str:
    """As a small HTML document. image: address of a picture to show (`cid:…` of one that is enclosed)."""
    rows = "".join(
        f'<tr><td style="padding:2px 12px 2px 0;color:#666;vertical-align:top">{_escaped(name)}</td>'
        f'<td style="padding:2px 0">{_escaped(text)}</td></tr>'
        for name, text in told.facts
    )
    links = " · ".join(f'<a href="{_escaped(url)}">{_escaped(name)}</a>' for name, url in told.links)
    shown = f'<img src="{_escaped(image)}" alt="Stills around the start" style="max-width:100%">'
    picture = f"<p>{shown}</p>" if image else ""
    bar = f"border-left:6px solid {told.colour};padding:4px 10px;font-size:17px"
    return (
        '<!DOCTYPE html><html><body style="font-family:sans-serif;font-size:14px">'
        f'<p style="{bar}"><b>{_escaped(told.title)}</b></p>'
        f'<table cellspacing="0">{rows}</table>{picture}{f"<p>{links}</p>" if links else ""}</body></html>\n'
    )


def line(text: str, most: int) -> str:
    """`text` on one line that any receiver can take: no control characters, no half of a surrogate pair, not longer."""
    whole = text.encode("utf-8", "replace").decode()
    shown = " ".join("".join(char if char.isprintable() else " " for char in whole).split())
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _title(notice: Notice) -> str:
    incident = notice.incident
    others = len(notice.streams) - 1
    what = f"{_what(incident)} on {incident.stream_id}" + (f" and {others} more" if others > 0 else "")
    match notice.kind:
        case NoticeKind.CLOSED:
            words = f"Over: {what}, lasted {_length(incident)}"
        case NoticeKind.CHANGED:
            again = "still" if notice.why and incident.severity_before is None else "now"
            words = f"{incident.severity.value.upper()} {again}: {what}"
        case _:
            words = f"{incident.severity.value.upper()}: {what}"
    return line(words, TITLE_CHARS)


def _what(incident: Incident) -> str:
    words = incident.detector.replace("_", " ")
    return f"{words} ({incident.part})" if incident.part else words


def _facts(notice: Notice) -> list[tuple[str, str]]:
    incident = notice.incident
    labels = ", ".join(f"{name}: {value}" for name, value in sorted(incident.labels.items()))
    since = _moment(incident.start_utc)
    before = incident.severity_before
    worse = f" (it was {before.value})" if notice.kind is NoticeKind.CHANGED and before is not None else ""
    facts = [
        ("What", f"{_what(incident)}, worst {incident.value:.4g} {incident.unit}".rstrip()),
        ("Where", f"{incident.stream_id} ({labels})" if labels else incident.stream_id),
        ("Since" if incident.open else "From", since),
        ("Until", _moment(incident.end_utc) if incident.end_utc is not None else ""),
        ("Lasted", "" if incident.open else _length(incident)),
        ("Severity", f"{incident.severity.value}{worse}"),
        ("Why", incident.reason),
        ("Also", notice.why),
        ("Streams", ", ".join(notice.streams)),
    ]
    return [*facts, *([("Try", advice(incident.detector))] if incident.open else [])]


def _links(incident: Incident, page_url: str | None) -> tuple[Link, ...]:
    page = page_of(incident, page_url)
    links = [Link("Incident", page)] if page else []
    if _for_browsers(incident.evidence):
        links.append(Link("Still", f"{incident.evidence}/{START}{STRIP}"))
    return tuple(links)


def _for_browsers(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _moment(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 100_000} UTC"


def _length(incident: Incident) -> str:
    """Seconds, or minutes and seconds, or hours and minutes."""
    seconds = max(0.0, (incident.end_s or incident.start_s) - incident.start_s)
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)
