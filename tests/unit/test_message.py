"""The words of a notice: what a person reads at night, and what becomes of text that comes from outside."""

import json
import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from vqa_ray.core.advice import ADVICE, ELSE, advice
from vqa_ray.core.message import as_html, line, message, page_of, plain
from vqa_ray.core.notice import Incident, Notice, NoticeKind, notice_of
from vqa_ray.core.reading import Severity
from vqa_ray.detectors.registry import SPECS
from vqa_ray.sinks import pagerduty, slack, sns, syslog, teams
from vqa_ray.sinks.sns import SnsSpec

START = datetime(2026, 1, 1, 3, 14, 25, 300_000, UTC)
PAGE = "https://vqa.example.com/"
EVIL = 'a<b>"c" & <!channel> [x](http://evil) _y_\nz\x00'

OPEN = Incident(
    incident_id="0123456789abcdef",
    stream_id="news-hd",
    detector="silent_channel",
    part="left",
    severity=Severity.MAJOR,
    start_s=10.0,
    end_s=None,
    start_utc=START,
    end_utc=None,
    value=-93.456789,
    unit="dBFS",
    reason="left is silent",
    labels={"region": "eu", "channel": "news"},
    evidence="https://vqa.example.com/evidence/date=2026-01-01/stream=news-hd/0123456789abcdef",
)
CLOSED = msgspec.structs.replace(OPEN, end_s=85.0, end_utc=START + timedelta(seconds=75))
WORSE = msgspec.structs.replace(OPEN, severity=Severity.CRITICAL, severity_before=Severity.MAJOR)


def notice(kind: NoticeKind = NoticeKind.OPENED, incident: Incident = OPEN) -> Notice:
    return notice_of(kind, incident, START + timedelta(seconds=3))


def test_what_opened_is_told_so_that_one_can_act():
    assert plain(message(notice(), PAGE)) == (
        "MAJOR: silent channel (left) on news-hd\n"
        "\n"
        "What:     silent channel (left), worst -93.46 dBFS\n"
        "Where:    news-hd (channel: news, region: eu)\n"
        "Since:    2026-01-01 03:14:25.3 UTC\n"
        "Severity: major\n"
        "Why:      left is silent\n"
        "Try:      Look at the patch and the de-embedder of that channel: a lost leg, or a mono feed on one side.\n"
        "\n"
        "Incident: https://vqa.example.com/incidents/0123456789abcdef\n"
        "Still: https://vqa.example.com/evidence/date=2026-01-01/stream=news-hd/0123456789abcdef/start.jpg\n"
    )


def test_what_is_over_says_how_long_it_was_and_asks_for_nothing():
    told = message(notice(NoticeKind.CLOSED, CLOSED))
    assert told.title == "Over: silent channel (left) on news-hd, lasted 1 min 15 s"
    facts = dict(told.facts)
    assert facts["From"] == "2026-01-01 03:14:25.3 UTC"
    assert facts["Until"] == "2026-01-01 03:15:40.3 UTC"
    assert not {"Try", "Since"} & facts.keys()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (12.34, "12.3 s"), (59.96, "1 min 00 s"), (7325, "2 h 02 min"), (-1, "0.0 s")],
)
def test_lengths(seconds, words):
    incident = msgspec.structs.replace(OPEN, end_s=OPEN.start_s + seconds, end_utc=START)
    assert message(notice(NoticeKind.CLOSED, incident)).title.endswith(f"lasted {words}")


def test_what_grew_worse_says_what_it_was():
    told = message(notice(NoticeKind.CHANGED, WORSE))
    assert told.title == "CRITICAL now: silent channel (left) on news-hd"
    assert dict(told.facts)["Severity"] == "critical (it was major)"


def test_without_a_page_and_with_evidence_that_no_browser_opens_there_is_no_link():
    told = message(notice(incident=msgspec.structs.replace(OPEN, evidence="s3://bucket/evidence/x")))
    assert told.links == ()
    assert told.still == ""
    assert page_of(OPEN, None) == ""


def test_every_detector_says_what_to_try():
    assert {spec.id for spec in SPECS} - ADVICE.keys() == set()
    for name, words in ADVICE.items():
        assert words.endswith((".", "?", "!")), name
        assert len(words) <= 140, name
        assert "\n" not in words
    assert {"not_analysed", "parked"} <= ADVICE.keys()
    assert advice("of a plug-in") == ELSE


def test_a_line_is_one_line_that_can_be_encoded():
    assert line("a\n\tb\x00\x1b[31m c\u2028d", 100) == "a b [31m c d"
    assert line("half \ud800", 100).encode()
    assert line("abcdef", 4) == "abc…"


def evil() -> Notice:
    return notice(incident=msgspec.structs.replace(OPEN, stream_id=EVIL, reason=EVIL, labels={EVIL: EVIL}))


def test_text_from_outside_stays_text_in_html():
    page = as_html(message(evil(), PAGE), 'cid:x"y')
    assert "<b>&quot;" not in page
    assert "a&lt;b&gt;&quot;c&quot; &amp;" in page
    assert 'src="cid:x&quot;y"' in page
    assert set(re.findall(r"<(\w+)", page)) <= {"DOCTYPE", "html", "body", "p", "b", "table", "tr", "td", "img", "a"}


def test_slack_gets_plain_text_and_no_mention_from_outside():
    made = slack.payload(message(evil(), PAGE))
    blocks = made["attachments"][0]["blocks"]
    marked = [part["text"] for block in blocks for part in block.get("elements", ()) if part["type"] == "mrkdwn"]
    assert marked == [
        f"<https://vqa.example.com/incidents/0123456789abcdef|Incident> · <{OPEN.evidence}/start.jpg|Still>"
    ]
    assert "<!channel>" not in made["text"]
    assert [block["type"] for block in blocks] == ["header", "section", "context"]
    assert len(blocks[0]["text"]["text"]) <= 150
    assert {field["type"] for field in blocks[1]["fields"]} == {"plain_text"}


def test_slack_takes_the_longest_there_is():
    long = msgspec.structs.replace(OPEN, stream_id="s" * 5000, reason="r" * 5000, part="p" * 500, evidence="")
    blocks = slack.payload(message(notice(incident=long)))["attachments"][0]["blocks"]
    assert len(blocks[0]["text"]["text"]) <= 150
    assert all(len(field["text"]) <= 2000 for field in blocks[1]["fields"])
    assert len(blocks) == 2  # a context without elements is refused


def test_teams_gets_a_card_in_which_marks_are_escaped():
    made = teams.payload(message(evil(), PAGE))
    card = made["attachments"][0]["content"]
    assert made["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert r"\[x\]\(http://evil\) \_y\_" in card["body"][0]["text"]
    assert card["body"][2] == {
        "type": "Image",
        "url": f"{OPEN.evidence}/start.jpg",
        "altText": "Stills around the start",
    }
    assert [action["title"] for action in card["actions"]] == ["Incident", "Still"]
    assert len(json.dumps(made)) < 28_000
    over = teams.payload(message(notice(NoticeKind.CLOSED, CLOSED)))["attachments"][0]["content"]
    assert over["body"][0]["color"] == "good"


def test_pagerduty_gets_one_incident_that_grows_and_ends():
    told = [
        pagerduty.event(notice(), "key", PAGE),
        pagerduty.event(notice(NoticeKind.CHANGED, WORSE), "key", PAGE),
        pagerduty.event(notice(NoticeKind.CLOSED, CLOSED), "key", PAGE),
    ]
    assert [one["event_action"] for one in told] == ["trigger", "trigger", "resolve"]
    assert {one["dedup_key"] for one in told} == {"0123456789abcdef"}
    assert [one["payload"]["severity"] for one in told] == ["error", "critical", "error"]
    assert told[0]["client_url"] == "https://vqa.example.com/incidents/0123456789abcdef"
    assert told[0]["images"] == [{"src": f"{OPEN.evidence}/start.jpg", "alt": "Stills around the start"}]
    assert told[0]["payload"]["timestamp"] == START
    assert told[0]["payload"]["custom_details"]["Try"].startswith("Look at the patch")
    assert told[0]["payload"]["custom_details"]["channel"] == "news"


def test_sns_subscribers_get_words_or_the_event_and_a_fifo_topic_its_order():
    plainly = sns.publication(evil(), SnsSpec(topic_arn="arn:aws:sns:eu-west-1:123456789012:alerts"))
    texts = json.loads(plainly["Message"])
    assert texts["default"].startswith("MAJOR: silent channel (left) on a<b>")
    assert json.loads(texts["sqs"])["data"]["incident"]["incident_id"] == "0123456789abcdef"
    assert len(texts["sms"]) <= 140
    assert plainly["Subject"].isascii() and plainly["Subject"].isprintable() and len(plainly["Subject"]) < 100
    assert "MessageGroupId" not in plainly
    ordered = sns.publication(notice(), SnsSpec(topic_arn="arn:aws:sns:eu-west-1:123456789012:alerts.fifo"))
    assert (ordered["MessageGroupId"], ordered["MessageDeduplicationId"]) == (
        "0123456789abcdef",
        "0123456789abcdef:opened",
    )


def test_syslog_gets_rfc_5424_with_fields():
    data = syslog.record(evil(), "host", 16, PAGE).decode()
    head = re.match(r"<131>1 2026-01-01T03:14:28\.300000Z host vqa_ray - opened \[vqa@32473 (.*?)(?<!\\)\] MAJOR", data)
    assert head, data
    fields = dict(re.findall(r'(\w+)="((?:[^"\\\]]|\\.)*)"', head[1]))
    assert fields["stream"].startswith(r"a<b>\"c\" & <!channel> [x\](http://evil)")
    assert fields["page"] == "https://vqa.example.com/incidents/0123456789abcdef"
    assert "\n" not in data and "\0" not in data
    assert "; try: Look at the patch" in data


@pytest.mark.parametrize(
    ("severity", "kind", "priority"),
    [
        (Severity.CRITICAL, NoticeKind.OPENED, 16 * 8 + 2),
        (Severity.MAJOR, NoticeKind.CHANGED, 16 * 8 + 3),
        (Severity.MINOR, NoticeKind.OPENED, 16 * 8 + 4),
        (Severity.INFO, NoticeKind.OPENED, 16 * 8 + 6),
        (Severity.CRITICAL, NoticeKind.CLOSED, 16 * 8 + 5),
    ],
)
def test_syslog_levels_follow_severity(severity, kind, priority):
    told = notice(kind, msgspec.structs.replace(CLOSED, severity=severity))
    assert syslog.record(told, "h", 16).startswith(b"<%d>1 " % priority)
