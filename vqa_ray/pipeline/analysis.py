"""What is done with the items of one stream: detectors, incidents, windows. No thread, no clock, no I/O."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.hold import Rule
from vqa_ray.core.incident import BookState, IncidentBook, Transition
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, PacketInfo, Reading, SourceState, TransportFault
from vqa_ray.core.window import Coverage, Rollup, Tally, WindowRow
from vqa_ray.detectors.base import Detector, DetectorSpec

Item = Picture | AudioBlock | PacketInfo | TransportFault | SourceState
OnReading = Callable[[str, Reading], None]

_TYPE_OF: dict[Input, type] = {
    Input.VIDEO: Picture,
    Input.AUDIO: AudioBlock,
    Input.PACKET: PacketInfo,
    Input.TRANSPORT: TransportFault,
    Input.SOURCE: SourceState,
}


def rule_of(spec: DetectorSpec) -> Rule:
    """When the readings of this detector become an incident."""
    return Rule(
        detector=spec.id,
        raise_after_s=spec.raise_after_s,
        clear_after_s=spec.clear_after_s,
        merge_gap_s=spec.merge_gap_s,
        severity=spec.severity,
        unit=spec.unit,
        hidden_by=spec.hidden_by,
        lower_is_worse=spec.lower_is_worse,
    )


class _Watch:
    """One detector at work. busy: a hold of it is not quiet, so that good readings matter too."""

    __slots__ = ("busy", "detector", "name", "read", "tally")

    def __init__(self, name: str, detector: Detector, busy: bool) -> None:
        self.name = name
        self.detector = detector
        self.read = detector.read
        self.tally: Tally | None = None  # of part "", which nearly all readings belong to
        self.busy = busy


class Analysis:
    """One stream's detectors and what became of their readings.

    Feed it items in the order in which `media` gives them. Detectors live as long as a connection; those that watch
    the source itself, and all incidents, outlive it.
    """

    def __init__(
        self,
        stream_id: str,
        specs: Iterable[DetectorSpec],
        *,
        origin_utc: datetime,
        labels: dict[str, str] | None = None,
        epoch: int = 0,
        on_rows: Callable[[list[WindowRow]], None] | None = None,
        on_reading: OnReading | None = None,
        pts_minus_at_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        # Root causes are read first: what they hide asks them about the same frame.
        self.specs = sorted(specs, key=lambda spec: len(spec.hidden_by))
        self.book = IncidentBook(stream_id, map(rule_of, self.specs), origin_utc, labels, pts_minus_at_s)
        self.coverage = Coverage()
        self._rollup = Rollup(stream_id, origin_utc, epoch)
        self._on_rows = on_rows
        self._on_reading = on_reading
        self._watching: dict[type, list[_Watch]] = {}
        for kind in Input:
            self._build(kind)

    @property
    def wants(self) -> frozenset[Input]:
        """Kinds of items that some detector reads."""
        return frozenset(spec.input for spec in self.specs)

    def connected(self) -> None:
        """A new connection: detectors start anew, since nothing of before may be compared with what comes."""
        for kind in Input:
            if kind is not Input.SOURCE:
                self._build(kind)

    def feed(self, item: Item) -> Sequence[Transition]:
        """Show `item` to the detectors that read its kind; what opened and closed because of it."""
        out: Sequence[Transition] = ()
        for watch in self._watching[type(item)]:
            readings = watch.read(item)
            if readings and (found := self._take(watch, readings)):
                out = [*out, *found]
        return out

    def disconnected(self) -> list[Transition]:
        """The connection ended: what detectors held back is judged, runs that were under way are settled."""
        out = self._drain()
        lasting = [watch.name for watch in self._watching[SourceState]]
        return out + self.book.interrupt(lasting=lasting)

    def finish(self) -> list[Transition]:
        """The media ended: everything closes, with the end of the last frame."""
        out = self._drain() + self.book.finish()
        self._rows(self._rollup.finish(self.coverage.of))
        return out

    def flush(self) -> None:
        """Give out the windows that are under way: nobody goes on with them here."""
        self._rows(self._rollup.finish(self.coverage.of))

    def listen(self, on_reading: OnReading) -> None:
        """Give every reading to `on_reading` too, on the thread that feeds."""
        self._on_reading = on_reading

    def state(self) -> BookState:
        """What the next owner of the stream needs."""
        return self.book.state()

    def resume(self, state: BookState) -> None:
        """Continue from what `state` gave elsewhere."""
        self.book.resume(state)
        self._rollup.origin_utc = state.origin_utc
        for watch in (watch for watching in self._watching.values() for watch in watching):
            watch.busy = self.book.busy(watch.name)

    def _build(self, kind: Input) -> None:
        self._watching[_TYPE_OF[kind]] = [
            _Watch(spec.id, spec.build(), self.book.busy(spec.id)) for spec in self.specs if spec.input is kind
        ]

    def _drain(self) -> list[Transition]:
        """What detectors hold back; they are done with their connection."""
        out: list[Transition] = []
        for kind in Input:
            if kind is not Input.SOURCE:
                for watch in self._watching[_TYPE_OF[kind]]:
                    out += self._take(watch, watch.detector.finish())
                self._watching[_TYPE_OF[kind]] = []
        return out

    def _take(self, watch: _Watch, readings: Sequence[Reading]) -> Sequence[Transition]:
        """Count readings and hand those that matter to the incidents. Runs for every reading: kept flat."""
        out: Sequence[Transition] = ()
        for reading in readings:
            tally, at_s = watch.tally, reading.at_s
            if tally is None or reading.part or not tally.start_s <= at_s < tally.end_s:
                self._roll(watch, reading)
            else:
                tally.add(reading.value, reading.bad)
            if self._on_reading is not None:
                self._on_reading(watch.name, reading)
            if reading.bad or watch.busy:
                out = [*out, *self.book.step(watch.name, (reading,))]
                watch.busy = self.book.busy(watch.name)
        return out

    def _roll(self, watch: _Watch, reading: Reading) -> None:
        """The first reading of another second, or one of a part."""
        row = self._rollup.add(watch.name, reading, self.coverage.of)
        if not reading.part:
            watch.tally = self._rollup.tally(watch.name, "", reading.at_s)
        if row is not None:
            self._rows([row])

    def _rows(self, rows: list[WindowRow]) -> None:
        if rows and self._on_rows is not None:
            self._on_rows(rows)
