"""Servers that behave badly, watched by a worker: what the operator is told, and that nothing hangs or tells twice."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests.media_factory import TS_BYTES, Audio, Video, transport
from tests.media_servers import Handler, ended, reset, silent, tcp_server
from vqa_ray.config import LIVE, DetectorSet, Profile, StreamSpec
from vqa_ray.core.source import ReconnectOptions
from vqa_ray.detectors.signal_loss import SignalLossSpec
from vqa_ray.media.source import SourceOptions
from vqa_ray.pipeline.worker import Told, Worker

MEDIA_S = 4.0
PROFILE: Profile = msgspec.structs.replace(
    LIVE,
    detectors=DetectorSet(signal_loss=SignalLossSpec(raise_after_s=0.5, clear_after_s=0.2, grace_s=1.5)),
    source=SourceOptions(open_timeout_s=1.0, read_timeout_s=1.0),
    reconnect=ReconnectOptions(stall_after_s=0.5, first_delay_s=0.2, max_delay_s=0.4),
)


@pytest.fixture(scope="module")
def media() -> bytes:
    return transport(video=Video(gop=25), audio=Audio(), seconds=MEDIA_S)


@pytest.fixture
def told() -> list[Told]:
    return []


@pytest.fixture
def worker(told: list[Told]) -> Iterator[Worker]:
    made = Worker("w", tell=told.append)
    yield made
    began_s = time.monotonic()
    made.stop(2.0)
    assert time.monotonic() - began_s < 4.0


def until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.02)


def kinds(told: list[Told]) -> list[tuple[str, str]]:
    return [(one.notice.kind.value, one.notice.incident.detector) for one in told]


@pytest.mark.parametrize(
    ("url", "handler"),
    [
        ("http://127.0.0.1:{}/a.ts", silent),
        ("http://127.0.0.1:{}/a.ts", ended),
        ("http://127.0.0.1:{}/a.m3u8", reset),
        ("rtmp://127.0.0.1:{}/l/a", silent),
        ("rtsp://127.0.0.1:{}/a", reset),
    ],
)
def test_a_server_that_never_gives_anything_is_one_loss_of_signal(
    worker: Worker, told: list[Told], url: str, handler: Handler
) -> None:
    with tcp_server(handler) as port:
        worker.assign(StreamSpec(id="one", url=url.format(port)), PROFILE, epoch=1)
        until(lambda: kinds(told) == [("opened", "signal_loss")], 8.0)
        until(lambda: worker.reports()[0].reconnects >= 2, 12.0)
    assert kinds(told) == [("opened", "signal_loss")]
    report = worker.reports()[0]
    assert report.state in ("backing_off", "connecting")
    assert report.reason
    assert not report.connected_once


def paced(data: bytes, then: Handler) -> Handler:
    """Answers with `data` in real time, then does `then`."""

    def handle(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")
        began_s, size = time.monotonic(), 20 * TS_BYTES
        for at in range(0, len(data), size):
            if over.wait(max(0.0, began_s + MEDIA_S * at / len(data) - time.monotonic())):
                return
            connection.sendall(data[at : at + size])
        then(connection, over)

    return handle


@pytest.mark.parametrize("then", [silent, reset, ended])
def test_a_server_that_dies_in_mid_stream_is_a_loss_from_where_its_media_ended_until_it_is_back(
    worker: Worker, told: list[Told], media: bytes, then: Handler
) -> None:
    broken, back = threading.Event(), threading.Event()

    def handle(connection: socket.socket, over: threading.Event) -> None:
        if broken.is_set() and not back.is_set():
            reset(connection, over)
        else:
            broken.set()
            paced(media, then)(connection, over)

    with tcp_server(handle) as port:
        worker.assign(StreamSpec(id="one", url=f"http://127.0.0.1:{port}/a.ts"), PROFILE, epoch=1)
        until(lambda: kinds(told) == [("opened", "signal_loss")], 10.0)
        assert worker.reports()[0].connected_once
        back.set()
        until(lambda: kinds(told)[:2] == [("opened", "signal_loss"), ("closed", "signal_loss")], 10.0)
    lost = told[1].notice.incident
    assert lost.start_s == pytest.approx(MEDIA_S, abs=1.5)
    assert lost.end_s is not None
    assert 0.3 <= lost.end_s - lost.start_s < 10.0
