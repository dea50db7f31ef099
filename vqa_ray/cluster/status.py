"""The roster as people see it: a row for each wanted stream and each analyzer."""

import msgspec

from vqa_ray.cluster.messages import AnalyzerStatus, StreamStatus
from vqa_ray.cluster.records import Member
from vqa_ray.cluster.roster import Roster
from vqa_ray.core.halves import PART, is_second, second
from vqa_ray.core.ladder import Tier
from vqa_ray.core.reconcile import Phase, Reason
from vqa_ray.core.source import State

WAITING = "waiting"  # state of a stream that has no analyzer
PAUSED = "paused"  # of one that is declared, and not to be watched now
STUCK = "stuck"  # of one whose analyzer hangs in it
GIVEN = "just given to its analyzer"
STARTING = "an analyzer is starting"


def stream_statuses(roster: Roster) -> tuple[StreamStatus, ...]:
    """All wanted streams, by id."""
    starting = any(member.phase is Phase.STARTING for member in roster.members.values())
    rows = {name: _stream(roster, name, starting=starting) for name in sorted(roster.streams)}
    return tuple(
        _both(row, rows[second(name)]) if second(name) in rows else row
        for name, row in rows.items()
        if not is_second(name)
    )


def analyzer_statuses(roster: Roster) -> tuple[AnalyzerStatus, ...]:
    """All analyzers, by name."""
    return tuple(_analyzer(roster, roster.members[name]) for name in sorted(roster.members))


def waiting(roster: Roster) -> int:
    """How many wanted streams have no analyzer."""
    placed = {place.stream_id for place in roster.places.values() if place.lost is None}
    over = placed | roster.parked.keys()
    unplaced = [stream_id for stream_id in roster.streams if stream_id not in over]
    return sum(roster.watches(stream_id) and not roster.streams[stream_id].done for stream_id in unplaced)


def _stream(roster: Roster, stream_id: str, *, starting: bool) -> StreamStatus:
    stream, place = roster.streams[stream_id], roster.places.get(stream_id)
    row = StreamStatus(stream_id=stream_id, state=WAITING, labels=stream.spec.labels, crashes=stream.record.crashes)
    if stream.spec.paused and (place is None or place.lost is not None):
        return msgspec.structs.replace(row, state=PAUSED)
    if (why := roster.parked.get(stream_id)) is not None:
        return msgspec.structs.replace(row, state=State.PARKED, reason=why)
    if place is None or place.lost is not None:
        reason = place.lost if place is not None and place.lost else STARTING if starting else Reason.NO_SEAT
        return msgspec.structs.replace(row, state=State.ENDED if stream.done else WAITING, reason=reason)
    row = msgspec.structs.replace(row, analyzer=place.analyzer, epoch=place.epoch)
    report = place.report
    if report is None:
        return msgspec.structs.replace(row, state=State.CONNECTING, reason=GIVEN)
    return msgspec.structs.replace(
        row,
        state=STUCK if report.stuck else report.state,
        reason=report.reason,
        at_s=report.at_s,
        fps=report.fps,
        coverage=report.coverage,
        frames_came=report.frames_came,
        frames_analysed=report.frames_analysed,
        cpu_share=report.cpu_share,
        tier=report.tier,
        lag_s=report.lag_s,
        open_incidents=report.open_incidents,
        health=report.health,
        reconnects=report.reconnects,
        faults=report.faults,
    )


def _both(first: StreamStatus, other: StreamStatus) -> StreamStatus:
    """One row of two halves: it is live only if both are, and as well as the worse one is."""
    worse = other if first.state == State.LIVE and other.state != State.LIVE else first
    reason = f"{PART}: {other.reason}" if worse is other and other.reason else first.reason
    health = [one.health for one in (first, other) if one.health is not None]
    return msgspec.structs.replace(
        first,
        state=worse.state,
        reason=reason,
        second=other.analyzer or "",
        coverage=min(first.coverage, other.coverage),
        cpu_share=first.cpu_share + other.cpu_share,
        tier=max(first.tier, other.tier, key=_steps_down),
        lag_s=max(first.lag_s, other.lag_s),
        open_incidents=first.open_incidents + other.open_incidents,
        health=min(health, default=None),
        reconnects=first.reconnects + other.reconnects,
        faults=first.faults + other.faults,
        crashes=max(first.crashes, other.crashes),
    )


def _steps_down(tier: str) -> int:
    """How far down the ladder of what is decoded."""
    tiers = [one.value for one in Tier]
    return tiers.index(tier) if tier in tiers else -1


def _analyzer(roster: Roster, member: Member) -> AnalyzerStatus:
    places = [p for p in roster.places_at(member.name) if p.lost is None]
    return AnalyzerStatus(
        name=member.name,
        phase=roster.phase(member),
        pid=member.hello.pid if member.hello else None,
        node_id=member.hello.node_id if member.hello else "",
        streams=len(places),
        load=member.beat.load if member.beat else 0.0,
        reserved=roster.reserved(member.name),
        capacity=roster.options.capacity,
        rss_bytes=member.beat.rss_bytes if member.beat else 0,
        evidence_lost=member.beat.evidence_lost if member.beat else 0,
        transitions_lost=member.beat.transitions_lost if member.beat else 0,
    )
