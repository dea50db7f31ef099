"""What one stream holds ready to prove an incident with, and what is gathered around its start and its end.

Nothing is done for a frame but a comparison, by the caller: a small still is taken each second, packets are in the
connection's ring anyway, and of values there are the windows of before and the readings of since it was bad. Not
thread-safe but for `still`: the stream's lock guards it.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from vqa_ray.core.evidence import END, START, Point
from vqa_ray.core.incident import IncidentBook, Transition
from vqa_ray.core.notice import Incident, NoticeKind
from vqa_ray.core.picture import Picture
from vqa_ray.core.still import Still, still_of
from vqa_ray.core.window import WindowRow
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.tape import Footage, Tape
from vqa_ray.pipeline.evidence.case import Case, Exact, Keeper

STILL_EVERY_S = 1.0
STILLS = 12  # kept: as far back as a moment may lie when an incident opens; 1 MB
ROWS = 20  # seconds of each detector
MOMENTS = 64  # gathered at a time
LATE_S = 2.0  # so much longer than due is waited for media of a live input

Trace = Callable[[str, str], Sequence[tuple[float, float]]]


class _Moment:
    """One that is being gathered."""

    def __init__(self, incident: Incident, name: str, at_s: float, until_s: float, wait_s: float) -> None:
        self.incident = incident
        self.name = name
        self.at_s = at_s
        self.until_s = until_s  # media time
        self.wait_s = wait_s  # monotonic
        self.footage: Footage | None = None
        self.stills: list[Still] = []
        self.readings: dict[float, float] = {}
        self.exact = Exact()


class Witness:
    """See the module. due_s: media time from which on the next picture is to be taken; sound_due_s: the same of sound,
    where there are no pictures. trace: what a detector said of late while it mattered.
    """

    def __init__(
        self, keeper: Keeper, source: SourceOptions, trace: Trace, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.due_s = -math.inf
        self.sound_due_s = math.inf
        self._keeper = keeper
        self._ring_bytes = source.ring_bytes
        self._trace = trace
        self._monotonic = monotonic
        self._tape: Tape | None = None
        self._stills: deque[Still] = deque(maxlen=STILLS)
        self._rows: dict[tuple[str, str], deque[Point]] = {}
        self._moments: list[_Moment] = []

    @property
    def still(self) -> Still | None:
        """The newest picture, at most a second old while pictures come; from any thread."""
        try:
            return self._stills[-1]
        except IndexError:
            return None

    def source(self, source: SourceOptions) -> SourceOptions:
        """How to open the input: packets are kept only where evidence is."""
        return source if self._keeper.options.enabled else msgspec.structs.replace(source, ring_bytes=0)

    def connected(self, tape: Tape) -> None:
        """A connection begins: what is gathered ends with the one before."""
        self.finish()
        self._tape = tape
        self.sound_due_s = math.inf if tape.ring.video else -math.inf

    def take(self, picture: Picture) -> None:
        """The picture that is due."""
        self.due_s = picture.at_s + STILL_EVERY_S
        still = still_of(picture)
        self._stills.append(still)
        for moment in self._moments:
            moment.stills.append(still)
        self._tick(picture.at_s)

    def hear(self, at_s: float) -> None:
        """Sound has come this far, of an input without pictures."""
        self.sound_due_s = at_s + STILL_EVERY_S
        self._tick(at_s)

    def _tick(self, at_s: float) -> None:
        if self._tape is not None:
            self._tape.ring.limit_bytes = self._ring_bytes if self._keeper.options.enabled else 0
        if self._moments:
            self.look(at_s)

    def rows(self, rows: Sequence[WindowRow]) -> None:
        """Seconds that are complete."""
        for row in rows:
            key = row.detector, row.part
            known = self._rows.get(key)
            if known is None:
                known = self._rows[key] = deque(maxlen=ROWS)
            known.append(Point(row.start_s, row.min, row.mean, row.max))

    def note(self, found: Sequence[Transition], book: IncidentBook) -> list[Transition]:
        """The transitions with the place of their evidence, which begins to be gathered; the book is told it too."""
        links: dict[str, str] = {}
        out: list[Transition] = []
        for kind, incident in found:
            if kind is NoticeKind.OPENED and (link := self._opened(incident)):
                links[incident.incident_id] = link
                book.attach(incident, link)
            if not incident.evidence and incident.incident_id in links:
                incident = msgspec.structs.replace(incident, evidence=links[incident.incident_id])
            if kind is NoticeKind.CLOSED:
                self._closed(incident)
            out.append((kind, incident))
        return out

    def look(self, at_s: float) -> None:
        """End what is due: media has come as far as `at_s`, or was waited for long enough."""
        now_s = self._monotonic()
        for moment in [one for one in self._moments if at_s >= one.until_s or now_s >= one.wait_s]:
            self._end(moment)

    def finish(self) -> None:
        """Nothing more comes: end everything with what there is."""
        for moment in list(self._moments):
            self._end(moment)

    def _opened(self, incident: Incident) -> str:
        """Where the evidence will be; "" where none will."""
        moment = self._begin(incident, START, incident.start_s)
        if moment is None or not self._keeper.put(self._case(moment, final=False)):
            return ""
        link = self._keeper.link(incident)
        moment.incident = msgspec.structs.replace(incident, evidence=link)
        self._moments.append(moment)
        return link

    def _closed(self, incident: Incident) -> None:
        """The end, unless what is gathered of the start holds it."""
        at_s = incident.end_s
        if not incident.evidence or at_s is None:
            return
        for moment in self._moments:
            if moment.incident.incident_id == incident.incident_id:
                moment.incident = incident
                if at_s <= moment.until_s:
                    return
        if (end := self._begin(incident, END, at_s)) is not None:
            self._moments.append(end)

    def _begin(self, incident: Incident, name: str, at_s: float) -> _Moment | None:
        options = self._keeper.options
        if not options.enabled or len(self._moments) >= MOMENTS:
            return None
        wait_s = self._monotonic() + options.after_s + LATE_S
        moment = _Moment(incident, name, at_s, at_s + options.after_s, wait_s)
        moment.stills.extend(self._stills)
        self._gather(moment)
        return moment

    def _end(self, moment: _Moment) -> None:
        self._moments.remove(moment)
        self._gather(moment)
        self._keeper.put(self._case(moment, final=True))

    def _gather(self, moment: _Moment) -> None:
        """Packets and readings that came since the last time."""
        if self._tape is not None:
            footage = self._tape.grab()
            moment.footage = footage if moment.footage is None else moment.footage.with_more(footage)
        moment.readings.update(self._trace(moment.incident.detector, moment.incident.part))

    def _case(self, moment: _Moment, *, final: bool) -> Case:
        until_s = moment.until_s + STILL_EVERY_S
        return Case(
            incident=moment.incident,
            moment=moment.name,
            at_s=moment.at_s,
            footage=moment.footage,
            stills=tuple(still for still in moment.stills if still.at_s <= until_s),
            rows=tuple(self._rows.get((moment.incident.detector, moment.incident.part), ())),
            readings=tuple(moment.readings.items()),
            final=final,
            exact=moment.exact,
        )
