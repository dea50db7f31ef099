"""What the fleet's counters count, added up by the supervisor since its start. Pure: it is told, and asked."""

from collections import Counter
from collections.abc import Iterable, Sequence

from vqa_ray.cluster.messages import AnalyzerStatus, StreamStatus
from vqa_ray.cluster.status import PAUSED, STUCK, WAITING
from vqa_ray.core.notice import Incident, Notice, NoticeKind
from vqa_ray.core.source import State

LONGEST_STEP_S = 30.0  # between two looks; more is a stall of the supervisor, of which nothing is known

WELL = frozenset({State.ENDED.value, State.STOPPED.value, PAUSED})  # nothing is there to be analysed
CAUSES = ("analyzer", "fault", "load", "parked", "source")
_CAUSE = {
    WAITING: "analyzer",
    STUCK: "analyzer",
    State.FAULTY.value: "fault",
    State.PARKED.value: "parked",
}


class Tally:
    """Totals since the supervisor's start.

    unanalysed_s: seconds of streams that nobody looked at, by cause: no `analyzer` (or one that hangs), a `fault` of
    ours, frames left out under `load`, `parked` streams, and a `source` that gives nothing.
    """

    def __init__(self) -> None:
        self.opened: Counter[tuple[str, str]] = Counter()  # by detector and severity
        self.unanalysed_s: dict[str, float] = dict.fromkeys(CAUSES, 0.0)
        self.reconnects = 0
        self.evidence_lost = 0
        self.transitions_lost = 0
        self._looked_s: float | None = None
        self._before: dict[str, StreamStatus] = {}
        self._analyzers: dict[str, AnalyzerStatus] = {}

    def noticed(self, notices: Iterable[Notice]) -> None:
        """These are new in the journal."""
        for notice in notices:
            if notice.kind is NoticeKind.OPENED:
                self.opened[_kind(notice.incident)] += 1

    def look(self, streams: Sequence[StreamStatus], analyzers: Sequence[AnalyzerStatus], now_s: float) -> None:
        """How all are at `now_s`, of one monotonic clock; what changed since the last look is added.

        What analyzers had lost before the first look was lost before this process began.
        """
        first = self._looked_s is None
        step_s = 0.0 if self._looked_s is None else min(LONGEST_STEP_S, now_s - self._looked_s)
        self._looked_s = now_s
        for stream in streams:
            self._add(stream, self._before.get(stream.stream_id), step_s)
        self._before = {stream.stream_id: stream for stream in streams}
        for analyzer in analyzers:
            self._add_losses(analyzer, analyzer if first else self._analyzers.get(analyzer.name))
        self._analyzers = {analyzer.name: analyzer for analyzer in analyzers}

    def _add(self, now: StreamStatus, before: StreamStatus | None, step_s: float) -> None:
        if before is not None and before.epoch == now.epoch:
            self.reconnects += max(0, now.reconnects - before.reconnects)
        elif before is not None:
            self.reconnects += now.reconnects  # at its new analyzer, where it began with none
        if now.state in WELL:
            return
        if now.state == State.LIVE:
            self.unanalysed_s["load"] += step_s * _left_out(now, before)
        else:
            self.unanalysed_s[_CAUSE.get(now.state, "source")] += step_s

    def _add_losses(self, now: AnalyzerStatus, before: AnalyzerStatus | None) -> None:
        same = before is not None and before.pid == now.pid
        self.evidence_lost += max(0, now.evidence_lost - (before.evidence_lost if same and before else 0))
        self.transitions_lost += max(0, now.transitions_lost - (before.transitions_lost if same and before else 0))


def open_by_kind(incidents: Iterable[Incident]) -> Counter[tuple[str, str]]:
    """How many last, by detector and severity."""
    return Counter(_kind(incident) for incident in incidents)


def _kind(incident: Incident) -> tuple[str, str]:
    return incident.detector, incident.severity.value


def _left_out(now: StreamStatus, before: StreamStatus | None) -> float:
    """Share of the frames since `before` that were not analysed."""
    same = before is not None and before.epoch == now.epoch
    came = now.frames_came - (before.frames_came if same and before else 0)
    analysed = now.frames_analysed - (before.frames_analysed if same and before else 0)
    return min(1.0, max(0.0, 1.0 - analysed / came)) if came > 0 else 0.0
