"""Transitions on their way to the supervisor, and past it."""

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from vqa_ray.cluster.messages import Handed
from vqa_ray.cluster.port import NoAnswer
from vqa_ray.cluster.teller import Teller
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.pipeline.worker import Told

PATIENCE_S = 0.3


class Link:
    """The supervisor, reachable or not."""

    def __init__(self) -> None:
        self.reachable = True
        self.handed: list[Handed] = []

    def tell(self, handed: Sequence[Handed], timeout_s: float) -> None:
        if not self.reachable:
            time.sleep(min(timeout_s, 0.05))
            raise NoAnswer("away")
        self.handed += handed


class Scene:
    def __init__(self) -> None:
        self.link = Link()
        self.delivered: list[tuple[str, float]] = []
        self.ours = True
        self.taken: list[str] = []
        self.teller = Teller(
            self.link,
            deliver=self.deliver,
            taken=lambda told: self.taken.append(told.notice.key),
            patience_s=PATIENCE_S,
        )
        self.teller.start()

    def deliver(self, told: Told) -> bool:
        if self.ours:
            self.delivered.append((told.notice.key, time.monotonic()))
        return self.ours

    def put(self, name: str, stream: str = "s") -> float:
        now = datetime.now(UTC)
        incident = Incident(
            incident_id=name,
            stream_id=stream,
            detector="black",
            severity=Severity.MAJOR,
            start_s=0.0,
            end_s=None,
            start_utc=now,
            end_utc=None,
            value=1.0,
            unit="share",
        )
        self.teller.put(Told(Notice(kind=NoticeKind.OPENED, incident=incident, noticed_utc=now), 1, b""))
        return time.monotonic()

    def until(self, count: int, of: list[object]) -> None:
        deadline_s = time.monotonic() + 5
        while len(of) < count:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.teller.stop(2.0)


def test_what_is_acknowledged_is_not_delivered_here(scene: Scene):
    scene.put("a")
    scene.until(1, scene.link.handed)
    time.sleep(PATIENCE_S + 0.1)
    assert scene.delivered == []
    assert scene.teller.pending("s") == ()
    assert scene.taken == ["a:opened"]


def test_what_is_not_acknowledged_in_time_is_delivered_once_and_handed_over_as_such_later(scene: Scene):
    scene.link.reachable = False
    put_s = scene.put("a")
    scene.until(1, scene.delivered)
    assert PATIENCE_S - 0.05 <= scene.delivered[0][1] - put_s < PATIENCE_S + 0.5
    time.sleep(0.3)
    assert len(scene.delivered) == 1
    assert scene.teller.waiting_streams() == {"s"}
    scene.link.reachable = True
    scene.until(1, scene.link.handed)
    assert [(h.told.notice.key, h.delivered) for h in scene.link.handed] == [("a:opened", True)]


def test_each_waits_its_own_time(scene: Scene):
    scene.link.reachable = False
    scene.put("a")
    time.sleep(PATIENCE_S / 2)
    put_s = scene.put("b")
    scene.until(2, scene.delivered)
    assert [key for key, _ in scene.delivered] == ["a:opened", "b:opened"]
    assert scene.delivered[1][1] - put_s >= PATIENCE_S - 0.05


def test_a_short_absence_delays_but_delivers_nothing_here(scene: Scene):
    scene.link.reachable = False
    scene.put("a")
    threading.Timer(PATIENCE_S / 3, lambda: setattr(scene.link, "reachable", True)).start()
    scene.until(1, scene.link.handed)
    assert scene.delivered == []


def test_stopping_delivers_what_nobody_acknowledges(scene: Scene):
    scene.link.reachable = False
    scene.put("a")
    assert scene.teller.stop(2.0)
    assert [key for key, _ in scene.delivered] == ["a:opened"]


def test_what_is_not_ours_to_deliver_is_handed_over_as_not_delivered(scene: Scene):
    scene.link.reachable = False
    scene.ours = False
    scene.put("a")
    time.sleep(2 * PATIENCE_S)
    scene.link.reachable = True
    scene.until(1, scene.link.handed)
    assert [(h.told.notice.key, h.delivered) for h in scene.link.handed] == [("a:opened", False)]
    assert scene.delivered == []
