"""A Desk without a fleet: what a test says, the page shows."""

import threading
from datetime import UTC, datetime, timedelta

import msgspec

from vqa_ray.cluster.messages import AnalyzerStatus, FleetStatus, StreamStatus
from vqa_ray.core.notice import Incident
from vqa_ray.core.quiet import Mute, Quiet, Window, lasting
from vqa_ray.core.reading import Severity
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.core.stay import Stay
from vqa_ray.errors import ClusterUnreachable
from vqa_ray.pipeline.about import About
from vqa_ray.web.curves import Curve


def stream(name: str, **about: object) -> StreamStatus:
    known: dict[str, object] = {"state": "live", "fps": 25.0, "coverage": 1.0, "health": 100.0, "epoch": 1}
    return msgspec.convert({"stream_id": name, "analyzer": "analyzer-0", **known, **about}, StreamStatus)


def incident(number: int, stream_id: str, detector: str = "black", **about: object) -> Incident:
    start = datetime.now(UTC) - timedelta(seconds=30)
    known = {
        "incident_id": f"{number:016x}",
        "stream_id": stream_id,
        "detector": detector,
        "severity": Severity.MAJOR,
        "start_s": 10.0,
        "end_s": None,
        "start_utc": start,
        "end_utc": None,
        "value": 1.0,
        "unit": "darkness",
    }
    return Incident(**(known | about))  # type: ignore[arg-type]


class PaperDesk:
    """See vqa_ray.web.desk.Desk. `away`: nothing answers."""

    def __init__(self, streams: list[StreamStatus], incidents: list[Incident] | None = None) -> None:
        self.lock = threading.Lock()
        self.streams = streams
        self.found = {one.incident_id: one for one in incidents or []}
        self.said: dict[tuple[str, str], Remark] = {}
        self.files: dict[str, bytes] = {}
        self.known = About()
        self.windows: tuple[Window, ...] = ()
        self.muted: list[Mute] = []
        self.jpeg: bytes | None = None
        self.away = False

    def status(self) -> FleetStatus:
        if self.away:
            raise ClusterUnreachable("the supervisor does not answer")
        analyzers = tuple(
            AnalyzerStatus(
                name=f"analyzer-{n}", phase="ready", pid=100 + n, node_id=f"{n:08x}", streams=10, load=0.4,
                reserved=0.5, capacity=0.85, rss_bytes=300 << 20,
            )
            for n in range(2)
        )  # fmt: skip
        return FleetStatus(
            streams=tuple(self.streams), analyzers=analyzers, waiting=0, open_incidents=len(self.found), undelivered=0,
            dropped_stale=0, tick_failures=0, started_utc=datetime.now(UTC), supervisor_pid=1,
        )  # fmt: skip

    def incidents(self) -> list[Incident]:
        return sorted(self.found.values(), key=lambda one: one.start_utc, reverse=True)

    def incident(self, incident_id: str) -> Incident | None:
        return self.found.get(incident_id)

    def remarks(self) -> list[Remark]:
        return list(self.said.values())

    def remark(self, remark: Remark) -> bool:
        if remark.incident_id not in self.found:
            return False
        self.said[remark.incident_id, remark.kind] = remark
        return True

    def retract(self, incident_id: str, kind: RemarkKind) -> None:
        self.said.pop((incident_id, kind), None)

    def quiet(self) -> Quiet:
        return Quiet(windows=self.windows, mutes=lasting(self.muted, datetime.now(UTC)))

    def mute(self, mute: Mute) -> None:
        self.muted.append(mute)

    def unmute(self, mute_id: str) -> bool:
        before = len(self.muted)
        self.muted = [one for one in self.muted if one.mute_id != mute_id]
        return len(self.muted) < before

    def source(self, stream_id: str) -> str | None:
        return f"http://***@origin.example/{stream_id}.m3u8"

    def about(self, stream_id: str) -> About:
        return self.known

    def stays(self, stream_id: str) -> list[Stay]:
        since = datetime.now(UTC) - timedelta(hours=1)
        return [Stay(analyzer="analyzer-0", epoch=2, since_utc=since, why="its analyzer died")]

    def still(self, stream_id: str) -> bytes | None:
        return self.jpeg

    def history(self, stream_id: str, since: datetime, until: datetime) -> list[Incident]:
        return [one for one in self.found.values() if one.stream_id == stream_id and since <= one.start_utc < until]

    def curves(self, stream_id: str, since: datetime, until: datetime, detector: str | None) -> list[Curve]:
        t = [since.timestamp() + n for n in range(60)]
        half = [0.5] * 60
        return [
            Curve(
                detector=detector or "black", part="", t=t, low=[0.2] * 60, mean=half, high=[0.9] * 60, bad=half,
                coverage=[1.0] * 60,
            )
        ]  # fmt: skip

    def evidence(self, incident: Incident) -> list[str]:
        return sorted(self.files)

    def evidence_file(self, incident: Incident, name: str) -> bytes | None:
        return self.files.get(name)
