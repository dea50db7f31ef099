"""Many streams in one process: a thread each, and one watchdog for all."""

import logging
import threading
from collections.abc import Callable
from typing import ClassVar

import cv2

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core.still import Still
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import StaleEpoch
from vqa_ray.media.slots import Slots
from vqa_ray.pipeline.about import About
from vqa_ray.pipeline.evidence import Keeper
from vqa_ray.pipeline.report import StreamReport, Told, Warmth
from vqa_ray.pipeline.stream import LOOK_S, StreamRun

log = logging.getLogger(__name__)

__all__ = ["StreamReport", "Told", "Warmth", "Worker"]


class Worker:
    """The streams that this process watches.

    tell: called on a stream's thread with each transition; must return at once.
    windows: takes finished rows, from a stream's thread; must return at once. keeper: takes evidence, likewise; without
    one none is gathered. over: whether a stream, in an epoch, is no longer ours: asked before each packet is analysed.
    cores: that this process has, and so how many live streams work at once.
    """

    Run: ClassVar[type[StreamRun]] = StreamRun

    def __init__(
        self,
        name: str,
        *,
        tell: Callable[[Told], None],
        windows: Callable[[list[WindowRow]], None] | None = None,
        over: Callable[[str, int], bool] = lambda stream_id, epoch: False,
        keeper: Keeper | None = None,
        cores: float = 1.0,
    ) -> None:
        cv2.setNumThreads(1)  # a thread a stream is all the parallelism there is
        self.name = name
        self._tell = tell
        self._windows = windows
        self._over = over
        self._keeper = keeper
        self._slots = Slots(cores)
        self._lock = threading.Lock()
        self._runs: dict[str, StreamRun] = {}
        self._rehearsals: dict[str, StreamRun] = {}
        self._ended = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name=f"watchdog-{name}", daemon=True)
        self._watchdog.start()

    def prepare(self, stream: StreamSpec, profile: Profile, snapshot: bytes) -> None:
        """Rehearse: watch `stream` without any output, while another analyzer (or this one) has it still."""
        run = self.Run(
            stream,
            profile,
            snapshot=snapshot,
            rehearse=True,
            tell=self._tell,
            windows=self._windows,
            over=self._over,
            keeper=self._keeper,
            slots=self._slots,
        )
        with self._lock:
            before, self._rehearsals[stream.id] = self._rehearsals.get(stream.id), run
        if before is not None:
            before.stop(0.0)
        run.start()

    def warmth(self, stream_id: str, reached_s: float) -> Warmth:
        """Whether a rehearsal could take over from an owner that has come to `reached_s`."""
        with self._lock:
            run = self._rehearsals.get(stream_id)
        return run.warmth(reached_s) if run is not None else Warmth.FAILED

    def dismiss(self, stream_id: str) -> None:
        """End a rehearsal, if there is one; its thread ends at its next packet."""
        with self._lock:
            run = self._rehearsals.pop(stream_id, None)
        if run is not None:
            run.stop(0.0)

    def assign(
        self,
        stream: StreamSpec,
        profile: Profile,
        epoch: int,
        snapshot: bytes | None = None,
        reached_s: float | None = None,
    ) -> None:
        """Watch `stream` from now on, with what was rehearsed if that is of the same stream and profile.

        Repeating it changes nothing; a newer epoch replaces; StaleEpoch for an older. snapshot: of the last owner;
        reached_s: how far it is known to have come, in seconds of the stream.
        """
        with self._lock:
            before = self._runs.get(stream.id)
            if before is not None and before.epoch > epoch:
                raise StaleEpoch(f"stream {stream.id}: epoch {epoch} is older than {before.epoch}, which runs here")
            if before is not None and before.epoch == epoch:
                return
            rehearsed = self._rehearsals.pop(stream.id, None)
        if before is not None:
            before.stop()
        run = rehearsed if rehearsed and self._takes_over(rehearsed, stream, profile, epoch, snapshot) else None
        if run is None:
            run = self.Run(
                stream,
                profile,
                epoch=epoch,
                snapshot=snapshot,
                reached_s=reached_s,
                tell=self._tell,
                windows=self._windows,
                over=self._over,
                keeper=self._keeper,
                slots=self._slots,
            )
            run.start()
        with self._lock:
            self._runs[stream.id] = run
        if rehearsed is not None and rehearsed is not run:
            rehearsed.stop(0.0)

    @staticmethod
    def _takes_over(run: StreamRun, stream: StreamSpec, profile: Profile, epoch: int, snapshot: bytes | None) -> bool:
        return (run.stream, run.profile) == (stream, profile) and run.take_over(epoch, snapshot)

    def release(self, stream_id: str, epoch: int, timeout_s: float = 5.0) -> bytes | None:
        """Stop watching at a frame boundary; its open incidents and running holds for the next owner.

        None when the stream is not here in that epoch.
        """
        with self._lock:
            run = self._runs.get(stream_id)
            if run is None or run.epoch != epoch:
                return None
            del self._runs[stream_id]
        if not run.stop(timeout_s):
            log.error("stream %s: its thread did not end within %.1f s", stream_id, timeout_s)
        return run.snapshot()

    def about(self, stream_id: str) -> About:
        """What is known of the stream's source; nothing where it is not here."""
        with self._lock:
            run = self._runs.get(stream_id)
        return run.about() if run is not None else About()

    def toll(self, stream_id: str) -> dict[str, float]:
        """Share of the stream's time that each detector takes; empty while that is not known, or it is not here."""
        with self._lock:
            run = self._runs.get(stream_id)
        return run.toll() if run is not None else {}

    def prioritise(self, stream_id: str, priority: int) -> None:
        """Another priority for a stream from now on, without interrupting it; nothing where it is not here."""
        with self._lock:
            run = self._runs.get(stream_id)
        if run is not None:
            run.prioritise(priority)

    def still(self, stream_id: str) -> Still | None:
        """The stream's newest small picture; None where there is none."""
        with self._lock:
            run = self._runs.get(stream_id)
        return run.still() if run is not None else None

    def reports(self) -> list[StreamReport]:
        """How each stream is, by id."""
        with self._lock:
            runs = sorted(self._runs.items())
        return [run.report() for _, run in runs]

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop all streams and the watchdog, in at most about `timeout_s`."""
        self._ended.set()
        with self._lock:
            runs = [*self._runs.values(), *self._rehearsals.values()]
            self._runs.clear()
            self._rehearsals.clear()
        for run in runs:
            run.stop(0.0)
        for run in runs:
            run.stop(timeout_s / max(1, len(runs)) + 0.5)
        self._watchdog.join(LOOK_S * 4)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            with self._lock:
                runs = [*self._runs.values(), *self._rehearsals.values()]
            for run in runs:
                run.look()
