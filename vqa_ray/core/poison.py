"""Which stream kills its analyzer: kept apart after some crashes, parked when it crashes with nobody else there. Pure.

Processes also die for other reasons (a machine, an operator), so a stream is guilty only if it is alone when its
process dies, and that happens to it far more often than to others.
"""

from typing import NamedTuple

FORGIVEN_AFTER_S = 600.0  # a stream that ran so long without a crash is as good as new
FAR_MORE = 2.0  # times as many crashes as another analyzer had in the same time
PATIENCE_S = 2.5  # for an analyzer of its own after a crash; doubled by each: 10 s after the second
HOPELESS = 3  # times as many crashes alone as park a stream: then it is parked whatever happens to others


class Record(NamedTuple):
    """The crashes of one stream's processes that are not forgiven. alone: of those, with nothing else in it."""

    crashes: int = 0
    alone: int = 0
    last_s: float = float("-inf")

    def crashed(self, now_s: float, *, alone: bool) -> "Record":
        """After one more crash."""
        if now_s - self.last_s > FORGIVEN_AFTER_S:
            return Record(1, int(alone), now_s)
        return Record(self.crashes + 1, self.alone + alone, now_s)

    @property
    def alone_until_s(self) -> float:
        """Until then it waits for an analyzer of its own.

        An innocent stream must not wait for a machine that does not come; a guilty one comes back later and later.
        """
        return self.last_s + min(FORGIVEN_AFTER_S, PATIENCE_S * 2.0 ** min(self.crashes, 20))

    @property
    def words(self) -> str:
        """Why it is parked, for a person."""
        return f"its process died {self.crashes} times, {self.alone} of these with nothing else in it"


def guilty(record: Record, elsewhere: int, others: int, park_after: int | None) -> bool:
    """Whether the stream is to be parked.

    elsewhere: processes without it that died in the same time, among so many `others`. park_after: crashes alone.
    """
    if park_after is None or record.alone < park_after:
        return False
    usual = elsewhere / max(1, others)
    return record.alone > FAR_MORE * usual or record.alone >= HOPELESS * park_after
