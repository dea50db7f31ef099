"""What the supervisor remembers of each stream, of its place and of each analyzer."""

from collections import deque

from vqa_ray.cluster.halving import HALVES
from vqa_ray.cluster.messages import Beat, Hello
from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core import poison
from vqa_ray.core.demand import expected_bytes, expected_share, smoothed
from vqa_ray.core.ladder import Tier
from vqa_ray.core.reconcile import Phase, Reason
from vqa_ray.core.source import State
from vqa_ray.core.stay import REMEMBERED, Stay
from vqa_ray.core.urls import is_live
from vqa_ray.media.schemes import serves_one
from vqa_ray.pipeline.worker import StreamReport


class Stream:
    """One wanted stream, and what is remembered of it whoever runs it."""

    __slots__ = (
        "done", "free", "not_before_s", "profile", "record", "refusals", "share", "size_bytes", "spec", "stays",
        "version",
    )  # fmt: skip

    def __init__(self, spec: StreamSpec, profile: Profile, version: str) -> None:
        self.spec = spec
        self.profile = profile
        self.version = version
        self.free = is_live(spec.url) and not serves_one(spec.url, profile.source)  # to move without a gap
        self.share: float | None = None  # measured, smoothed; of all frames
        self.size_bytes: float | None = None
        self.record = poison.Record()
        self.refusals = 0
        self.not_before_s = 0.0
        self.done = False  # a file, read to its end
        self.stays: deque[Stay] = deque(maxlen=REMEMBERED)

    @property
    def reserved(self) -> float:
        """The share to reckon with."""
        return expected_share(None) if self.share is None else self.share

    @property
    def reserved_bytes(self) -> int:
        """The memory to reckon with."""
        return expected_bytes(None) if self.size_bytes is None else int(self.size_bytes)

    def measured(self, report: StreamReport, elapsed_s: float) -> None:
        """Takes over what its analyzer measured."""
        if report.fps > 0 and report.state == State.LIVE:
            self._cost(report.cpu_share, whole=report.tier == Tier.ALL, elapsed_s=elapsed_s)
        elif self.share is None and report.shape is not None:
            self.share = expected_share(report.shape)

    def _cost(self, share: float, *, whole: bool, elapsed_s: float) -> None:
        """A stream that leaves out frames costs less only until there is room again: room for all is reckoned with."""
        smooth = smoothed(self.share, share, elapsed_s)
        self.share = smooth if whole or self.share is None else max(self.share, smooth)


class Place:
    """A stream at an analyzer, under an epoch."""

    __slots__ = (
        "after_beat", "analyzer", "busy", "epoch", "lost", "reached_s", "report", "since_s", "stream_id", "version",
    )  # fmt: skip

    def __init__(self, stream_id: str, analyzer: str, epoch: int, version: str, now_s: float) -> None:
        self.stream_id = stream_id
        self.analyzer = analyzer
        self.epoch = epoch
        self.version = version
        self.since_s = now_s
        self.lost: Reason | None = None
        self.busy = True  # an action on it is under way
        self.after_beat: int | None = None  # beats after this number must list it; None: not yet confirmed
        self.report: StreamReport | None = None
        self.reached_s: float | None = (
            None  # the last moment of the stream that is known to be analysed, here or before
        )

    @property
    def half(self) -> bool:
        """Whether what was given is a half of the stream."""
        return self.version.endswith(HALVES)


class Member:
    """One analyzer. leaves: it hands its streams over and ends, for that reason, since `leaves_s`."""

    __slots__ = (
        "beat", "fresh", "heard_s", "hello", "lease_until_s", "leaves", "leaves_s", "name", "number", "phase",
        "started_s",
    )  # fmt: skip

    def __init__(self, name: str, now_s: float) -> None:
        self.name = name
        self.phase = Phase.STARTING
        self.started_s = now_s
        self.hello: Hello | None = None
        self.beat: Beat | None = None
        self.leaves: Reason | None = None
        self.leaves_s = 0.0
        self.number = -1
        self.heard_s = now_s
        self.lease_until_s = now_s
        self.fresh = True  # had no stream yet
