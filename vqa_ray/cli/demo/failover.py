"""A killed analyzer, and the time until its streams are analysed again; decided from status reports alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vqa_ray.cluster.messages import AnalyzerStatus, FleetStatus, StreamStatus

LIMIT_S = 5.0


def victim(status: "FleetStatus") -> "AnalyzerStatus | None":
    """The analyzer whose death would hurt most: with most open incidents, then most streams."""
    alive = [analyzer for analyzer in status.analyzers if analyzer.pid is not None and analyzer.streams > 0]

    def hurts(analyzer: "AnalyzerStatus") -> tuple[int, int, str]:
        mine = streams_of(status, analyzer.name)
        return sum(stream.open_incidents for stream in mine), len(mine), analyzer.name

    return max(alive, key=hurts, default=None)


def streams_of(status: "FleetStatus", analyzer: str) -> "Sequence[StreamStatus]":
    """The streams that it watches."""
    return [stream for stream in status.streams if stream.analyzer == analyzer]


class Failover:
    """Watches the streams of one killed analyzer until each is analysed under a newer epoch."""

    def __init__(self, before: "Sequence[StreamStatus]", killed_s: float) -> None:
        self._epochs = {stream.stream_id: stream.epoch for stream in before}
        self._killed_s = killed_s
        self.streams = len(self._epochs)
        self.took_s: float | None = None

    def look(self, status: "FleetStatus", now_s: float) -> bool:
        """True at the moment when the last one is analysed again; `took_s` is then set."""
        if self.took_s is not None or not all(self._is_back(status, stream_id) for stream_id in self._epochs):
            return False
        self.took_s = now_s - self._killed_s
        return True

    def _is_back(self, status: "FleetStatus", stream_id: str) -> bool:
        now = next((stream for stream in status.streams if stream.stream_id == stream_id), None)
        return now is not None and now.epoch > self._epochs[stream_id] and now.state == "live"
