"""Stand-ins for what the commands call, and records to show."""

from datetime import UTC, datetime, timedelta

import msgspec

from vqa_ray.cluster.messages import AnalyzerStatus, ApplyResult, FleetStatus, StreamStatus
from vqa_ray.core.notice import Incident
from vqa_ray.core.quiet import Quiet
from vqa_ray.core.reading import Severity
from vqa_ray.errors import ClusterUnreachable

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def incident(detector="black", start_s=3.0, end_s=4.5, **changes) -> Incident:
    """An incident of stream `cam`; the stream's timeline began at noon."""
    values = {
        "incident_id": f"{detector}-{start_s}",
        "stream_id": "cam",
        "detector": detector,
        "severity": Severity.MAJOR,
        "start_s": start_s,
        "end_s": end_s,
        "start_utc": START + timedelta(seconds=start_s),
        "end_utc": None if end_s is None else START + timedelta(seconds=end_s),
        "value": 0.995,
        "unit": "dark share",
    }
    return Incident(**(values | changes))


def stream(stream_id="cam", state="live", **changes) -> StreamStatus:
    """A stream as the supervisor tells of it."""
    values = {"fps": 25.0, "coverage": 1.0, "cpu_share": 0.043, "analyzer": "analyzer-0", "tier": "all"}
    return StreamStatus(stream_id=stream_id, state=state, **(values | changes))


def status(*streams: StreamStatus, **changes) -> FleetStatus:
    """A fleet with one analyzer."""
    analyzer = AnalyzerStatus(
        name="analyzer-0", phase="up", pid=1, node_id="n", streams=len(streams), load=0.1, reserved=0.1, capacity=0.85,
        rss_bytes=1,
    )  # fmt: skip
    made = FleetStatus(
        streams=streams, analyzers=(analyzer,), waiting=0, undelivered=0, dropped_stale=0, tick_failures=0,
        open_incidents=sum(one.open_incidents for one in streams), started_utc=START, supervisor_pid=2,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


class FakeFleet:
    """A running fleet that tells what it is given to tell; `calls` is what was asked of it."""

    def __init__(self, *, statuses=(), incidents=(), owned=True) -> None:
        self.statuses = list(statuses)
        self.found = list(incidents)
        self.owned = owned
        self.calls: list[object] = []
        self.silent = Quiet()

    def apply(self, fleet, *, dry_run=False) -> ApplyResult:
        if dry_run:
            details = {"two": ("detectors.black.raise_after_s: 2.0 → 5.0",)}
            return ApplyResult(added=("cam",), changed=("two",), removed=("old",), details=details)
        self.calls.append(("apply", [one.id for one in fleet.streams]))
        return ApplyResult(added=("cam",), changed=(), removed=("old", "older"))

    def add(self, streams) -> ApplyResult:
        self.calls.append(("add", list(streams)))
        return ApplyResult(added=tuple(one.id for one in streams), changed=(), removed=())

    def remove(self, stream_ids) -> ApplyResult:
        self.calls.append(("remove", stream_ids))
        return ApplyResult(added=(), changed=(), removed=tuple(stream_ids))

    def pause(self, stream_ids, *, paused=True) -> ApplyResult:
        self.calls.append(("pause", stream_ids, paused))
        return ApplyResult(added=(), changed=tuple(stream_ids), removed=())

    def move(self, stream_id, analyzer=None, *, within_s=60.0) -> str:
        self.calls.append(("move", stream_id, analyzer, within_s))
        return analyzer or "analyzer-1"

    def status(self) -> FleetStatus:
        now = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(now, BaseException):
            raise now
        return now

    def incidents(self, *, limit=100, open_only=False) -> list[Incident]:
        now = self.found.pop(0) if self.found and isinstance(self.found[0], list) else self.found
        return [one for one in now if one.open or not open_only][:limit]

    def mute(self, mute) -> None:
        self.calls.append(("mute", mute))

    def unmute(self, mute_id) -> bool:
        return mute_id == "abcd"

    def quiet(self) -> Quiet:
        return self.silent

    def remark(self, remark) -> bool:
        self.calls.append(("remark", remark))
        return any(one.incident_id == remark.incident_id for one in self.found)

    def stop(self) -> None:
        self.calls.append("stop")

    def leave(self) -> None:
        self.calls.append("leave")


class NoFleet:
    """Stands for the class `Fleet` where nothing runs."""

    @classmethod
    def connect(cls, *, address=None):
        raise ClusterUnreachable("no fleet runs on this machine; start one with `vqa run`, or name an --address")
