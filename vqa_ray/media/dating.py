"""When in the media a continuity error happened: the times of the packets of its PID around it."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable

from vqa_ray.core.reading import TransportFault
from vqa_ray.media.continuity import Break

CLEAN_S = 0.5  # a span without errors is told in steps of this
SILENT_S = 5.0  # a track that is this far behind sends nothing any more
HISTORY = 512  # packets of a track remembered: more than lie between two checks


class _Passed:
    """Where the packets of one PID lie in the bytes and in time."""

    __slots__ = ("at_s", "begin_s", "end_s", "pos")

    def __init__(self) -> None:
        self.pos: deque[int] = deque(maxlen=HISTORY)
        self.begin_s: deque[float] = deque(maxlen=HISTORY)  # shown from
        self.end_s: deque[float] = deque(maxlen=HISTORY)
        self.at_s = 0.0  # decode time of the last one


class FaultDating:
    """Turns breaks in the bytes into faults on the timeline, and tells clean spans so that incidents can close."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Passed] = {}
        self._told_s: float | None = None
        self._waiting: list[Break] = []  # for the packet behind them

    def passed(self, pid: int, pos: int, at_s: float, shown_s: float, duration_s: float) -> bool:
        """A packet of `pid` that begins at byte `pos` was demuxed; decode and presentation time on the timeline.

        Whether there is something to tell, so that `date` is to be called.
        """
        track = self._tracks.get(pid)
        if track is None:
            track = self._tracks[pid] = _Passed()
        track.pos.append(pos)
        track.begin_s.append(shown_s)
        track.end_s.append(shown_s + duration_s)
        track.at_s = at_s
        return bool(self._waiting) or self._told_s is None or at_s - self._told_s >= CLEAN_S

    def date(self, breaks: Iterable[Break], *, last: bool = False) -> list[TransportFault]:
        """Faults of `breaks` and of earlier ones, one for each packet that is hit, in time order; then what is clean.

        A break is told when the packet behind it has come; `last`: none will.
        """
        spans: dict[tuple[int, float, float], int] = {}
        waiting, self._waiting = [*self._waiting, *breaks], []
        for item in waiting:
            if not last and self._early(item):
                self._waiting.append(item)
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
        return out + self._clean(self._safe_s(last), 1e-3 if last else CLEAN_S)

    def _early(self, item: Break) -> bool:
        """Whether the packet in which it lies may still be under way."""
        track = self._tracks.get(item.pid)
        if track is None:
            return all(other.pos[-1] <= item.pos for other in self._tracks.values())
        newest_s = max(other.at_s for other in self._tracks.values())
        return track.pos[-1] <= item.pos and track.at_s > newest_s - SILENT_S

    def _span(self, item: Break) -> tuple[float, float]:
        """The packet of its PID in which the break lies; of an unwatched PID: that of any track."""
        track = self._tracks.get(item.pid) or next(iter(self._tracks.values()), None)
        if track is None or not track.pos:
            return 0.0, 0.0
        n = max(0, bisect_right(track.pos, item.pos) - 1)
        return track.begin_s[n], max(track.begin_s[n], track.end_s[n])

    def _safe_s(self, last: bool) -> float | None:
        """Up to here no fault can be found any more."""
        if not self._tracks:
            return None
        if last:
            return max(track.end_s[-1] for track in self._tracks.values())
        newest_s = max(track.at_s for track in self._tracks.values())
        return min(track.at_s for track in self._tracks.values() if track.at_s > newest_s - SILENT_S)

    def _clean(self, until_s: float | None, at_least_s: float) -> list[TransportFault]:
        if until_s is None:
            return []
        if self._told_s is None:
            self._told_s = min(track.begin_s[0] for track in self._tracks.values()) if self._tracks else until_s
        if until_s - self._told_s < at_least_s:
            return []
        clean = TransportFault(self._told_s, until_s, 0, 0)
        self._told_s = until_s
        return [clean]
