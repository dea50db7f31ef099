"""Streams in a worker: real transport streams over UDP on loopback, found faults, hand-over, silence, bounded stops."""

import math
import re
import socket
import threading
import time
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from tests.media_servers import free_port
from tests.pictures import texture as drawn
from vqa_ray.config import LIVE, DetectorSet, Profile, StreamSpec
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.source import ReconnectOptions
from vqa_ray.core.window import Coverage
from vqa_ray.detectors.registry import by_id
from vqa_ray.errors import StaleEpoch
from vqa_ray.media.source import SourceOptions
from vqa_ray.media.synthetic import Fault, FaultKind, Kind, Programme, serve
from vqa_ray.pipeline.worker import Told, Worker

FPS = 25
BLACK = (3.0, 6.0)  # seconds of the clip


def profile(**raise_after_s: float) -> Profile:
    specs = {name: by_id[name](raise_after_s=seconds, clear_after_s=0.2) for name, seconds in raise_after_s.items()}
    return Profile(
        name="test",
        live=True,
        detectors=DetectorSet(**specs),
        source=SourceOptions(open_timeout_s=4.0, read_timeout_s=2.0),
        reconnect=ReconnectOptions(stall_after_s=0.5, first_delay_s=0.2, max_delay_s=0.4),
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Ten seconds of moving picture, black from 3 to 6 s, as a transport stream."""
    path = tmp_path_factory.mktemp("clip") / "clip.ts"
    with av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency", "g": "25"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        texture = drawn(320, 96, seed=7)
        for i in range(10 * FPS):
            frame = av.VideoFrame(160, 96, "yuv420p")
            black = BLACK[0] <= i / FPS < BLACK[1]
            luma = np.full((96, 160), 16, np.uint8) if black else texture[:, (i * 3) % 160 :][:, :160]
            planes = [np.ascontiguousarray(luma), np.full((48, 80), 128, np.uint8), np.full((48, 80), 128, np.uint8)]
            for plane, data in zip(frame.planes, planes, strict=True):
                rows = np.zeros((data.shape[0], plane.line_size), np.uint8)
                rows[:, : data.shape[1]] = data
                plane.update(rows.tobytes())
            frame.pts = i
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


class Sender:
    """Sends a transport stream to a UDP port at the rate of its media."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.port = port
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> "Sender":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join(5)

    def _send(self) -> None:
        chunk = 7 * 188
        chunks = math.ceil(len(self.data) / chunk)
        with av.open(str(self.path)) as container:
            times = sorted((p.pos, float(p.dts * p.time_base)) for p in container.demux(video=0) if p.dts is not None)
        first_s = times[0][1]
        began_s = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for i in range(chunks):
                due_s = max((t for pos, t in times if pos <= i * chunk), default=first_s) - first_s
                if self.stopping.wait(max(0.0, began_s + due_s - time.monotonic())):
                    return
                out.sendto(self.data[i * chunk : (i + 1) * chunk], ("127.0.0.1", self.port))


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def told():
    return []


@pytest.fixture
def worker(told):
    made = Worker("w", tell=told.append)
    yield made
    made.stop(2.0)


def until(condition, timeout_s: float) -> float:
    """Seconds until `condition` holds; fails after `timeout_s`."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, "it did not come"
        time.sleep(0.02)
    return time.monotonic() - began_s


def stream(port: int) -> StreamSpec:
    return StreamSpec(id="one", url=f"udp://127.0.0.1:{port}", labels={"channel": "news"})


def kinds(told: list[Told]) -> list[tuple[str, str]]:
    return [(one.notice.kind.value, one.notice.incident.detector) for one in told]


def test_black_in_a_live_stream_is_told_while_it_lasts_and_again_when_it_ends(worker, told, clip, port):
    worker.assign(stream(port), profile(black=0.3), epoch=1)
    with Sender(clip, port):
        until(lambda: kinds(told) == [("opened", "black")], 12)
        until(lambda: kinds(told) == [("opened", "black"), ("closed", "black")], 6)
    closed = told[1].notice.incident
    assert closed.end_s - closed.start_s == pytest.approx(BLACK[1] - BLACK[0], abs=0.001)
    assert closed.labels == {"channel": "news"}
    assert closed.start_pts_s is not None
    delay_s = (told[0].notice.noticed_utc - closed.start_utc).total_seconds()
    assert 0.3 <= delay_s + 0.04 < 1.5


def test_silence_of_the_sender_is_no_signal_until_packets_come_again(worker, told, clip, port):
    worker.assign(stream(port), profile(signal_loss=0.3), epoch=1)
    with Sender(clip, port):
        until(lambda: worker.reports()[0].connected_once, 8)
    until(lambda: kinds(told) == [("opened", "signal_loss")], 3)
    assert worker.reports()[0].state in ("stalled", "backing_off")
    with Sender(clip, port):  # the same timestamps again: another connection, nothing is bridged
        until(lambda: ("closed", "signal_loss") in kinds(told), 8)
    assert kinds(told) == [("opened", "signal_loss"), ("closed", "signal_loss")]
    lost = told[1].notice.incident
    assert re.match(r"no packet for \d\.\d s|udp://127.0.0.1:\d+: ", lost.reason)
    assert 0.3 < lost.end_s - lost.start_s < 8


def test_a_source_that_was_silent_is_not_taken_for_our_being_late(worker, told, port):
    programme = Programme(width=160, height=96, key_every_s=0.5)
    outage = Fault(FaultKind.OUTAGE, 6.0, 3.0)
    patient = msgspec.structs.replace(profile(signal_loss=0.3), source=SourceOptions(read_timeout_s=10.0))
    with serve(Kind.UDP, [outage], programme, port=port) as source:  # too short to connect again
        worker.assign(StreamSpec(id="one", url=source.url), patient, epoch=1)
        until(lambda: ("closed", "signal_loss") in kinds(told), 20)
        pictures = worker.reports()[0].frames_analysed
        until(lambda: worker.reports()[0].frames_analysed > pictures + 50, 6)
    assert worker.reports()[0].tier == "all"


def test_an_incident_goes_on_in_another_worker_with_the_same_id_and_is_not_told_twice(worker, told, clip, port):
    one, profile_ = stream(port), profile(black=0.3)
    worker.assign(one, profile_, epoch=1)
    later: list[Told] = []
    other = Worker("other", tell=later.append)
    try:
        with Sender(clip, port):
            until(lambda: kinds(told) == [("opened", "black")], 12)
            snapshot = worker.release("one", 1)
            other.assign(one, profile_, epoch=2, snapshot=snapshot)
            until(lambda: kinds(later) == [("closed", "black")], 8)
    finally:
        other.stop()
    first, last = told[0].notice.incident, later[0].notice.incident
    assert (last.incident_id, last.start_utc) == (first.incident_id, first.start_utc)
    assert last.end_s - last.start_s == pytest.approx(3.0, abs=1.0)
    assert later[0].epoch == 2


def test_the_next_owner_of_a_running_hold_does_not_start_it_anew(worker, told, clip, port):
    one, profile_ = stream(port), profile(black=1.5)
    worker.assign(one, profile_, epoch=1)
    other = Worker("other", tell=told.append)
    try:
        with Sender(clip, port):
            until(lambda: b"pending" in (worker.reports()[0].snapshot or b""), 12)
            other.assign(one, profile_, epoch=2, snapshot=worker.release("one", 1))
            until(lambda: kinds(told) == [("opened", "black"), ("closed", "black")], 8)
    finally:
        other.stop()
    assert told[1].notice.incident.end_s - told[1].notice.incident.start_s > 2.0


def test_a_stream_that_is_no_longer_ours_is_left_at_once_and_nothing_is_told_of_it(told, clip, port):
    gone = threading.Event()
    worker = Worker("w", tell=told.append, over=lambda stream_id, epoch: gone.is_set())
    try:
        worker.assign(stream(port), profile(black=0.3, signal_loss=0.3), epoch=1)
        with Sender(clip, port):
            until(lambda: worker.reports()[0].connected_once, 8)
            gone.set()
            reached_s = worker.reports()[0].at_s
            until(lambda: worker.reports()[0].state == "stopped", 5)
            assert worker.reports()[0].at_s - reached_s < 0.2  # what was under way
            assert kinds(told) == []
    finally:
        worker.stop()


def test_assigning_again_changes_nothing_and_an_older_epoch_is_refused(worker, port):
    worker.assign(stream(port), LIVE, epoch=5)
    worker.assign(stream(port), LIVE, epoch=5)
    with pytest.raises(StaleEpoch, match="epoch 4 is older than 5"):
        worker.assign(stream(port), LIVE, epoch=4)
    assert [report.epoch for report in worker.reports()] == [5]
    assert worker.release("one", 4) is None


def test_a_stream_that_hangs_in_connecting_delays_no_stop(told, port):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = Worker("w", tell=told.append)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.ts"
        made.assign(StreamSpec(id="silent", url=url), profile(black=0.3), epoch=1)
        time.sleep(0.3)
        began_s = time.monotonic()
        made.stop(1.0)
        assert time.monotonic() - began_s < 3.0


def test_a_file_is_read_to_its_end_and_closes_what_is_open(worker, told, clip):
    qc = msgspec.structs.replace(profile(black=0.1), live=False)
    worker.assign(StreamSpec(id="file", url=str(clip)), qc, epoch=1)
    until(lambda: worker.reports()[0].state == "ended", 20)
    assert [(one.notice.kind, one.notice.incident.end_s) for one in told] == [
        (NoticeKind.OPENED, None),
        (NoticeKind.CLOSED, pytest.approx(6.0, abs=0.001)),
    ]


def break_(detector_class, monkeypatch, method: str, times: int) -> list[int]:
    """Makes a method raise the first `times` times that it is called; gives the list of calls."""
    calls: list[int] = []
    real = getattr(detector_class, method)

    def broken(self, *arguments):
        calls.append(1)
        if len(calls) <= times:
            raise ZeroDivisionError("rtmp://h/app/user:hunter2@h/?token=hunter2 broke")
        return real(self, *arguments)

    monkeypatch.setattr(detector_class, method, broken)
    return calls


@pytest.mark.parametrize("method", ["read", "finish"])
def test_a_detector_that_fails_is_left_out_for_a_moment_and_the_stream_is_watched_on(
    worker, told, clip, port, monkeypatch, caplog, method
):
    break_(type(by_id["black"]().build()), monkeypatch, "read", 1)
    if method == "finish":
        break_(type(by_id["black"]().build()), monkeypatch, "finish", 1000)
    worker.assign(stream(port), profile(black=0.3, signal_loss=0.0), epoch=1)
    with Sender(clip, port):
        until(lambda: worker.reports()[0].faults == 1, 8)
        report = worker.reports()[0]
        assert report.state == "live"
        assert report.reason.startswith("detector black is left out, internal error: ZeroDivisionError")
        assert "hunter2" not in report.reason
        until(lambda: not worker.reports()[0].reason, 6)
        until(lambda: ("closed", "black") in kinds(told), 12)
    assert worker.reports()[0].faults == 1
    assert kinds(told)[:2] == [("opened", "black"), ("closed", "black")]
    assert "stream one: internal error in detector black, which is left out for 1 s: ZeroDivisionError" in caplog.text
    assert "hunter2" not in caplog.messages[-1]


def test_a_detector_that_always_fails_hides_nothing_that_others_find(told, clip, port, monkeypatch):
    break_(type(by_id["freeze"]().build()), monkeypatch, "read", 10**6)
    made = Worker("w", tell=told.append)
    try:
        made.assign(stream(port), profile(black=0.3, freeze=0.3), epoch=1)
        with Sender(clip, port):
            until(lambda: ("closed", "black") in kinds(told), 12)
            report = made.reports()[0]
    finally:
        made.stop(2.0)
    assert (report.state, report.reconnects) == ("live", 0)
    assert 2 <= report.faults <= 5  # with more and more time between
    assert kinds(told) == [("opened", "black"), ("closed", "black")]


def test_an_error_of_our_own_elsewhere_is_no_lost_signal_and_the_stream_is_watched_again(
    worker, told, clip, port, monkeypatch, caplog
):
    break_(Coverage, monkeypatch, "count", 1)
    worker.assign(stream(port), profile(black=0.3, signal_loss=0.0), epoch=1)
    with Sender(clip, port):
        until(lambda: worker.reports()[0].faults == 1, 8)
        report = worker.reports()[0]
        assert (report.state, report.reason.partition(":")[0]) in (("faulty", "internal error"), ("connecting", ""))
        assert "hunter2" not in report.reason
        until(lambda: worker.reports()[0].state == "live", 6)
        until(lambda: ("closed", "black") in kinds(told), 12)
    assert worker.reports()[0].faults == 1
    assert kinds(told)[:2] == [("opened", "black"), ("closed", "black")]
    assert "stream one: internal error: ZeroDivisionError" in caplog.text


def test_an_error_in_the_watchdogs_look_hurts_no_other_stream(told, clip, port, monkeypatch):
    calls = break_(type(by_id["signal_loss"]().build_lasting()), monkeypatch, "read", 3)
    made = Worker("w", tell=told.append)
    try:
        made.assign(stream(port), profile(signal_loss=0.3), epoch=1)
        until(lambda: len(calls) >= 1, 3)
        with Sender(clip, port):
            until(lambda: made.reports()[0].state == "live" and len(calls) > 4, 12)
        until(lambda: kinds(told) == [("opened", "signal_loss")], 4)  # so the watchdog lives
    finally:
        made.stop(2.0)


def test_a_stream_that_hangs_in_its_own_work_does_not_hold_up_the_others(told, clip, port, monkeypatch):
    detector, over = type(by_id["black"]().build()), threading.Event()
    real = detector.read

    def hanging(self, picture):
        if threading.current_thread().name == "stream-hangs":
            over.wait(30)
        return real(self, picture)

    monkeypatch.setattr(detector, "read", hanging)
    made = Worker("w", tell=told.append)
    other = free_port()
    try:
        made.assign(msgspec.structs.replace(stream(other), id="hangs"), profile(black=0.3), epoch=1)
        made.assign(stream(port), profile(black=0.3), epoch=1)
        with Sender(clip, other), Sender(clip, port):
            until(lambda: ("closed", "black") in kinds(told), 14)
        assert {one.of for one in told} == {"one"}
        assert made.reports()[1].coverage == pytest.approx(1.0)
    finally:
        over.set()
        made.stop(2.0)


def test_a_file_in_which_we_fail_is_parked_with_the_reason(worker, told, clip, monkeypatch):
    break_(type(by_id["black"]().build()), monkeypatch, "read", 1000)
    qc = msgspec.structs.replace(profile(black=0.1), live=False)
    worker.assign(StreamSpec(id="file", url=str(clip)), qc, epoch=1)
    until(lambda: worker.reports()[0].state == "parked", 10)
    report = worker.reports()[0]
    assert (report.faults, report.reason.startswith("internal error: ZeroDivisionError")) == (1, True)
    assert not told
