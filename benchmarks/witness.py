"""An analyzer's streams under a witness: what `failover` and `chaos` run on Ray, and how they read what it notes.

Each picture that a stream's thread is about to analyse is noted by that thread, with the machine's monotonic clock: who
works on a stream, and when, is measured where the work is done and not asked of those who are under test.
"""

import itertools
import struct
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from vqa_ray.core.picture import Picture
from vqa_ray.pipeline.analysis import Item
from vqa_ray.pipeline.stream import StreamRun
from vqa_ray.pipeline.worker import Worker

WORKER = f"{__name__}:Witness"
LABEL = "notes"  # of a stream: the folder where its notes are kept
_NOTE = struct.Struct("<dI")
_EVERY_S = 0.01
RESTS_S = 2.0  # segments of HLS come a second apart


class Mark(NamedTuple):
    """A picture was analysed. mono_s: the moment; epoch: whose assignment it was."""

    mono_s: float
    epoch: int


class _Run(StreamRun):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._notes = (Path(self.stream.labels[LABEL]) / self.stream.id).open("ab", buffering=0)
        self._noted_s = 0.0

    def _count(self, item: Item) -> None:
        now_s = time.monotonic()
        owned = self.epoch > 0  # what is only rehearsed is nobody's work
        if owned and isinstance(item, Picture) and now_s - self._noted_s >= _EVERY_S:
            self._notes.write(_NOTE.pack(now_s, self.epoch))
            self._noted_s = now_s
        super()._count(item)


class Witness(Worker):
    """A Worker whose streams note their work."""

    Run = _Run


def marks(folder: Path, stream_id: str, since_s: float = 0.0) -> list[Mark]:
    """What the stream's owners noted since a moment, in the order of writing."""
    path = folder / stream_id
    data = path.read_bytes() if path.exists() else b""
    whole = data[: len(data) // _NOTE.size * _NOTE.size]
    return [mark for mark in (Mark(*note) for note in _NOTE.iter_unpack(whole)) if mark.mono_s >= since_s]


def overlap_s(found: Iterable[Mark]) -> float:
    """For how long two owners were at work on the stream.

    Who notes nothing for RESTS_S is not at work: a process that was frozen, say, until its next note. What it has in
    hand when it wakes, a picture whose analysis had begun, is a moment and no time.
    """
    times: dict[int, list[float]] = defaultdict(list)
    for mark in found:
        times[mark.epoch].append(mark.mono_s)
    spans = {epoch: _spans(sorted(some)) for epoch, some in sorted(times.items())}
    pairs = itertools.combinations(spans.values(), 2)
    return sum(
        max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for one, other in pairs for a, b in itertools.product(one, other)
    )


def _spans(times: Iterable[float]) -> list[tuple[float, float]]:
    """Where the notes, in order, lie close together: from, until."""
    spans: list[tuple[float, float]] = []
    for at_s in times:
        if spans and at_s - spans[-1][1] <= RESTS_S:
            spans[-1] = (spans[-1][0], at_s)
        else:
            spans.append((at_s, at_s))
    return spans


def longest_gap_s(found: Iterable[Mark], from_s: float, until_s: float) -> float:
    """The longest time without a picture analysed, between two moments."""
    times = [from_s, *sorted(mark.mono_s for mark in found if from_s <= mark.mono_s <= until_s), until_s]
    return max(b - a for a, b in itertools.pairwise(times))
