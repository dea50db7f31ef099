"""The roster as people see it: a row for each wanted stream and each analyzer."""

import msgspec

from vqa_ray.cluster.messages import AnalyzerStatus, StreamStatus
from vqa_ray.cluster.records import Member
from vqa_ray.cluster.roster import Roster
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
    return tuple(_stream(roster, stream_id, starting=starting) for stream_id in sorted(roster.streams))


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
