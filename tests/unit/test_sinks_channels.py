"""What the channels write: events, signatures, alerts, lines."""

import base64
import hashlib
import hmac
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from vqa_ray.config import parse_fleet
from vqa_ray.core.advice import ADVICE
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.alertmanager import AlertmanagerSpec, alert
from vqa_ray.sinks.channel import Outcome
from vqa_ray.sinks.event import cloud_event
from vqa_ray.sinks.http import judge, shown_url
from vqa_ray.sinks.jsonl import JsonLinesSpec
from vqa_ray.sinks.registry import AnyChannelSpec
from vqa_ray.sinks.secret import SecretText, dec_hook
from vqa_ray.sinks.webhook import signature, signing_key

START = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
OPEN = Incident(
    incident_id="one-1",
    stream_id="news/1",
    detector="silent_channel",
    severity=Severity.CRITICAL,
    start_s=10.25,
    end_s=None,
    start_utc=START,
    end_utc=None,
    value=-93.5,
    unit="dBFS",
    part="FR",
    reason="FR is silent",
    labels={"site": "north", "rack-no": "7"},
)
CLOSED = msgspec.structs.replace(OPEN, end_s=12.75, end_utc=START + timedelta(seconds=2.5))
NOW = START + timedelta(seconds=60)


def notice(incident: Incident = OPEN, kind: NoticeKind = NoticeKind.OPENED, sequence: int = 0) -> Notice:
    return Notice(kind=kind, incident=incident, noticed_utc=START, sequence=sequence)


def test_a_notice_is_a_cloud_event_with_the_incident_as_its_data():
    event = json.loads(cloud_event(notice()))
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": "one-1:opened",
        "source": "/vqa_ray/streams/news%2F1",
        "type": "io.vqa-ray.incident.opened",
        "subject": "one-1",
        "time": "2026-01-01T12:00:00.250000Z",
        "datacontenttype": "application/json",
    }
    assert (data["kind"], data["sequence"]) == ("opened", 0)
    assert msgspec.convert(data["incident"], Incident) == OPEN


def test_each_change_is_an_event_of_its_own():
    ids = {json.loads(cloud_event(notice(kind=NoticeKind.CHANGED, sequence=n)))["id"] for n in (1, 2)}
    assert ids == {"one-1:changed:1", "one-1:changed:2"}


def test_the_signature_is_that_of_standard_webhooks():
    """The example of the specification's reference implementation."""
    key = signing_key(SecretText("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    headers = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_plain_secret_signs_with_its_own_bytes():
    digest = hmac.new("geheim ß".encode(), b"a.1.body", hashlib.sha256).digest()
    found = signature(signing_key(SecretText("geheim ß")), "a", 1, b"body")["webhook-signature"]
    assert found == "v1," + base64.b64encode(digest).decode()


def test_a_key_in_broken_base64_is_refused_without_being_shown():
    with pytest.raises(ConfigError, match="base64") as caught:
        signing_key(SecretText("whsec_not base64!"))
    assert "not base64!" not in str(caught.value)


def test_an_open_incident_is_an_alert_that_ends_in_the_future():
    spec = AlertmanagerSpec(url="http://am:9093", labels={"team": "mcr"}, expire_s=300.0)
    assert alert(OPEN, spec, NOW) == {
        "labels": {
            "alertname": "VqaIncident",
            "stream": "news/1",
            "detector": "silent_channel",
            "severity": "critical",
            "part": "FR",
            "site": "north",
            "rack_no": "7",
            "team": "mcr",
        },
        "annotations": {
            "summary": "silent_channel FR on news/1 since 2026-01-01 12:00:00 UTC",
            "description": "FR is silent; worst value -93.5 dBFS",
            "incident_id": "one-1",
            "advice": ADVICE["silent_channel"],
        },
        "startsAt": START,
        "endsAt": NOW + timedelta(seconds=300),
    }


def test_a_closed_incident_is_the_same_alert_with_its_real_end():
    spec = AlertmanagerSpec(url="http://am:9093")
    was, now = alert(OPEN, spec, NOW), alert(CLOSED, spec, NOW)
    assert now["labels"] == was["labels"]
    assert now["endsAt"] == CLOSED.end_utc
    assert "lasted 2.500 s" in str(now["annotations"])


def test_the_strip_of_stills_is_linked_in_the_alert_and_the_folder_in_the_event():
    proved = msgspec.structs.replace(OPEN, evidence="https://vqa.example.com/date=2026-01-01/stream=a/1")
    annotations = alert(proved, AlertmanagerSpec(url="http://am:9093"), NOW)["annotations"]
    assert isinstance(annotations, dict)
    assert annotations["evidence"] == "https://vqa.example.com/date=2026-01-01/stream=a/1/start.jpg"
    notice = Notice(kind=NoticeKind.OPENED, incident=proved, noticed_utc=NOW)
    assert msgspec.json.decode(cloud_event(notice))["data"]["incident"]["evidence"] == proved.evidence


def test_a_label_without_a_value_is_left_out_and_own_labels_win():
    incident = msgspec.structs.replace(OPEN, part="", labels={"detector": "mine", "none": "", "1st": "x"})
    labels = alert(incident, AlertmanagerSpec(url="http://am:9093"), NOW)["labels"]
    assert isinstance(labels, dict)
    assert "part" not in labels
    assert "none" not in labels
    assert labels["detector"] == "silent_channel"
    assert labels["_1st"] == "x"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resend_s": 200}, "at least twice"),
        ({"labels": {"severity": "low"}}, "set by vqa_ray"),
        ({"labels": {"not ok": "x"}}, "labels"),
        ({"url": "am:9093"}, "url"),
    ],
)
def test_options_of_alertmanager_that_cannot_work_are_refused(options, words):
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert({"type": "alertmanager", "url": "http://am:9093"} | options, AnyChannelSpec)


def test_lines_are_appended_to_a_file_that_may_be_rotated(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    channel = JsonLinesSpec(path=str(path)).build()
    assert channel.send(notice()).outcome is Outcome.SENT
    path.rename(tmp_path / "alerts.jsonl.1")
    assert channel.send(notice(CLOSED, NoticeKind.CLOSED)).outcome is Outcome.SENT
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["one-1:closed"]
    assert (tmp_path / "alerts.jsonl.1").read_bytes().endswith(b"}\n")


def test_a_line_torn_by_a_full_disk_is_written_anew_on_a_line_of_its_own(tmp_path: Path, monkeypatch):
    path = tmp_path / "alerts.jsonl"
    channel = JsonLinesSpec(path=str(path)).build()
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:20]))
        delivery = channel.send(notice())
    assert delivery.outcome is Outcome.RETRY
    assert "disk full" in delivery.detail
    assert channel.send(notice()).outcome is Outcome.SENT
    torn, whole = path.read_bytes().splitlines()
    assert len(torn) == 20
    assert json.loads(whole)["id"] == "one-1:opened"


def test_a_file_that_cannot_be_written_is_refused_at_once_and_tried_again_later(tmp_path: Path):
    with pytest.raises(ConfigError, match="no/such"):
        JsonLinesSpec(path=str(tmp_path / "no/such/file")).build()
    folder = tmp_path / "folder"
    folder.mkdir()
    channel = JsonLinesSpec(path=str(folder / "file")).build()
    (folder / "file").unlink()
    folder.rmdir()
    assert channel.send(notice()).outcome is Outcome.RETRY


def test_a_dash_is_standard_output(capsys):
    channel = JsonLinesSpec(path="-").build()
    assert channel.send(notice()).outcome is Outcome.SENT
    assert json.loads(capsys.readouterr().out)["id"] == "one-1:opened"


def test_a_closed_standard_output_is_given_up(monkeypatch, tmp_path: Path):
    closed = (tmp_path / "out").open("w")
    closed.close()
    monkeypatch.setattr("sys.stdout", closed)
    assert JsonLinesSpec().build().send(notice()).outcome is Outcome.GIVE_UP


def test_of_a_url_host_and_port_are_shown_and_never_its_path():
    assert shown_url("https://user:pw@host:8443/T/B/X?sig=1") == "https://host:8443/***"
    assert shown_url("http://host/") == "http://host"
    assert shown_url("${HOOK_URL}") == "${HOOK_URL}"
    assert shown_url("host/secret") == "***"


def test_a_broken_retry_after_is_no_wish():
    for text in ("nan", "inf", "-", "Mon, 99 Foo"):
        assert judge(503, text, 0.0) == (Outcome.RETRY, None)
    assert judge(503, "-5", 0.0) == (Outcome.RETRY, 0.0)


def test_a_secret_prints_as_stars_and_is_read_from_the_environment_when_used(monkeypatch):
    secret = SecretText("${TOKEN}")
    monkeypatch.setenv("TOKEN", "first")
    assert secret.reveal() == "first"
    monkeypatch.setenv("TOKEN", "second")
    assert secret.reveal() == "second"
    assert f"{secret} {secret!r}" == "*** ***"
    monkeypatch.delenv("TOKEN")
    with pytest.raises(ConfigError, match="TOKEN"):
        secret.reveal()


@pytest.mark.parametrize("value", ["", 5, None, ["x"]])
def test_a_secret_that_is_no_text_is_refused(value):
    with pytest.raises(msgspec.ValidationError, match="secret is text"):
        msgspec.convert(value, SecretText, dec_hook=dec_hook)


def test_local_paths_of_channels_are_those_of_whoever_applies_the_fleet(monkeypatch, tmp_path):
    from vqa_ray.cluster import client

    monkeypatch.chdir(tmp_path)
    fleet = parse_fleet(
        "channels:\n"
        "  - {type: jsonl, path: alerts.jsonl}\n"
        "  - {type: jsonl, name: out, path: '-'}\n"
        "  - {type: syslog, transport: tls, ca_file: ca.pem}\n"
        "  - {type: email, host: h, sender: a@b, to: [a@b], ca_file: /etc/ca.pem}\n"
        "  - {type: kafka, servers: 'k:9093', topic: t, security: tls}\n"
    )
    one, two, three, four, five = client._absolute(fleet).channels
    assert (one.path, two.path) == (str(tmp_path / "alerts.jsonl"), "-")
    assert (three.ca_file, four.ca_file, five.ca_file) == (str(tmp_path / "ca.pem"), "/etc/ca.pem", None)


@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [
        ("boto3", {"type": "sns", "topic_arn": "arn:aws:sns:eu-west-1:123456789012:x"}, "notify"),
        ("apprise", {"type": "apprise", "url": "json://127.0.0.1:9/x"}, "notify"),
        ("confluent_kafka", {"type": "kafka", "servers": "k:9092", "topic": "t"}, "kafka"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(module, options, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    spec = msgspec.convert(options, AnyChannelSpec, dec_hook=dec_hook)
    with pytest.raises(ConfigError, match=rf"needs the library {module}: pip install 'vqa-ray\[{extra}\]'"):
        spec.build()
