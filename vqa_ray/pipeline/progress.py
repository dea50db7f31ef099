"""How far a stream is and what it costs, as its thread counts it."""

from vqa_ray.pipeline.toll import Toll

BURST_UNKNOWN_S = 8.0  # allowed silence of segmented media before two segments have been seen


class Progress:
    """How far a stream is, and what it cost; written by its thread, read by all."""

    TICK_S = 0.5

    def __init__(self, now_s: float) -> None:
        self.toll = Toll()
        self.last_arrival_s = now_s
        self.until_s: float | None = None  # timeline
        self.began_s: float | None = None  # of this connection: its first media,
        self.reached_s: float | None = None  # and the latest: its start, since its end may be a guess
        self.burst_s = 0.0
        self.delay_s = 0.0  # of the batch in which media are taken
        self.reconnects = 0
        self.faults = 0
        self.frames = 0
        self.gop_s: float | None = None  # between the latest two key frames
        self._key_s: float | None = None
        self.calling_since_s: float | None = now_s
        self._segmented = False
        self._bursts = 0
        self._tick_s = self._silent_until_s = now_s
        self._cpu_s = 0.0
        self._cpu_share = 0.0
        self._frames_at_tick = 0
        self._fps = 0.0

    def connected(self, now_s: float, *, segmented: bool) -> None:
        """Another connection."""
        self._segmented = segmented
        self.burst_s = BURST_UNKNOWN_S if self._segmented else 0.0
        self._bursts = 0
        self.last_arrival_s = now_s
        self.began_s = self.reached_s = None
        self.gop_s = self._key_s = None

    def key_frame(self, at_s: float) -> None:
        """A key frame is shown then."""
        self.gop_s = None if self._key_s is None else at_s - self._key_s
        self._key_s = at_s

    def packet(self, now_s: float) -> None:
        """A packet arrived."""
        gap_s = now_s - self.last_arrival_s
        self.last_arrival_s = now_s
        if not self._segmented:
            if gap_s > self.TICK_S:
                self._silent_until_s = now_s
        elif gap_s > 0.2:
            self._bursts += 1
            if self._bursts > 2:
                self.burst_s = max(gap_s, 0.8 * self.burst_s)

    @property
    def slack_s(self) -> float:
        """Delay that comes and goes by nature: segments come in bursts, and media are taken in batches."""
        return self.burst_s + self.delay_s

    @property
    def seen_s(self) -> float:
        """Media time that was analysed in this connection."""
        return 0.0 if self.began_s is None or self.reached_s is None else self.reached_s - self.began_s

    def frame(self, at_s: float, until_s: float) -> None:
        """A picture was analysed."""
        self.frames += 1
        self.reached(at_s, until_s)

    def reached(self, at_s: float, until_s: float) -> None:
        """So far media was analysed."""
        if self.began_s is None:
            self.began_s = at_s
        if self.until_s is None or until_s > self.until_s:
            self.until_s = until_s
        if self.reached_s is None or at_s > self.reached_s:
            self.reached_s = at_s

    def due(self, now_s: float) -> bool:
        """Whether `tick` is to be called; not just after a silence, when the decoder shows what came before it."""
        return now_s - max(self._tick_s, self._silent_until_s) >= self.TICK_S

    def tick(self, now_s: float, cpu_s: float) -> None:
        """cpu_s: what the thread has used so far."""
        span_s = now_s - self._tick_s
        share, fps = (cpu_s - self._cpu_s) / span_s, (self.frames - self._frames_at_tick) / span_s
        weight = min(1.0, span_s / 5.0) if self._cpu_s else 1.0
        self._cpu_share += weight * (share - self._cpu_share)
        self._fps += weight * (fps - self._fps)
        self._tick_s, self._cpu_s, self._frames_at_tick = now_s, cpu_s, self.frames
        self.toll.tick(span_s, cpu_s)

    def cpu_share(self, now_s: float) -> float:
        """CPU seconds a second, over the last few; 0 where nothing ticks."""
        return self._cpu_share if now_s - self._tick_s < 5.0 else 0.0

    def fps(self, now_s: float) -> float:
        """Pictures a second, likewise."""
        return self._fps if now_s - self._tick_s < 5.0 else 0.0

    def allowed_silence_s(self, stall_after_s: float) -> float:
        """How long no packet may come: segments come in bursts, and a batch that is not full waits once more."""
        return stall_after_s + 1.5 * self.burst_s + 2.0 * self.delay_s
