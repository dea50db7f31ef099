"""Who steps down when one process has too much to do: the least important stream, not whoever is late. Pure.

Streams of one process take time from each other. So where time is short, a late stream is helped by one of lower
priority that leaves out frames in its place; only when those have nothing left to give it steps down itself.
"""

from vqa_ray.core.ladder import DOWN_AT_S, RUNGS, UP_AFTER_S, Ladder, Pace, Tier

BUSY_SHARE = 0.8  # CPU seconds a second of the process: more than that, and its threads wait for each other
SEEN_WITHIN_S = 3.0  # a stream that has not stepped for so long has no connection, and takes nothing
LATE_TOO_S = DOWN_AT_S / 2  # two that are late at once are so for the same reason
OWN_TURN_S = 5.0  # so late, a stream steps down whoever else could


class Member:
    """One connection of a stream. over_s: how late it is, beyond what comes in bursts; seen_s: when it stepped last."""

    __slots__ = ("ladder", "over_s", "priority", "seen_s")

    def __init__(self, priority: int, now_s: float) -> None:
        self.priority = priority
        self.ladder = Ladder()
        self.over_s = 0.0
        self.seen_s = now_s


class Triage:
    """The ladders of all streams of one process. The caller guards it against concurrent use."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._short_s = float("-inf")  # when time was short for the last time

    def join(self, priority: int, now_s: float) -> Member:
        """A new connection, which begins with all frames. It is forgotten when it does not step any more."""
        member = Member(priority, now_s)
        self._members = [*self._present(now_s), member]
        return member

    def step(self, me: Member, behind_s: float, now_s: float, busy_share: float, *, slack_s: float = 0.0) -> Tier:
        """The rung of `me` from now on. busy_share: CPU seconds a second of the whole process."""
        if now_s - me.seen_s > SEEN_WITHIN_S:
            self._members = [one for one in self._present(now_s) if one is not me] + [me]
        me.seen_s = now_s
        pace = me.ladder.look(behind_s, now_s, slack_s=slack_s)
        me.over_s = me.ladder.lag_s - slack_s
        match pace:
            case Pace.LATE:
                self._relieve(me, now_s, busy_share)
            case Pace.FINE if me.ladder.tier is not Tier.ALL and self._may_go_up(me, now_s):
                me.ladder.up(now_s)
        return me.ladder.tier

    def _relieve(self, me: Member, now_s: float, busy_share: float) -> None:
        others = [one for one in self._present(now_s) if one is not me]
        short = busy_share >= BUSY_SHARE or any(one.over_s > LATE_TOO_S for one in others)
        if short:
            self._short_s = now_s
        lesser = [one for one in others if one.priority < me.priority and one.ladder.tier is not RUNGS[-1]]
        if not short or not lesser or me.ladder.lag_s > OWN_TURN_S:
            me.ladder.down(now_s)
            return
        least = min(one.priority for one in lesser)
        able = [one for one in lesser if one.priority == least and not one.ladder.settles(now_s)]
        if able:
            min(able, key=lambda one: (RUNGS.index(one.ladder.tier), -one.ladder.lag_s)).ladder.down(now_s)

    def _may_go_up(self, me: Member, now_s: float) -> bool:
        """Time was not short of late, and nobody who is more important is down."""
        if now_s - self._short_s < UP_AFTER_S:
            return False
        return not any(one.priority > me.priority and one.ladder.tier is not Tier.ALL for one in self._present(now_s))

    def _present(self, now_s: float) -> list[Member]:
        return [one for one in self._members if now_s - one.seen_s <= SEEN_WITHIN_S]
