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
from msgspec.structs import replace

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core import halves, span
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.demand import Shape
from vqa_ray.core.incident import Transition
from vqa_ray.core.notice import Incident, notice_of
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, SourceState
from vqa_ray.core.source import Event, Life, State
from vqa_ray.core.still import Still
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.urls import redact
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import SourceError
from vqa_ray.media.live_watch import LiveWatch
from vqa_ray.media.manifest_watch import ManifestWatch
from vqa_ray.media.playlist_watch import PlaylistWatch
from vqa_ray.media.slots import Slot, Slots
from vqa_ray.media.source import Connection, EndOfMedia, SourceInfo, is_live, open_source
from vqa_ray.pipeline import overload
from vqa_ray.pipeline.about import About
from vqa_ray.pipeline.analysis import LASTING, NOT_ANALYSED, Analysis, Item, StreamState
from vqa_ray.pipeline.evidence import Keeper, Witness
from vqa_ray.pipeline.marks import mark
from vqa_ray.pipeline.progress import Progress
from vqa_ray.pipeline.report import StreamReport, Told, Warmth
from vqa_ray.pipeline.trail import Trail
from vqa_ray.sinks import traces

log = logging.getLogger(__name__)

LOOK_S = 0.25  # how often the watchdog looks
FIRST_REST_S, LONGEST_REST_S = 1.0, 300.0  # of a detector that failed; twice as long after each failure
STUCK_AFTER_S = 20.0  # a call into libav that is this much over its own time limit hangs
USUAL_FPS = 25.0  # where the container does not tell
WARM_S = 1.0  # of media that a rehearsal must have analysed: detectors have something to compare with
PRELUDE_S = 5.0  # of a file, analysed again without output before where its last owner came to
SEEN_BEFORE_S = 10.0  # media that begins further before the last owner's end than this is new all the same


class StreamRun:
    """A stream that is being watched. `start`, then `stop`; everything else may be called from any thread.

    rehearse: watch it without any output until `take_over`, while another has it.
    reached_s: how far the last owner is known to have come, where its snapshot does not tell. slots: of the process,
    shared by its live streams.
    """

    def __init__(
        self,
        stream: StreamSpec,
        profile: Profile,
        *,
        epoch: int = 0,
        snapshot: bytes | None = None,
        reached_s: float | None = None,
        rehearse: bool = False,
        tell: Callable[[Told], None],
        windows: Callable[[list[WindowRow]], None] | None = None,
        over: Callable[[str, int], bool] = lambda stream_id, epoch: False,
        keeper: Keeper | None = None,
        slots: Slots | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self.profile = profile
        self.epoch = epoch
        self._tell = tell
        self._over = over
        self._windows = windows
        self._monotonic = monotonic
        self._live = is_live(stream.url)
        self._slot = Slot(slots if self._live else None)  # a file never waits for input, and would leave none to others
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream-{stream.id}", daemon=True)
        resumed = self._resumable(snapshot)
        origin_utc = resumed.origin_utc if resumed else datetime.now(UTC)
        elapsed_s = (datetime.now(UTC) - origin_utc).total_seconds()
        self._origin_mono_s = monotonic() - (elapsed_s if self._live else 0.0)
        self._timeline = Timeline()
        self.analysis = Analysis(
            halves.whole(stream.id),
            profile.specs,
            origin_utc=origin_utc,
            labels=stream.labels,
            epoch=epoch,
            on_rows=self._rows,
            pts_minus_at_s=lambda: self._timeline.pts_minus_at_s,
            on_fault=self._detector_failed if self._live else None,
        )
        self._failing: dict[str, str] = {}  # detectors that are left out, and why
        self._mend_at_s = 0.0
        self._witness: Witness | None = None
        if keeper is not None:
            self._witness = Witness(keeper, profile.source, self.analysis.trace, monotonic=monotonic)
        self._of_the_source = [spec.id for spec in profile.specs if Input.SOURCE in spec.inputs]
        self._lasting = [spec.id for spec in profile.specs if set(LASTING) & set(spec.inputs)]
        self._expected_s = resumed.pts_minus_at_s if resumed and self._live else None  # by the first connection
        self._until_s: float | None = None  # what the last owner has analysed is not looked at again
        self._missed_since_s: float | None = None  # until a frame comes nobody knows what was here
        self._closed: Sequence[Transition] = ()  # by taking over, to be told
        self._was_down = False  # the source, when this was stopped
        self._half = profile.half
        self._rehearsing = rehearse
        if rehearse:
            self.analysis.rehearse()
        elif resumed:
            self._closed = self.analysis.resume(resumed)
            self._until_s = resumed.until_s
            if self._live:
                self._missed_since_s = resumed.watched_s if resumed.watched_s is not None else reached_s
        self.life = Life(since_s=monotonic())
        self._connection: Connection | None = None
        self._playlists: LiveWatch | None = None  # from the first connection on, if it is live HLS or DASH
        self._priority = stream.priority
        self._ladder = overload.HERE.join(self._priority, monotonic())
        self._progress = Progress(monotonic())
        self._fault: Exception | None = None  # of the watchdog's look
        self._shape: Shape | None = None
        self._source: SourceInfo | None = None
        self._trail: Trail | None = None  # of this connection, where traces are wanted

    # ---- from other threads

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def warmth(self, reached_s: float) -> Warmth:
        """Whether a rehearsal could take over from an owner that has come to `reached_s`."""
        with self._lock:
            if self.life.state in (State.BACKING_OFF, State.FAULTY, State.PARKED, State.ENDED, State.STOPPED):
                return Warmth.FAILED
            progress = self._progress
            no_gap = progress.began_s is not None and progress.began_s <= reached_s
            warm = self.life.state is State.LIVE and progress.seen_s >= WARM_S and no_gap
            return Warmth.WARM if warm else Warmth.COLD

    def take_over(self, epoch: int, snapshot: bytes | None) -> bool:
        """The rehearsal is over, the last owner has stopped: go on from its snapshot. False if that does not fit."""
        state = self._resumable(snapshot)
        with self._lock:
            fits = state is not None and state.origin_utc == self.analysis.origin_utc
            if state is None or not fits or not self._rehearsing or self._stopping.is_set():
                return False
            self.epoch = epoch
            self._rehearsing = False
            if state.watched_s is not None and (began_s := self._progress.began_s) is not None:
                self.analysis.missed(state.watched_s, began_s)
            self._tell_all(self.analysis.take_over(state, epoch))
        return True

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

    def still(self) -> Still | None:
        """The newest small picture, about a second old at most while pictures come; None where none are kept."""
        return self._witness.still if self._witness is not None else None

    def toll(self) -> dict[str, float]:
        """Share of the thread's time that each detector takes; empty while that is not known."""
        return self._progress.toll.shares()

    def about(self) -> About:
        """What its container says, and what was measured of it."""
        with self._lock:
            return About(source=self._source, gop_s=self._progress.gop_s)

    def snapshot(self) -> bytes:
        """Open incidents, running holds and how far it came, for the next owner. Final, once it was stopped."""
        with self._lock:
            return self._snapshot(released=True)

    def look(self) -> None:
        """The watchdog's look: tell of silence, whatever the thread is doing. An error in it is the stream's own."""
        now_s = self._monotonic()
        with self._lock:
            if not self._live or self.life.state in (State.STOPPED, State.ENDED) or self._fenced():
                return
            if self._fault is not None:
                return
            try:
                self._look(now_s)
            except Exception as error:
                log.exception("stream %s: the watchdog's look failed", self.stream.id)
                self._fault = error  # the stream's thread takes it from here, at its next packet

    def prioritise(self, priority: int) -> None:
        """From now on: who loses frames first when time is short."""
        with self._lock:
            self._priority = priority
            self._ladder.prioritise(priority)

    def report(self) -> StreamReport:
        """How the stream is now; snapshot included."""
        now_s = self._monotonic()
        with self._lock:
            progress = self._progress
            return StreamReport(
                stream_id=self.stream.id,
                epoch=self.epoch,
                state=self.life.state.value,
                reason=self.life.reason or "; ".join(self._failing.values()),
                at_s=progress.until_s or 0.0,
                cpu_share=progress.cpu_share(now_s),
                coverage=self.analysis.coverage.total,
                frames_came=self.analysis.coverage.came,
                frames_analysed=self.analysis.coverage.analysed,
                fps=progress.fps(now_s),
                tier=self._ladder.tier.value,
                open_incidents=sum(map(self._tells, self.analysis.book.open_incidents)),
                reconnects=progress.reconnects,
                faults=progress.faults,
                lag_s=self._ladder.lag_s,
                health=self.analysis.book.health.at(progress.until_s or 0.0),
                priority=self._priority,
                stuck=self._stuck(now_s),
                connected_once=progress.frames > 0,
                shape=self._shape,
                snapshot=self._snapshot(),
            )

    # ---- the stream's thread

    def _run(self) -> None:
        """Fence: nothing that one stream does may hurt another, and no error of ours passes for one of the source."""
        mark(lambda: (self.stream.id, self.epoch))
        with self._lock:
            self._tell_all(self._closed)
        while not self._stopping.is_set() and self.life.state not in (State.PARKED, State.ENDED):
            try:
                if self._wait_for_retry():
                    self._watch_once()
            except Exception as error:
                reason = redact(f"internal error: {type(error).__name__}: {error}")
                log.exception("stream %s: %s", self.stream.id, reason)
                self._faulted(reason)
        if self._playlists is not None:
            self._playlists.stop()
        with self._lock:
            self.analysis.flush()
            if self._witness is not None:
                self._witness.finish()
            if self._stopping.is_set():
                self._was_down = self.life.down
                self._event(Event.STOP, self._monotonic())

    def _watch_once(self) -> None:
        """One connection, from its beginning to whatever ends it."""
        try:
            self._connect_and_read()
        except SourceError as error:
            if self._trail is not None:
                self._trail.failed(str(error))
            self._failed(str(error))

    def _connect_and_read(self) -> None:
        self._progress.calling_since_s = self._monotonic()
        self._timeline.connect(self._now_s() if self._live else 0.0, self._floor_s())
        if self._expected_s is not None:
            self._timeline.expect(self._expected_s)
            self._expected_s = None
        options, witness = self.profile.source, self._witness
        options = replace(options, ring_bytes=0) if witness is None else witness.source(options)
        self._trail = Trail(self.stream.id, self.epoch, self.stream.url) if traces.HERE.on else None
        connection = open_source(self.stream.url, options, self._timeline, live=self._live)
        if self._trail is not None:
            self._trail.opened(connection.info)
        connection.tells_services = Input.SERVICES in self.analysis.wants
        connection.tells_coding = Input.CODING in self.analysis.wants
        connection.slot = self._slot
        self._connection = connection
        try:
            self._watch_playlists(connection.info.format)
            self._shape, self._source = _shape(connection.info), connection.info
            with self._lock:
                self.analysis.connected()
                if witness is not None:
                    witness.connected(connection.tape)
                self._progress.connected(self._monotonic(), segmented=connection.info.segmented)
                # another connection, another delay on the way, and it begins with all frames
                self._ladder = overload.HERE.join(self._priority, self._monotonic())
            self._read_all(connection)
        except EndOfMedia:
            self._ended()
        finally:
            self._progress.calling_since_s = None
            self._connection = None
            connection.close()

    def _floor_s(self) -> float | None:
        """Where a new connection's media may begin: not in what was analysed already, and not in the future."""
        return None if self._progress.until_s is None else min(self._progress.until_s, self._now_s())

    def _watch_playlists(self, container: str) -> None:
        if self._live and self._playlists is None and Input.PLAYLIST in self.analysis.wants:
            watch = ManifestWatch if container == "dash" else PlaylistWatch if "hls" in container else None
            if watch is not None:
                self._playlists = watch(self.stream.url, self.profile.source, now=self._monotonic)
                self._playlists.start()

    def _read_all(self, connection: Connection) -> None:
        progress = self._progress
        while not self._stopping.is_set():
            progress.calling_since_s = self._monotonic()
            items = connection.read()
            now_s = self._monotonic()
            progress.packet(now_s)
            with self._lock:
                if self._fenced():  # frozen until now, or its snapshot was given away: this is the next owner's
                    return
                self._raise_fault()
                if self.life.state is not State.LIVE:
                    self._event(Event.PACKET, now_s)
                if self._trail is not None and not self._trail.over and any(map(_is_media, items)):
                    self._trail.first_frame()
                self._take(items if self._until_s is None else self._new(items))
                # how late we are is told by fresh media only: where none came, it was the source that was late
                if self._live and items and progress.due(now_s) and any(map(_is_media, items)):
                    self._adapt(connection, now_s)
            items.clear()  # the decoder may use the buffer of the picture again

    def _fenced(self) -> bool:
        """Whether to stop: asked to, or the stream is another's by now."""
        if not self._rehearsing and self._over(self.stream.id, self.epoch):
            self._stopping.set()
        return self._stopping.is_set()

    def _take(self, items: Sequence[Item]) -> None:
        for item in items:
            self._count(item)
            self._feed(item)

    def _new(self, items: Sequence[Item]) -> Sequence[Item]:
        """Without the pictures and the sound that the last owner has analysed, but for those just before its end."""
        until_s = self._until_s
        media = [item for item in items if isinstance(item, Picture | AudioBlock)]
        if until_s is None or not media:
            return items
        at_s = media[-1].at_s
        if at_s >= until_s or (self._live and at_s < until_s - SEEN_BEFORE_S):
            self._until_s = None
            return items
        old_s = until_s if self._live else until_s - PRELUDE_S
        return [item for item in items if not isinstance(item, Picture | AudioBlock) or item.at_s >= old_s]

    def _count(self, item: Item) -> None:
        if self._missed_since_s is not None and isinstance(item, Picture | AudioBlock):
            self.analysis.missed(self._missed_since_s, item.at_s)
            self._missed_since_s = None
        witness = self._witness
        if isinstance(item, Picture):
            self._progress.frame(item.at_s, item.until_s)
            if item.key:
                self._progress.key_frame(item.at_s)
            self.analysis.coverage.count(item.at_s, 1, 1)
            if witness is not None and item.at_s >= witness.due_s:
                witness.take(item)
        elif isinstance(item, AudioBlock):
            self._progress.reached(item.at_s, item.until_s)
            if witness is not None and item.at_s >= witness.sound_due_s:
                witness.hear(item.at_s)

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
        tier = self._ladder.step(behind_s, now_s, slack_s=self._progress.slack_s)
        connection.batch = self._ladder.batch
        self._progress.delay_s = connection.batch.delay_s
        if tier is not connection.tier:
            log.warning("stream %s: %.1f s behind, now decodes: %s", self.stream.id, self._ladder.lag_s, tier.value)
            connection.tier = tier

    def _ended(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            now_s = self._monotonic()
            if self._live:
                self._disconnected()
                self._event(Event.FAILED, now_s, "the source ended")
            else:
                self._tell_all(self.analysis.finish())
                self._event(Event.FINISHED, now_s)

    def _failed(self, reason: str) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self._disconnected()
            now_s = self._monotonic()
            if self._live:
                self._event(Event.FAILED, now_s, reason)
            else:
                self._tell_all(self.analysis.finish())
                self._park(reason, now_s)
        log.warning("stream %s: %s", self.stream.id, reason)

    def _faulted(self, reason: str) -> None:
        """We failed, not the source: try again later, and say nothing of the source until then.

        Detectors are not asked any more, since one of them may be what failed. A file would fail there again.
        """
        with self._lock:
            if self._stopping.is_set():
                return
            now_s = self._monotonic()
            self._fault = None
            self._progress.faults += 1
            book = self.analysis.book
            if self.life.state in (State.PARKED, State.ENDED):
                return
            if self._live:
                self._tell_all(book.interrupt(lasting=self._lasting))
                self._missed_since_s = self._progress.until_s if not self._rehearsing else None
                self._event(Event.FAULTED, now_s, reason)
            else:
                self._tell_all(book.finish())
                self._park(reason, now_s)

    def _park(self, reason: str, now_s: float) -> None:
        self.life = replace(self.life, state=State.PARKED, since_s=now_s, reason=reason)

    def _wait_for_retry(self) -> bool:
        """Until the next try is due; whether there is one."""
        if self.life.state in (State.BACKING_OFF, State.FAULTY) and self.life.retry_at_s is not None:
            self._stopping.wait(max(0.0, self.life.retry_at_s - self._monotonic()))
            with self._lock:
                self._raise_fault()
                if not self._stopping.is_set():
                    self._progress.reconnects += 1
                    self._event(Event.RETRY_DUE, self._monotonic())
        return not self._stopping.is_set()

    # ---- with the lock held

    def _event(self, event: Event, now_s: float, reason: str = "") -> None:
        before = self.life
        self.life = before.after(event, now_s, self.profile.reconnect, reason=reason, draw=random.random())
        if self.life.state is not before.state:
            self._feed_state(now_s)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _detector_failed(self, name: str, error: Exception) -> None:
        """One of a live stream: it is left out for a while, longer after each failure, and the others watch on.

        It may have fallen over what is past in a moment; and a channel is watched better without it than not at all.
        """
        self._progress.faults += 1
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(self._progress.faults - 1, 20))
        self._mend_at_s = self._monotonic() + rest_s
        why = redact(f"{type(error).__name__}: {error}")
        self._failing[name] = f"detector {name} is left out, internal error: {why}"
        words = "stream %s: internal error in detector %s, which is left out for %.0f s: %s"
        log.error(words, self.stream.id, name, rest_s, why, exc_info=error)

    def _look(self, now_s: float) -> None:
        if self._failing and now_s >= self._mend_at_s:
            self._failing.clear()
            self.analysis.mend()
        silent_s = now_s - self._progress.last_arrival_s
        if self.life.state is State.LIVE and silent_s > self._progress.allowed_silence_s(
            self.profile.reconnect.stall_after_s
        ):
            self._event(Event.SILENT, now_s, f"no packet for {silent_s:.1f} s")
        self._feed_state(now_s)
        self._feed_playlists()
        if self._witness is not None and self._progress.until_s is not None:
            self._witness.look(self._progress.until_s)

    def _feed_state(self, now_s: float) -> None:
        if not self.life.unknown and self.life.state is not State.STOPPED:
            for name in self._of_the_source:
                self.analysis.book.explain(name, redact(self.life.reason))
            self._feed(self._source_state(now_s))

    def _feed(self, item: Item) -> None:
        toll = self._progress.toll
        timed = toll.due and threading.current_thread() is self._thread
        found = self.analysis.feed_timed(item, time.thread_time, toll.took) if timed else self.analysis.feed(item)
        if found:
            self._tell_all(found)

    def _feed_playlists(self) -> None:
        """What the playlists said, on the timeline: the wall clock, since they are ahead of all media."""
        for state in self._playlists.take() if self._playlists is not None else ():
            at_s, since_s = state.at_s - self._origin_mono_s, state.since_s - self._origin_mono_s
            self._feed(replace(state, at_s=at_s, since_s=since_s))

    def _tells(self, incident: Incident) -> bool:
        """Whether it is ours to tell: of a half, what is the other's is judged only for what it causes."""
        return self._half is None or self._half.tells(incident.detector)

    def _own(self, row: WindowRow) -> WindowRow | None:
        """The row, if it is of what is told here; that nothing was analysed is said of this half."""
        if self._half is None or self._half.tells(row.detector):
            return row
        return replace(row, part=halves.PART) if row.detector == NOT_ANALYSED else None

    def _rows(self, rows: list[WindowRow]) -> None:
        if self._half is not None:
            rows = [own for row in rows if (own := self._own(row)) is not None]
        if self._witness is not None:
            self._witness.rows(rows)
        if self._windows is not None:
            self._windows(rows)

    def _disconnected(self) -> None:
        self._tell_all(self.analysis.disconnected())

    def _tell_all(self, found: Sequence[Transition]) -> None:
        if self._half is not None:
            found = [(kind, incident) for kind, incident in found if self._tells(incident)]
        if not found:
            return
        if self._witness is not None:
            found = self._witness.note(found, self.analysis.book)
        noticed_utc, snapshot = datetime.now(UTC), self._snapshot()
        for kind, incident in found:
            notice = notice_of(kind, incident, noticed_utc)
            if traces.HERE.on:
                traces.HERE.put(span.detected(notice, self.epoch, self._trail.name if self._trail else ""))
            self._tell(Told(notice, self.epoch, snapshot, of=self.stream.id))

    def _source_state(self, now_s: float) -> SourceState:
        """Up or not, on the timeline: silence began where the last media that came ends, and when more was due.

        While it is up, it is so as of the last packet: only then is the silence that begins not called good at first.
        """
        progress = self._progress
        silent_s = now_s - progress.last_arrival_s if self.life.down else 0.0
        seen_s = progress.last_arrival_s if self.life.state is State.LIVE else now_s
        at_s = seen_s - self._origin_mono_s
        since_s = progress.until_s if progress.until_s is not None else at_s - silent_s
        if progress.burst_s:  # segments come in bursts, and are older than that: between them nothing is missing
            since_s = max(since_s, progress.last_arrival_s + progress.burst_s - self._origin_mono_s)
        return SourceState(
            at_s=at_s,
            since_s=min(at_s, since_s),
            silent_s=silent_s,
            state=self.life.state.value,
            reason=self.life.reason,
        )

    def _snapshot(self, *, released: bool = False) -> bytes:
        """A file's always says how far it is: whoever goes on with it goes on there. One at its end begins anew."""
        if (self._live and not released) or self.life.state is State.ENDED:
            return msgspec.json.encode(self.analysis.state())
        until_s = max((at for at in (self._progress.until_s, self._until_s) if at is not None), default=None)
        watched_s = self._now_s() if self._was_down or self.life.down else self._missed_since_s or until_s
        url = "" if self._live else self.stream.url
        return msgspec.json.encode(self.analysis.state(until_s, watched_s, reached=True, url=url))

    def _resumable(self, snapshot: bytes | None) -> StreamState | None:
        """The snapshot, unless it is another file's."""
        state = msgspec.json.decode(snapshot, type=StreamState) if snapshot else None
        return None if state is not None and state.url and state.url != self.stream.url else state

    def _now_s(self) -> float:
        return self._monotonic() - self._origin_mono_s

    def _stuck(self, now_s: float) -> bool:
        since_s = self._progress.calling_since_s
        limit_s = max(self.profile.source.open_timeout_s, self.profile.source.read_timeout_s) + STUCK_AFTER_S
        return since_s is not None and now_s - since_s > limit_s


def _is_media(item: Item) -> bool:
    return isinstance(item, Picture | AudioBlock)


def _shape(info: SourceInfo) -> Shape | None:
    """What the stream will take can be told from it, before that is measured."""
    video = info.video
    if video is None:
        return None
    return Shape(width=video.width, height=video.height, fps=video.fps or USUAL_FPS, codec=video.codec)
