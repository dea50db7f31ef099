"""Where evidence is made and kept, off the streams' threads: one thread and one bounded queue a process.

A slow store fills the queue, and then evidence is dropped and counted; no stream ever waits for it. Only what reads
files, which may wait, does. After each case the thread rests as long as it worked: streams share its core and the GIL.
"""

import logging
import threading
import time
from collections import deque
from typing import Protocol

import msgspec

from vqa_ray.core.evidence import START, EvidenceOptions, day_of, place
from vqa_ray.core.notice import Incident
from vqa_ray.errors import VqaError
from vqa_ray.pipeline.evidence import case as making
from vqa_ray.pipeline.evidence.case import Case

log = logging.getLogger(__name__)

CASES = 512
HELD_BYTES = 128 << 20
DECODING_UP_TO = 32  # waiting cases: with more of them, strips go without frames that are decoded for them
CLOSE_S = 5.0
REST_S = 1.0  # at most
DAYS = 1000  # of streams whose use is remembered


class EvidenceFiles(Protocol):
    """Where files go; see `sinks.evidence.EvidenceStore`."""

    def write(self, path: str, data: bytes) -> None:
        """VqaError if that fails."""
        ...

    def used_bytes(self, day: str, stream_id: str) -> int:
        """What is there already."""
        ...


class DeskStats(msgspec.Struct, frozen=True, kw_only=True):
    """Since the start. made: moments complete; clips, written_bytes: of these, kept; left_out: files for a day's limit.

    dropped: moments without room in the queue, or refused since the day is used up; failed: those whose store or making
    failed; waiting: in the queue.
    """

    made: int = 0
    clips: int = 0
    written_bytes: int = 0
    left_out: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0
    last_error: str = ""


class Desk:
    """A `Keeper` in front of a store. base: address of its folder `evidence`; wait: `put` waits for room."""

    def __init__(
        self,
        files: EvidenceFiles,
        options: EvidenceOptions,
        *,
        base: str,
        wait: bool = False,
        cases: int = CASES,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.options = options
        self._files = files
        self._base = base.rstrip("/")
        self._wait = wait
        self._most, self._most_bytes = cases, held_bytes
        self._changed = threading.Condition()
        self._queue: deque[Case] = deque()
        self._held_bytes = 0
        self._counts = dict.fromkeys(("made", "clips", "written_bytes", "left_out", "dropped", "failed"), 0)
        self._last_error = ""
        self._used: dict[tuple[str, str], int] = {}  # by day and stream; of this thread
        self._spent: set[tuple[str, str]] = set()
        self._deadline_s: float | None = None  # monotonic; set by close()
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    def link(self, incident: Incident) -> str:
        """Where the incident's evidence will be."""
        return f"{self._base}/{place(incident)}"

    def put(self, case: Case) -> bool:
        """Takes a case; False, counted, when there is no room, or the stream's day is used up. Any thread."""
        size = case.size_bytes
        with self._changed:
            while self._wait and self._deadline_s is None and not self._fits(size):
                self._changed.wait(1.0)
            begins = case.moment == START and not case.final
            spent = begins and (day_of(case.incident), case.incident.stream_id) in self._spent
            if self._deadline_s is not None or spent or not self._fits(size):
                self._counts["dropped"] += 1
                if self._counts["dropped"] == 1:
                    log.error("evidence is dropped: %s", "a stream's day is used up" if spent else "no room for more")
                return False
            self._queue.append(case)
            self._held_bytes += size
            self._changed.notify_all()
        return True

    def stats(self) -> DeskStats:
        """Counts since the start."""
        with self._changed:
            return DeskStats(**self._counts, waiting=len(self._queue), last_error=self._last_error)

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Makes what waits, as far as time allows, and ends within about `timeout_s`; whether nothing was left."""
        with self._changed:
            self._deadline_s = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s)
        with self._changed:
            self._counts["dropped"] += len(self._queue)
            self._queue.clear()
        return not self._thread.is_alive() and not self._counts["dropped"]

    def _fits(self, size: int) -> bool:
        """One larger than all room fits when nothing else waits."""
        return len(self._queue) < self._most and (not self._queue or self._held_bytes + size <= self._most_bytes)

    def _run(self) -> None:
        """Fence: whatever becomes of one case, the next is made."""
        while (case := self._next()) is not None:
            began_s = time.monotonic()
            try:
                self._make(case)
            except Exception as error:
                words = str(error) if isinstance(error, VqaError) else f"{type(error).__name__}: {error}"
                if words != self._last_error:
                    ours = not isinstance(error, VqaError)
                    log.warning("evidence of %s is not kept: %s", case.incident.incident_id, words, exc_info=ours)
                self._count("failed")
                self._last_error = words
            self._done(case)
            if not self._wait:
                self._rest(time.monotonic() - began_s)

    def _rest(self, worked_s: float) -> None:
        """As long as the work took, which is more the busier the machine is; not when it is time to end."""
        until_s = time.monotonic() + min(worked_s, REST_S)
        with self._changed:
            while self._deadline_s is None and (left_s := until_s - time.monotonic()) > 0:
                self._changed.wait(left_s)

    def _next(self) -> Case | None:
        with self._changed:
            while not self._queue and self._deadline_s is None:
                self._changed.wait()
            if not self._queue or (self._deadline_s is not None and time.monotonic() >= self._deadline_s):
                return None
            return self._queue[0]

    def _done(self, case: Case) -> None:
        with self._changed:
            if self._queue and self._queue[0] is case:
                self._queue.popleft()
            self._held_bytes = max(0, self._held_bytes - case.size_bytes)
            self._changed.notify_all()

    def _make(self, case: Case) -> None:
        with self._changed:
            decode = len(self._queue) <= DECODING_UP_TO or self._wait
        files = making.pictures(case, self.options, decode=decode)
        if case.final:
            made = making.clip_of(case, self.options)
            if made is not None and not self._affordable(case, len(made[0].data) + sum(len(d) for _, d in files)):
                made = None
                self._count("left_out")
            if made is not None:
                files.append((f"{case.moment}{made[0].container.suffix}", made[0].data))
            files.append(making.record(case, self.options, made))
        if not self._affordable(case, sum(len(data) for _, data in files)):
            self._count("left_out")
            with self._changed:
                self._spent.add((day_of(case.incident), case.incident.stream_id))
            return
        folder = place(case.incident)
        for name, data in files:
            self._files.write(f"{folder}/{name}", data)
            self._use(case, len(data))
        case.exact.told = bool(case.exact.stills)
        if case.final:
            self._count("made")
            self._count("clips", made is not None)
        self._last_error = ""

    def _affordable(self, case: Case, size: int) -> bool:
        key = day_of(case.incident), case.incident.stream_id
        if key not in self._used:
            if len(self._used) >= DAYS:
                self._used.clear()
                with self._changed:
                    self._spent.clear()
            self._used[key] = self._files.used_bytes(*key)
        return self._used[key] + size <= self.options.per_day_bytes

    def _use(self, case: Case, size: int) -> None:
        self._used[day_of(case.incident), case.incident.stream_id] += size
        self._count("written_bytes", size)

    def _count(self, name: str, by: int = 1) -> None:
        with self._changed:
            self._counts[name] += by
