"""One stream from its URL to its incidents, on one thread: connect, read, analyse, reconnect.

The thread owns the connection. Life, detectors and incidents are shared with the watchdog (`look`), which must be able
to say "no signal" while the thread is blocked in libav; a lock guards them, held for one item at a time.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.incident import BookState, Transition
from vqa_ray.core.ladder import Ladder
from vqa_ray.core.notice import Notice
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import SourceState
from vqa_ray.core.source import Event, Life, State
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import SourceError
from vqa_ray.media.source import Connection, EndOfMedia, is_live, open_source
from vqa_ray.pipeline.analysis import Analysis, Item

log = logging.getLogger(__name__)

LOOK_S = 0.25  # how often the watchdog looks
STUCK_AFTER_S = 20.0  # a call into libav that is this much over its own time limit hangs
BURST_UNKNOWN_S = 8.0  # allowed silence of segmented media before two segments have been seen
SEGMENTED = ("hls", "dash")


class Told(msgspec.Struct, frozen=True):
    """A transition on its way to the alert channels, with what a next owner of the stream would need."""

    notice: Notice
    epoch: int
    snapshot: bytes


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one stream is, for the supervisor, the table and the metrics.

    cpu_share: CPU seconds of the stream's thread a second of wall time, over the last few seconds.
    coverage: share of frames analysed since the stream began here; lag_s: how far analysis is behind arrival.
    """

    stream_id: str
    epoch: int
    state: str
    reason: str
    at_s: float
    cpu_share: float
    coverage: float
    fps: float
    tier: str
    open_incidents: int
    reconnects: int
    lag_s: float = 0.0
    stuck: bool = False
    connected_once: bool = False  # a frame was analysed here
    snapshot: bytes | None = None


class StreamRun:
    """A stream that is being watched. `start`, then `stop`; everything else may be called from any thread."""

    def __init__(
        self,
        stream: StreamSpec,
        profile: Profile,
        *,
        epoch: int = 0,
        snapshot: bytes | None = None,
        tell: Callable[[Told], None],
        windows: Callable[[list[WindowRow]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self.profile = profile
        self.epoch = epoch
        self._tell = tell
        self._monotonic = monotonic
        self._live = is_live(stream.url)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream-{stream.id}", daemon=True)
        resumed = msgspec.json.decode(snapshot, type=BookState) if snapshot else None
        origin_utc = resumed.origin_utc if resumed else datetime.now(UTC)
        elapsed_s = (datetime.now(UTC) - origin_utc).total_seconds()
        self._origin_mono_s = monotonic() - (elapsed_s if self._live else 0.0)
        self._timeline = Timeline()
        self.analysis = Analysis(
            stream.id,
            profile.specs,
            origin_utc=origin_utc,
            labels=stream.labels,
            epoch=epoch,
            on_rows=windows,
            pts_minus_at_s=lambda: self._timeline.pts_minus_at_s,
        )
        if resumed:
            self.analysis.resume(resumed)
        self.life = Life(since_s=monotonic())
        self._connection: Connection | None = None
        self._ladder = Ladder()
        self._progress = _Progress(monotonic())

    # ---- from other threads

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop at the next packet; whether the thread ended in time. An open incident stays open for the next owner."""
        self._stopping.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        return self._thread.is_alive()

    def snapshot(self) -> bytes:
        """Open incidents and running holds, for the next owner."""
        with self._lock:
            return self._snapshot()

    def look(self) -> None:
        """The watchdog's look: tell of silence, whatever the thread is doing."""
        now_s = self._monotonic()
        with self._lock:
            if not self._live or self.life.state in (State.STOPPED, State.ENDED) or self._stopping.is_set():
                return
            silent_s = now_s - self._progress.last_arrival_s
            if self.life.state is State.LIVE and silent_s > self._progress.allowed_silence_s(
                self.profile.reconnect.stall_after_s
            ):
                self._event(Event.SILENT, now_s, f"no packet for {silent_s:.1f} s")
            self._feed(self._source_state(now_s))

    def report(self) -> StreamReport:
        """How the stream is now; snapshot included."""
        now_s = self._monotonic()
        with self._lock:
            progress = self._progress
            return StreamReport(
                stream_id=self.stream.id,
                epoch=self.epoch,
                state=self.life.state.value,
                reason=self.life.reason,
                at_s=progress.until_s or 0.0,
                cpu_share=progress.cpu_share(now_s),
                coverage=self.analysis.coverage.total,
                fps=progress.fps(now_s),
                tier=self._ladder.tier.value,
                open_incidents=len(self.analysis.book.open_incidents),
                reconnects=progress.reconnects,
                lag_s=self._ladder.lag_s,
                stuck=self._stuck(now_s),
                connected_once=progress.frames > 0,
                snapshot=self._snapshot(),
            )

    # ---- the stream's thread

    def _run(self) -> None:
        """Fence: nothing that one stream does may hurt another."""
        while not self._stopping.is_set() and self.life.state not in (State.PARKED, State.ENDED):
            try:
                self._connect_and_read()
            except SourceError as error:
                self._failed(str(error))
            except Exception as error:
                log.exception("stream %s: the pipeline failed", self.stream.id)
                self._failed(f"internal error: {type(error).__name__}: {error}")
            self._wait_for_retry()
        with self._lock:
            self.analysis.flush()
            if self._stopping.is_set():
                self._event(Event.STOP, self._monotonic())

    def _connect_and_read(self) -> None:
        self._progress.calling_since_s = self._monotonic()
        self._timeline.connect(self._now_s() if self._live else 0.0)
        connection = open_source(self.stream.url, self.profile.source, self._timeline, live=self._live)
        self._connection = connection
        try:
            with self._lock:
                self.analysis.connected()
                self._progress.connected(self._monotonic(), connection.info.format)
                self._ladder = Ladder()  # another connection, another delay on the way, and it begins with all frames
            self._read_all(connection)
        except EndOfMedia:
            self._ended()
        finally:
            self._progress.calling_since_s = None
            self._connection = None
            connection.close()

    def _read_all(self, connection: Connection) -> None:
        progress = self._progress
        while not self._stopping.is_set():
            progress.calling_since_s = self._monotonic()
            items = connection.read()
            now_s = self._monotonic()
            progress.packet(now_s)
            with self._lock:
                if self.life.state is not State.LIVE:
                    self._event(Event.PACKET, now_s)
                for item in items:
                    self._count(item)
                    self._feed(item)
                if self._live and items and progress.due(now_s):
                    self._adapt(connection, now_s)

    def _count(self, item: Item) -> None:
        if isinstance(item, Picture):
            self._progress.frame(item.at_s, item.until_s)
            self.analysis.coverage.count(item.at_s, 1, 1)
        elif isinstance(item, AudioBlock):
            self._progress.reached(item.until_s)

    def _adapt(self, connection: Connection, now_s: float) -> None:
        """Twice a second: count the thread's time, and step down or up the ladder of what is decoded."""
        self._progress.tick(now_s, time.thread_time())
        skipped = connection.take_skipped()
        if skipped:
            self.analysis.coverage.count(self._progress.until_s or 0.0, skipped, 0)
        reached_s = self._progress.reached_s
        if reached_s is None:
            return
        behind_s = self._now_s() - reached_s
        tier = self._ladder.step(behind_s, now_s, slack_s=self._progress.burst_s)
        if tier is not connection.tier:
            log.warning("stream %s: %.1f s behind, now decodes: %s", self.stream.id, self._ladder.lag_s, tier.value)
            connection.tier = tier

    def _ended(self) -> None:
        with self._lock:
            now_s = self._monotonic()
            if self._live:
                self._disconnected()
                self._event(Event.FAILED, now_s, "the source ended")
            else:
                self._tell_all(self.analysis.finish())
                self._event(Event.FINISHED, now_s)

    def _failed(self, reason: str) -> None:
        with self._lock:
            self._disconnected()
            now_s = self._monotonic()
            if self._live:
                self._event(Event.FAILED, now_s, reason)
            else:
                self._tell_all(self.analysis.finish())
                self.life = msgspec.structs.replace(self.life, state=State.PARKED, since_s=now_s, reason=reason)
        log.warning("stream %s: %s", self.stream.id, reason)

    def _wait_for_retry(self) -> None:
        if self.life.state is not State.BACKING_OFF or self.life.retry_at_s is None:
            return
        self._stopping.wait(max(0.0, self.life.retry_at_s - self._monotonic()))
        with self._lock:
            if not self._stopping.is_set():
                self._progress.reconnects += 1
                self._event(Event.RETRY_DUE, self._monotonic())

    # ---- with the lock held

    def _event(self, event: Event, now_s: float, reason: str = "") -> None:
        before = self.life
        self.life = before.after(event, now_s, self.profile.reconnect, reason=reason, draw=random.random())
        if self.life.state is not before.state:
            self._feed(self._source_state(now_s))

    def _feed(self, item: Item) -> None:
        found = self.analysis.feed(item)
        if found:
            self._tell_all(found)

    def _disconnected(self) -> None:
        self._tell_all(self.analysis.disconnected())

    def _tell_all(self, found: Sequence[Transition]) -> None:
        if not found:
            return
        noticed_utc, snapshot = datetime.now(UTC), self._snapshot()
        for kind, incident in found:
            self._tell(Told(Notice(kind=kind, incident=incident, noticed_utc=noticed_utc), self.epoch, snapshot))

    def _source_state(self, now_s: float) -> SourceState:
        """Up or not, on the timeline: silence began where the last media that came ends.

        While it is up, it is so as of the last packet: only then is the silence that begins not called good at first.
        """
        progress = self._progress
        silent_s = now_s - progress.last_arrival_s if self.life.down else 0.0
        seen_s = progress.last_arrival_s if self.life.state is State.LIVE else now_s
        at_s = seen_s - self._origin_mono_s
        since_s = min(at_s, progress.until_s if progress.until_s is not None else at_s - silent_s)
        return SourceState(
            at_s=at_s, since_s=since_s, silent_s=silent_s, state=self.life.state.value, reason=self.life.reason
        )

    def _snapshot(self) -> bytes:
        return msgspec.json.encode(self.analysis.state())

    def _now_s(self) -> float:
        return self._monotonic() - self._origin_mono_s

    def _stuck(self, now_s: float) -> bool:
        since_s = self._progress.calling_since_s
        limit_s = max(self.profile.source.open_timeout_s, self.profile.source.read_timeout_s) + STUCK_AFTER_S
        return since_s is not None and now_s - since_s > limit_s


class _Progress:
    """How far a stream is, and what it cost; written by its thread, read by all."""

    TICK_S = 0.5

    def __init__(self, now_s: float) -> None:
        self.last_arrival_s = now_s
        self.until_s: float | None = None  # timeline
        self.reached_s: float | None = None  # the same, of this connection
        self.burst_s = 0.0
        self.reconnects = 0
        self.frames = 0
        self.calling_since_s: float | None = now_s
        self._segmented = False
        self._bursts = 0
        self._tick_s = now_s
        self._cpu_s = 0.0
        self._cpu_share = 0.0
        self._frames_at_tick = 0
        self._fps = 0.0

    def connected(self, now_s: float, container: str) -> None:
        self._segmented = any(name in container for name in SEGMENTED)
        self.burst_s = BURST_UNKNOWN_S if self._segmented else 0.0
        self._bursts = 0
        self.last_arrival_s = now_s
        self.reached_s = None

    def packet(self, now_s: float) -> None:
        gap_s = now_s - self.last_arrival_s
        self.last_arrival_s = now_s
        if self._segmented and gap_s > 0.2:
            self._bursts += 1
            if self._bursts > 2:
                self.burst_s = max(gap_s, 0.8 * self.burst_s)

    def frame(self, at_s: float, until_s: float) -> None:
        self.frames += 1
        self.reached(until_s)

    def reached(self, until_s: float) -> None:
        if self.until_s is None or until_s > self.until_s:
            self.until_s = until_s
        if self.reached_s is None or until_s > self.reached_s:
            self.reached_s = until_s

    def due(self, now_s: float) -> bool:
        return now_s - self._tick_s >= self.TICK_S

    def tick(self, now_s: float, cpu_s: float) -> None:
        span_s = now_s - self._tick_s
        share, fps = (cpu_s - self._cpu_s) / span_s, (self.frames - self._frames_at_tick) / span_s
        weight = min(1.0, span_s / 5.0) if self._cpu_s else 1.0
        self._cpu_share += weight * (share - self._cpu_share)
        self._fps += weight * (fps - self._fps)
        self._tick_s, self._cpu_s, self._frames_at_tick = now_s, cpu_s, self.frames

    def cpu_share(self, now_s: float) -> float:
        return self._cpu_share if now_s - self._tick_s < 5.0 else 0.0

    def fps(self, now_s: float) -> float:
        return self._fps if now_s - self._tick_s < 5.0 else 0.0

    def allowed_silence_s(self, stall_after_s: float) -> float:
        return stall_after_s + 1.5 * self.burst_s
