"""What supervisor, analyzers and clients tell each other: small frozen records, nothing else travels through Ray."""

from datetime import datetime
from typing import Annotated

import msgspec

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core.evidence import EvidenceOptions
from vqa_ray.core.quiet import Quiet
from vqa_ray.core.span import TraceOptions
from vqa_ray.core.spreading import Spreading
from vqa_ray.pipeline.worker import StreamReport, Told
from vqa_ray.sinks.registry import AnyChannelSpec

NAMESPACE = "vqa"
SUPERVISOR = "supervisor"
FOLLOWER = "follower"
PAGE = "page"

_Positive = Annotated[float, msgspec.Meta(gt=0)]

MEMORY_BYTES = 1 << 30  # of an analyzer: 66 MB bare, and some 20 streams of up to 30 MB; pods in k8s/ are sized by it


class ClusterOptions(Spreading, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the fleet is spread over Ray. Times in seconds; `Spreading` has what a fleet file may change later.

    cores, memory_bytes: what one analyzer asks Ray for, and so what an autoscaler makes machines for; more threads than
    one core feeds meet in the GIL. lease_s: how long an analyzer works on without being heard. margin_s: how much
    longer the supervisor waits. grace_s: how long it works on when Ray says that the supervisor is away.
    rss_budget_bytes: an analyzer that uses more hands its streams over and ends; None is 1.25 times `memory_bytes`, 0
    never. not_analysed_after_s: a stream that nobody analyses for longer is told as an incident. worker: import path
    of the class that analyses streams.
    """

    cores: _Positive = 1.0
    memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = MEMORY_BYTES
    beat_s: _Positive = 1.0
    tick_s: _Positive = 1.0
    lease_s: _Positive = 4.0
    margin_s: _Positive = 1.0
    grace_s: _Positive = 90.0
    rss_budget_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    not_analysed_after_s: _Positive = 10.0
    worker: str = "vqa_ray.pipeline.worker:Worker"

    @property
    def capacity(self) -> float:
        """CPU seconds a second that one analyzer's streams may use."""
        return self.cores * self.fill

    @property
    def budget_bytes(self) -> float:
        """Memory beyond which an analyzer is recycled."""
        given = self.rss_budget_bytes
        return (1.25 * self.memory_bytes if given is None else float(given)) or float("inf")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What an analyzer needs beside streams: where results go, and whom to tell while the supervisor is away."""

    store: str | None = None
    channels: tuple[AnyChannelSpec, ...] = ()
    evidence: EvidenceOptions = EvidenceOptions()
    traces: TraceOptions = TraceOptions()
    quiet: Quiet = Quiet()


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who an analyzer is. incarnation: another one for each process, though the name comes back."""

    name: str
    incarnation: str
    pid: int
    node_id: str


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A stream for an analyzer, under an epoch that no other assignment has or had (0: to be rehearsed).

    reached_s: how far its last owner is known to have come, for the case that the snapshot does not tell.
    """

    stream: StreamSpec
    profile: Profile
    epoch: int
    version: str
    snapshot: bytes | None = None
    reached_s: float | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One stream in an analyzer's inventory. The report's snapshot is None if it is the one the supervisor has."""

    report: StreamReport
    version: str


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """An analyzer's heartbeat. number: grows with each one; load: CPU seconds a second of the whole process.

    ending: the process was asked to end (SIGTERM), and waits for others to take its streams.
    evidence_lost: moments of incidents whose evidence was dropped, or could not be made or kept, since its start.
    transitions_lost: those that it could not hold until the supervisor took them, since its start.
    """

    hello: Hello
    number: int
    held: tuple[Held, ...]
    load: float
    rss_bytes: int
    ending: bool = False
    evidence_lost: int = 0
    transitions_lost: int = 0


class Ended(msgspec.Struct, frozen=True):
    """An assignment that is over: the analyzer shall stop working on it."""

    stream_id: str
    epoch: int


class BeatReply(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor's answer: leases of all that is not in `ended` are renewed.

    supervisor: its incarnation; when it changes, snapshots are sent anew. known: False asks the analyzer to end.
    priorities: of streams that have another one now, by id.
    """

    supervisor: str
    ended: tuple[Ended, ...] = ()
    known: bool = True
    priorities: dict[str, int] = {}


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """Transitions on their way to the supervisor. delivered: the analyzer told the channels by itself."""

    told: Told
    delivered: bool = False


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """A stream given back: its snapshot, and the transitions that no one has acknowledged yet."""

    snapshot: bytes | None
    handed: tuple[Handed, ...] = ()


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One wanted stream as the operator sees it. state: of the source, or `waiting` without an analyzer.

    faults: errors of the pipeline in it; crashes: deaths of its process. health: 0 to 100, None while none is known.
    second: of a stream that is watched in halves, the analyzer that has the second ("" while none has); figures are
    then of both, the worse where they are no sums.
    """

    stream_id: str
    state: str
    reason: str = ""
    analyzer: str | None = None
    second: str | None = None
    epoch: int = 0
    at_s: float = 0.0
    fps: float = 0.0
    coverage: float = 0.0
    cpu_share: float = 0.0
    tier: str = ""
    lag_s: float = 0.0
    open_incidents: int = 0
    health: float | None = None
    reconnects: int = 0
    faults: int = 0
    crashes: int = 0
    frames_came: int = 0  # since it began at its analyzer; of these so many were analysed:
    frames_analysed: int = 0
    labels: dict[str, str] = {}

    @property
    def where(self) -> str:
        """`analyzer-0`, or `analyzer-0 + analyzer-3` of a stream in halves."""
        return " + ".join(filter(None, (self.analyzer, self.second)))


class AnalyzerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One analyzer. load: CPU seconds a second of the process; reserved: what its streams are reckoned to need.

    evidence_lost, transitions_lost: see Beat.
    """

    name: str
    phase: str
    pid: int | None
    node_id: str
    streams: int
    load: float
    reserved: float
    capacity: float
    rss_bytes: int
    evidence_lost: int = 0
    transitions_lost: int = 0


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole fleet at one moment. Counts are since the supervisor's start, but for `undelivered`."""

    streams: tuple[StreamStatus, ...]
    analyzers: tuple[AnalyzerStatus, ...]
    waiting: int  # streams without an analyzer
    open_incidents: int
    undelivered: int  # notices that a channel has not taken yet
    dropped_stale: int  # transitions of fenced epochs
    tick_failures: int
    started_utc: datetime
    supervisor_pid: int
    left: dict[str, int] = {}  # how often streams left an analyzer, by reason


class ApplyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an applied fleet changed: ids of streams."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    details: dict[str, tuple[str, ...]] = {}  # by changed stream: `detectors.black.raise_after_s: 2.0 → 5.0`
