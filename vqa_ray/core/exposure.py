"""Which streams a monitoring system gets series of: all while they are few, else those in the worst trouble."""

from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

import msgspec

LINGER_S = 300.0  # a stream that recovered is shown for so much longer, so that its graph shows the recovery
OTHER, NONE = "other", "none"


class MetricsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much Prometheus gets of a fleet; totals by state, tier, detector and severity are always of all streams.

    streams: at most so many have series of their own, the worst first. label: of streams, by whose values there are
    totals, too; None puts all in the group `none`. groups: at most so many values, the most frequent first; the rest
    together are `other`.
    """

    streams: Annotated[int, msgspec.Meta(ge=0, le=2000)] = 50
    label: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    groups: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class Plight(NamedTuple):
    """How badly off a stream is; what sorts first is worse."""

    down: bool  # wanted, and not live
    open_incidents: int
    health: float
    coverage: float
    stream_id: str

    @property
    def troubled(self) -> bool:
        """Whether there is anything for an operator to look at."""
        return self.down or self.open_incidents > 0 or self.health < 100.0 or self.coverage < 0.99

    @property
    def rank(self) -> tuple[bool, bool, float, float, str]:
        """For sorting, worst first."""
        return (not self.down, not self.open_incidents, self.health, self.coverage, self.stream_id)


class Exposure:
    """Chooses, and remembers who was in trouble lately. Times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._troubled_s: dict[str, float] = {}

    def choose(self, plights: Iterable[Plight], most: int, now_s: float) -> frozenset[str]:
        """The ids of at most `most` streams: in trouble, then lately in trouble, then the least well."""
        every = list(plights)
        before = {stream_id: at_s for stream_id, at_s in self._troubled_s.items() if now_s - at_s <= LINGER_S}
        lately = before | dict.fromkeys((p.stream_id for p in every if p.troubled), now_s)
        here = {plight.stream_id for plight in every}
        self._troubled_s = {stream_id: at_s for stream_id, at_s in lately.items() if stream_id in here}
        every.sort(key=lambda p: (not p.troubled, -self._troubled_s.get(p.stream_id, -LINGER_S), p.rank))
        return frozenset(plight.stream_id for plight in every[:most])


def groups(labels: Mapping[str, Mapping[str, str]], options: MetricsOptions) -> dict[str, str]:
    """The group of each stream, by id; `labels` are the streams'."""
    values = {s: own.get(options.label, NONE) if options.label else NONE for s, own in labels.items()}
    sizes: dict[str, int] = {}
    for value in values.values():
        sizes[value] = sizes.get(value, 0) + 1
    kept = set(sorted(sizes, key=lambda value: (-sizes[value], value))[: options.groups])
    return {stream_id: value if value in kept else OTHER for stream_id, value in values.items()}
