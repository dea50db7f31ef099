"""What the streams of this process decide together, since they share its time: who leaves out frames, and how much each
takes at once.
"""

import threading
import time
from collections.abc import Callable

from vqa_ray.core.batch import Batch, Batching
from vqa_ray.core.ladder import Tier
from vqa_ray.core.triage import Member, Triage

METER_S = 1.0  # over which the CPU time of the process is measured


class Overload:
    """`Triage` for threads. cpu_s: CPU seconds of the process so far."""

    def __init__(self, cpu_s: Callable[[], float] = time.process_time) -> None:
        self._lock = threading.Lock()
        self._triage = Triage()
        self._cpu_s = cpu_s
        self._measured_s, self._used_s = float("-inf"), 0.0
        self._busy_share = 0.0
        self._batching = Batching()

    def join(self, priority: int, now_s: float) -> "SharedLadder":
        """The ladder of a new connection."""
        with self._lock:
            return SharedLadder(self, self._triage.join(priority, now_s))

    def step(self, ladder: "SharedLadder", behind_s: float, now_s: float, slack_s: float) -> Tier:
        """See `Triage.step`."""
        with self._lock:
            self._measure(now_s)
            return self._triage.step(ladder.member, behind_s, now_s, self._busy_share, slack_s=slack_s)

    @property
    def batch(self) -> Batch:
        """What each stream takes at once now."""
        return self._batching.batch

    def prioritise(self, ladder: "SharedLadder", priority: int) -> None:
        """Another priority from now on."""
        with self._lock:
            ladder.member.priority = priority

    def _measure(self, now_s: float) -> None:
        span_s = now_s - self._measured_s
        if span_s >= METER_S:
            used_s = self._cpu_s()
            self._busy_share = (used_s - self._used_s) / span_s
            self._measured_s, self._used_s = now_s, used_s
            self._batching.look(self._busy_share)


class SharedLadder:
    """What one stream sees of it; like a `Ladder` of its own."""

    def __init__(self, overload: Overload, member: Member) -> None:
        self.member = member
        self._overload = overload

    @property
    def tier(self) -> Tier:
        """The rung now."""
        return self.member.ladder.tier

    @property
    def lag_s(self) -> float:
        """How far analysis is behind, beyond what the way to us takes."""
        return self.member.ladder.lag_s

    @property
    def batch(self) -> Batch:
        """What the stream takes at once from now on."""
        return self._overload.batch

    def step(self, behind_s: float, now_s: float, *, slack_s: float = 0.0) -> Tier:
        """The rung from now on; see `Ladder.step`."""
        return self._overload.step(self, behind_s, now_s, slack_s)

    def prioritise(self, priority: int) -> None:
        """Another priority from now on."""
        self._overload.prioritise(self, priority)


HERE = Overload()
"""Of this process."""
