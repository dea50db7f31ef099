"""What of a live stream is decoded, so that analysis never falls behind: all, no disposable frames, key frames only."""

import enum


class Tier(enum.StrEnum):
    """A rung, from complete to cheapest."""

    ALL = "all"
    NO_DISPOSABLE = "no_disposable"  # frames that no other frame needs are left out
    KEY = "key"  # key frames only; sound is always analysed whole


RUNGS = (Tier.ALL, Tier.NO_DISPOSABLE, Tier.KEY)

DOWN_AT_S = 1.0  # behind by more than this: one rung down
UP_BELOW_S = 0.3  # behind by less than this …
UP_AFTER_S = 20.0  # … for so long: one rung up
SETTLE_S = 2.0  # after a step, time to see what it brought
BASE_WINDOW_S = 60.0  # the smallest delay of so long is what the network itself takes


class Pace(enum.Enum):
    """How a stream keeps up."""

    LATE = "late"
    FAIR = "fair"
    FINE = "fine"


class Ladder:
    """Decides the rung from how far the newest analysed frame lies behind the wall clock.

    Only growth counts: the smallest delay of the last minute is what the path to us takes, not our being late.
    """

    def __init__(self) -> None:
        self.tier = Tier.ALL
        self.lag_s = 0.0
        self._base: list[tuple[float, float]] = []  # (when, behind), rising: candidates for the minimum
        self._stepped_s = float("-inf")
        self._fine_since_s: float | None = None

    def step(self, behind_s: float, now_s: float, *, slack_s: float = 0.0) -> Tier:
        """The rung from now on. slack_s: delay that comes in bursts by nature (a segment's length)."""
        match self.look(behind_s, now_s, slack_s=slack_s):
            case Pace.LATE:
                self.down(now_s)
            case Pace.FINE:
                self.up(now_s)
        return self.tier

    def look(self, behind_s: float, now_s: float, *, slack_s: float = 0.0) -> "Pace":
        """Takes a measurement; FINE once it has been so for a while."""
        self.lag_s = behind_s - self._least(behind_s, now_s)
        if self.lag_s >= UP_BELOW_S + slack_s:
            self._fine_since_s = None
            return Pace.LATE if self.lag_s > DOWN_AT_S + slack_s else Pace.FAIR
        self._fine_since_s = now_s if self._fine_since_s is None else self._fine_since_s
        return Pace.FINE if now_s - self._fine_since_s >= UP_AFTER_S else Pace.FAIR

    def down(self, now_s: float) -> None:
        """One rung, unless the last step was just now."""
        self._move(+1, now_s, SETTLE_S)

    def up(self, now_s: float) -> None:
        """One rung, unless there was a step within the time that shows whether it can be kept."""
        self._move(-1, now_s, UP_AFTER_S)

    def settles(self, now_s: float) -> bool:
        """Whether it stepped so recently that it does not show yet what that brought."""
        return now_s - self._stepped_s < SETTLE_S

    def _move(self, by: int, now_s: float, settle_s: float) -> None:
        to = RUNGS[min(len(RUNGS) - 1, max(0, RUNGS.index(self.tier) + by))]
        if to is not self.tier and now_s - self._stepped_s >= settle_s:
            self.tier, self._stepped_s = to, now_s

    def _least(self, behind_s: float, now_s: float) -> float:
        while self._base and self._base[-1][1] >= behind_s:
            self._base.pop()
        self._base.append((now_s, behind_s))
        while now_s - self._base[0][0] > BASE_WINDOW_S:
            self._base.pop(0)
        return self._base[0][1]
