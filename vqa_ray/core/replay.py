"""Which incidents other rules would have made of what was stored: came, gone, moved. Pure.

What is stored of readings is a row a second: how many were bad, not when. Incidents are stored exactly. So
- a detector whose rule did not change, nor that of any that it depends on, keeps its stored incidents, to the frame;
- of the others runs are made again of the seconds, with the known starts and ends of stored incidents put in, once
  with the rules as they were and once as they would be; only what differs between the two counts as a change. What
  the seconds cannot reproduce under the old rules either is left as it was stored, and counted as `unsure`.
"""

import enum
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from vqa_ray.core.hold import Rule
from vqa_ray.core.incident import IncidentBook
from vqa_ray.core.notice import Incident, NoticeKind
from vqa_ray.core.reading import Reading
from vqa_ray.core.window import WINDOW_S

CLOSE_S = 1e-3  # two ends nearer than this are the same: the seconds were replayed with the same outcome


class Second(NamedTuple):
    """What one detector and part said from `at_s` until `until_s`: one second, or several without a bad reading.

    Seconds since the replay's start. share: of its readings that were bad; worst: of their values.
    """

    at_s: float
    until_s: float
    share: float
    worst: float


Key = tuple[str, str]  # detector and part
Seconds = Callable[[str], Mapping[str, Sequence[Second]]]  # of a detector, by part


class Fate(enum.StrEnum):
    """What becomes of an incident."""

    SAME = "same"
    MOVED = "moved"
    GONE = "gone"
    NEW = "new"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One incident as it was raised and as it would have been; None where there is none."""

    fate: Fate
    before: Incident | None
    after: Incident | None

    @property
    def incident(self) -> Incident:
        """The one that there is, as it was if there are both."""
        one = self.before or self.after
        assert one is not None
        return one


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stream, by start. unsure: incidents of changed rules that were left as they were stored."""

    verdicts: tuple[Verdict, ...]
    unsure: int


def replay(
    stream_id: str,
    origin_utc: datetime,
    stored: Sequence[Incident],
    seconds: Seconds,
    old: Mapping[str, Rule],
    new: Mapping[str, Rule],
) -> Outcome:
    """The stored incidents of a stream under new rules (by detector; one that is missing is off)."""
    affected = affected_by(old, new)
    verdicts = [Verdict(fate=Fate.SAME, before=one, after=one) for one in stored if one.detector not in affected]
    asked = [one for one in stored if one.detector in affected]
    known = {key: _spans(asked_of(stored, key), origin_utc) for key in {(i.detector, i.part) for i in stored}}
    feed = affected | {name for rules in (old, new) for d in affected if d in rules for name in rules[d].hidden_by}
    runs = {(d, part): rows for d in sorted(feed) for part, rows in seconds(d).items()} if affected else {}
    readings = {key: list(as_readings(rows, known.get(key, ()))) for key, rows in runs.items()}
    as_was = _incidents(stream_id, origin_utc, readings, old, affected)
    as_new = _incidents(stream_id, origin_utc, readings, new, affected)
    unsure = 0
    for key in sorted({(one.detector, one.part) for one in (*asked, *as_was, *as_new)}):
        judged, left = _compare(asked_of(asked, key), asked_of(as_was, key), asked_of(as_new, key), key[0] in new)
        verdicts += judged
        unsure += left
    verdicts = [_regraded(one, old, new) for one in verdicts]
    return Outcome(verdicts=tuple(sorted(verdicts, key=lambda one: one.incident.start_utc)), unsure=unsure)


def affected_by(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> frozenset[str]:
    """Detectors whose incidents other holds may change: theirs, or those of what hides them."""
    names = old.keys() | new.keys()
    affected = {name for name in names if _holds(old.get(name)) != _holds(new.get(name))}
    while True:
        more = {
            name for rules in (old, new) for name, rule in rules.items() if affected & set(rule.hidden_by)
        } - affected  # fmt: skip
        if not more:
            return frozenset(affected)
        affected |= more


def as_readings(seconds: Sequence[Second], known: Sequence[tuple[float, float]]) -> Iterator[Reading]:
    """Readings of which these seconds may have been made: where bad ones lay in a second is taken from the start or end
    of a known incident in it, else from the seconds beside it."""
    for number, second in enumerate(seconds):
        before = seconds[number - 1] if number else None
        after = seconds[number + 1] if number + 1 < len(seconds) else None
        until_s = second.until_s
        if second.share > 0 and (inside := _around(known, second.at_s)) is not None:
            # A reading that lasts longer than its second leaves none for those after it.
            until_s = max(until_s, min(inside[1], after.at_s if after else math.inf))
        touches = (
            before is not None and before.share > 0 and second.at_s - before.until_s < WINDOW_S,
            after is not None and after.share > 0 and after.at_s - until_s < WINDOW_S,
        )
        for at_s, end_s, bad in _pieces(second, until_s, known, touches):
            if end_s > at_s:
                yield Reading(at_s, end_s, second.worst, bad)


def _pieces(
    second: Second, until_s: float, known: Sequence[tuple[float, float]], touches: tuple[bool, bool]
) -> list[tuple[float, float, bool]]:
    at_s, length_s = second.at_s, second.share * (second.until_s - second.at_s)
    if second.share <= 0:
        return [(at_s, until_s, False)]
    start_s = next((begin for begin, _ in known if at_s <= begin < until_s), None)
    end_s = next((end for _, end in known if at_s < end <= until_s), None)
    if start_s is not None and (end_s is None or start_s < end_s):
        stop_s = until_s if end_s is None else end_s
        head = start_s if touches[0] is False else at_s
        return [(at_s, head, False), (head, stop_s, True), (stop_s, until_s, False)]
    if end_s is not None:
        again_s = until_s if start_s is None else start_s
        return [(at_s, end_s, True), (end_s, again_s, False), (again_s, until_s, True)]
    if second.share >= 1:
        return [(at_s, until_s, True)]
    if touches == (True, True):
        return [
            (at_s, at_s + length_s / 2, True),
            (at_s + length_s / 2, until_s - length_s / 2, False),
            (until_s - length_s / 2, until_s, True),
        ]
    if touches[1]:
        return [(at_s, until_s - length_s, False), (until_s - length_s, until_s, True)]
    return [(at_s, at_s + length_s, True), (at_s + length_s, until_s, False)]


def asked_of(incidents: Iterable[Incident], key: Key) -> list[Incident]:
    """Those of one detector and part, by start."""
    return sorted((one for one in incidents if (one.detector, one.part) == key), key=lambda one: one.start_utc)


def _holds(rule: Rule | None) -> tuple[float, ...] | None:
    return None if rule is None else (rule.raise_after_s, rule.clear_after_s, rule.merge_gap_s)


def _around(known: Sequence[tuple[float, float]], at_s: float) -> tuple[float, float] | None:
    return next((one for one in known if one[0] < at_s + WINDOW_S and at_s < one[1]), None)


def _spans(incidents: Iterable[Incident], origin_utc: datetime) -> list[tuple[float, float]]:
    return [
        (
            (one.start_utc - origin_utc).total_seconds(),
            math.inf if one.end_utc is None else (one.end_utc - origin_utc).total_seconds(),
        )
        for one in incidents
    ]


def _regraded(verdict: Verdict, old: Mapping[str, Rule], new: Mapping[str, Rule]) -> Verdict:
    """The same with the new severity, unless coincidence or sound had set another than the rule's."""
    before, after = verdict.before, verdict.after
    if before is None or after is None or (was := old.get(before.detector)) is None:
        return verdict
    severity = new[after.detector].severity
    if was.severity is severity or before.severity is not was.severity:
        return verdict
    return Verdict(fate=Fate.MOVED, before=before, after=msgspec.structs.replace(after, severity=severity))


def _incidents(
    stream_id: str,
    origin_utc: datetime,
    readings: Mapping[Key, Sequence[Reading]],
    rules: Mapping[str, Rule],
    wanted: frozenset[str],
) -> list[Incident]:
    """What the incident machine makes of the readings; causes speak before what they hide."""
    used = {name: rules[name] for name, _ in readings if name in rules}
    book = IncidentBook(stream_id, used.values(), origin_utc)
    ranks = {name: len(set(rule.hidden_by) & used.keys()) for name, rule in used.items()}
    merged = sorted(
        (
            (one.at_s, ranks[name], name, part, one)
            for (name, part), rows in readings.items()
            if name in used
            for one in rows
        ),
        key=lambda row: row[:4],
    )
    found: dict[str, Incident] = {}
    for _, _, name, part, one in merged:
        for kind, incident in book.step(name, (msgspec.structs.replace(one, part=part),)):
            if kind is not NoticeKind.CHANGED:
                found[incident.incident_id] = incident
    return [one for one in found.values() if one.detector in wanted]


def _compare(
    stored: list[Incident], as_was: list[Incident], as_new: list[Incident], on: bool
) -> tuple[list[Verdict], int]:
    """Verdicts on one detector's part, and how many incidents the seconds do not reproduce. on: under the new rules."""
    was, now, unsure = _partners(stored, as_was), _partners(stored, as_new), 0
    verdicts = []
    for number, one in enumerate(stored):
        before, after = was.get(number), now.get(number)
        if before is not None and after is not None:
            verdicts.append(_moved(one, as_was[before], as_new[after]))
        elif on and before is None:
            unsure += 1
            verdicts.append(Verdict(fate=Fate.SAME, before=one, after=one))
        else:
            verdicts.append(Verdict(fate=Fate.GONE, before=one, after=None))
    artefacts = _partners(as_new, as_was)
    taken = set(now.values())
    verdicts += [
        Verdict(fate=Fate.NEW, before=None, after=one)
        for number, one in enumerate(as_new)
        if number not in taken and (number not in artefacts or artefacts[number] in set(was.values()))
    ]
    return verdicts, unsure


def _moved(one: Incident, before: Incident, after: Incident) -> Verdict:
    """The stored one, with what differs between the two replays applied to its ends."""
    if _near(before.start_s, after.start_s) and _near(before.end_s, after.end_s):
        return Verdict(fate=Fate.SAME, before=one, after=one)
    start, end = one, one
    if not _near(before.start_s, after.start_s):
        start = after
    if not _near(before.end_s, after.end_s):
        end = after
    changed = msgspec.structs.replace(
        one,
        start_s=one.start_s + (start.start_utc - one.start_utc).total_seconds(),
        start_utc=start.start_utc,
        end_s=None if end.end_utc is None else one.start_s + (end.end_utc - one.start_utc).total_seconds(),
        end_utc=end.end_utc,
    )
    return Verdict(fate=Fate.MOVED, before=one, after=changed)


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= CLOSE_S


def _partners(ones: Sequence[Incident], others: Sequence[Incident]) -> dict[int, int]:
    """Which of the others each of these is: the first not yet taken that overlaps it, or touches it."""
    partners: dict[int, int] = {}
    for number, one in enumerate(ones):
        taken = set(partners.values())
        for index, other in enumerate(others):
            if index not in taken and _overlap(one, other):
                partners[number] = index
                break
    return partners


def _overlap(one: Incident, other: Incident) -> bool:
    return (other.end_utc is None or one.start_utc <= other.end_utc) and (
        one.end_utc is None or other.start_utc <= one.end_utc
    )
