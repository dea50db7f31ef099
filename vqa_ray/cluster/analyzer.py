"""The analyzer actor: one process with many streams, a thread each. It holds leases, beats, and tells at once.

Methods only start or end things; what lasts runs in daemon threads: a method that loops, or a thread that is no
daemon, would keep a dying process alive.
"""

import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from vqa_ray.cluster import port, process
from vqa_ray.cluster.messages import (
    SUPERVISOR,
    Assignment,
    Beat,
    BeatReply,
    ClusterOptions,
    Handed,
    Held,
    Hello,
    Released,
    Setup,
)
from vqa_ray.cluster.outlets import Outlets
from vqa_ray.cluster.port import Away, Gone, in_group
from vqa_ray.cluster.teller import Link, Teller
from vqa_ray.core.lease import Leases, Over
from vqa_ray.core.still import image, jpeg
from vqa_ray.errors import ClusterError, VqaError
from vqa_ray.pipeline.about import About
from vqa_ray.pipeline.marks import about
from vqa_ray.pipeline.worker import StreamReport, Told, Warmth

log = logging.getLogger(__name__)

BEAT_TIMEOUT_S = 2.0
RELEASE_S = 5.0
REHEARSED_S = 10.0  # a rehearsal that nobody asks about for so long ends
ORPHAN_AFTER_S = 60.0  # without a supervisor, beyond the grace: nobody will come for this process


class SupervisorLink(Link, Protocol):
    """The way to the supervisor, for beats too."""

    def heartbeat(self, beat: Beat, timeout_s: float) -> BeatReply:
        """Raises Away or Gone when Ray says that there is no supervisor, ClusterError when no answer comes."""


class RayLink:
    """Through Ray, by the supervisor's name; a new supervisor of that name is found again."""

    def __init__(self) -> None:
        self._handle: port.Handle | None = None
        self._supervisor = ""  # its incarnation, as of its last answer

    def heartbeat(self, beat: Beat, timeout_s: float) -> BeatReply:
        """See SupervisorLink."""
        reply: BeatReply = self._call("heartbeat", beat, timeout_s=timeout_s)
        self._supervisor = reply.supervisor
        return reply

    def tell(self, handed: Sequence[Handed], timeout_s: float) -> None:
        """See Link. Addressed to the process that answered last: Ray would give a late call to its successor."""
        self._call("tell", handed, self._supervisor, timeout_s=timeout_s)

    def _call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        handle = self._handle or port.find(SUPERVISOR)
        if handle is None:
            raise Gone("there is no supervisor")
        self._handle = handle
        try:
            return port.call(handle, method, *arguments, timeout_s=timeout_s)
        except Gone:
            self._handle = None
            raise


def _exit() -> None:
    os._exit(0)


class Analyzer:
    """Named `analyzer-<n>`, detached. Its methods answer at once, but for `release`, `watch` and `stop`.

    end: what to do when nobody needs this process any more.
    """

    def __init__(
        self,
        name: str,
        options: ClusterOptions,
        setup: Setup,
        *,
        link: SupervisorLink | None = None,
        end: Callable[[], None] = _exit,
    ) -> None:
        process.log_to_stderr(name)
        self._options = options
        self._hello = Hello(name=name, incarnation=process.incarnation(), pid=os.getpid(), node_id=port.node_id())
        self._link = link or RayLink()
        self._end = end
        self._ended = threading.Event()
        self._outlets = Outlets(f"{name}-{os.getpid()}", name)
        self._try_to_configure(setup)
        self._lock = threading.Lock()  # of leases, versions, known, rehearsals and supervisor
        self._leases = Leases(options.lease_s, options.grace_s)
        self._teller = Teller(self._link, deliver=self._deliver, taken=self._outlets.incident, name=name)
        self._worker = _load(options.worker)(
            name,
            tell=self._tell,
            windows=self._outlets.windows,
            over=self._over,
            keeper=self._outlets.evidence,
            cores=options.cores,
        )
        self._versions: dict[tuple[str, int], str] = {}
        self._known: dict[str, bytes] = {}  # snapshots that the supervisor has
        self._rehearsals: dict[str, float] = {}  # streams that may come here, and when somebody asked about them last
        self._supervisor = ""
        self._number = 0
        self._answered_s = time.monotonic()
        self._meter = _Meter()
        self._ending = process.on_sigterm() if self._hello.node_id else process.Ending()
        self._teller.start()
        threading.Thread(target=self._beat_on, name=f"heart-{name}", daemon=True).start()

    def __repr__(self) -> str:
        return f"Analyzer({self._hello.name})"

    # ---- what the supervisor asks

    @in_group("control")
    def hello(self) -> Hello:
        """Who this is."""
        return self._hello

    @in_group("control")
    def inventory(self) -> Beat:
        """A beat on demand, all snapshots in it: for a supervisor that was restarted."""
        with self._lock:
            self._known.clear()
        return self._beat()

    @in_group("control")
    def configure(self, setup: Setup) -> None:
        """Where results go from now on; VqaError if that cannot be opened."""
        self._outlets.configure(setup)

    @in_group("control")
    def prepare(self, assignment: Assignment) -> None:
        """Watch a stream of another analyzer's without any output, so as to be warm when it comes here."""
        stream_id = assignment.stream.id
        with self._lock:
            self._rehearsals[stream_id] = time.monotonic()
        self._worker.prepare(assignment.stream, assignment.profile, assignment.snapshot)

    @in_group("control")
    def warmth(self, stream_id: str, reached_s: float) -> Warmth:
        """Whether a rehearsed stream could be taken over without a gap from an owner that has come to `reached_s`."""
        with self._lock:
            if stream_id not in self._rehearsals:
                return Warmth.FAILED
            self._rehearsals[stream_id] = time.monotonic()
        warmth: Warmth = self._worker.warmth(stream_id, reached_s)
        return warmth

    @in_group("control")
    def dismiss(self, stream_id: str) -> None:
        """The stream does not come here."""
        with self._lock:
            self._rehearsals.pop(stream_id, None)
        self._worker.dismiss(stream_id)

    @in_group("control")
    def assign(self, assignment: Assignment) -> int:
        """Watch a stream; again is fine. The number of the last beat that may not list it. StaleEpoch if older."""
        stream_id, epoch = assignment.stream.id, assignment.epoch
        with self._lock:
            self._leases.hold(stream_id, epoch, time.monotonic())
            self._versions[stream_id, epoch] = assignment.version
            self._rehearsals.pop(stream_id, None)
        try:
            self._worker.assign(assignment.stream, assignment.profile, epoch, assignment.snapshot, assignment.reached_s)
        except VqaError:
            self._drop(stream_id, epoch)
            raise
        return self._number

    @in_group("control")
    def release(self, stream_id: str, epoch: int) -> Released:
        """Stop a stream at a frame boundary; its snapshot, and what was not acknowledged."""
        self._drop(stream_id, epoch)
        snapshot = self._worker.release(stream_id, epoch, RELEASE_S)
        return Released(snapshot=snapshot, handed=self._teller.pending(stream_id))

    @in_group("control")
    def still(self, stream_id: str) -> bytes | None:
        """The stream's newest small picture as JPEG; None where there is none."""
        still = self._worker.still(stream_id)
        return jpeg(image(still)) if still is not None else None

    @in_group("control")
    def about(self, stream_id: str) -> About:
        """What is known of a stream's source."""
        known: About = self._worker.about(stream_id)
        return known

    @in_group("control")
    def toll(self, stream_id: str) -> dict[str, float]:
        """Share of a stream's time that each of its detectors takes; empty while that is not known."""
        known: dict[str, float] = self._worker.toll(stream_id)
        return known

    @in_group("watch")
    def watch(self, timeout_s: float) -> None:
        """Returns after a while; fails at once when this process dies, which is what it is for."""
        self._ended.wait(timeout_s)

    @in_group("control")
    def stop(self) -> None:
        """Ends everything here in bounded time; the process is killed afterwards."""
        self._ended.set()
        self._worker.stop(RELEASE_S)
        self._teller.stop(2.0)
        self._outlets.close()

    # ---- the heart

    def _beat_on(self) -> None:
        """Fence: a beat that fails is logged, the next one is due anyway; at once where one took its time."""
        wait_s = self._options.beat_s
        while not self._ended.wait(wait_s):
            began_s = time.monotonic()
            try:
                self._beat_once()
            except Exception:
                log.exception("a beat failed")
            wait_s = max(0.0, self._options.beat_s - (time.monotonic() - began_s))

    def _beat_once(self) -> None:
        asked_s = time.monotonic()
        with self._lock:
            asked = self._leases.held
        beat = self._beat()
        port.entitle(f"{self._hello.name}, {len(beat.held)} streams")
        try:
            reply = self._link.heartbeat(beat, BEAT_TIMEOUT_S)
        except (Away, Gone):
            with self._lock:
                self._leases.away()
        except ClusterError as error:
            log.warning("a beat was not answered: %s", error)
        else:
            self._heard(beat, reply, asked, asked_s)
        with self._lock:
            now_s = time.monotonic()
            over = self._leases.expired(now_s)
            forgotten = [s for s, asked_s in self._rehearsals.items() if now_s - asked_s > REHEARSED_S]
        self._give_up(over)
        for stream_id in forgotten:
            self.dismiss(stream_id)
        if self._ending.overdue:
            self._leave("told to end, and others did not take its streams in time")
        if time.monotonic() - self._answered_s > self._options.grace_s + ORPHAN_AFTER_S:
            self._leave("no supervisor")

    def _heard(self, beat: Beat, reply: BeatReply, asked: dict[str, int], asked_s: float) -> None:
        if not reply.known:
            self._leave("the supervisor does not know this process")
            return
        self._answered_s = time.monotonic()
        refused = [(ended.stream_id, ended.epoch) for ended in reply.ended]
        with self._lock:
            over = self._leases.answered(asked, asked_s, refused, time.monotonic())
            if reply.supervisor != self._supervisor:
                self._supervisor = reply.supervisor
                self._known.clear()
            else:
                sent = {h.report.stream_id: h.report.snapshot for h in beat.held}
                self._known.update({s: snapshot for s, snapshot in sent.items() if snapshot is not None})
        self._give_up(over)
        for stream_id, priority in reply.priorities.items():
            self._worker.prioritise(stream_id, priority)

    def _beat(self) -> Beat:
        """What is held, now. A snapshot goes along when it has changed, and all it says is journaled.

        Were it known before its transitions are, and this process died, the next owner would take for told what
        nobody was told.
        """
        self._number += 1  # before the reports: see `assign`
        number = self._number
        reports = self._worker.reports()
        untold = self._teller.waiting_streams()
        with self._lock:
            leases = self._leases.held
            held = tuple(
                self._held(report, told=report.stream_id not in untold)
                for report in reports
                if leases.get(report.stream_id) == report.epoch
            )
        load = self._meter.load()
        return Beat(
            hello=self._hello,
            number=number,
            held=held,
            load=load,
            rss_bytes=process.rss_bytes(),
            ending=self._ending.asked,
            evidence_lost=self._outlets.evidence.lost,
            transitions_lost=self._teller.dropped,
        )

    def _held(self, report: StreamReport, *, told: bool) -> Held:
        if not told or self._known.get(report.stream_id) == report.snapshot:
            report = msgspec.structs.replace(report, snapshot=None)
        return Held(report=report, version=self._versions.get((report.stream_id, report.epoch), ""))

    def _over(self, stream_id: str, epoch: int) -> bool:
        """Whether the stream is no longer ours, at this very moment; the heart finds out only at its next beat."""
        with self._lock:
            return self._leases.over(stream_id, epoch, time.monotonic())

    def _tell(self, told: Told) -> None:
        stream_id = told.assigned
        if self._over(stream_id, told.epoch):
            words = "stream %s, epoch %d: %s is not told, its lease is over"
            log.warning(words, stream_id, told.epoch, told.notice.key, extra=about(stream_id, told.epoch))
        else:
            self._teller.put(told)

    def _deliver(self, told: Told) -> bool:
        if self._over(told.assigned, told.epoch):
            return False  # its next owner tells
        if self._outlets.silent(told.notice.incident):
            return False  # the supervisor decides, when it is back
        self._outlets.deliver(told.notice)
        return True

    def _give_up(self, over: Sequence[Over]) -> None:
        """Stops streams whose lease is over; not on the caller's thread, since one may hang."""
        for one in over:
            words = "stream %s, epoch %d: stopped, its lease is %s"
            log.warning(words, one.stream_id, one.epoch, one.cause, extra=about(one.stream_id, one.epoch))
            self._drop(one.stream_id, one.epoch)
            threading.Thread(
                target=self._worker.release, args=(one.stream_id, one.epoch, RELEASE_S), daemon=True
            ).start()

    def _drop(self, stream_id: str, epoch: int) -> None:
        with self._lock:
            self._leases.drop(stream_id, epoch)
            self._versions.pop((stream_id, epoch), None)
            if stream_id not in self._leases.held:
                self._known.pop(stream_id, None)

    def _leave(self, why: str) -> None:
        log.warning("%s ends: %s", self._hello.name, why)
        self.stop()
        self._end()

    def _try_to_configure(self, setup: Setup) -> None:
        try:
            self._outlets.configure(setup)
        except VqaError as error:  # analysis and alerts matter more than where results are kept
            log.error("results are not kept: %s", error)


class _Meter:
    """CPU seconds of this process a second, since the last look."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = time.process_time(), time.monotonic()

    def load(self) -> float:
        cpu_s, wall_s = time.process_time(), time.monotonic()
        spent_s, span_s = cpu_s - self._cpu_s, wall_s - self._wall_s
        self._cpu_s, self._wall_s = cpu_s, wall_s
        return spent_s / span_s if span_s > 0 else 0.0


def _load(path: str) -> Any:
    """The object at `module:name`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
