"""What each detector costs on this machine: timed at work, in the pipeline beside decoding.

In a loop of its own a detector would find its data and its code in the caches, which a decoder has just emptied:
figures from there are several times too low. So all run as they do on a stream, and each call is timed. What the system
took away meanwhile is taken out by the share of time in which the thread was on a core.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from vqa_ray.core.reading import Input, Reading
from vqa_ray.core.timeline import Timeline
from vqa_ray.detectors.base import Detector, DetectorSpec
from vqa_ray.media.source import Connection, EndOfMedia, SourceOptions, open_source
from vqa_ray.media.synthetic import Programme, write_file
from vqa_ray.pipeline.analysis import Analysis

ROUNDS = 3  # of which the cheapest counts, detector by detector: the machine is never quiet
SIZES = {"360p": (640, 360), "1080p": (1920, 1080)}
SECONDS = {"360p": 12.0, "1080p": 6.0}
UNITS = {Input.VIDEO: "frame", Input.AUDIO: "block", Input.PACKET: "packet"}


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One detector at one size of picture. reads: items that it looked at; us: microseconds for each of them.

    share: of what reading and decoding took. Derived images are made once and shared: whoever asks first pays.
    """

    detector: str
    size: str
    per: str
    reads: int
    us: float
    share: float


class Timed:
    """A detector, and how long its calls took."""

    def __init__(self, inner: Detector) -> None:
        self._inner = inner
        self.spent_s = 0.0
        self.reads = 0
        together: Callable[[Any], Sequence[Reading]] | None = getattr(inner, "read_all", None)
        if together is not None:
            self.read_all = lambda packets: self._timed(together, packets, len(packets))

    def read(self, item: Any) -> Sequence[Reading]:
        """What the detector says."""
        return self._timed(self._inner.read, item, 1)

    def _timed(self, read: Callable[[Any], Sequence[Reading]], item: Any, count: int) -> Sequence[Reading]:
        began_s = time.perf_counter()
        said = read(item)
        self.spent_s += time.perf_counter() - began_s
        self.reads += count
        return said

    def finish(self) -> Sequence[Reading]:
        """What the detector held back."""
        return self._inner.finish()


def measure(
    specs: Sequence[DetectorSpec],
    *,
    seconds: dict[str, float] = SECONDS,
    rounds: int = ROUNDS,
    on_round: Callable[[str], None] = lambda words: None,
) -> list[Cost]:
    """The detectors' costs on generated moving pictures with sound, for each size in `seconds` (length of its clip)."""
    found: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="vqa-cost-") as folder:
        for size, length_s in seconds.items():
            on_round(f"making {size}")
            width, height = SIZES[size]
            clip = Path(folder) / f"{size}.ts"
            write_file(clip, length_s, Programme(name="cost", width=width, height=height, b_frames=2, crf=23))
            costs: list[list[Cost]] = []
            for number in range(rounds):
                on_round(f"{size}, round {number + 1} of {rounds}")
                costs.append(run(clip, specs, size))
            found += (min(same, key=lambda cost: cost.us) for same in zip(*costs, strict=True))
    return found


def run(clip: Path, specs: Iterable[DetectorSpec], size: str) -> list[Cost]:
    """One round over a clip, in the order of `specs`."""
    timed: dict[str, Timed] = {}

    def wrap(name: str, detector: Detector) -> Detector:
        timed[name] = Timed(detector)  # of one that has two lives the later: that of the connection
        return timed[name]

    specs = list(specs)
    timeline = Timeline()
    analysis = Analysis("cost", specs, origin_utc=datetime.now(UTC), wrap=wrap)
    timeline.connect(0.0)
    with closing(open_source(str(clip), SourceOptions(), timeline, live=False)) as connection:
        connection.tells_services = Input.SERVICES in analysis.wants
        connection.tells_coding = Input.CODING in analysis.wants
        analysis.connected()
        decoded_s, on_core = _feed(connection, analysis)
    return [_cost(spec, timed[spec.id], size, decoded_s, on_core) for spec in specs if spec.id in timed]


def _cost(spec: DetectorSpec, timed: Timed, size: str, decoded_s: float, on_core: float) -> Cost:
    per = UNITS.get(spec.inputs[0], "item") if len(spec.inputs) == 1 else "item"
    return Cost(
        detector=spec.id,
        size=size,
        per=per,
        reads=timed.reads,
        us=1e6 * on_core * timed.spent_s / max(1, timed.reads),
        share=timed.spent_s / decoded_s,
    )


def _feed(connection: Connection, analysis: Analysis) -> tuple[float, float]:
    """All of the clip; how long reading and decoding took, and the share of time that the thread was on a core."""
    began_s, cpu_s, decoded_s = time.perf_counter(), time.thread_time(), 0.0
    while True:
        called_s = time.perf_counter()
        try:
            items = connection.read()
        except EndOfMedia:
            break
        decoded_s += time.perf_counter() - called_s
        for item in items:
            analysis.feed(item)
    analysis.finish()
    return decoded_s, (time.thread_time() - cpu_s) / (time.perf_counter() - began_s)
