"""What every alert channel keeps to: found through the registry, so a new one is tested by being in it."""

import email.utils
import functools
import logging
import pickle
import socket
import time
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from tests.channel_servers import Brokers, Certificates, MailServer, SyslogServer
from tests.receiver import Answer, Receiver, Request, receiving
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import Channel, ChannelSpec, Outcome
from vqa_ray.sinks.http import HttpChannelSpec
from vqa_ray.sinks.outbox import Outbox
from vqa_ray.sinks.registry import CHANNELS, AnyChannelSpec
from vqa_ray.sinks.secret import SecretText, dec_hook, enc_hook

SECRET = "correct-horse-battery-staple"
HTTP_CHANNELS = [kind for kind in CHANNELS if issubclass(kind, HttpChannelSpec)]

SNS_ANSWER = b"""<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>
<MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult></PublishResponse>"""

every_channel = pytest.mark.parametrize("kind", CHANNELS, ids=lambda kind: kind.id)
every_http_channel = pytest.mark.parametrize("kind", HTTP_CHANNELS, ids=lambda kind: kind.id)


def notice(**changes: object) -> Notice:
    incident = Incident(
        incident_id="one-1",
        stream_id="news/1",
        detector="black",
        severity=Severity.MAJOR,
        start_s=1.0,
        end_s=None,
        start_utc=datetime(2026, 1, 1, tzinfo=UTC),
        end_utc=None,
        value=0.99,
        unit="share",
        labels={"site": "north"},
    )
    return Notice(
        kind=NoticeKind.OPENED,
        incident=msgspec.structs.replace(incident, **changes),
        noticed_utc=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC),
    )


class Ends:
    """The servers of channels that post to no URL; started when a channel is first built for them."""

    def __init__(self, folder: Path) -> None:
        self._certificates = Certificates(folder)

    @functools.cached_property
    def mail(self) -> MailServer:
        return MailServer("vqa", SECRET, self._certificates.server)

    @functools.cached_property
    def syslog(self) -> SyslogServer:
        return SyslogServer("tcp")

    @functools.cached_property
    def kafka(self) -> Brokers:
        return Brokers()

    def options(self, kind: str, url: str) -> dict[str, object]:
        """What channels of a kind need beyond their secrets and a URL."""
        match kind:
            case "email":
                host = {"host": "127.0.0.1", "port": self.mail.port, "ca_file": self._certificates.ca_file}
                return host | {"user": "vqa", "sender": "vqa@example.com", "to": ["on-call@example.com"]}
            case "syslog":
                return {"host": "127.0.0.1", "port": self.syslog.port, "transport": "tcp"}
            case "kafka":
                return {"servers": self.kafka.servers, "topic": "alerts", "password": None}
            case "sns":
                return {"topic_arn": "arn:aws:sns:eu-west-1:123456789012:alerts", "endpoint_url": url}
            case "apprise":
                return {"url": f"json://{url.partition('://')[2]}/{SECRET}"}
        return {}


ENDS: list[Ends] = []


@pytest.fixture(scope="module", autouse=True)
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    ENDS.append(Ends(tmp_path_factory.mktemp("ends")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield
    used = vars(ENDS.pop())
    for server in ("mail", "syslog"):
        if server in used:
            used[server].close()


def options(kind: type[ChannelSpec], *, url: str, folder: Path) -> dict[str, object]:
    """The least that a channel needs, and every secret that it can have."""
    hints = typing.get_type_hints(kind)
    given: dict[str, object] = {"type": kind.id}
    if "url" in hints:
        given["url"] = url
    if "path" in hints:
        given["path"] = str(folder / "alerts.jsonl")
    secrets = {name for name, hint in hints.items() if SecretText in (hint, *typing.get_args(hint))}
    return given | dict.fromkeys(secrets, SECRET) | ENDS[-1].options(kind.id, url)


def spec_of(kind: type[ChannelSpec], *, url: str, folder: Path, **more: object) -> ChannelSpec:
    data = options(kind, url=url, folder=folder) | more
    return typing.cast(ChannelSpec, msgspec.convert(data, AnyChannelSpec, dec_hook=dec_hook))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(lambda _: Answer(200, {}, SNS_ANSWER)) as one:
        yield one


def channel_of(kind: type[ChannelSpec], receiver: Receiver, folder: Path, **more: object) -> Channel:
    return spec_of(kind, url=f"{receiver.url}/hook", folder=folder, **more).build()


def test_the_union_that_is_parsed_is_the_registry():
    assert typing.get_args(AnyChannelSpec) == CHANNELS


@every_channel
def test_its_section_is_named_by_its_id_and_says_what_it_is_for(kind, tmp_path):
    assert kind.__struct_config__.tag == kind.id
    assert kind.__doc__
    spec = spec_of(kind, url="http://127.0.0.1:9/x", folder=tmp_path)
    assert type(spec) is kind
    assert spec.label == kind.id
    assert spec_of(kind, url="http://127.0.0.1:9/x", folder=tmp_path, name="second").label == "second"
    assert msgspec.json.schema(kind)


@every_channel
def test_an_unknown_option_is_refused(kind, tmp_path):
    with pytest.raises(msgspec.ValidationError, match="colour"):
        spec_of(kind, url="http://127.0.0.1:9/x", folder=tmp_path, colour="red")


@every_channel
def test_its_spec_travels_and_is_stored_with_its_secrets_as_written(kind, tmp_path):
    spec = spec_of(kind, url="https://${HOST}/x", folder=tmp_path)
    assert pickle.loads(pickle.dumps(spec)) == spec
    stored = msgspec.json.encode(spec, enc_hook=enc_hook)
    assert msgspec.json.decode(stored, type=AnyChannelSpec, dec_hook=dec_hook) == spec


@every_channel
def test_its_secrets_are_not_in_what_is_printed_of_it(kind, tmp_path):
    spec = spec_of(kind, url="http://127.0.0.1:9/x", folder=tmp_path)
    channel = spec.build()
    for text in (repr(spec), f"{spec}", repr(channel), f"{vars(channel).get('_spec')}"):
        assert SECRET not in text
    channel.close()


@every_channel
def test_a_notice_is_sent(kind, receiver, tmp_path):
    channel = channel_of(kind, receiver, tmp_path)
    assert channel.send(notice()).outcome is Outcome.SENT
    channel.close()
    channel.close()


@every_channel
@pytest.mark.parametrize(
    "changes",
    [
        {"stream_id": "α β\n☃"},
        {"reason": 'a "quoted" \\ line\nand another \x00'},
        {"value": float("-inf")},
        {"value": float("nan")},
        {"labels": {"1 bad-näme": "x", "": ""}},
        {"end_s": 0.5, "end_utc": datetime(2025, 12, 31, tzinfo=UTC)},
    ],
    ids=["unicode", "quotes", "inf", "nan", "labels", "end before start"],
)
def test_odd_incidents_are_sent_all_the_same(kind, changes, receiver, tmp_path):
    assert channel_of(kind, receiver, tmp_path).send(notice(**changes)).outcome is Outcome.SENT


@every_http_channel
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *[(code, Outcome.SENT) for code in (200, 201, 202, 204, 299)],
        *[(code, Outcome.RETRY) for code in (408, 425, 429, 500, 501, 502, 503, 504, 507, 599)],
        *[(code, Outcome.GIVE_UP) for code in (301, 302, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422)],
    ],
)
def test_the_retry_table(kind, status, outcome, receiver, tmp_path):
    receiver.answer = lambda _: Answer(status, {"Location": receiver.url + "/elsewhere"}, b"no\n  thanks")
    delivery = channel_of(kind, receiver, tmp_path).send(notice())
    assert delivery.outcome is outcome
    assert len(receiver.requests) == 1  # tried once, and no redirect followed
    if outcome is not Outcome.SENT:
        assert f"127.0.0.1:{receiver.port}" in delivery.detail
        assert str(status) in delivery.detail
        assert ("final URL" if status in (301, 302, 307, 308) else "no thanks") in delivery.detail


@every_http_channel
@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("7", 7, 7), ("0", 0, 0), ("date", 17, 21), ("past", 0, 0), ("999999", 600, 600), ("soon", None, None)],
)
def test_the_receivers_own_wish_when_to_retry_is_honoured(kind, text, low, high, receiver, tmp_path):
    ahead = {"date": 20, "past": -20}
    value = email.utils.formatdate(time.time() + ahead[text], usegmt=True) if text in ahead else text
    receiver.answer = lambda _: Answer(429, {"Retry-After": value})
    wish = channel_of(kind, receiver, tmp_path).send(notice()).retry_after_s
    assert wish is None if low is None else low <= wish <= high


@every_http_channel
def test_the_connection_is_kept_alive_after_good_and_bad_answers(kind, receiver, tmp_path):
    answers = iter([Answer(200, {}, b"ok"), Answer(500, {}, b"x" * 3000), Answer(204), Answer(200)])
    receiver.answer = lambda _: next(answers)
    channel = channel_of(kind, receiver, tmp_path)
    for _ in range(4):
        channel.send(notice())
    assert len({request.connection for request in receiver.requests}) == 1


@every_http_channel
def test_a_receiver_that_says_nothing_is_left_in_time(kind, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hook"
        channel = spec_of(kind, url=url, folder=tmp_path, timeout_s=0.3).build()
        began_s = time.monotonic()
        delivery = channel.send(notice())
    assert delivery.outcome is Outcome.RETRY
    assert "no answer in time" in delivery.detail
    assert time.monotonic() - began_s < 2.0


@every_http_channel
def test_a_receiver_that_never_ends_its_answer_does_not_hold_the_channel(kind, tmp_path):
    with receiving(lambda _: Answer(200, {"Content-Length": "10"}, b"half")) as receiver:
        channel = channel_of(kind, receiver, tmp_path, timeout_s=0.3)
        began_s = time.monotonic()
        assert channel.send(notice()).outcome is Outcome.SENT
        assert time.monotonic() - began_s < 2.0


@every_http_channel
def test_a_refused_connection_is_tried_again(kind, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
    delivery = spec_of(kind, url=url, folder=tmp_path).build().send(notice())
    assert delivery.outcome is Outcome.RETRY
    assert "Connection refused" in delivery.detail


@every_http_channel
def test_an_unknown_host_is_tried_again(kind, tmp_path):
    delivery = spec_of(kind, url="http://nowhere.invalid/hook", folder=tmp_path).build().send(notice())
    assert delivery.outcome is Outcome.RETRY
    assert "nowhere.invalid" in delivery.detail


@every_http_channel
def test_no_secret_is_ever_shown(kind, receiver, tmp_path, caplog, monkeypatch):
    """Not by repr, not in the detail of a receiver that echoes all it was sent, not in what the outbox logs."""
    caplog.set_level(logging.DEBUG)
    token = "T0KEN/B0RROWED/xyzzy"
    seen: list[Request] = []

    def echo(request: Request) -> Answer:
        seen.append(request)
        lines = [request.path, *request.headers.values(), request.body.decode()]
        return Answer(400, {}, "\n".join(lines).encode())

    receiver.answer = echo
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    for written in (SECRET, "${HOOK_SECRET}"):
        secrets = {name: written for name, value in options(kind, url="", folder=tmp_path).items() if value == SECRET}
        spec = spec_of(kind, url=f"{receiver.url}/{token}?sig=s3cr3tsig", folder=tmp_path, **secrets)
        channel = spec.build()
        delivery = channel.send(notice())
        refused = spec_of(kind, url=f"http://127.0.0.1:9/{token}", folder=tmp_path, **secrets).build().send(notice())
        outbox = Outbox([channel])
        outbox.start()
        outbox.put(notice())
        assert outbox.stop(5.0)
        shown = [repr(spec), f"{spec}", repr(spec.__rich_repr__()), repr(channel)]
        for text in (*shown, delivery.detail, refused.detail, caplog.text, repr(outbox.stats())):
            assert SECRET not in text
            assert token not in text
            assert "s3cr3tsig" not in text
    assert any(SECRET in value for value in seen[0].headers.values())


@every_http_channel
def test_credentials_in_the_url_come_from_the_environment_and_are_sent_but_not_shown(
    kind, receiver, tmp_path, monkeypatch
):
    host = receiver.url.removeprefix("http://")
    with pytest.raises(msgspec.ValidationError, match="password in the URL"):
        spec_of(kind, url=f"http://user:{SECRET}@{host}/", folder=tmp_path, bearer_token=None)
    monkeypatch.setenv("HOOK_PASSWORD", SECRET)
    spec = spec_of(kind, url=f"http://user:${{HOOK_PASSWORD}}@{host}/", folder=tmp_path, bearer_token=None)
    receiver.answer = lambda request: Answer(403, {}, repr(request.headers).encode())
    delivery = spec.build().send(notice())
    assert receiver.requests[0].headers["Authorization"].startswith("Basic ")
    encoded = receiver.requests[0].headers["Authorization"].removeprefix("Basic ")
    assert SECRET not in delivery.detail + repr(spec)
    assert encoded not in delivery.detail


@every_http_channel
@pytest.mark.parametrize("url", ["ftp://host/x", "host:80/x", "http://", "http:///path", ""])
def test_a_url_that_cannot_be_posted_to_is_refused(kind, url, tmp_path):
    with pytest.raises((msgspec.ValidationError, ConfigError)):
        spec_of(kind, url=url, folder=tmp_path).build()


@every_http_channel
def test_a_missing_environment_variable_is_named(kind, tmp_path):
    with pytest.raises(ConfigError, match="NO_SUCH_VARIABLE"):
        spec_of(kind, url="http://${NO_SUCH_VARIABLE}/x", folder=tmp_path).build()
    with pytest.raises(ConfigError, match="NO_SUCH_TOKEN"):
        spec_of(kind, url="http://host/x", folder=tmp_path, bearer_token="${NO_SUCH_TOKEN}").build()
