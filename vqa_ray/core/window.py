"""One second of one stream's readings, rolled up: the rows of the metrics table."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from vqa_ray.core.reading import Reading

WINDOW_S = 1.0


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
