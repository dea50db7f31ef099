"""What is told, and when: between the journal, which has all, and the channels, which should have what matters. Pure.

An incident whose opening was held back is told when what held it has passed and it still lasts; else its end is not
told either. So nobody is told of an end without a beginning, and what lasts is told in the end.
"""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from vqa_ray.core.notice import RANKS, Incident, Notice, NoticeKind
from vqa_ray.core.quiet import Quiet, Window
from vqa_ray.core.reading import Severity

FIRST_STEP = 10  # `sequence` of the first escalation; lower ones are ranks of severities
FIRST_REPEAT = 1000  # and of the first repeat
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Grouping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One notice for the same detector on several streams with the same value of a label.

    within_s: so long each opening waits for others; at_least: fewer are told one by one.
    """

    label: Annotated[str, msgspec.Meta(min_length=1)]
    within_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 5.0
    at_least: Annotated[int, msgspec.Meta(ge=2)] = 3


class Escalation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lasts, and nobody has acknowledged for `after_s`, is told again: as `severity`, if that is graver."""

    after_s: _Seconds
    severity: Severity | None = None


class NoiseOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How alerts are kept from drowning each other. Times in seconds.

    windows: times in which nothing is told. cooldown_s: a detector of a stream that was told is not told again for so
    long. repeat_s: what lasts is told again so often, until somebody acknowledges it.
    """

    windows: tuple[Window, ...] = ()
    group: Grouping | None = None
    cooldown_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    escalate: tuple[Escalation, ...] = ()
    repeat_s: _Seconds | None = None

    def __post_init__(self) -> None:
        """ValueError for steps out of order."""
        after = [step.after_s for step in self.escalate]
        if after != sorted(set(after)):
            raise ValueError("escalate: give each step a longer after_s than the one before it")


class Why(enum.StrEnum):
    """Why the opening of an incident was held back."""

    QUIET = "quiet"  # a window or a mute
    COOLDOWN = "cool-down"
    GROUP = "group"  # it waits for others


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an open incident's notices, as it is kept over restarts. An incident without one was told.

    held: why it was not, None if it was. until_utc: of a cool-down, a group. told_utc: when it was, again_utc: when it
    was told again. steps, repeats: done so far. severity: to which it was escalated. leader: of the group whose notice
    stands for it; its own id for the one that is told.
    """

    held: Why | None = None
    until_utc: datetime | None = None
    steps: int = 0
    repeats: int = 0
    severity: Severity | None = None
    told_utc: datetime | None = None
    again_utc: datetime | None = None
    leader: str = ""


class _Known:
    """An incident that lasts, or whose group is not told yet."""

    __slots__ = ("closed", "notice", "telling")

    def __init__(self, notice: Notice, telling: Telling) -> None:
        self.notice = notice
        self.telling = telling
        self.closed: Notice | None = None  # while its group gathers

    @property
    def incident(self) -> Incident:
        return self.notice.incident


class Gate:
    """Decides what is told. `now` is given to each call, and grows.

    options, quiet, acknowledged (ids of incidents) may be replaced at any time. held_back: by reason, since the start.
    """

    def __init__(self, options: NoiseOptions | None = None) -> None:
        self.options = options or NoiseOptions()
        self.quiet = Quiet()
        self.acknowledged: set[str] = set()
        self.held_back: Counter[Why] = Counter()
        self._known: dict[str, _Known] = {}
        self._groups: dict[str, set[str]] = {}  # by leader: members that last
        self._cool: dict[tuple[str, str, str], tuple[datetime, int]] = {}  # told last, and how many were not since
        self._changed: set[str] = set()

    def resume(self, open_notices: Iterable[Notice], tellings: Mapping[str, Telling]) -> None:
        """After a restart: what lasts, and what had become of it."""
        for notice in open_notices:
            incident_id = notice.incident.incident_id
            telling = tellings.get(incident_id, Telling(told_utc=notice.noticed_utc))
            self._known[incident_id] = _Known(notice, telling)
            if telling.leader:
                self._groups.setdefault(telling.leader, set()).add(incident_id)

    def changes(self) -> dict[str, Telling | None]:
        """What is to be kept, since this was asked last; None of what is over."""
        changed, self._changed = self._changed, set()
        return {one: known.telling if (known := self._known.get(one)) else None for one in changed}

    def tells(self, incident_id: str) -> bool:
        """Whether the channels have heard of an open incident by itself: it is told again where they ask for that."""
        known = self._known.get(incident_id)
        return known is None or (known.telling.held is None and known.telling.leader in ("", incident_id))

    # ---- as it happens

    def take(self, notice: Notice, now: datetime, *, delivered: bool = False) -> list[Notice]:
        """What to tell at once. delivered: the channels have it already."""
        match notice.kind:
            case NoticeKind.OPENED:
                return self._opened(notice, now, delivered=delivered)
            case NoticeKind.CHANGED:
                return self._risen(notice, now, delivered=delivered)
            case _:
                return self._closed(notice)

    def _opened(self, notice: Notice, now: datetime, *, delivered: bool) -> list[Notice]:
        incident = notice.incident
        before = self._known.get(incident.incident_id)
        if before is not None and before.telling.held is None:  # once more, since it could not be written down
            return [] if delivered else [notice]
        known = self._known[incident.incident_id] = _Known(notice, Telling(told_utc=now))
        if delivered:
            self._cool[_flapper(incident)] = (now, 0)
            return []
        if self.quiet.why(incident, now):
            return self._hold(known, Why.QUIET, None)
        told_utc, missed = self._cool.get(_flapper(incident), (None, 0))
        cool = timedelta(seconds=self.options.cooldown_s)
        if told_utc is not None and now < told_utc + cool:
            self._cool[_flapper(incident)] = (told_utc, missed + 1)
            return self._hold(known, Why.COOLDOWN, told_utc + cool)
        group = self.options.group
        if group is not None and group.label in incident.labels:
            begun = [k.telling.until_utc for k in self._gathering(incident) if k.telling.until_utc is not None]
            return self._hold(known, Why.GROUP, min(begun, default=now + timedelta(seconds=group.within_s)))
        return [self._tell(known, now)]

    def _risen(self, notice: Notice, now: datetime, *, delivered: bool) -> list[Notice]:
        known = self._known.get(notice.incident.incident_id)
        if known is None:
            known = self._known[notice.incident.incident_id] = _Known(notice, Telling(told_utc=now))
        known.notice = notice
        if delivered:
            return []
        if known.telling.held is None:
            return [] if known.telling.leader not in ("", notice.incident.incident_id) else [_as_told(notice, known)]
        if known.telling.held is Why.COOLDOWN and notice.incident.severity is Severity.CRITICAL:
            return [self._tell(known, now)]  # what is so grave does not wait
        return []

    def _closed(self, notice: Notice) -> list[Notice]:
        incident_id = notice.incident.incident_id
        known = self._known.get(incident_id)
        if known is None:
            return [notice]
        known.notice = notice
        if known.telling.held is Why.GROUP:
            known.closed = notice  # the short ones are told, too
            return []
        self._forget(incident_id)
        if known.telling.held is not None:
            return []
        notice = _as_told(notice, known)
        return self._leave_group(known, notice) if known.telling.leader else [notice]

    # ---- as time goes by

    def look(self, now: datetime) -> list[Notice]:
        """What is due now: what was held back and lasts, groups, escalations, repeats."""
        told, silence = self._groups_due(now), self.quiet.at(now)
        for known in list(self._known.values()):
            held, until = known.telling.held, known.telling.until_utc
            quiet = silence.why(known.incident)
            if held is None:
                told += self._again(known, now) if not quiet else []
            elif quiet or held is Why.GROUP:
                continue
            elif held is Why.QUIET or until is None or now >= until:
                told.append(self._tell(known, now))
        cool = timedelta(seconds=self.options.cooldown_s)
        self._cool = {who: last for who, last in self._cool.items() if now < last[0] + cool or last[1]}
        return told

    def _groups_due(self, now: datetime) -> list[Notice]:
        gathered: dict[tuple[str, str], list[_Known]] = {}
        for known in self._known.values():
            if known.telling.held is Why.GROUP:
                gathered.setdefault(self._place(known.incident), []).append(known)
        told: list[Notice] = []
        for members in gathered.values():
            if any(known.telling.until_utc is None or known.telling.until_utc <= now for known in members):
                told += self._tell_group(members, now)
        return told

    def _tell_group(self, members: list[_Known], now: datetime) -> list[Notice]:
        group = self.options.group
        if group is None or len(members) < group.at_least:
            return [notice for known in members for notice in self._tell_waiting(known, now)]
        members.sort(key=lambda one: (-RANKS[one.incident.severity], one.incident.start_utc, one.incident.incident_id))
        leader = members[0].incident
        for known in members:
            self._set(known, Telling(told_utc=now, leader=leader.incident_id))
            self._cool[_flapper(known.incident)] = (now, 0)
        self.held_back[Why.GROUP] += len(members) - 1
        self._groups[leader.incident_id] = {known.incident.incident_id for known in members}
        streams = tuple(sorted({known.incident.stream_id for known in members}))
        why = f"on {len(streams)} streams with {group.label}: {leader.labels.get(group.label, '')}"
        told = [Notice(kind=NoticeKind.OPENED, incident=_open(leader), noticed_utc=now, why=why, streams=streams)]
        for known in members:
            if known.closed is not None:
                self._forget(known.incident.incident_id)
                told += self._leave_group(known, known.closed)
        return told

    def _leave_group(self, known: _Known, closed: Notice) -> list[Notice]:
        """The group is over when the last of it is: then the notice that opened it is closed."""
        leader, incident = known.telling.leader, known.incident
        group = self._groups.get(leader, set())
        group.discard(incident.incident_id)
        if incident.incident_id == leader and group:
            self._known[leader] = known  # kept until then
            known.closed = closed
            self._changed.add(leader)
            return []
        if group:
            return []
        self._groups.pop(leader, None)
        first = known if incident.incident_id == leader else self._known.get(leader)
        self._forget(leader)
        if first is None or first.incident.end_utc is None or incident.end_utc is None:
            return [closed]
        end_utc = max(first.incident.end_utc, incident.end_utc)
        lasted_s = (end_utc - first.incident.start_utc).total_seconds()
        whole = msgspec.structs.replace(first.incident, end_utc=end_utc, end_s=first.incident.start_s + lasted_s)
        return [
            Notice(kind=NoticeKind.CLOSED, incident=whole, noticed_utc=closed.noticed_utc, why="on all its streams")
        ]

    def _tell_waiting(self, known: _Known, now: datetime) -> list[Notice]:
        opened = self._tell(known, now)
        if known.closed is None:
            return [opened]
        self._forget(known.incident.incident_id)
        return [opened, known.closed]

    def _again(self, known: _Known, now: datetime) -> list[Notice]:
        """One that was told and lasts: the next step of escalation, or a repeat."""
        incident, telling = known.incident, known.telling
        mine = telling.leader in ("", incident.incident_id)
        if incident.incident_id in self.acknowledged or not incident.open or not mine or telling.told_utc is None:
            return []
        lasts, steps = _minutes((now - incident.start_utc).total_seconds()), self.options.escalate
        due = sum(step.after_s <= (now - telling.told_utc).total_seconds() for step in steps)
        if due > telling.steps:
            severity = steps[due - 1].severity or telling.severity
            self._set(known, msgspec.structs.replace(telling, steps=due, severity=severity, again_utc=now))
            worse = _raised(incident, severity)
            why = f"it lasts for {lasts}, and nobody has acknowledged it"
            return [_told_again(worse, now, FIRST_STEP + due - 1, why)]
        every_s = self.options.repeat_s
        last = telling.again_utc or telling.told_utc
        if every_s is not None and (now - last).total_seconds() >= every_s:
            self._set(known, msgspec.structs.replace(telling, repeats=telling.repeats + 1, again_utc=now))
            return [
                _told_again(
                    _raised(incident, telling.severity),
                    now,
                    FIRST_REPEAT + telling.repeats,
                    f"it still lasts, for {lasts} now",
                )
            ]
        return []

    # ---- one incident

    def _hold(self, known: _Known, why: Why, until: datetime | None) -> list[Notice]:
        if why is not Why.GROUP:
            self.held_back[why] += 1
        self._set(known, Telling(held=why, until_utc=until))
        return []

    def _tell(self, known: _Known, now: datetime) -> Notice:
        """Its opening, as the incident is by now."""
        who, fresh = _flapper(known.incident), known.telling.held is None
        missed = self._cool.get(who, (now, 0))[1] - (known.telling.held is Why.COOLDOWN)
        self._cool[who] = (now, 0)
        self._set(known, Telling(told_utc=now), keep=not fresh)
        why = f"{missed} more were not told while it cooled down" if missed > 0 else ""
        if fresh:
            return msgspec.structs.replace(known.notice, why=why)
        return Notice(kind=NoticeKind.OPENED, incident=_open(known.incident), noticed_utc=now, why=why)

    def _set(self, known: _Known, telling: Telling, *, keep: bool = True) -> None:
        known.telling = telling
        if keep:
            self._changed.add(known.incident.incident_id)

    def _forget(self, incident_id: str) -> None:
        known = self._known.pop(incident_id, None)
        if known is not None and known.telling != Telling(told_utc=known.telling.told_utc):
            self._changed.add(incident_id)
        self.acknowledged.discard(incident_id)

    def _gathering(self, incident: Incident) -> list[_Known]:
        place = self._place(incident)
        return [
            one for one in self._known.values() if one.telling.held is Why.GROUP and self._place(one.incident) == place
        ]

    def _place(self, incident: Incident) -> tuple[str, str]:
        label = self.options.group.label if self.options.group is not None else ""
        return incident.detector, incident.labels.get(label, "")


def _flapper(incident: Incident) -> tuple[str, str, str]:
    return incident.stream_id, incident.detector, incident.part


def _open(incident: Incident) -> Incident:
    """As it was while it lasted."""
    return msgspec.structs.replace(incident, end_s=None, end_utc=None)


def _as_told(notice: Notice, known: _Known) -> Notice:
    """With the severity to which it was escalated: what was told as graver ends as that."""
    return msgspec.structs.replace(notice, incident=_raised(notice.incident, known.telling.severity))


def _raised(incident: Incident, severity: Severity | None) -> Incident:
    if severity is None or RANKS[severity] <= RANKS[incident.severity]:
        return incident
    return msgspec.structs.replace(incident, severity=severity, severity_before=incident.severity)


def _told_again(incident: Incident, now: datetime, sequence: int, why: str) -> Notice:
    return Notice(kind=NoticeKind.CHANGED, incident=incident, noticed_utc=now, sequence=sequence, why=why)


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60:02} min"
        if minutes >= 60
        else f"{minutes} min"
        if minutes
        else f"{seconds:.0f} s"
    )
