"""What is done with the items of one stream: detectors, incidents, windows. No thread, no clock, no I/O."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.hold import Rule
from vqa_ray.core.incident import BookState, IncidentBook, Transition
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import (
    ROUNDING_S,
    Coding,
    Input,
    PacketInfo,
    PlaylistState,
    Reading,
    Services,
    SourceState,
    TransportFault,
)
from vqa_ray.core.window import HEALTH, WINDOW_S, Coverage, Rollup, Tally, WindowRow
from vqa_ray.detectors.base import Detector, DetectorSpec

Packets = tuple[PacketInfo, ...]  # in demux order, those of about 0.1 s together
Item = Picture | AudioBlock | Packets | TransportFault | Services | Coding | PlaylistState | SourceState
Read = Callable[[Any], Sequence[Reading]]
OnReading = Callable[[str, Reading], None]
OnFault = Callable[[str, Exception], None]

_TYPE_OF: dict[Input, type] = {
    Input.VIDEO: Picture,
    Input.AUDIO: AudioBlock,
    Input.PACKET: tuple,
    Input.TRANSPORT: TransportFault,
    Input.SERVICES: Services,
    Input.CODING: Coding,
    Input.PLAYLIST: PlaylistState,
    Input.SOURCE: SourceState,
}
NOT_ANALYSED = "not_analysed"  # the name of windows, and of incidents, of which nobody knows what was in them
SOUND = "silence"  # the detector that hears sound
TRACED = 1000  # readings that are kept of a detector whose holds are not quiet: 20 s or more
LASTING = (Input.PLAYLIST, Input.SOURCE)  # what outlives connections


REHEARSED_S = 10.0  # of readings that are kept for a take-over: an order to release waits for a packet, and for Ray
MISSED_AT_MOST_S = 6 * 3600.0  # of windows that are written for a time without an analyzer


class StreamState(BookState, frozen=True, kw_only=True):
    """What the next owner of a stream needs to go on where the last one ended.

    pts_minus_at_s: see `Timeline`. The rest changes with every frame, and is given of a stream that was released, and
    of a file: until_s, end of the last frame that was analysed; watched_s, the same, or later where the source was seen
    to be down; reached, of each detector the end of its last reading; url of the file, whose positions these are.
    """

    pts_minus_at_s: float | None = None
    until_s: float | None = None
    watched_s: float | None = None
    reached: dict[str, float] = msgspec.field(default_factory=dict)
    url: str = ""


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
        worse_with=spec.worse_with,
        severity_with_sound=spec.severity_with_sound,
    )


def reader(detector: Detector, kind: Input) -> Read:
    """What takes items of this kind: packets come several at once, which not every detector takes so."""
    if kind is not Input.PACKET:
        return detector.read
    together: Read | None = getattr(detector, "read_all", None)
    return together or (lambda packets: [reading for packet in packets for reading in detector.read(packet)])


class _Watch:
    """One detector at work. busy: a hold of it is not quiet, so that good readings matter too.

    key: another one for what lasts than for what watches media, where a detector does both; since_s: what it says of
    before was said by the last owner; reached_s: end of its last reading. trace: time, part and value of the last
    readings that mattered. kinds: what it reads; out: it failed, and reads nothing for now.
    """

    __slots__ = ("busy", "detector", "key", "kinds", "name", "out", "reached_s", "since_s", "tallies", "trace")

    def __init__(self, name: str, detector: Detector, kinds: Iterable[Input], busy: bool, key: str = "") -> None:
        self.name = name
        self.key = key or name
        self.detector = detector
        self.kinds = tuple(kinds)
        self.out = False
        self.tallies: dict[str, Tally] = {}  # by part
        self.busy = busy
        self.since_s = self.reached_s = -math.inf
        self.trace: deque[tuple[float, str, float]] = deque(maxlen=TRACED)


class Analysis:
    """One stream's detectors and what became of their readings.

    wrap: what stands in for each detector that is made, to measure it say. on_fault: told of a detector that raises:
    it is left out until `mend`, or the next connection, and the others go on; without it the error goes on its way.

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
        wrap: Callable[[str, Detector], Detector] = lambda name, detector: detector,
        on_fault: OnFault | None = None,
    ) -> None:
        # Root causes are read first: what they hide asks them about the same frame.
        self.specs = sorted(specs, key=lambda spec: len(spec.hidden_by))
        rules = map(rule_of, self.specs)
        self._pts_minus_at_s = pts_minus_at_s
        self.book = IncidentBook(stream_id, rules, origin_utc, labels, pts_minus_at_s, self._audible)
        self.coverage = Coverage()
        self._rollup = Rollup(stream_id, origin_utc, epoch)
        self._on_rows = on_rows
        self._on_reading = on_reading
        self._wrap = wrap
        self._on_fault = on_fault
        self._lasting = [self._watch_source(spec) for spec in self.specs if set(LASTING) & set(spec.inputs)]
        self._passing: list[_Watch] = []  # as long as a connection
        self._watching: dict[type, list[tuple[_Watch, Read]]] = {}
        self._reached_s = -float("inf")  # the latest moment that a detector spoke of, to a second
        self._health_due_s = -float("inf")
        self._since: dict[str, float] = {}  # how far the last owner's detectors came
        self._reached: dict[str, float] = {}  # how far those of former connections came
        self._rehearsed: deque[tuple[_Watch, Sequence[Reading]]] | None = None
        self._build()

    @property
    def wants(self) -> frozenset[Input]:
        """Kinds of items that some detector reads."""
        return frozenset(kind for spec in self.specs for kind in spec.inputs)

    def connected(self) -> None:
        """A new connection: detectors start anew, since nothing of before may be compared with what comes."""
        if self._rehearsed is not None:
            self._rehearsed.clear()
        self._build()

    def feed(self, item: Item) -> Sequence[Transition]:
        """Show `item` to the detectors that read its kind; what opened and closed because of it."""
        out: Sequence[Transition] = ()
        for watch, read in self._watching[type(item)]:
            try:
                readings = read(item)
            except Exception as error:  # noqa: BLE001  a fence: it takes no other detector along
                out = [*out, *self._failed(watch, error)]
                continue
            if readings and (found := self._take(watch, readings)):
                out = [*out, *found]
        return out

    def feed_timed(
        self, item: Item, clock: Callable[[], float], took: Callable[[str, float], None]
    ) -> Sequence[Transition]:
        """The same, telling `took` by how much `clock` went on in each detector."""
        out: Sequence[Transition] = ()
        for watch, read in self._watching[type(item)]:
            began_s = clock()
            try:
                readings = read(item)
            except Exception as error:  # noqa: BLE001  a fence, as in `feed`
                out = [*out, *self._failed(watch, error)]
                continue
            if readings and (found := self._take(watch, readings)):
                out = [*out, *found]
            took(watch.name, clock() - began_s)
        return out

    def mend(self) -> None:
        """Detectors that failed watch again, as if made anew."""
        specs = {spec.id: spec for spec in self.specs}
        self._lasting = [self._watch_source(specs[w.name]) if w.out else w for w in self._lasting]
        self._passing = [self._watch_media(specs[w.name]) if w.out else w for w in self._passing]
        self._link()

    def _failed(self, watch: _Watch, error: Exception) -> list[Transition]:
        """The detector is left out; what was under way of it is judged by what was seen, what is open stays open."""
        if self._on_fault is None:
            raise error
        watch.out = True
        self._link()
        self._on_fault(watch.name, error)
        return self.book.interrupt(lasting=[spec.id for spec in self.specs if spec.id != watch.name])

    def take(self, detector: str, readings: Sequence[Reading]) -> Sequence[Transition]:
        """Take what a detector of this connection said in another process, in the order in which `feed` has it said."""
        return self._take(next(watch for watch in self._passing if watch.name == detector), readings)

    def disconnected(self) -> list[Transition]:
        """The connection ended: what detectors held back is judged, runs that were under way are settled."""
        out = self._drain()
        return out + self.book.interrupt(lasting=[watch.name for watch in self._lasting])

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

    @property
    def origin_utc(self) -> datetime:
        """Time zero of the stream."""
        return self.book.origin_utc

    def trace(self, detector: str, part: str) -> list[tuple[float, float]]:
        """Time and value of what the detector said of late while it mattered: from the first bad reading on."""
        watches = (*self._lasting, *self._passing)
        return [(at, value) for w in watches if w.name == detector for at, of, value in w.trace if of == part]

    def state(
        self, until_s: float | None = None, watched_s: float | None = None, *, reached: bool = False, url: str = ""
    ) -> StreamState:
        """What the next owner of the stream needs; see StreamState for what is given beside the incidents."""
        book = self.book.state()
        return StreamState(
            origin_utc=book.origin_utc,
            holds=book.holds,
            incidents=book.incidents,
            health=book.health,
            pts_minus_at_s=self._pts_minus_at_s(),
            until_s=until_s,
            watched_s=watched_s,
            reached=self._all_reached() if reached else {},
            url=url,
        )

    def resume(self, state: StreamState) -> list[Transition]:
        """Continue from what `state` gave elsewhere; what closes because its detector is no longer on."""
        closed = self.book.resume(state)
        self._rollup.origin_utc = state.origin_utc
        self._since = self._reached = dict(state.reached)
        for watch in (*self._lasting, *self._passing):
            watch.busy = self.book.busy(watch.name)
            watch.since_s = self._since.get(watch.key, -math.inf)
        return closed

    def rehearse(self) -> None:
        """From now on nothing comes of what is fed, until `take_over`."""
        self._rehearsed = deque()

    def take_over(self, state: StreamState, epoch: int) -> list[Transition]:
        """The rehearsal is over: go on where `state` ends, with what was read meanwhile; what opened and closed."""
        rehearsed, self._rehearsed = self._rehearsed or (), None
        self._rollup.epoch = epoch
        out = self.resume(state)
        for watch, readings in rehearsed:
            out += self._take(watch, readings)
        return out

    def missed(self, from_s: float, until_s: float) -> None:
        """Nobody has analysed anything in between: each whole second of it becomes a window of coverage 0."""
        first = math.ceil(max(from_s, until_s - MISSED_AT_MOST_S) / WINDOW_S)
        self._rows([self._rollup.missed(NOT_ANALYSED, n * WINDOW_S) for n in range(first, int(until_s // WINDOW_S))])

    def _build(self) -> None:
        self._reached = self._all_reached()
        self._passing = [self._watch_media(spec) for spec in self.specs if set(spec.inputs) - set(LASTING)]
        self._link()

    def _watch_source(self, spec: DetectorSpec) -> _Watch:
        kinds = [kind for kind in spec.inputs if kind in LASTING]
        detector = self._wrap(spec.id, spec.build_lasting())
        return _Watch(spec.id, detector, kinds, self.book.busy(spec.id), key=f"{spec.id} (lasting)")

    def _watch_media(self, spec: DetectorSpec) -> _Watch:
        kinds = [kind for kind in spec.inputs if kind not in LASTING]
        watch = _Watch(spec.id, self._wrap(spec.id, spec.build()), kinds, self.book.busy(spec.id))
        watch.since_s = self._since.get(watch.key, -math.inf)
        return watch

    def _link(self) -> None:
        """Who reads what, root causes first."""
        self._watching = {kind: [] for kind in _TYPE_OF.values()}
        for watch in (*self._lasting, *self._passing):
            for kind in () if watch.out else watch.kinds:
                self._watching[_TYPE_OF[kind]].append((watch, reader(watch.detector, kind)))

    def _all_reached(self) -> dict[str, float]:
        said = {w.key: w.reached_s for w in (*self._lasting, *self._passing) if w.reached_s > -math.inf}
        return self._reached | said

    def _drain(self) -> list[Transition]:
        """What detectors hold back; they are done with their connection."""
        out: list[Transition] = []
        for watch in [watch for watch in self._passing if not watch.out]:
            try:
                readings = watch.detector.finish()
            except Exception as error:  # noqa: BLE001  a fence, as in `feed`
                out += self._failed(watch, error)
                continue
            out += self._take(watch, readings)
        self._reached = self._all_reached()
        self._passing = []
        self._link()
        return out

    def _take(self, watch: _Watch, readings: Sequence[Reading]) -> Sequence[Transition]:
        """Count readings and hand those that matter to the incidents. Runs for every reading: kept flat."""
        out: Sequence[Transition] = ()
        if self._rehearsed is not None:
            self._rehearse(self._rehearsed, watch, readings)
            return out
        if watch.since_s > -math.inf:
            readings = _since(watch, readings)
        for reading in readings:
            tally, at_s = watch.tallies.get(reading.part), reading.at_s
            if tally is None or not tally.start_s <= at_s < tally.end_s:
                self._roll(watch, reading)
            else:
                tally.add(reading.value, reading.bad)
            if self._on_reading is not None:
                self._on_reading(watch.name, reading)
            if reading.bad or watch.busy:
                watch.trace.append((at_s, reading.part, reading.value))
                found = self.book.step(watch.name, (reading,))
                if found:
                    out = [*out, *found]
                    self._note_health(at_s)
                watch.busy = self.book.busy(watch.name)
        if readings:
            watch.reached_s = readings[-1].until_s
        return out

    def _rehearse(
        self, kept: deque[tuple[_Watch, Sequence[Reading]]], watch: _Watch, readings: Sequence[Reading]
    ) -> None:
        """Keep readings of the last seconds, in the order in which they were made."""
        if not readings:
            return
        kept.append((watch, tuple(readings)))
        while kept[0][1][-1].until_s < readings[-1].until_s - REHEARSED_S:
            kept.popleft()

    def _roll(self, watch: _Watch, reading: Reading) -> None:
        """The first reading of another second."""
        if reading.at_s >= self._health_due_s:
            self._note_health(reading.at_s)
        row = self._rollup.add(watch.name, reading, self.coverage.of)
        watch.tallies[reading.part] = self._rollup.tally(watch.name, reading.part, reading.at_s)
        if row is not None:
            self._rows([row])

    def _note_health(self, at_s: float) -> None:
        """Count the stream's health into its windows, as if it were what a detector of that name said."""
        at_s = self._reached_s = max(self._reached_s, at_s)
        self._health_due_s = at_s // WINDOW_S * WINDOW_S + WINDOW_S
        health = self.book.health.at(at_s)
        row = self._rollup.add(HEALTH, Reading(at_s, at_s, health, bool(self.book.open_incidents)), self.coverage.of)
        if row is not None:
            self._rows([row])

    def _audible(self) -> bool:
        """Whether `silence`, where it is on, heard sound in the second that is under way or the one before it."""
        for watch in self._passing:
            if watch.name == SOUND and (tally := watch.tallies.get("")) is not None:
                return tally.count > tally.bad and tally.end_s >= self._reached_s - WINDOW_S
        return False

    def _rows(self, rows: list[WindowRow]) -> None:
        if rows and self._on_rows is not None:
            self._on_rows(rows)


def _since(watch: _Watch, readings: Sequence[Reading]) -> Sequence[Reading]:
    """Those that the last owner has not told: the first may begin within what it has. From then on all are taken."""
    since_s = watch.since_s
    new = [
        reading if reading.at_s >= since_s else msgspec.structs.replace(reading, at_s=since_s)
        for reading in readings
        if reading.until_s > since_s + ROUNDING_S or reading.at_s >= since_s
    ]
    if new and len(new) == len(readings) and readings[0].at_s >= since_s:
        watch.since_s = -math.inf
    return new
