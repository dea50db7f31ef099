"""Windows of a stream as curves of a bounded number of points: lowest, mean and highest value, and bad share. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector's part said over time. t: seconds since the epoch, UTC, of each point's beginning.

    bad, coverage: the shares of readings that were bad, and of frames that were analysed.
    """

    detector: str
    part: str
    t: list[float]
    low: list[float]
    mean: list[float]
    high: list[float]
    bad: list[float]
    coverage: list[float]


class _Bin:
    __slots__ = ("bad", "count", "coverage", "high", "low", "rows", "sum")

    def __init__(self) -> None:
        self.count, self.rows = 0, 0
        self.sum, self.bad, self.coverage = 0.0, 0.0, 0.0
        self.low, self.high = float("inf"), -float("inf")


def curves(columns: Mapping[str, Sequence[Any]], since: datetime, until: datetime, points: int) -> list[Curve]:
    """Columns of the windows table, in order of start, as at most `points` points a detector and part."""
    step_s = max(1.0, (until - since).total_seconds() / points)
    began_s = since.timestamp()
    bins: dict[tuple[str, str], dict[int, _Bin]] = {}
    names = ("detector", "part", "start_utc", "count", "min", "mean", "max", "bad_share", "coverage")
    for detector, part, start, count, low, mean, high, bad, covered in zip(*(columns[n] for n in names), strict=True):
        number = int((start.timestamp() - began_s) // step_s)
        one = bins.setdefault((detector, part), {}).setdefault(number, _Bin())
        one.rows += 1
        one.coverage += 1.0 if covered is None else covered
        if not count or mean is None:
            continue
        one.count += count
        one.sum += mean * count
        one.bad += (bad or 0.0) * count
        one.low, one.high = min(one.low, low), max(one.high, high)
    return [
        _curve(detector, part, [(began_s + n * step_s, one) for n, one in sorted(found.items()) if one.count])
        for (detector, part), found in sorted(bins.items())
    ]


def _curve(detector: str, part: str, points: list[tuple[float, _Bin]]) -> Curve:
    return Curve(
        detector=detector,
        part=part,
        t=[round(at_s, 3) for at_s, _ in points],
        low=[one.low for _, one in points],
        mean=[one.sum / one.count for _, one in points],
        high=[one.high for _, one in points],
        bad=[one.bad / one.count for _, one in points],
        coverage=[one.coverage / one.rows for _, one in points],
    )
