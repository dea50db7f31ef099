"""When in the media a continuity error happened: the times of the packets of its PID around it."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

from vqa_ray.core.reading import TransportFault
from vqa_ray.media.continuity import Break

CLEAN_S = 0.5  # a span without errors is told in steps of this
SILENT_S = 5.0  # a track that is this far behind sends nothing any more
HISTORY = 512  # packets of a track remembered: more than lie between two checks


class Passed:
    """Where the packets of one PID lie in the bytes and in time."""

    __slots__ = ("at_s", "packets")

    def __init__(self) -> None:
        self.packets: deque[tuple[int, float, float]] = deque(maxlen=HISTORY)  # byte, shown from, shown until
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
        """Faults of `breaks` and of earlier ones, one for each packet that is hit, in time order; then what is clean.

        A break is told when the packet behind it has come; `last`: none will.
        """
        spans: dict[tuple[int, float, float], int] = {}
        waiting, self.waiting = [*self.waiting, *breaks], []
        for item in waiting:
            if not last and self._early(item):
                self.waiting.append(item)
                continue
            begin_s, end_s = self._span(item)
            key = (item.pid, begin_s, end_s)
            spans[key] = spans.get(key, 0) + 1
        found = [TransportFault(key[1], key[2], key[0], errors) for key, errors in spans.items()]
        found.sort(key=lambda fault: fault.at_s)
        out: list[TransportFault] = []
        for fault in found:
            out += self._clean(fault.at_s, 1e-3)
            out.append(fault)
            self._told_s = max(self._told_s or fault.until_s, fault.until_s)
        out += self._clean(self._safe_s(last), 1e-3 if last else CLEAN_S)
        if self._told_s is not None:
            self.due_s = self._told_s + CLEAN_S
        return out

    def _early(self, item: Break) -> bool:
        """Whether the packet in which it lies may still be under way."""
        tracks = self._passed()
        track = tracks.get(item.pid)
        if track is None:
            return all(other.packets[-1][0] <= item.pos for other in tracks.values())
        newest_s = max(other.at_s for other in tracks.values())
        return track.packets[-1][0] <= item.pos and track.at_s > newest_s - SILENT_S

    def _span(self, item: Break) -> tuple[float, float]:
        """The packet of its PID in which the break lies; of an unwatched PID: that of any track."""
        tracks = self._passed()
        track = tracks.get(item.pid) or next(iter(tracks.values()), None)
        if track is None:
            return 0.0, 0.0
        packets = list(track.packets)
        n = max(0, bisect_right(packets, item.pos, key=lambda packet: packet[0]) - 1)
        return packets[n][1], max(packets[n][1], packets[n][2])

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
