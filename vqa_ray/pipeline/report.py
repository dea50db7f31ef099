"""What a watched stream says of itself: to the supervisor, to alert channels, and to who would take it over."""

import enum

import msgspec

from vqa_ray.core.demand import Shape
from vqa_ray.core.health import WHOLE
from vqa_ray.core.notice import Notice


class Warmth(enum.StrEnum):
    """How far a rehearsal is."""

    COLD = "cold"
    WARM = "warm"  # the stream could be taken over without a gap
    FAILED = "failed"  # the source could not be opened, or broke off: it may serve one client only


class Told(msgspec.Struct, frozen=True):
    """A transition on its way to the alert channels, with what a next owner of the stream would need.

    of: under which name the stream (or its half) is assigned, if not under its id.
    """

    notice: Notice
    epoch: int
    snapshot: bytes
    of: str = ""

    @property
    def assigned(self) -> str:
        """The name whose epoch it is."""
        return self.of or self.notice.incident.stream_id


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one stream is, for the supervisor, the table and the metrics.

    cpu_share: CPU seconds of the stream's thread a second of wall time, over the last few seconds.
    coverage: share of frames analysed since the stream began here; lag_s: how far analysis is behind arrival.
    faults: how often our own pipeline failed in it, which is not the source's doing. health: see `core.health`.
    frames_came, frames_analysed: the counts behind `coverage`. priority: by which it is spared when time is short.
    """

    stream_id: str
    epoch: int
    state: str
    reason: str
    at_s: float
    cpu_share: float
    coverage: float
    fps: float
    tier: str
    open_incidents: int
    reconnects: int
    faults: int = 0
    lag_s: float = 0.0
    health: float = WHOLE
    frames_came: int = 0
    frames_analysed: int = 0
    priority: int = 0
    stuck: bool = False
    connected_once: bool = False  # a frame was analysed here
    shape: Shape | None = None  # of its picture, once it is known
    snapshot: bytes | None = None
