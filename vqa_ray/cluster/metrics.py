"""What the fleet tells a monitoring system, taken from what the supervisor knows. Pure; `port` hands it to Ray.

Ray puts `ray_` before each name and serves them on each node's metrics port. A gauge that is not set again vanishes
there after 20 to 26 s (measured with Ray 2.60), which is what should become of a stream that is watched no more.
Labels hold ids and states only, never a URL. What is counted (`..._total`) is a gauge to Ray, too: its own counters
cannot be 0, so they appear with their first event, and `increase` and `rate` never see that one. The totals begin at
0 with the supervisor's process, as counters do.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from vqa_ray.cluster.messages import FleetStatus, StreamStatus
from vqa_ray.cluster.tally import WELL, Tally, open_by_kind
from vqa_ray.core.exposure import MetricsOptions, Plight, groups
from vqa_ray.core.health import WHOLE
from vqa_ray.core.ladder import RUNGS, Tier
from vqa_ray.core.noise import Why
from vqa_ray.core.notice import Incident
from vqa_ray.core.reading import Severity
from vqa_ray.core.reconcile import Reason
from vqa_ray.core.source import State
from vqa_ray.core.urls import redact
from vqa_ray.detectors.registry import SPECS
from vqa_ray.pipeline.analysis import NOT_ANALYSED
from vqa_ray.sinks.outbox import ChannelStats

EVERY_S = 5.0
MOST_OPEN = 100_000  # incidents that are counted by kind


MEANING = {
    "vqa_streams": "Wanted streams by state of their source.",
    "vqa_stream_up": "1 while the stream is live, 0 else.",
    "vqa_stream_fps": "Frames analysed a second.",
    "vqa_stream_coverage": "Share of frames analysed since the stream began at its analyzer.",
    "vqa_stream_lag_s": "How far analysis is behind arrival, in seconds.",
    "vqa_stream_tier": "What is decoded: 0 all frames, 1 no disposable ones, 2 key frames only.",
    "vqa_stream_cpu_cores": "CPU seconds a second of the stream's thread.",
    "vqa_stream_health": "0 to 100: what open incidents leave, and what is recovered since (100 a minute).",
    "vqa_stream_incidents_open": "Incidents of the stream that last.",
    "vqa_stream_faults": "How often our own pipeline failed in the stream at its present analyzer.",
    "vqa_stream_reconnects": "How often the stream's source was connected again at its present analyzer.",
    "vqa_streams_unlisted": "Wanted streams that have no series of their own; totals hold them.",
    "vqa_streams_tier": "Live streams by what is decoded of them.",
    "vqa_streams_health": "Streams by band of health: 0-49, 50-89, 90-100.",
    "vqa_fleet_coverage": "Share of frames analysed, of all live streams together.",
    "vqa_fleet_fps": "Frames analysed a second, of all streams.",
    "vqa_fleet_cpu_cores": "CPU seconds a second that decoding and analysis take, of all streams.",
    "vqa_fleet_lag_s": "How far the stream that is farthest behind is behind arrival, in seconds.",
    "vqa_group_streams": "Wanted streams by the chosen label and by state of their source.",
    "vqa_group_incidents_open": "Incidents that last, by the chosen label and by severity.",
    "vqa_group_health": "Mean health of the streams of which it is known, by the chosen label.",
    "vqa_kind_incidents_open": "Incidents that last, by detector and severity.",
    "vqa_incidents_opened_total": "Incidents that opened, by detector and severity.",
    "vqa_unanalysed_s_total": "Seconds of streams that nobody looked at, by cause.",
    "vqa_reconnects_total": "Reconnects of all sources.",
    "vqa_moves_total": "Streams that went to another analyzer, or began anew, in an orderly way, by reason.",
    "vqa_failovers_total": "Streams that lost their analyzer, by reason.",
    "vqa_notices_held_total": "Openings of incidents that were held back, by why.",
    "vqa_evidence_lost_total": "Moments of incidents whose evidence was dropped or not kept.",
    "vqa_transitions_lost_total": "Transitions that an analyzer could not hold until the supervisor took them.",
    "vqa_incidents_open": "Incidents that last, of the whole fleet.",
    "vqa_alerts_undelivered": "Notices that a channel has not taken yet.",
    "vqa_channel_delivered": "Notices that the channel took since the supervisor began to use it.",
    "vqa_channel_failed": "Tries that failed since then.",
    "vqa_channel_dropped": "Notices that were given up, or for which there was no room.",
    "vqa_transitions_stale": "Transitions of fenced epochs that were dropped since the supervisor's start.",
    "vqa_supervisor_tick_failures": "Ticks of the supervisor that failed since its start.",
    "vqa_analyzer_load": "CPU seconds a second of the analyzer's process.",
    "vqa_analyzer_rss_bytes": "Resident memory of the analyzer's process.",
    "vqa_analyzer_streams": "Streams that the analyzer watches.",
    "vqa_analyzer_evidence_lost": "Moments of incidents whose evidence was dropped or not kept, since its start.",
}


class Gauge(NamedTuple):
    """One value, with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


class Observation(NamedTuple):
    """One value for a histogram, with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


HISTOGRAMS = {
    "vqa_alert_delay_s": (
        "From the opening of an incident until a channel had taken the notice, in seconds.",
        (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
    )
}

SEVERITIES = tuple(severity.value for severity in Severity)
KINDS = tuple(
    (detector, severity) for detector in (*(spec.id for spec in SPECS), NOT_ANALYSED) for severity in SEVERITIES
)
FAILOVERS = (Reason.DIED, Reason.SILENT, Reason.STUCK, Reason.DROPPED)
MOVES = (
    Reason.ASKED,
    Reason.BALANCE,
    Reason.OVERLOADED,
    Reason.DRAINED,
    Reason.ENDING,
    Reason.RECYCLED,
    Reason.SURPLUS,
    Reason.APART,
    Reason.CHANGED,
)
BANDS = ((90.0, "90-100"), (50.0, "50-89"), (0.0, "0-49"))


class View(msgspec.Struct, frozen=True, kw_only=True):
    """All that is told. shown: ids of the streams that have series of their own; held_back: openings, by reason."""

    status: FleetStatus
    channels: Mapping[str, ChannelStats]
    tally: Tally
    losses: Mapping[Reason, int]
    lasting: Sequence[Incident]
    options: MetricsOptions
    shown: frozenset[str]
    held_back: Mapping[Why, int] = {}


def plights(status: FleetStatus) -> Iterator[Plight]:
    """How badly off each stream is."""
    for stream in status.streams:
        down = stream.state != State.LIVE and stream.state not in WELL
        health = WHOLE if stream.health is None else stream.health
        coverage = stream.coverage if stream.state == State.LIVE else 1.0
        yield Plight(down, stream.open_incidents, health, coverage, stream.stream_id)


def gauges(view: View) -> Iterator[Gauge]:
    """All of them, as they are now."""
    for stream in view.status.streams:
        if stream.stream_id in view.shown:
            yield from _stream(stream)
    yield from _streams(view.status.streams, len(view.shown))
    yield from _groups(view)
    yield from _incidents(view)
    yield from _counts(view)
    yield from _service(view)


def _stream(stream: StreamStatus) -> Iterator[Gauge]:
    labels = {"stream": stream.stream_id}
    yield Gauge("vqa_stream_up", labels, stream.state == State.LIVE)
    yield Gauge("vqa_stream_fps", labels, stream.fps)
    yield Gauge("vqa_stream_coverage", labels, stream.coverage)
    yield Gauge("vqa_stream_lag_s", labels, stream.lag_s)
    yield Gauge("vqa_stream_tier", labels, RUNGS.index(Tier(stream.tier)) if stream.tier else 0)
    yield Gauge("vqa_stream_cpu_cores", labels, stream.cpu_share)
    if stream.health is not None:
        yield Gauge("vqa_stream_health", labels, stream.health)
    yield Gauge("vqa_stream_incidents_open", labels, stream.open_incidents)
    yield Gauge("vqa_stream_reconnects", labels, stream.reconnects)
    yield Gauge("vqa_stream_faults", labels, stream.faults)


def _streams(streams: Sequence[StreamStatus], shown: int) -> Iterator[Gauge]:
    """Totals of all, whoever has series of his own."""
    states = {State.LIVE.value: 0} | Counter(stream.state for stream in streams)
    live = [stream for stream in streams if stream.state == State.LIVE]
    tiers = Counter(stream.tier for stream in live if stream.tier)
    bands = Counter(_band(stream.health) for stream in streams if stream.health is not None)
    came = sum(stream.frames_came for stream in live)
    for state, count in states.items():
        yield Gauge("vqa_streams", {"state": state}, count)
    for tier in RUNGS:
        yield Gauge("vqa_streams_tier", {"tier": tier.value}, tiers[tier.value])
    for _, band in BANDS:
        yield Gauge("vqa_streams_health", {"band": band}, bands[band])
    yield Gauge("vqa_streams_unlisted", {}, len(streams) - shown)
    yield Gauge("vqa_fleet_coverage", {}, sum(stream.frames_analysed for stream in live) / came if came else 1.0)
    yield Gauge("vqa_fleet_fps", {}, sum(stream.fps for stream in live))
    yield Gauge("vqa_fleet_cpu_cores", {}, sum(stream.cpu_share for stream in streams))
    yield Gauge("vqa_fleet_lag_s", {}, max((stream.lag_s for stream in live), default=0.0))


def _band(health: float) -> str:
    return next(band for least, band in BANDS if health >= least)


def _groups(view: View) -> Iterator[Gauge]:
    streams = view.status.streams
    group = groups({stream.stream_id: stream.labels for stream in streams}, view.options)
    for (of, state), count in Counter((group[s.stream_id], s.state) for s in streams).items():
        yield Gauge("vqa_group_streams", {"group": of, "state": state}, count)
    lasting = Counter((group[i.stream_id], i.severity.value) for i in view.lasting if i.stream_id in group)
    known: dict[str, list[float]] = {of: [] for of in group.values()}
    for stream in streams:
        if stream.health is not None:
            known[group[stream.stream_id]].append(stream.health)
    for of, healths in known.items():
        for severity in SEVERITIES:
            yield Gauge("vqa_group_incidents_open", {"group": of, "severity": severity}, lasting[of, severity])
        if healths:
            yield Gauge("vqa_group_health", {"group": of}, sum(healths) / len(healths))


def _incidents(view: View) -> Iterator[Gauge]:
    """Of each detector and severity there is, the zeros too: what appears with its first event hides that event."""
    lasting = open_by_kind(view.lasting)
    for kind in dict.fromkeys((*KINDS, *lasting, *view.tally.opened)):
        labels = {"detector": kind[0], "severity": kind[1]}
        yield Gauge("vqa_kind_incidents_open", labels, lasting[kind])
        yield Gauge("vqa_incidents_opened_total", labels, view.tally.opened[kind])
    yield Gauge("vqa_incidents_open", {}, view.status.open_incidents)


def _counts(view: View) -> Iterator[Gauge]:
    tally = view.tally
    for cause, seconds in tally.unanalysed_s.items():
        yield Gauge("vqa_unanalysed_s_total", {"cause": cause}, seconds)
    for name, reasons in (("vqa_moves_total", MOVES), ("vqa_failovers_total", FAILOVERS)):
        for reason in reasons:
            yield Gauge(name, {"reason": reason.name.lower()}, view.losses.get(reason, 0))
    for why in Why:
        yield Gauge("vqa_notices_held_total", {"why": why.value}, view.held_back.get(why, 0))
    yield Gauge("vqa_reconnects_total", {}, tally.reconnects)
    yield Gauge("vqa_evidence_lost_total", {}, tally.evidence_lost)
    yield Gauge("vqa_transitions_lost_total", {}, tally.transitions_lost)


def _service(view: View) -> Iterator[Gauge]:
    status = view.status
    yield Gauge("vqa_alerts_undelivered", {}, status.undelivered)
    yield Gauge("vqa_transitions_stale", {}, status.dropped_stale)
    yield Gauge("vqa_supervisor_tick_failures", {}, status.tick_failures)
    for name, stats in view.channels.items():
        labels = {"channel": redact(name)}
        yield Gauge("vqa_channel_delivered", labels, stats.sent)
        yield Gauge("vqa_channel_failed", labels, stats.retried)
        yield Gauge("vqa_channel_dropped", labels, stats.given_up + stats.dropped)
    for analyzer in status.analyzers:
        labels = {"analyzer": analyzer.name}
        yield Gauge("vqa_analyzer_load", labels, analyzer.load)
        yield Gauge("vqa_analyzer_rss_bytes", labels, analyzer.rss_bytes)
        yield Gauge("vqa_analyzer_streams", labels, analyzer.streams)
        yield Gauge("vqa_analyzer_evidence_lost", labels, analyzer.evidence_lost)
