"""A Worker without media: each stream leaves lines in a folder, and has an incident when a test asks for one."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.reading import Severity
from vqa_ray.errors import StaleEpoch
from vqa_ray.pipeline.worker import StreamReport, Told, Warmth

TICK_S = 0.05


class Line(msgspec.Struct):
    """What a stream leaves at each tick."""

    epoch: int
    analyzer: str
    mono_s: float  # one clock for all processes of a machine
    resumed: str
    incident: str


class FakeWorker:
    """Labels of a stream: `folder` is where it writes `<id>.jsonl` and looks for `<id>.bad` (an incident lasts).

    While `<id>.cold` is there a rehearsal of it does not get warm; `<id>.<analyzer>.rehearsed`: there was one.
    """

    def __init__(
        self,
        name: str,
        *,
        tell: Callable[[Told], None],
        windows: object = None,
        over: object = None,
        keeper: object = None,
        cores: float = 1.0,
    ) -> None:
        self.name = name
        self._tell = tell
        self._runs: dict[str, _Run] = {}
        self._rehearsed: dict[str, Path] = {}

    def prepare(self, stream: StreamSpec, profile: Profile, snapshot: bytes) -> None:
        self._rehearsed[stream.id] = Path(stream.labels["folder"])
        (self._rehearsed[stream.id] / f"{stream.id}.{self.name}.rehearsed").touch()

    def warmth(self, stream_id: str, reached_s: float) -> Warmth:
        folder = self._rehearsed.get(stream_id)
        if folder is None:
            return Warmth.FAILED
        return Warmth.COLD if (folder / f"{stream_id}.cold").exists() else Warmth.WARM

    def dismiss(self, stream_id: str) -> None:
        self._rehearsed.pop(stream_id, None)

    def assign(
        self,
        stream: StreamSpec,
        profile: Profile,
        epoch: int,
        snapshot: bytes | None = None,
        reached_s: float | None = None,
    ) -> None:
        self._rehearsed.pop(stream.id, None)
        before = self._runs.get(stream.id)
        if before and before.epoch > epoch:
            raise StaleEpoch("older")
        if before and before.epoch == epoch:
            return
        if before:
            before.stop()
        self._runs[stream.id] = _Run(self, stream, epoch, snapshot)

    def prioritise(self, stream_id: str, priority: int) -> None:
        if run := self._runs.get(stream_id):
            run.priority = priority

    def release(self, stream_id: str, epoch: int, timeout_s: float = 5.0) -> bytes | None:
        run = self._runs.get(stream_id)
        if run is None or run.epoch != epoch:
            return None
        del self._runs[stream_id]
        run.stop()
        return run.snapshot()

    def reports(self) -> list[StreamReport]:
        return [run.report() for run in list(self._runs.values())]

    def stop(self, timeout_s: float = 5.0) -> None:
        for run in list(self._runs.values()):
            run.stop()

    def tell(self, told: Told) -> None:
        self._tell(told)


class _Run:
    def __init__(self, worker: FakeWorker, stream: StreamSpec, epoch: int, snapshot: bytes | None) -> None:
        self.stream = stream
        self.priority = stream.priority
        self.epoch = epoch
        self._worker = worker
        self._folder = Path(stream.labels["folder"])
        self._resumed = snapshot.decode() if snapshot else ""
        self.incident = self._resumed
        self._count = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        with self._lock:
            pass

    def snapshot(self) -> bytes:
        return self.incident.encode()

    def report(self) -> StreamReport:
        return StreamReport(
            stream_id=self.stream.id,
            epoch=self.epoch,
            state="live",
            reason="",
            at_s=self._count * TICK_S,
            cpu_share=0.05,
            coverage=1.0,
            fps=20.0,
            tier="all",
            open_incidents=int(bool(self.incident)),
            reconnects=0,
            priority=self.priority,
            snapshot=self.snapshot(),
        )

    def _run(self) -> None:
        while not self._ended.wait(TICK_S):
            with self._lock:
                if not self._ended.is_set():
                    self._tick()

    def _tick(self) -> None:
        self._count += 1
        bad = self._folder / f"{self.stream.id}.bad"
        if bad.exists() and not self.incident:
            self.incident = bad.read_text()
            self._tell(NoticeKind.OPENED)
        elif not bad.exists() and self.incident:
            self._tell(NoticeKind.CLOSED)
            self.incident = ""
        line = Line(self.epoch, self._worker.name, time.monotonic(), self._resumed, self.incident)
        with (self._folder / f"{self.stream.id}.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")

    def _tell(self, kind: NoticeKind) -> None:
        now = datetime.now(UTC)
        closed = kind is NoticeKind.CLOSED
        incident = Incident(
            incident_id=self.incident,
            stream_id=self.stream.id,
            detector="black",
            severity=Severity.MAJOR,
            start_s=1.0,
            end_s=2.0 if closed else None,
            start_utc=now,
            end_utc=now if closed else None,
            value=1.0,
            unit="share",
            labels=self.stream.labels,
        )
        after = "" if closed else self.incident
        self._worker.tell(Told(Notice(kind=kind, incident=incident, noticed_utc=now), self.epoch, after.encode()))
