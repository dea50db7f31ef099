"""Live streams watched by one worker through one story: a scripted black, their end, their return."""

import time
from collections.abc import Callable

import msgspec
import pytest

from vqa_ray.config import LIVE, Profile, StreamSpec
from vqa_ray.core.notice import Incident, NoticeKind
from vqa_ray.core.source import ReconnectOptions
from vqa_ray.core.window import WindowRow
from vqa_ray.detectors.registry import by_id
from vqa_ray.media.source import SourceOptions
from vqa_ray.pipeline.worker import StreamReport, Told, Worker

FPS = 25
BLACK_S = 3.0
DOWN_S = 3.0
SETTLE_S = 40.0  # at most; nginx begins with what it had packed, RTSP shifts a track at its first report


class Story(msgspec.Struct, kw_only=True):
    """What came of it. told: by stream; before: each stream's report when its server was killed, at killed_s."""

    told: dict[str, list[tuple[NoticeKind, Incident]]]
    rows: list[WindowRow]
    before: dict[str, StreamReport]
    killed_s: float

    def opened(self, stream: str, *, from_s: float = 0.0, until_s: float = float("inf")) -> list[str]:
        """Detectors whose incidents began in this time, in order."""
        found = [i for kind, i in self.told[stream] if kind is NoticeKind.OPENED and from_s <= i.start_s < until_s]
        return [incident.detector for incident in found]

    def closed(self, stream: str, detector: str) -> list[Incident]:
        """Finished incidents of a detector."""
        return [i for kind, i in self.told[stream] if kind is NoticeKind.CLOSED and i.detector == detector]

    def counts(self, stream: str, detector: str) -> dict[int, int]:
        """Readings a second of its media time."""
        rows = [row for row in self.rows if (row.stream_id, row.detector, row.part) == (stream, detector, "")]
        return {round(row.start_s): row.count for row in rows}

    def shows_black_alone(self, stream: str) -> None:
        """Nothing but the scripted black, with its length, until its server was killed."""
        assert self.opened(stream, until_s=self.killed_s - 1.0) == ["black"]
        found = self.closed(stream, "black")[0]
        assert found.end_s is not None
        assert found.end_s - found.start_s == pytest.approx(BLACK_S, abs=0.05)

    def is_analysed_whole(self, stream: str) -> None:
        """Each picture and all sound."""
        report = self.before[stream]
        assert (report.state, report.coverage, report.tier, report.reconnects) == ("live", 1.0, "all", 0)
        assert {row.coverage for row in self.rows if row.stream_id == stream} == {1.0}
        pictures = self.counts(stream, "null")
        joined = 6 if stream.startswith("rtsp") else 2  # in mid-GOP; a first sender report puts its tracks in step
        steady = sorted(second for second in pictures if second < self.killed_s - 3.0)[joined:-1]
        assert len(steady) >= 3
        self._are_full(stream, steady)

    def tells_of_the_loss_once(self, stream: str) -> None:
        """From when its server was killed to when it was back."""
        lost = self.closed(stream, "signal_loss")
        assert len(lost) == 1
        assert self.opened(stream).count("signal_loss") == 1
        assert lost[0].end_s is not None
        assert lost[0].start_s == pytest.approx(self.killed_s, abs=2.0)
        assert lost[0].end_s - lost[0].start_s > DOWN_S
        assert lost[0].severity.value == "critical"

    def goes_on_behind_the_loss(self, stream: str) -> None:
        """Each picture and all sound again."""
        back_s = self.closed(stream, "signal_loss")[0].end_s
        assert back_s is not None
        assert self.full_again(stream, back_s), self._shown(stream)

    def is_back(self, stream: str) -> bool:
        """Whether its loss has an end, with whole seconds behind it."""
        return any(i.end_s is not None and self.full_again(stream, i.end_s) for i in self.closed(stream, "signal_loss"))

    def full_again(self, stream: str, from_s: float) -> bool:
        """Whether two seconds in a row, later than this, hold each picture and all sound."""
        full = {second for second in self._full(stream) if second > from_s}
        return any(second + 1 in full for second in full)

    def _are_full(self, stream: str, seconds: list[int]) -> None:
        assert set(seconds) <= self._full(stream), self._shown(stream)

    def _full(self, stream: str) -> set[int]:
        pictures, sound = self.counts(stream, "null"), self.counts(stream, "silence")
        return {second for second, count in pictures.items() if count == FPS and 9 <= sound.get(second, 0) <= 11}

    def _shown(self, stream: str) -> str:
        """What a failed test prints."""
        return f"pictures {self.counts(stream, 'null')}, sound {self.counts(stream, 'silence')}"


def profile(transport: str = "tcp") -> Profile:
    """The shipped live profile, sooner in everything that has to do with waiting."""
    detectors = msgspec.structs.replace(
        LIVE.detectors,
        null=by_id["null"](),
        black=by_id["black"](raise_after_s=0.5, clear_after_s=0.2),
        signal_loss=by_id["signal_loss"](raise_after_s=1.0, clear_after_s=0.2),
    )
    return msgspec.structs.replace(
        LIVE,
        detectors=detectors,
        source=SourceOptions(open_timeout_s=8.0, read_timeout_s=4.0, rtsp_transport=transport),
        reconnect=ReconnectOptions(stall_after_s=1.5, first_delay_s=0.2, max_delay_s=0.5),
    )


def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Gives up quietly: the tests say which stream lacks what."""
    deadline_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.2)


def watched(
    urls: dict[str, str], kill: Callable[[], None], restart: Callable[[], None], transports: dict[str, str]
) -> Story:
    """Black is told, the servers die, `signal_loss` is told, they come back, and it closes.

    transports: of RTSP, by stream.
    """
    told: dict[str, list[tuple[NoticeKind, Incident]]] = {name: [] for name in urls}
    rows: list[WindowRow] = []

    def tell(one: Told) -> None:
        told[one.notice.incident.stream_id].append((one.notice.kind, one.notice.incident))

    def all_told(kind: NoticeKind, detector: str) -> bool:
        return all(any((k, i.detector) == (kind, detector) for k, i in of_one) for of_one in told.values())

    worker = Worker("w", tell=tell, windows=rows.extend)
    try:
        began_s = time.monotonic()
        for name, url in urls.items():
            worker.assign(StreamSpec(id=name, url=url), profile(transports.get(name, "tcp")), epoch=1)
        wait_until(lambda: all_told(NoticeKind.CLOSED, "black"), 40.0)
        time.sleep(2.0)
        before = {report.stream_id: report for report in worker.reports()}
        killed_s = time.monotonic() - began_s
        kill()
        wait_until(lambda: all_told(NoticeKind.OPENED, "signal_loss"), 15.0)
        time.sleep(DOWN_S)
        restart()
        wait_until(lambda: all_told(NoticeKind.CLOSED, "signal_loss"), 30.0)
        story = Story(told=told, rows=rows, before=before, killed_s=killed_s)
        wait_until(lambda: all(story.is_back(name) for name in urls), SETTLE_S)
    finally:
        worker.stop()
    return story
