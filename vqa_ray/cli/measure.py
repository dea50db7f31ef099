"""`vqa analyze --measure`: the offset of sound against picture, by the content or by a test signal."""

from collections.abc import Callable, Iterable, Mapping
from statistics import median
from types import MappingProxyType

import msgspec

from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Reading
from vqa_ray.detectors import av_marker
from vqa_ray.detectors.av_sync import ESTIMATE, EVENTS, EVENTS_SURENESS, SURENESS, AvSyncSpec
from vqa_ray.pipeline.local import Measured


class Offset(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. offset_ms: positive when the sound comes late, None where nothing could be measured.

    trust: how it was measured. sureness: of "content" (faces) see `detectors.lipsync.verdict`, of "events" (no face;
    never sure) see `detectors.lipsync.events`, of "marker" how many flashes had their beep; sure: whether it is enough
    for an alarm. drift_ms_per_min: None where it is not measured.
    """

    measure: str = "av_sync"
    offset_ms: float | None = None
    sureness: float = 0.0
    sure: bool = False
    trust: str = "content"
    range_ms: tuple[int, int] = (-800, 800)
    drift_ms_per_min: float | None = None
    start_s: float | None = None
    end_s: float | None = None


def measure_av_sync(found: Iterable[Incident | Measured]) -> Offset:
    """The most sure of what detector av_sync says of faces; without any, the last of what it says of events."""
    best, needed = Offset(), AvSyncSpec().sure
    estimate = None
    events = Offset()
    for reading in _readings(found):
        if reading.part == ESTIMATE:
            estimate = reading
        elif reading.part == EVENTS:
            events = Offset(offset_ms=round(reading.value, 1), trust="events", end_s=reading.until_s)
        elif reading.part == EVENTS_SURENESS:
            events = msgspec.structs.replace(events, sureness=round(reading.value, 2))
        elif reading.part == SURENESS and estimate is not None:
            if best.offset_ms is None or reading.value > best.sureness:
                best = Offset(
                    offset_ms=round(estimate.value, 1),
                    sureness=round(reading.value, 2),
                    sure=reading.value >= needed,
                    start_s=reading.at_s,
                    end_s=reading.until_s,
                )
            estimate = None
    return best if best.offset_ms is not None else events


def measure_av_marker(found: Iterable[Incident | Measured]) -> Offset:
    """The median of what detector av_marker says of single flashes, and the drift at the end."""
    limit_ms = round(av_marker.RANGE_S * 1000)
    none = Offset(measure="av_marker", trust="marker", range_ms=(-limit_ms, limit_ms))
    pairs: list[Reading] = []
    drift: float | None = None
    for reading in _readings(found):
        if reading.part == av_marker.LATE:
            pairs.append(reading)
        elif reading.part == av_marker.DRIFT:
            drift = round(reading.value, 1)
    if not pairs:
        return none
    return msgspec.structs.replace(
        none,
        offset_ms=round(median(pair.value for pair in pairs), 1),
        sureness=float(len(pairs)),
        sure=True,
        drift_ms_per_min=drift,
        start_s=pairs[0].at_s,
        end_s=pairs[-1].until_s,
    )


def _readings(found: Iterable[Incident | Measured]) -> Iterable[Reading]:
    return (item.reading for item in found if isinstance(item, Measured))


MEASURES: Mapping[str, Callable[[Iterable[Incident | Measured]], Offset]] = MappingProxyType(
    {"av_sync": measure_av_sync, "av_marker": measure_av_marker}
)
