"""An analyzer without Ray: a link that plays the supervisor, and streams without media."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.cluster.fake_worker import FakeWorker
from vqa_ray.cluster import analyzer as cluster_analyzer
from vqa_ray.cluster import process
from vqa_ray.cluster.analyzer import Analyzer
from vqa_ray.cluster.messages import Assignment, Beat, BeatReply, ClusterOptions, Ended, Handed, Setup
from vqa_ray.cluster.port import Away, NoAnswer
from vqa_ray.config import LIVE, StreamSpec
from vqa_ray.errors import StaleEpoch
from vqa_ray.pipeline.worker import Warmth

OPTIONS = ClusterOptions(beat_s=0.05, lease_s=0.5, grace_s=3.0, worker=f"{FakeWorker.__module__}:{FakeWorker.__name__}")


class PlayedSupervisor:
    """Answers beats; each attribute is what a test changes."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.handed: list[Handed] = []
        self.ended: list[Ended] = []
        self.incarnation = "one"
        self.known = True
        self.priorities: dict[str, int] = {}
        self.error: Exception | None = None
        self.tell_error: Exception | None = None
        self.hold = threading.Event()
        self.hold.set()

    def heartbeat(self, beat: Beat, timeout_s: float) -> BeatReply:
        if self.error is not None:
            raise self.error
        self.beats.append(beat)
        return BeatReply(
            supervisor=self.incarnation, ended=tuple(self.ended), known=self.known, priorities=self.priorities
        )

    def tell(self, handed: Sequence[Handed], timeout_s: float) -> None:
        if not self.hold.wait(timeout_s):
            raise NoAnswer("held")
        if self.tell_error is not None:
            raise self.tell_error
        self.handed += handed

    def streams(self) -> set[str]:
        """Of the latest inventory."""
        return {held.report.stream_id for held in self.beats[-1].held} if self.beats else set()


@pytest.fixture
def supervisor() -> PlayedSupervisor:
    return PlayedSupervisor()


@pytest.fixture
def ended() -> threading.Event:
    return threading.Event()


@pytest.fixture
def analyzer(supervisor: PlayedSupervisor, ended: threading.Event) -> Iterator[Analyzer]:
    made = Analyzer("analyzer-0", OPTIONS, Setup(), link=supervisor, end=ended.set)
    yield made
    made.stop()


def give(analyzer: Analyzer, folder: Path, *, epoch: int = 1, snapshot: bytes | None = None) -> int:
    stream = StreamSpec(id="s", url="udp://127.0.0.1:9", labels={"folder": str(folder)})
    return analyzer.assign(Assignment(stream=stream, profile=LIVE, epoch=epoch, version=f"v{epoch}", snapshot=snapshot))


def until(true: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def works(folder: Path, for_s: float = 0.3) -> bool:
    """Whether the stream leaves lines."""
    path = folder / "s.jsonl"
    before = path.stat().st_size if path.exists() else 0
    time.sleep(for_s)
    return path.exists() and path.stat().st_size > before


def test_an_inventory_lists_a_stream_in_each_beat_after_the_one_that_assign_names(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    number = give(analyzer, tmp_path)
    until(lambda: bool(supervisor.beats) and supervisor.beats[-1].number > number + 1)
    after = [beat for beat in supervisor.beats if beat.number > number]
    assert all({h.report.stream_id for h in beat.held} == {"s"} for beat in after)
    assert after[-1].held[0].version == "v1"
    assert analyzer.hello().name == "analyzer-0"


def test_another_priority_reaches_the_stream_without_interrupting_it(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    give(analyzer, tmp_path)
    until(lambda: supervisor.streams() == {"s"})
    supervisor.priorities = {"s": 7, "another": 3}
    until(lambda: supervisor.beats[-1].held[0].report.priority == 7)
    assert supervisor.beats[-1].held[0].report.epoch == 1


def test_an_older_epoch_is_refused_and_the_newer_goes_on(analyzer: Analyzer, tmp_path: Path):
    give(analyzer, tmp_path, epoch=2)
    with pytest.raises(StaleEpoch):
        give(analyzer, tmp_path, epoch=1)
    assert works(tmp_path)


def test_a_released_stream_stops_and_gives_its_snapshot(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    give(analyzer, tmp_path, snapshot=b"resumed")
    assert analyzer.release("s", 1).snapshot == b"resumed"
    assert not works(tmp_path)
    assert analyzer.release("s", 1).snapshot is None


def test_a_stream_is_stopped_when_the_supervisor_says_so(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    give(analyzer, tmp_path)
    until(lambda: supervisor.streams() == {"s"})
    supervisor.ended = [Ended("s", 1)]
    until(lambda: supervisor.streams() == set())
    assert not works(tmp_path)


def test_a_stream_is_stopped_when_nobody_answers_until_the_lease_is_over(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    give(analyzer, tmp_path)
    until(lambda: supervisor.streams() == {"s"})
    supervisor.error = NoAnswer("silence")
    assert works(tmp_path)
    time.sleep(OPTIONS.lease_s + 0.1)
    assert not works(tmp_path)


def test_streams_go_on_past_the_lease_while_the_supervisor_is_known_to_be_away(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    give(analyzer, tmp_path)
    until(lambda: supervisor.streams() == {"s"})
    supervisor.error = Away("restarting")
    time.sleep(2 * OPTIONS.lease_s)
    assert works(tmp_path)
    time.sleep(OPTIONS.grace_s)
    assert not works(tmp_path)


def test_a_process_that_the_supervisor_does_not_know_ends(
    analyzer: Analyzer, supervisor: PlayedSupervisor, ended: threading.Event, tmp_path: Path
):
    give(analyzer, tmp_path)
    supervisor.known = False
    assert ended.wait(5)
    assert not works(tmp_path)


def test_a_transition_is_handed_over_at_once(analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path):
    give(analyzer, tmp_path)
    (tmp_path / "s.bad").write_text("x")
    until(lambda: [h.told.notice.key for h in supervisor.handed] == ["x:opened"])
    assert not supervisor.handed[0].delivered


def test_no_snapshot_goes_out_before_what_it_tells_is_journaled(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    supervisor.hold.clear()
    give(analyzer, tmp_path)
    until(lambda: supervisor.streams() == {"s"})
    (tmp_path / "s.bad").write_text("x")
    until(lambda: supervisor.beats[-1].held[0].report.open_incidents == 1)
    time.sleep(0.2)
    assert b"x" not in {held.report.snapshot for beat in supervisor.beats for held in beat.held}
    supervisor.hold.set()
    until(lambda: b"x" in {held.report.snapshot for beat in supervisor.beats for held in beat.held})


def test_what_is_not_acknowledged_is_released_together_with_the_snapshot(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    supervisor.hold.clear()
    give(analyzer, tmp_path)
    (tmp_path / "s.bad").write_text("x")
    until(lambda: bool(analyzer._teller.pending("s")))
    released = analyzer.release("s", 1)
    assert [h.told.notice.key for h in released.handed] == ["x:opened"]
    assert released.snapshot == b"x"


def test_a_snapshot_is_sent_once_and_again_to_a_new_supervisor(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    def sent() -> list[bytes]:
        return [h.report.snapshot for b in list(supervisor.beats) for h in b.held if h.report.snapshot is not None]

    give(analyzer, tmp_path, snapshot=b"it")
    until(lambda: len(supervisor.beats) > 8)
    first = len(sent())
    assert first in (1, 2)  # twice when the first beat also was the first answer
    supervisor.incarnation = "two"
    until(lambda: len(sent()) > first)


def rehearse(analyzer: Analyzer, folder: Path) -> None:
    stream = StreamSpec(id="s", url="udp://127.0.0.1:9", labels={"folder": str(folder)})
    analyzer.prepare(Assignment(stream=stream, profile=LIVE, epoch=0, version="v", snapshot=b"open"))


def test_a_rehearsed_stream_is_in_no_inventory_and_gives_nothing(
    analyzer: Analyzer, supervisor: PlayedSupervisor, tmp_path: Path
):
    rehearse(analyzer, tmp_path)
    assert analyzer.warmth("s", 1.0) is Warmth.WARM
    until(lambda: len(supervisor.beats) > 2)
    assert supervisor.streams() == set()
    assert not works(tmp_path)
    analyzer.dismiss("s")
    assert analyzer.warmth("s", 1.0) is Warmth.FAILED


def test_a_rehearsal_that_nobody_asks_about_ends(analyzer: Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_analyzer, "REHEARSED_S", 0.2)
    rehearse(analyzer, tmp_path)
    until(lambda: not analyzer._rehearsals)
    assert analyzer.warmth("s", 1.0) is Warmth.FAILED


def test_a_process_that_is_told_to_end_says_so_and_ends_in_time_if_nobody_comes(
    analyzer: Analyzer,
    supervisor: PlayedSupervisor,
    ended: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
):
    until(lambda: bool(supervisor.beats))
    assert not supervisor.beats[-1].ending
    analyzer._ending.ask()
    until(lambda: supervisor.beats[-1].ending)
    assert not ended.is_set()
    monkeypatch.setattr(process, "GRACE_S", 0.1)
    assert ended.wait(5)


def test_sigterm_is_noticed_by_a_process_whose_main_thread_runs_no_python(tmp_path: Path):
    code = (
        "import hashlib, os, threading, time; from vqa_ray.cluster.process import on_sigterm; ending = on_sigterm()\n"
        "def watch():\n"
        "    while not ending.asked: time.sleep(0.01)\n"
        "    os._exit(7)\n"
        "threading.Thread(target=watch, daemon=True).start(); print('ready', flush=True)\n"
        "threading.Lock().acquire(); hashlib.pbkdf2_hmac('sha512', b'x', b'y', 2_000_000_000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.terminate()
        assert child.wait(10) == 7


def test_a_process_that_wakes_up_after_its_lease_tells_nothing_even_before_its_next_beat(
    supervisor: PlayedSupervisor, tmp_path: Path
):
    slow = msgspec.structs.replace(OPTIONS, beat_s=60.0, lease_s=0.3)
    analyzer = Analyzer("analyzer-0", slow, Setup(), link=supervisor, end=lambda: None)
    try:
        give(analyzer, tmp_path)
        time.sleep(0.5)
        (tmp_path / "s.bad").write_text("late")
        until(lambda: analyzer._worker.reports()[0].open_incidents == 1)
        time.sleep(0.2)
        assert (supervisor.handed, analyzer._teller.pending("s")) == ([], ())
    finally:
        analyzer.stop()
