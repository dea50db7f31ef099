"""What supervisor, analyzers and clients tell each other: small frozen records, nothing else travels through Ray."""

from datetime import datetime
from typing import Annotated

import msgspec

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.pipeline.worker import StreamReport, Told
from vqa_ray.sinks.registry import AnyChannelSpec

NAMESPACE = "vqa"
SUPERVISOR = "supervisor"

_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class ClusterOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the fleet is spread over Ray. Times in seconds.

    analyzers_max: None takes as many as Ray has cores. cores: of one analyzer; more threads than one core feeds meet in
    the GIL. fill: share of its cores that is given to streams, the rest is for bursts and Ray itself. lease_s: how
    long an analyzer works on without being heard. margin_s: how much longer the supervisor waits. grace_s: how long it
    works on when Ray says that the supervisor is away. worker: import path of the class that analyses streams.
    """

    analyzers_min: Annotated[int, msgspec.Meta(ge=0)] = 1
    analyzers_max: Annotated[int, msgspec.Meta(ge=1)] | None = None
    cores: _Positive = 1.0
    fill: _Share = 0.85
    beat_s: _Positive = 1.0
    tick_s: _Positive = 1.0
    lease_s: _Positive = 8.0
    margin_s: _Positive = 4.0
    grace_s: _Positive = 90.0
    worker: str = "vqa_ray.pipeline.worker:Worker"

    @property
    def capacity(self) -> float:
        """CPU seconds a second that one analyzer's streams may use."""
        return self.cores * self.fill


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What an analyzer needs beside streams: where results go, and whom to tell while the supervisor is away."""

    store: str | None = None
    channels: tuple[AnyChannelSpec, ...] = ()


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who an analyzer is. incarnation: another one for each process, though the name comes back."""

    name: str
    incarnation: str
    pid: int
    node_id: str


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A stream for an analyzer, under an epoch that no other assignment has or had."""

    stream: StreamSpec
    profile: Profile
    epoch: int
    version: str
    snapshot: bytes | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One stream in an analyzer's inventory. The report's snapshot is None if it is the one the supervisor has."""

    report: StreamReport
    version: str


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """An analyzer's heartbeat. number: grows with each one; load: CPU seconds a second of the whole process."""

    hello: Hello
    number: int
    held: tuple[Held, ...]
    load: float
    rss_bytes: int


class Ended(msgspec.Struct, frozen=True):
    """An assignment that is over: the analyzer shall stop working on it."""

    stream_id: str
    epoch: int


class BeatReply(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor's answer: leases of all that is not in `ended` are renewed.

    supervisor: its incarnation; when it changes, snapshots are sent anew. known: False asks the analyzer to end.
    """

    supervisor: str
    ended: tuple[Ended, ...] = ()
    known: bool = True


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """Transitions on their way to the supervisor. delivered: the analyzer told the channels by itself."""

    told: Told
    delivered: bool = False


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """A stream given back: its snapshot, and the transitions that no one has acknowledged yet."""

    snapshot: bytes | None
    handed: tuple[Handed, ...] = ()


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One wanted stream as the operator sees it. state: of the source, or `waiting` without an analyzer."""

    stream_id: str
    state: str
    reason: str = ""
    analyzer: str | None = None
    epoch: int = 0
    at_s: float = 0.0
    fps: float = 0.0
    coverage: float = 0.0
    cpu_share: float = 0.0
    tier: str = ""
    lag_s: float = 0.0
    open_incidents: int = 0
    reconnects: int = 0
    crashes: int = 0
    labels: dict[str, str] = {}


class AnalyzerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One analyzer. load: CPU seconds a second of the process; reserved: what its streams are reckoned to need."""

    name: str
    phase: str
    pid: int | None
    node_id: str
    streams: int
    load: float
    reserved: float
    capacity: float
    rss_bytes: int


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


class ApplyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an applied fleet changed: ids of streams."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
