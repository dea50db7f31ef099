"""When in the media a fault of the transport stream happened: the times of the packets around it."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

from vqa_ray.core.reading import Indicator, TransportFault
from vqa_ray.media.breaks import Break

CLEAN_S = 0.5  # a span without errors is told in steps of this
SILENT_S = 5.0  # a track that is this far behind sends nothing any more
IN_A_PACKET = frozenset({Indicator.CONTINUITY, Indicator.TRANSPORT})  # they damage the packet that they lie in
HISTORY = 1024  # packets of a track remembered: more than lie between two checks


Place = tuple[int, float, float, float]  # of a packet: its first byte, shown from, shown until, decode time


class Passed:
    """Where the packets of one PID lie in the bytes and in time."""

    __slots__ = ("at_s", "packets")

    def __init__(self) -> None:
        self.packets: deque[Place] = deque(maxlen=HISTORY)
        self.at_s = 0.0  # decode time of the last one


class FaultDating:
    """Turns breaks in the bytes into faults on the timeline, and tells clean spans so that incidents can close.

    waiting: breaks found, but not yet dated; due_s: when there is a clean span to tell.
    """

    def __init__(self) -> None:
        self.waiting: list[Break] = []
        self.due_s = float("-inf")
        self._tracks: dict[int, Passed] = {}
        self._told_s: float | None = None

    def track(self, pid: int) -> Passed:
        """Where the packets of `pid` are put down as they are demuxed."""
        return self._tracks.setdefault(pid, Passed())

    def date(self, breaks: Iterable[Break], *, last: bool = False) -> list[TransportFault]:
        """Faults of `breaks` and of earlier ones: first the others, then continuity errors, and what is clean of them.

        Each kind in time order, continuity errors one for each packet that is hit. A break is told when the packet
        behind it has come; `last`: none will. The end of what is clean lies before all breaks that are not yet told.
        """
        spans: dict[tuple[int, float, float], int] = {}
        others: dict[tuple[Indicator, int, float, float], TransportFault] = {}
        waiting, self.waiting = [*self.waiting, *breaks], []
        for item in waiting:
            if not last and self._early(item):
                self.waiting.append(item)
                continue
            begin_s, end_s = self._span(item)
            if item.indicator is Indicator.CONTINUITY:
                key = (item.pid, begin_s, end_s)
                spans[key] = spans.get(key, 0) + 1
            else:
                self._count(others, item, begin_s, end_s)
        found = [TransportFault(key[1], key[2], key[0], errors) for key, errors in spans.items()]
        found.sort(key=lambda fault: fault.at_s)
        out = sorted(others.values(), key=lambda fault: fault.at_s)
        for fault in found:
            out += self._clean(fault.at_s, 1e-3)
            out.append(fault)
            self._told_s = max(self._told_s or fault.until_s, fault.until_s)
        safe_s = self._safe_s(last)
        for item in self.waiting:
            if safe_s is not None and item.indicator not in IN_A_PACKET:
                safe_s = min(safe_s, self._span(item)[0])
        out += self._clean(safe_s, 1e-3 if last else CLEAN_S)
        if self._told_s is not None:
            self.due_s = self._told_s + CLEAN_S
        return out

    @staticmethod
    def _count(
        others: dict[tuple[Indicator, int, float, float], TransportFault], item: Break, begin_s: float, end_s: float
    ) -> None:
        key = (item.indicator, item.pid, begin_s, end_s)
        before = others.get(key)
        errors = 1 if before is None else before.errors + 1
        others[key] = TransportFault(begin_s, end_s, item.pid, errors, item.indicator, item.interval_s)

    def _early(self, item: Break) -> bool:
        """Whether the packet in which it lies may still be under way."""
        tracks = self._passed()
        track = self._of(item, tracks)
        if track is None:
            return all(other.packets[-1][0] <= item.pos for other in tracks.values())
        newest_s = max(other.at_s for other in tracks.values())
        pos = item.pos if item.end is None else item.end
        return track.packets[-1][0] <= pos and track.at_s > newest_s - SILENT_S

    def _span(self, item: Break) -> tuple[float, float]:
        """The packet of its PID in which the break lies; of what is in no packet: that of any track."""
        tracks = self._passed()
        track = self._of(item, tracks) or next(iter(tracks.values()), None)
        if track is None:
            return 0.0, 0.0
        packets = list(track.packets)
        _, shown_s, until_s, at_s = _packet_at(packets, item.pos)
        if item.indicator in IN_A_PACKET:
            return shown_s, max(shown_s, until_s)
        if item.end is None:
            return at_s, at_s + max(0.0, until_s - shown_s)
        return at_s, max(at_s, _packet_at(packets, item.end)[3])

    @staticmethod
    def _of(item: Break, tracks: dict[int, Passed]) -> Passed | None:
        """The track whose packets tell the time of a break: that of its PID, if it is in a packet, else the first."""
        return tracks.get(item.pid) if item.indicator in IN_A_PACKET else next(iter(tracks.values()), None)

    def _safe_s(self, last: bool) -> float | None:
        """Up to here no fault can be found any more."""
        tracks = list(self._passed().values())
        if not tracks:
            return None
        if last:
            return max(track.packets[-1][2] for track in tracks)
        newest_s = max(track.at_s for track in tracks)
        return min(track.at_s for track in tracks if track.at_s > newest_s - SILENT_S)

    def _passed(self) -> dict[int, Passed]:
        """The tracks of which a packet came."""
        return {pid: track for pid, track in self._tracks.items() if track.packets}

    def _clean(self, until_s: float | None, at_least_s: float) -> list[TransportFault]:
        if until_s is None:
            return []
        if self._told_s is None:
            starts = [track.packets[0][1] for track in self._passed().values()]
            self._told_s = min(starts, default=until_s)
        if until_s - self._told_s < at_least_s:
            return []
        clean = TransportFault(self._told_s, until_s, 0, 0)
        self._told_s = until_s
        return [clean]


def _packet_at(packets: list[Place], pos: int) -> Place:
    """The packet in which byte `pos` lies, or the first one known."""
    return packets[max(0, bisect_right(packets, pos, key=lambda packet: packet[0]) - 1)]
