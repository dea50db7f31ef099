"""One second of one stream's readings, rolled up: the rows of the metrics table."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from vqa_ray.core.reading import Reading

WINDOW_S = 1.0
HEALTH = "health"  # the name of the windows of a stream's health: one for each second in which it was watched


class WindowRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector said in one second of one stream.

    coverage: share of the second's frames that were decoded and analysed, 0 where nothing was watched.
    """

    stream_id: str
    detector: str
    part: str
    start_utc: datetime
    start_s: float
    count: int
    min: float
    mean: float
    max: float
    bad_share: float
    coverage: float
    epoch: int = 0


class Tally:
    """Readings of one detector (and part) in the second that is under way. Called for every reading: kept flat."""

    __slots__ = ("bad", "count", "end_s", "max", "min", "start_s", "sum")

    def __init__(self, at_s: float) -> None:
        self.restart(at_s)

    def restart(self, at_s: float) -> None:
        """Begin the second that holds `at_s`."""
        self.start_s = at_s // WINDOW_S * WINDOW_S
        self.end_s = self.start_s + WINDOW_S
        self.count = 0
        self.bad = 0
        self.sum = 0.0
        self.min = float("inf")
        self.max = float("-inf")

    def add(self, value: float, bad: bool) -> None:
        """Count one reading."""
        self.count += 1
        self.sum += value
        self.bad += bad
        if value < self.min:
            self.min = value
        if value > self.max:
            self.max = value


class Rollup:
    """All windows of one stream; a detector that answers late has windows that are complete late."""

    def __init__(self, stream_id: str, origin_utc: datetime, epoch: int = 0) -> None:
        self.stream_id = stream_id
        self.origin_utc = origin_utc
        self.epoch = epoch
        self._tallies: dict[tuple[str, str], Tally] = {}

    def tally(self, detector: str, part: str, at_s: float) -> Tally:
        """The second under way of a detector's part, begun with the one that holds `at_s` if there is none."""
        key = detector, part
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(at_s)
        return tally

    def add(self, detector: str, reading: Reading, coverage: Callable[[float], float]) -> WindowRow | None:
        """Count a reading; gives the second before it when this is the first of another one."""
        tally = self.tally(detector, reading.part, reading.at_s)
        row = None
        if not tally.start_s <= reading.at_s < tally.end_s:
            row = self._row((detector, reading.part), tally, coverage)
            tally.restart(reading.at_s)
        tally.add(reading.value, reading.bad)
        return row

    def finish(self, coverage: Callable[[float], float]) -> list[WindowRow]:
        """What is under way, as rows; nothing is left."""
        rows = [row for key, tally in self._tallies.items() if (row := self._row(key, tally, coverage)) is not None]
        for tally in self._tallies.values():
            tally.restart(tally.start_s)
        return rows

    def missed(self, detector: str, start_s: float) -> WindowRow:
        """The second at `start_s`, in which nothing was watched."""
        return WindowRow(
            stream_id=self.stream_id,
            detector=detector,
            part="",
            start_utc=self.origin_utc + timedelta(seconds=start_s),
            start_s=start_s,
            count=0,
            min=1.0,
            mean=1.0,
            max=1.0,
            bad_share=1.0,
            coverage=0.0,
            epoch=self.epoch,
        )

    def _row(self, key: tuple[str, str], tally: Tally, coverage: Callable[[float], float]) -> WindowRow | None:
        if not tally.count:
            return None
        return WindowRow(
            stream_id=self.stream_id,
            detector=key[0],
            part=key[1],
            start_utc=self.origin_utc + timedelta(seconds=tally.start_s),
            start_s=tally.start_s,
            count=tally.count,
            min=tally.min,
            mean=tally.sum / tally.count,
            max=tally.max,
            bad_share=tally.bad / tally.count,
            coverage=coverage(tally.start_s),
            epoch=self.epoch,
        )


class Coverage:
    """Frames that came and frames that were analysed, by second; remembers the last few seconds."""

    REMEMBERED = 8

    def __init__(self) -> None:
        self._seconds: dict[int, list[int]] = {}
        self.came = 0
        self.analysed = 0

    def count(self, at_s: float, came: int, analysed: int) -> None:
        """`came` frames were there at `at_s`, `analysed` of them were looked at."""
        self.came += came
        self.analysed += analysed
        second = int(at_s // WINDOW_S)
        cell = self._seconds.get(second)
        if cell is None:
            cell = self._seconds[second] = [0, 0]
            while len(self._seconds) > self.REMEMBERED:
                del self._seconds[min(self._seconds)]
        cell[0] += came
        cell[1] += analysed

    def of(self, start_s: float) -> float:
        """Share of the frames of the second at `start_s` that was analysed; 1 for a second without frames."""
        came, analysed = self._seconds.get(int(start_s // WINDOW_S), (0, 0))
        return analysed / came if came else 1.0

    @property
    def total(self) -> float:
        """Share of all frames that was analysed; 1 before the first."""
        return self.analysed / self.came if self.came else 1.0
