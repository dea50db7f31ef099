"""What is done with the items of one stream: detectors, incidents, windows. No thread, no clock, no I/O."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.hold import Rule
from vqa_ray.core.incident import BookState, IncidentBook, Transition
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, PacketInfo, Reading, SourceState, TransportFault
from vqa_ray.core.window import Coverage, Rollup, WindowRow
from vqa_ray.detectors.base import Detector, DetectorSpec

Item = Picture | AudioBlock | PacketInfo | TransportFault | SourceState
OnReading = Callable[[str, Reading], None]

_INPUT_OF: dict[type, Input] = {
    Picture: Input.VIDEO,
    AudioBlock: Input.AUDIO,
    PacketInfo: Input.PACKET,
    TransportFault: Input.TRANSPORT,
    SourceState: Input.SOURCE,
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
        self._watching: dict[Input, list[tuple[str, Detector]]] = {kind: [] for kind in Input}
        self._watching[Input.SOURCE] = self._build({Input.SOURCE})

    @property
    def wants(self) -> frozenset[Input]:
        """Kinds of items that some detector reads."""
        return frozenset(spec.input for spec in self.specs)

    def connected(self) -> None:
        """A new connection: detectors start anew, since nothing of before may be compared with what comes."""
        for kind in Input:
            if kind is not Input.SOURCE:
                self._watching[kind] = self._build({kind})

    def feed(self, item: Item) -> Sequence[Transition]:
        """Show `item` to the detectors that read its kind; what opened and closed because of it."""
        watching = self._watching[_INPUT_OF[type(item)]]
        out: Sequence[Transition] = ()
        for name, detector in watching:
            readings = detector.read(item)
            if readings:
                found = self._take(name, readings)
                if found:
                    out = [*out, *found]
        return out

    def disconnected(self) -> list[Transition]:
        """The connection ended: what detectors held back is judged, runs that were under way are settled."""
        out = self._drain()
        return out + self.book.interrupt()

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

    def _build(self, kinds: set[Input]) -> list[tuple[str, Detector]]:
        return [(spec.id, spec.build()) for spec in self.specs if spec.input in kinds]

    def _drain(self) -> list[Transition]:
        out: list[Transition] = []
        for kind in Input:
            if kind is Input.SOURCE:
                continue
            for name, detector in self._watching[kind]:
                out += self._take(name, detector.finish())
            self._watching[kind] = []
        return out

    def _take(self, name: str, readings: Sequence[Reading]) -> list[Transition]:
        out: list[Transition] = []
        for reading in readings:
            row = self._rollup.add(name, reading, self.coverage.of)
            if row is not None:
                self._rows([row])
            if self._on_reading is not None:
                self._on_reading(name, reading)
            if reading.bad or self.book.active(name, reading.part):
                out += self.book.step(name, (reading,))
        return out

    def _rows(self, rows: list[WindowRow]) -> None:
        if rows and self._on_rows is not None:
            self._on_rows(rows)
