"""Many streams in one process: a thread each, and one watchdog for all."""

import logging
import threading
from collections.abc import Callable

import cv2

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core.window import WindowRow
from vqa_ray.errors import StaleEpoch
from vqa_ray.pipeline.stream import LOOK_S, StreamReport, StreamRun, Told

log = logging.getLogger(__name__)

__all__ = ["StreamReport", "Told", "Worker"]


class Worker:
    """The streams that this process watches.

    tell: called on a stream's thread with each transition; must return at once.
    windows: takes finished rows, from a stream's thread; must return at once.
    """

    def __init__(
        self, name: str, *, tell: Callable[[Told], None], windows: Callable[[list[WindowRow]], None] | None = None
    ) -> None:
        cv2.setNumThreads(1)  # a thread a stream is all the parallelism there is
        self.name = name
        self._tell = tell
        self._windows = windows
        self._lock = threading.Lock()
        self._runs: dict[str, StreamRun] = {}
        self._ended = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name=f"watchdog-{name}", daemon=True)
        self._watchdog.start()

    def assign(self, stream: StreamSpec, profile: Profile, epoch: int, snapshot: bytes | None = None) -> None:
        """Watch `stream` from now on. Repeating it changes nothing; a newer epoch replaces; StaleEpoch for an older."""
        with self._lock:
            before = self._runs.get(stream.id)
            if before is not None and before.epoch > epoch:
                raise StaleEpoch(f"stream {stream.id}: epoch {epoch} is older than {before.epoch}, which runs here")
            if before is not None and before.epoch == epoch:
                return
            run = StreamRun(stream, profile, epoch=epoch, snapshot=snapshot, tell=self._tell, windows=self._windows)
            self._runs[stream.id] = run
        if before is not None:
            before.stop()
        run.start()

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

    def reports(self) -> list[StreamReport]:
        """How each stream is, by id."""
        with self._lock:
            runs = sorted(self._runs.items())
        return [run.report() for _, run in runs]

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop all streams and the watchdog, in at most about `timeout_s`."""
        self._ended.set()
        with self._lock:
            runs = list(self._runs.values())
            self._runs.clear()
        for run in runs:
            run.stop(0.0)
        for run in runs:
            run.stop(timeout_s / max(1, len(runs)) + 0.5)
        self._watchdog.join(LOOK_S * 4)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            with self._lock:
                runs = list(self._runs.values())
            for run in runs:
                run.look()
