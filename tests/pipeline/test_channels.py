"""Channels through the outbox to real servers: SMTP with STARTTLS, syslog, SNS, Kafka, and the JSON of hooks."""

import email.utils
import http.server
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
import requests
from aiosmtpd.smtp import AuthResult
from moto.server import ThreadedMotoServer

from tests.channel_servers import Brokers, Certificates, Mailed, MailServer, mail_server, syslog_server
from tests.real_servers import Server, free_tcp_ports
from tests.receiver import Answer, Receiver, receiving
from vqa_ray.core.notice import Incident, Notice, NoticeKind, notice_of
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.apprise import AppriseSpec
from vqa_ray.sinks.channel import Channel, Outcome
from vqa_ray.sinks.kafka import KafkaSpec
from vqa_ray.sinks.mail import EmailSpec
from vqa_ray.sinks.outbox import Outbox
from vqa_ray.sinks.pagerduty import PagerDutySpec
from vqa_ray.sinks.secret import SecretText
from vqa_ray.sinks.slack import SlackSpec
from vqa_ray.sinks.sns import SnsSpec
from vqa_ray.sinks.syslog import SyslogSpec
from vqa_ray.sinks.teams import TeamsSpec

PASSWORD = "correct-horse-battery-staple"
PAGE = "https://vqa.example.com"
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 200 + b"\xff\xd9"


def incident(**changes: Any) -> Incident:
    made = Incident(
        incident_id="0123456789abcdef",
        stream_id="news-hd",
        detector="black",
        severity=Severity.MAJOR,
        start_s=10.0,
        end_s=None,
        start_utc=datetime.now(UTC) - timedelta(seconds=3),
        end_utc=None,
        value=0.99,
        unit="darkness",
        labels={"channel": "news"},
    )
    return msgspec.structs.replace(made, **changes)


def life(**changes: Any) -> list[Notice]:
    """An incident that opens, grows worse and ends."""
    opened = incident(**changes)
    worse = msgspec.structs.replace(opened, severity=Severity.CRITICAL, severity_before=opened.severity)
    closed = msgspec.structs.replace(worse, end_s=22.0, end_utc=opened.start_utc + timedelta(seconds=12))
    now = datetime.now(UTC)
    return [
        notice_of(NoticeKind.OPENED, opened, now),
        notice_of(NoticeKind.CHANGED, worse, now),
        notice_of(NoticeKind.CLOSED, closed, now),
    ]


def deliver(channel: Channel, notices: list[Notice]) -> None:
    box = Outbox([channel])
    box.start()
    for one in notices:
        box.put(one)
    assert box.stop(30.0), box.stats()
    assert box.stats()[channel.name].sent == len(notices)


# ---- e-mail


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def mails(certificates: Certificates) -> Iterator[MailServer]:
    with mail_server("vqa", PASSWORD, certificates.server) as server:
        yield server


def by_mail(server: MailServer, certificates: Certificates | None, **more: Any) -> EmailSpec:
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": "vqa",
        "password": SecretText(PASSWORD),
        "sender": "vqa@example.com",
        "to": ("one@example.com", "two@example.com"),
        "ca_file": certificates.ca_file if certificates else None,
        "page_url": PAGE,
    }
    return EmailSpec(**(options | more))


def parts(mailed: Mailed) -> dict[str, Any]:
    return {part.get_content_type(): part.get_content() for part in mailed.mail.walk() if not part.is_multipart()}


def test_mails_of_an_incident_are_one_thread_over_starttls_with_a_login(mails, certificates):
    deliver(by_mail(mails, certificates).build(), life())
    opened, worse, closed = mails.wait(3)
    assert (opened.sender, opened.to, opened.user) == (
        "vqa@example.com",
        ["one@example.com", "two@example.com"],
        "vqa",
    )
    assert opened.encrypted
    assert [one.mail["Subject"] for one in (opened, worse, closed)] == [
        "MAJOR: black on news-hd",
        "CRITICAL now: black on news-hd",
        "Over: black on news-hd, lasted 12.0 s",
    ]
    first = opened.mail["Message-ID"]
    assert [one.mail["In-Reply-To"] for one in (opened, worse, closed)] == [None, first, first]
    assert len({one.mail["Message-ID"] for one in (opened, worse, closed)}) == 3
    assert opened.mail["Auto-Submitted"] == "auto-generated"
    assert (worse.mail["Importance"], closed.mail["Importance"]) == ("high", None)
    assert email.utils.parsedate_to_datetime(opened.mail["Date"]).tzinfo is not None
    told = parts(opened)
    assert set(told) == {"text/plain", "text/html"}
    assert "Try:      Look at playout" in told["text/plain"]
    assert f"{PAGE}/incidents/0123456789abcdef" in told["text/plain"]
    assert f'<a href="{PAGE}/incidents/0123456789abcdef">' in told["text/html"]


def test_a_repeat_has_the_same_message_id(mails, certificates):
    channel = by_mail(mails, certificates).build()
    for _ in range(2):
        assert channel.send(life()[0]).outcome is Outcome.SENT
    one, two = mails.wait(2)
    assert one.mail["Message-ID"] == two.mail["Message-ID"]


def test_the_still_is_in_the_mail_though_it_comes_after_the_notice(mails, certificates, tmp_path):
    folder = tmp_path / "evidence" / "one"

    def later() -> None:
        folder.mkdir(parents=True)
        (folder / ".start.jpg").write_bytes(JPEG)
        (folder / ".start.jpg").rename(folder / "start.jpg")

    timer = threading.Timer(0.4, later)
    timer.start()
    notice = life(evidence=str(folder))[0]
    assert by_mail(mails, certificates, still_wait_s=10.0).build().send(notice).outcome is Outcome.SENT
    (mailed,) = mails.wait(1)
    picture = next(part for part in mailed.mail.walk() if part.get_content_type() == "image/jpeg")
    assert picture.get_content() == JPEG
    assert picture.get_content_disposition() == "inline"
    assert f'src="cid:{picture["Content-ID"][1:-1]}"' in parts(mailed)["text/html"]


def test_the_still_comes_from_a_web_server_too_and_a_missing_one_holds_nothing_up(mails, certificates, tmp_path):
    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "start.jpg").write_bytes(JPEG)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        channel = by_mail(mails, certificates, still_wait_s=0.0).build()
        assert channel.send(life(evidence=f"{base}/one")[0]).outcome is Outcome.SENT
        assert channel.send(life(evidence=f"{base}/two")[0]).outcome is Outcome.SENT
        server.shutdown()
    with_still, without = mails.wait(2)
    assert "image/jpeg" in parts(with_still)
    assert "image/jpeg" not in parts(without)


def test_odd_text_makes_no_second_header(mails, certificates):
    notice = life(stream_id="a\r\nBcc: evil@example.com", reason="b\r\n.\r\nQUIT")[0]
    assert by_mail(mails, certificates).build().send(notice).outcome is Outcome.SENT
    (mailed,) = mails.wait(1)
    assert mailed.mail["Bcc"] is None
    assert mailed.mail["Subject"] == "MAJOR: black on a Bcc: evil@example.com"
    assert mailed.to == ["one@example.com", "two@example.com"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("451 try later", Outcome.RETRY), ("452 full", Outcome.RETRY), ("550 no such", Outcome.GIVE_UP)],
)
def test_what_the_server_says_of_recipients_decides(answer, outcome, mails, certificates):
    mails.answer_to = lambda address: answer
    delivery = by_mail(mails, certificates).build().send(life()[0])
    assert delivery.outcome is outcome
    assert answer in delivery.detail
    assert "one@example.com" in delivery.detail


def test_one_refused_recipient_does_not_keep_the_mail_from_the_others(mails, certificates):
    mails.answer_to = lambda address: "550 gone" if address.startswith("one") else None
    delivery = by_mail(mails, certificates).build().send(life()[0])
    assert delivery.outcome is Outcome.SENT
    assert "refused for one@example.com" in delivery.detail
    assert mails.wait(1)[0].to == ["two@example.com"]


@pytest.mark.parametrize(("answer", "outcome"), [("421 busy", Outcome.RETRY), ("554 spam", Outcome.GIVE_UP)])
def test_what_the_server_says_of_the_mail_decides(answer, outcome, mails, certificates):
    mails.answer_data = answer
    delivery = by_mail(mails, certificates).build().send(life()[0])
    assert (delivery.outcome, answer in delivery.detail) == (outcome, True)


def test_a_wrong_password_is_final_and_never_shown_though_the_server_repeats_it(mails, certificates, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = SecretText("wr0ng-pa55word")
    channel = by_mail(mails, certificates, password=wrong).build()
    delivery = channel.send(life()[0])
    assert delivery.outcome is Outcome.GIVE_UP
    assert "535" in delivery.detail
    mails.answer_login = AuthResult(success=False, handled=False, message=f"535 {wrong.reveal()} is wrong")
    echoed = channel.send(life()[0])
    assert "535 *** is wrong" in echoed.detail
    ours = "".join(record.getMessage() for record in caplog.records if record.name != "mail.log")  # the server's own
    assert wrong.reveal() not in delivery.detail + echoed.detail + ours + repr(channel)
    assert mails.mails == []


def test_a_server_with_a_strange_certificate_gets_no_password(mails):
    delivery = by_mail(mails, None).build().send(life()[0])
    assert delivery.outcome is Outcome.RETRY
    assert "certificate refused" in delivery.detail
    assert mails.mails == []


def test_a_server_without_starttls_gets_no_password(certificates):
    with mail_server("vqa", None, None) as plain:
        delivery = by_mail(plain, certificates).build().send(life()[0])
        assert delivery.outcome is Outcome.GIVE_UP
        assert "STARTTLS" in delivery.detail
        open_relay = by_mail(plain, None, security="none", user=None, password=None).build()
        assert open_relay.send(life()[0]).outcome is Outcome.SENT
        assert plain.wait(1)[0].encrypted is False


def test_a_ca_file_that_is_none_is_refused(mails, certificates, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="ca_file"):
            by_mail(mails, None, ca_file=str(path)).build()


# ---- syslog


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_syslog_gets_a_message_for_each_notice(transport, certificates):
    with syslog_server(transport, certificates.server if transport == "tls" else None) as server:
        spec = SyslogSpec(
            host="127.0.0.1", port=server.port, transport=transport, ca_file=certificates.ca_file, page_url=PAGE
        )
        deliver(spec.build(), life())
        opened, worse, closed = (message.decode() for message in server.wait(3))
    assert [one.partition(">")[0] for one in (opened, worse, closed)] == ["<131", "<130", "<133"]
    assert 'detector="black"' in opened
    assert opened.endswith(
        "try: Look at playout and the switcher: is the source selected, does its output have a picture?"
    )


def test_a_syslog_server_that_is_away_or_not_trusted_is_tried_again(certificates):
    with syslog_server("tls", certificates.server) as server:
        strange = SyslogSpec(host="127.0.0.1", port=server.port, transport="tls").build().send(life()[0])
    with receiving() as nobody:
        port = nobody.port
    gone = SyslogSpec(host="127.0.0.1", port=port, transport="tcp").build().send(life()[0])
    assert (strange.outcome, "certificate refused" in strange.detail) == (Outcome.RETRY, True)
    assert (gone.outcome, gone.detail) == (Outcome.RETRY, f"127.0.0.1:{port}: Connection refused")


RSYSLOG = """
global(workDirectory="{folder}")
module(load="imudp")
module(load="imtcp")
input(type="imudp" address="127.0.0.1" port="{udp}")
input(type="imtcp" address="127.0.0.1" port="{tcp}")
template(name="line" type="string"
  string="%syslogfacility-text%.%syslogseverity-text%|%timereported:::date-rfc3339%|%app-name%|%msgid%|%structured-data%|%msg%\\n")
action(type="omfile" file="{folder}/out" template="line")
"""


@pytest.mark.server
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_rsyslog_understands_all_parts(transport, require_program, tmp_path):
    program = require_program("rsyslogd")
    tcp, udp = free_tcp_ports(2)
    (tmp_path / "rsyslog.conf").write_text(RSYSLOG.format(folder=tmp_path, tcp=tcp, udp=udp))
    command = [program, "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")]
    odd = 'a "quoted" ] back\\slash\nand a line'
    with Server(command, [tcp], tmp_path / "log"):
        port = udp if transport == "udp" else tcp
        spec = SyslogSpec(host="127.0.0.1", port=port, transport=transport, facility="local3", page_url=PAGE)
        notices = life(reason=odd, part=odd)
        deliver(spec.build(), notices)
        deadline_s = time.monotonic() + 30.0
        while (lines := _lines(tmp_path / "out"))[2:] == []:
            assert time.monotonic() < deadline_s, (tmp_path / "log").read_text()
            time.sleep(0.05)
    priorities, times, names, kinds, fields, words = zip(*(line.split("|", 5) for line in lines), strict=True)
    assert priorities == ("local3.err", "local3.crit", "local3.notice")
    assert [datetime.fromisoformat(at) for at in times] == [one.noticed_utc for one in notices]
    assert set(names) == {"vqa_ray"}
    assert kinds == ("opened", "changed", "closed")
    assert fields[0].startswith('[vqa@32473 incident="0123456789abcdef" stream="news-hd" detector="black"')
    assert r'part="a \"quoted\" \] back\\slash and a line"' in fields[0]
    assert f'page="{PAGE}/incidents/0123456789abcdef"' in fields[0]
    assert words[2].strip().startswith("Over: black (a ")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# ---- Kafka


@pytest.fixture(scope="module")
def brokers() -> Brokers:
    return Brokers()


def test_kafka_gets_events_in_order_keyed_by_the_incident(brokers):
    deliver(KafkaSpec(servers=brokers.servers, topic="alerts", page_url=PAGE).build(), life())
    records = brokers.read("alerts", 3)
    assert {record.key() for record in records} == {b"0123456789abcdef"}
    assert [dict(record.headers())["ce_id"] for record in records] == [
        b"0123456789abcdef:opened",
        b"0123456789abcdef:changed:3",
        b"0123456789abcdef:closed",
    ]
    event = json.loads(records[0].value())
    assert event["data"]["incident"]["stream_id"] == "news-hd"
    assert event["data"]["page"] == f"{PAGE}/incidents/0123456789abcdef"


def test_brokers_that_are_away_are_tried_again(caplog):
    with receiving() as nobody:
        port = nobody.port
    channel = KafkaSpec(servers=f"127.0.0.1:{port}", topic="alerts", timeout_s=1.0).build()
    delivery = channel.send(life()[0])
    channel.close()
    assert delivery.outcome is Outcome.RETRY
    assert f"127.0.0.1:{port}" in delivery.detail
    assert "refused" in delivery.detail.lower() or "timed out" in delivery.detail.lower(), delivery.detail


def test_a_record_that_is_too_large_is_given_up(brokers):
    channel = KafkaSpec(servers=brokers.servers, topic="alerts").build()
    delivery = channel.send(life(reason="x" * 2_000_000)[0])
    channel.close()
    assert delivery.outcome is Outcome.GIVE_UP


def test_a_kafka_password_is_not_shown(certificates):
    spec = KafkaSpec(
        servers="127.0.0.1:1", topic="t", security="sasl_tls", user="u", password=SecretText(PASSWORD), timeout_s=0.5
    )
    channel = spec.build()
    delivery = channel.send(life()[0])
    channel.close()
    assert delivery.outcome is Outcome.RETRY
    assert PASSWORD not in delivery.detail + repr(spec) + repr(channel)
    with pytest.raises(ConfigError, match=r"ca\.location|certificate|No such file|ssl") as refused:
        msgspec.structs.replace(spec, ca_file="/no/such/file.pem").build()
    assert PASSWORD not in str(refused.value)


# ---- SNS


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        requests.post(f"http://{host}:{port}/moto-api/reset", timeout=10)
        server.stop()


def test_sns_brings_the_event_to_a_queue_that_filters_by_severity(aws):
    sns = boto3.client("sns", region_name="eu-west-1", endpoint_url=aws)
    sqs = boto3.client("sqs", region_name="eu-west-1", endpoint_url=aws)
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    queue = sqs.create_queue(QueueName="critical")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    filtered = {"FilterPolicy": json.dumps({"severity": ["critical"]}), "RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=filtered)
    deliver(SnsSpec(topic_arn=topic, endpoint_url=aws, page_url=PAGE).build(), life())
    got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)["Messages"]
    kinds = sorted(json.loads(one["Body"])["data"]["kind"] for one in got)
    assert kinds == ["changed", "closed"]  # as it opened it was major


def test_a_topic_that_is_not_there_is_given_up_and_says_so(aws):
    spec = SnsSpec(topic_arn="arn:aws:sns:eu-west-1:123456789012:nothing", endpoint_url=aws)
    delivery = spec.build().send(life()[0])
    assert delivery.outcome is Outcome.GIVE_UP
    assert delivery.detail == "nothing: 404 NotFound"


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "Throttling", Outcome.RETRY),
        (403, "ExpiredToken", Outcome.RETRY),
        (500, "InternalError", Outcome.RETRY),
        (503, "ServiceUnavailable", Outcome.RETRY),
        (403, "AuthorizationError", Outcome.GIVE_UP),
        (403, "SignatureDoesNotMatch", Outcome.GIVE_UP),
        (400, "InvalidParameter", Outcome.GIVE_UP),
    ],
)
def test_what_aws_refuses_is_tried_again_where_it_may_pass(status, code, outcome, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    body = (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{PASSWORD} is not it</Message></Error></ErrorResponse>"
    )
    with receiving(lambda _: Answer(status, {}, body.encode())) as server:
        spec = SnsSpec(topic_arn="arn:aws:sns:eu-west-1:123456789012:alerts", endpoint_url=server.url)
        delivery = spec.build().send(life()[0])
        assert len(server.requests) == 1  # the outbox tries again, not boto3
    assert (delivery.outcome, delivery.detail) == (outcome, f"alerts: {status} {code}")


# ---- hooks


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_slack_and_teams_are_told_of_the_whole_life(hook):
    for kind in (SlackSpec, TeamsSpec):
        deliver(kind(url=f"{hook.url}/{kind.id}", page_url=PAGE).build(), life())
    told = [request.json() for request in hook.wait(6)]
    assert [one["text"] for one in told[:3]] == [
        "MAJOR: black on news-hd",
        "CRITICAL now: black on news-hd",
        "Over: black on news-hd, lasted 12.0 s",
    ]
    assert [one["summary"] for one in told[3:]] == [one["text"] for one in told[:3]]


def test_pagerduty_is_triggered_and_resolved_by_one_key(hook):
    hook.answer = lambda _: Answer(202, {}, b'{"status": "success"}')
    deliver(PagerDutySpec(url=f"{hook.url}/v2/enqueue", routing_key=SecretText(PASSWORD)).build(), life())
    told = [request.json() for request in hook.wait(3)]
    assert [(one["event_action"], one["dedup_key"]) for one in told] == [
        ("trigger", "0123456789abcdef"),
        ("trigger", "0123456789abcdef"),
        ("resolve", "0123456789abcdef"),
    ]
    assert {one["routing_key"] for one in told} == {PASSWORD}


def test_apprise_brings_it_to_services_without_a_channel_of_their_own(hook):
    host = hook.url.removeprefix("http://")
    spec = AppriseSpec(url=SecretText(f"json://vqa:{PASSWORD}@{host}/{PASSWORD}/x"))
    deliver(spec.build(), life())
    told = [request.json() for request in hook.wait(3)]
    assert [one["title"] for one in told] == [
        "MAJOR: black on news-hd",
        "CRITICAL now: black on news-hd",
        "Over: black on news-hd, lasted 12.0 s",
    ]
    assert [one["type"] for one in told] == ["failure", "failure", "success"]
    assert told[0]["message"].startswith("What: ")
    assert hook.requests[0].headers["Authorization"].startswith("Basic ")


def test_what_apprise_could_not_do_is_tried_again_and_keeps_its_secrets(hook, caplog):
    caplog.set_level(logging.DEBUG)
    hook.answer = lambda request: Answer(401, {}, repr(request).encode())
    host = hook.url.removeprefix("http://")
    spec = AppriseSpec(url=SecretText(f"json://vqa:{PASSWORD}@{host}/{PASSWORD}/?-key={PASSWORD}"))
    delivery = spec.build().send(life()[0])
    assert delivery.outcome is Outcome.RETRY
    assert "401" in delivery.detail
    for text in (delivery.detail, caplog.text, repr(spec)):
        assert PASSWORD not in text


def test_an_apprise_url_of_no_service_is_refused_without_being_shown():
    with pytest.raises(ConfigError, match="no such URL") as refused:
        AppriseSpec(url=SecretText(f"telegrm://{PASSWORD}")).build()
    assert PASSWORD not in str(refused.value)
