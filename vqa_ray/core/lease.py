"""What an analyzer may work on, by its own clock. Pure: the monotonic time is an argument.

Ray does not fence: a process that it calls dead can go on working (a cut network, a frozen machine). So a process
stops by itself what it cannot know to be still its own.
"""

import enum
from collections.abc import Iterable, Mapping

import msgspec


class Cause(enum.StrEnum):
    """Why a lease is over."""

    REFUSED = "refused"  # the supervisor says so: removed, or owned by another under a newer epoch
    EXPIRED = "expired"  # nobody renewed it in time


class Over(msgspec.Struct, frozen=True):
    """A lease that ended."""

    stream_id: str
    epoch: int
    cause: Cause


class Leases:
    """The leases of one analyzer. The caller guards it against concurrent use.

    A lease counts from before the call that renewed it: the supervisor's clock started later than that. While Ray
    itself says that the supervisor is away, leases last `grace_s`, since nobody else assigns; mere silence proves
    nothing, and they last `lease_s`.
    """

    def __init__(self, lease_s: float, grace_s: float) -> None:
        self._lease_s = lease_s
        self._grace_s = grace_s
        self._held: dict[str, tuple[int, float]] = {}  # stream: epoch, renewed at
        self._lost: dict[str, int] = {}  # stream: newest epoch whose lease ended without a release
        self._away = False

    @property
    def held(self) -> dict[str, int]:
        """Streams and epochs, the valid ones and those not yet found expired."""
        return {stream_id: epoch for stream_id, (epoch, _) in self._held.items()}

    def hold(self, stream_id: str, epoch: int, now_s: float) -> None:
        """A lease is given, or given again."""
        self._held[stream_id] = (epoch, now_s)

    def drop(self, stream_id: str, epoch: int) -> None:
        """The stream was released."""
        if stream_id in self._held and self._held[stream_id][0] == epoch:
            del self._held[stream_id]

    def answered(
        self, asked: Mapping[str, int], asked_s: float, refused: Iterable[tuple[str, int]], now_s: float
    ) -> list[Over]:
        """The supervisor answered a beat, sent at `asked_s`, about the streams (and epochs) of `asked`.

        A lease that had run out by then is not renewed: its stream has been told so already (see `over`).
        """
        late = {(one.stream_id, one.epoch) for one in self._late(now_s)}
        self._away = False
        ended = set(refused)
        over: list[Over] = []
        for stream_id, epoch in asked.items():
            held = self._held.get(stream_id)
            if held is None or held[0] != epoch:
                continue
            if (stream_id, epoch) in ended:
                over.append(Over(stream_id, epoch, Cause.REFUSED))
            elif (stream_id, epoch) in late:
                over.append(Over(stream_id, epoch, Cause.EXPIRED))
            else:
                self._held[stream_id] = (epoch, max(asked_s, held[1]))
        self._end(over)
        return over

    def away(self) -> None:
        """Ray says that the supervisor does not run now; true until it answers."""
        self._away = True

    def expired(self, now_s: float) -> list[Over]:
        """The leases that ran out; they are no longer held."""
        late = self._late(now_s)
        self._end(late)
        return late

    def over(self, stream_id: str, epoch: int, now_s: float) -> bool:
        """Whether the lease ran out or was refused: nothing may be done or said for the stream any more.

        Asked at each packet and each transition, since a process that was frozen wakes up in the middle of its work.
        A stream that was released is not over: what it says last is its own.
        """
        if epoch <= self._lost.get(stream_id, -1):
            return True
        held = self._held.get(stream_id)
        return held is not None and held[0] == epoch and now_s - held[1] > self._length_s

    @property
    def _length_s(self) -> float:
        return self._grace_s if self._away else self._lease_s

    def _late(self, now_s: float) -> list[Over]:
        late = [(sid, epoch) for sid, (epoch, renewed_s) in self._held.items() if now_s - renewed_s > self._length_s]
        return [Over(stream_id, epoch, Cause.EXPIRED) for stream_id, epoch in sorted(late)]

    def _end(self, over: Iterable[Over]) -> None:
        for one in over:
            del self._held[one.stream_id]
            self._lost[one.stream_id] = max(one.epoch, self._lost.get(one.stream_id, -1))
