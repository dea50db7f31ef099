"""One rule of one stream: how long bad must last before an incident opens, and good before it closes.

The life follows Prometheus' alerting rules (inactive, pending, firing, `for`, `keep_firing_for`), with two
differences: the start is the first bad frame and not the moment of detection, and the end is the first good frame.
Time is what readings say; nothing here reads a clock.
"""

import enum

import msgspec

from vqa_ray.core.reading import ROUNDING_S, Reading, Severity

RECENT_RUNS = 4


class Phase(enum.StrEnum):
    """Where the rule stands. Legal moves are `MOVES`."""

    QUIET = "quiet"  # good
    PENDING = "pending"  # bad, not yet for long enough
    OPEN = "open"  # an incident is open, and the last reading was bad
    CLEARING = "clearing"  # an incident is open, and good has not lasted long enough to close it


MOVES: frozenset[tuple[Phase, Phase]] = frozenset(
    {
        (Phase.QUIET, Phase.PENDING),
        (Phase.PENDING, Phase.QUIET),
        (Phase.PENDING, Phase.OPEN),
        (Phase.OPEN, Phase.CLEARING),
        (Phase.OPEN, Phase.QUIET),  # media ended, or a root cause took over
        (Phase.CLEARING, Phase.OPEN),
        (Phase.CLEARING, Phase.QUIET),
    }
)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """When readings of a detector become an incident.

    raise_after_s: bad must last this long; clear_after_s: good must last this long before the incident closes;
    merge_gap_s: a good stretch no longer than this does not end a bad run, neither before nor after it opened.
    worse_with: detectors whose incidents, at the same time, make this one critical; severity_with_sound: of one that
    opens while sound is heard, None for the same as ever. See `core.coincidence`.
    """

    detector: str
    raise_after_s: float
    clear_after_s: float
    merge_gap_s: float = 0.0
    severity: Severity = Severity.MAJOR
    unit: str = ""
    hidden_by: tuple[str, ...] = ()
    lower_is_worse: bool = False
    worse_with: tuple[str, ...] = ()
    severity_with_sound: Severity | None = None


class HoldState(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as a value, to be continued elsewhere (see `Hold.state`)."""

    detector: str
    part: str
    phase: Phase
    start_s: float
    bad_until_s: float
    good_since_s: float | None
    value: float


class Edge(enum.StrEnum):
    """What a reading brought about."""

    OPENED = "opened"
    CLOSED = "closed"


class Hold:
    """The state of one rule for one part of one stream; `step` takes readings in time order."""

    __slots__ = ("bad_until_s", "good_since_s", "part", "phase", "rule", "runs", "start_s", "value")

    def __init__(self, rule: Rule, part: str = "") -> None:
        self.rule = rule
        self.part = part
        self.phase = Phase.QUIET
        self.start_s = 0.0  # first bad frame of the run
        self.bad_until_s = 0.0  # end of its last bad frame
        self.good_since_s: float | None = None  # first good frame after it
        self.value = 0.0  # worst of the run
        self.runs: list[tuple[float, float]] = []  # bad spans of late, to hide others by

    @property
    def end_s(self) -> float:
        """When the bad run ended, as far as is known: its first good frame, else the end of its last bad one."""
        return self.bad_until_s if self.good_since_s is None else self.good_since_s

    @property
    def is_open(self) -> bool:
        """Whether an incident is open."""
        return self.phase is Phase.OPEN or self.phase is Phase.CLEARING

    def covers(self, at_s: float, until_s: float) -> bool:
        """Whether a bad run of late overlaps the span."""
        return any(at_s < end and until_s > start for start, end in self.runs)

    def step(self, reading: Reading) -> list[Edge]:
        """Take one reading; what it opened and closed, in order."""
        return self._bad(reading) if reading.bad else self._good(reading)

    def mask(self, until_s: float) -> None:
        """A root cause explains everything up to `until_s`: a run that has not opened starts no earlier than that."""
        if self.phase is Phase.PENDING:
            self.start_s = max(self.start_s, until_s)
            if self.bad_until_s <= self.start_s:
                self._move(Phase.QUIET)

    def take_over(self, at_s: float) -> list[Edge]:
        """A root cause opened at `at_s`: what is open closes there, what is pending is dropped."""
        if self.phase is Phase.QUIET:
            return []
        was_open = self.is_open
        self.good_since_s = max(self.start_s, min(self.end_s, at_s))
        self._move(Phase.QUIET)
        return [Edge.CLOSED] if was_open else []

    def interrupt(self) -> list[Edge]:
        """The connection ended: a pending run is judged by what was seen of it; an open incident stays open."""
        if self.phase is not Phase.PENDING:
            return []
        edges = self._open_if_due(self.end_s)
        if not edges:
            self._move(Phase.QUIET)
        return edges

    def finish(self) -> list[Edge]:
        """The media ended: what is open, or was bad for long enough, closes at the end of its last bad frame."""
        edges = self.interrupt()
        if self.is_open:
            self.good_since_s = self.end_s
            self._move(Phase.QUIET)
            edges.append(Edge.CLOSED)
        return edges

    def state(self) -> HoldState:
        """This hold as a value."""
        return HoldState(
            detector=self.rule.detector,
            part=self.part,
            phase=self.phase,
            start_s=self.start_s,
            bad_until_s=self.bad_until_s,
            good_since_s=self.good_since_s,
            value=self.value,
        )

    def resume(self, state: HoldState) -> None:
        """Continue from a value that `state` gave."""
        self.phase = state.phase
        self.start_s, self.bad_until_s = state.start_s, state.bad_until_s
        self.good_since_s, self.value = state.good_since_s, state.value
        if self.phase is not Phase.QUIET:
            self.runs = [(self.start_s, self.bad_until_s)]

    def _bad(self, reading: Reading) -> list[Edge]:
        if self.phase is Phase.PENDING and self._gap_was_too_long(reading.at_s):
            self._move(Phase.QUIET)
        if self.phase is Phase.QUIET:
            self._begin(reading)
        elif self.phase is Phase.CLEARING:
            self._move(Phase.OPEN)
        self.good_since_s = None
        self.bad_until_s = max(reading.until_s, self.start_s)
        self.runs[-1] = (self.runs[-1][0], self.bad_until_s)
        worse = min if self.rule.lower_is_worse else max
        self.value = worse(self.value, reading.value)
        return self._open_if_due(reading.until_s) if self.phase is Phase.PENDING else []

    def _begin(self, reading: Reading) -> None:
        self._move(Phase.PENDING)
        self.start_s = reading.at_s
        self.value = reading.value
        self.runs = [*self.runs[1 - RECENT_RUNS :], (reading.at_s, reading.until_s)]

    def _good(self, reading: Reading) -> list[Edge]:
        if self.phase is Phase.QUIET or reading.at_s < reading.until_s < reading.at_s + ROUNDING_S:
            return []
        edges: list[Edge] = []
        if self.good_since_s is None:
            # Another owner's media may begin a little before what the last one saw: no run ends before it began.
            self.good_since_s = max(reading.at_s, self.start_s)
            if self.phase is Phase.PENDING:
                edges = self._open_if_due(self.good_since_s)
            if self.phase is Phase.OPEN:
                self._move(Phase.CLEARING)
        lasted_s = reading.until_s - self.good_since_s
        if self.phase is Phase.PENDING and lasted_s > self.rule.merge_gap_s:
            self._move(Phase.QUIET)
        elif self.phase is Phase.CLEARING and lasted_s >= max(self.rule.clear_after_s, self.rule.merge_gap_s):
            self._move(Phase.QUIET)
            edges.append(Edge.CLOSED)
        return edges

    def _gap_was_too_long(self, at_s: float) -> bool:
        return self.good_since_s is not None and at_s - self.good_since_s > self.rule.merge_gap_s

    def _open_if_due(self, until_s: float) -> list[Edge]:
        if until_s - self.start_s < self.rule.raise_after_s - ROUNDING_S:
            return []
        self._move(Phase.OPEN)
        return [Edge.OPENED]

    def _move(self, to: Phase) -> None:
        if (self.phase, to) not in MOVES:
            raise AssertionError(f"{self.rule.detector}: no move from {self.phase.value} to {to.value}")
        self.phase = to
