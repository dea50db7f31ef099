"""Alerts through the real Alertmanager: received, grouped, kept alive by resends, resolved."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from tests.receiver import Receiver, receiving
from tests.unit.test_sinks_backlog import CHANGED, CLOSED, OPENED, notice
from vqa_ray.core.notice import Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.sinks.alertmanager import AlertmanagerSpec
from vqa_ray.sinks.outbox import Outbox

pytestmark = pytest.mark.server

CONFIG = """
global:
  resolve_timeout: 1m
route:
  receiver: operators
  group_by: [stream]
  group_wait: 300ms
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: operators
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def alertmanager(program: str, folder: Path, operators: Receiver) -> Iterator[str]:
    """A running Alertmanager; its URL."""
    config = folder / "alertmanager.yml"
    config.write_text(CONFIG.format(url=operators.url))
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _await_ready(url, process, folder / "log")
            yield url
        finally:
            process.terminate()


def _await_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + 20.0
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, log.read_text()
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/-/ready", timeout=1).ok:
                return
        time.sleep(0.05)


@pytest.fixture
def operators() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def url(require_program: Any, tmp_path: Path, operators: Receiver) -> Iterator[str]:
    with alertmanager(require_program("prometheus-alertmanager"), tmp_path, operators) as one:
        yield one


def about(incident: str, stream: str, detector: str, kind: NoticeKind = NoticeKind.OPENED) -> Notice:
    now = datetime.now(UTC)
    found = notice(kind, incident, stream=stream)
    changes: dict[str, Any] = {"detector": detector, "start_utc": now - timedelta(seconds=5)}
    if kind is CLOSED:
        changes["end_utc"] = now - timedelta(seconds=1)
    return msgspec.structs.replace(found, incident=msgspec.structs.replace(found.incident, **changes))


def groups(operators: Receiver) -> list[Any]:
    return [request.json() for request in list(operators.requests)]


def until(operators: Receiver, stream: str, statuses: dict[str, str], timeout_s: float = 20.0) -> Any:
    """The first group of `stream` in which its detectors' alerts have these statuses."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        for group in groups(operators):
            found = {alert["labels"]["detector"]: alert["status"] for alert in group["alerts"]}
            if group["groupLabels"] == {"stream": stream} and found == statuses:
                return group
        assert time.monotonic() < deadline_s, groups(operators)
        time.sleep(0.05)


def wait_until(done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline_s, done
        time.sleep(0.05)


def test_alertmanager_receives_groups_and_resolves(url: str, operators: Receiver):
    box = Outbox([AlertmanagerSpec(url=url, resend_s=1.0, expire_s=5.0, labels={"team": "mcr"}).build()])
    box.start()
    box.put(about("1", "news", "black"))
    box.put(about("2", "news", "silence"))
    box.put(about("3", "sport", "freeze"))
    news = until(operators, "news", {"black": "firing", "silence": "firing"})
    until(operators, "sport", {"freeze": "firing"})
    assert news["commonLabels"] == {"alertname": "VqaIncident", "severity": "major", "stream": "news", "team": "mcr"}
    assert "black on news since" in news["alerts"][0]["annotations"]["summary"]
    box.put(about("1", "news", "black", CLOSED))
    box.put(about("2", "news", "silence", CLOSED))
    until(operators, "news", {"black": "resolved", "silence": "resolved"})
    assert box.stop(5.0)
    assert box.stats()["alertmanager"].given_up == 0
    assert {group["status"] for group in groups(operators) if group["groupLabels"] == {"stream": "sport"}} == {"firing"}


def test_where_severity_rises_the_graver_alert_fires_in_place_of_the_milder(url: str, operators: Receiver):
    def black(kind: NoticeKind, **changes: Any) -> Notice:
        one = about("1", "news", "black", kind)
        return msgspec.structs.replace(
            one,
            incident=msgspec.structs.replace(one.incident, start_utc=began, **changes),
            noticed_utc=datetime.now(UTC),
        )

    def seen(**statuses: str) -> bool:
        found = [{a["labels"]["severity"]: a["status"] for a in group["alerts"]} for group in groups(operators)]
        return found[-1:] == [statuses]

    began = datetime.now(UTC) - timedelta(seconds=5)
    worse = {"severity": Severity.CRITICAL, "severity_before": Severity.MAJOR}
    box = Outbox([AlertmanagerSpec(url=url, resend_s=1.0, expire_s=5.0).build()])
    box.start()
    box.put(black(OPENED))
    wait_until(lambda: seen(major="firing"))
    box.put(black(CHANGED, **worse))
    wait_until(lambda: seen(major="resolved", critical="firing"))
    time.sleep(2.5)  # resends change nothing
    assert seen(major="resolved", critical="firing")
    box.put(black(CLOSED, **worse))
    wait_until(lambda: seen(major="resolved", critical="resolved"))
    assert len(groups(operators)) == 3
    box.stop(5.0)


def test_resends_keep_an_open_incident_firing_and_without_them_it_expires(url: str, operators: Receiver):
    box = Outbox([AlertmanagerSpec(url=url, resend_s=1.0, expire_s=2.0).build()])
    box.start()
    box.put(about("1", "news", "black"))
    until(operators, "news", {"black": "firing"})
    time.sleep(4.0)  # twice the time after which Alertmanager forgets
    assert [group["status"] for group in groups(operators)] == ["firing"]
    assert box.stats()["alertmanager"].resent >= 3
    box.stop(5.0)
    until(operators, "news", {"black": "resolved"})


def test_an_incident_that_follows_at_once_fires_again(url: str, operators: Receiver):
    box = Outbox([AlertmanagerSpec(url=url, resend_s=1.0, expire_s=5.0).build()])
    box.start()
    box.put(about("1", "news", "black"))
    until(operators, "news", {"black": "firing"})
    box.put(about("1", "news", "black", CLOSED))
    until(operators, "news", {"black": "resolved"})
    seen = len(operators.requests)
    box.put(about("2", "news", "black"))
    deadline_s = time.monotonic() + 15.0
    while not any(group["status"] == "firing" for group in groups(operators)[seen:]):
        assert time.monotonic() < deadline_s, groups(operators)
        time.sleep(0.05)
    box.stop(5.0)
