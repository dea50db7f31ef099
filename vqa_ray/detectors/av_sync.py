"""av_sync: lips and speech are apart, by the content alone (trust class "content": needs a face that speaks).

Takes of `take_s` seconds are watched, back to back for the first `full_s` seconds and then one in each `every_s`.
Range ±800 ms. A source's own zero differs by some tens of milliseconds (a camera's or a codec's delay, a speaker's
habit), so offsets below `tolerance_ms` raise nothing; viewers notice +45 / -125 ms (ITU-R BT.1359-1, there + is early).
Parts: `late` and `early`, with the signed offset, positive when the sound comes late; `estimate`, the best guess of a
take whether sure or not, and `sureness` (see `lipsync.verdict`), neither ever bad. Where no face speaks, `events` and
`events_sureness` are what cuts, motion and onsets of sound suggest (see `lipsync.events`), never bad either. A face
costs 3.6 ms a picture.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Input, Reading
from vqa_ray.detectors.base import NOTHING, ClearAfter, DetectorSpec, RaiseAfter
from vqa_ray.detectors.lipsync.events import WORTH_TELLING, Happened
from vqa_ray.detectors.lipsync.faces import FaceNets
from vqa_ray.detectors.lipsync.take import Spoken, Take

SLACK_S = 0.5  # sound may come so much later in the multiplex than the picture it belongs to
LATE, EARLY, ESTIMATE, SURENESS = "late", "early", "estimate", "sureness"
EVENTS, EVENTS_SURENESS = "events", "events_sureness"


class AvSyncSpec(DetectorSpec, frozen=True, kw_only=True):
    """Speech comes before or after the lips that speak it, measured on faces; dubbing says nothing."""

    id: ClassVar[str] = "av_sync"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO, Input.AUDIO)
    unit: ClassVar[str] = "ms"
    hidden_by: ClassVar[tuple[str, ...]] = ("signal_loss",)

    raise_after_s: RaiseAfter = 3.0
    clear_after_s: ClearAfter = 3.0
    tolerance_ms: Annotated[
        float, msgspec.Meta(ge=40, le=800, description="an offset beyond this, in either direction, is bad")
    ] = 110.0
    sure: Annotated[
        float, msgspec.Meta(ge=0.5, le=10, description="sureness that a bad offset needs; 1 dubbed take in 100 has 1.2")
    ] = 1.2
    take_s: Annotated[float, msgspec.Meta(ge=4, le=60, description="seconds that are watched at a time")] = 20.0
    full_s: Annotated[
        float, msgspec.Meta(ge=0, le=86400, description="seconds at the beginning that are watched without a break")
    ] = 0.0
    every_s: Annotated[
        float, msgspec.Meta(ge=4, le=86400, description="seconds from one take to the next after that")
    ] = 300.0

    def build(self) -> "AvSyncDetector":
        """A fresh detector with these options."""
        return AvSyncDetector(self)


class AvSyncDetector:
    """Watches a take, judges it when it is over, waits for the next."""

    def __init__(self, spec: AvSyncSpec) -> None:
        self._spec = spec
        self._nets: FaceNets | None = None
        self._take: Take | None = None
        self._due_s: float | None = None  # start of the next take
        self._start_s = self._end_s = self._seen_s = 0.0
        self._told_s = float("-inf")
        self._events: Happened | None = None  # of all takes without a face

    def read(self, item: Picture | AudioBlock) -> Sequence[Reading]:
        """The readings of a take when it is over; `value` is the offset in ms, positive when the sound comes late."""
        if isinstance(item, AudioBlock):
            if self._take is not None and item.samples.size:
                self._take.hear(item)
            return NOTHING
        at_s = item.at_s
        told: Sequence[Reading] = NOTHING
        if self._take is not None and (at_s >= self._end_s + SLACK_S or at_s < self._start_s):
            told = self._judge()
        if self._take is None and (self._due_s is None or at_s >= self._due_s or at_s < self._start_s):
            self._begin(at_s)
        if self._take is not None:
            self._take.see(item)
            self._seen_s = max(self._seen_s, item.until_s)
        return told

    def finish(self) -> Sequence[Reading]:
        """The readings of the take that was under way."""
        return self._judge() if self._take is not None else NOTHING

    def _begin(self, at_s: float) -> None:
        spec = self._spec
        if self._nets is None:
            self._nets = FaceNets()
        self._take = Take(self._nets)
        self._start_s, self._end_s, self._seen_s = at_s, at_s + spec.take_s, at_s
        self._due_s = self._end_s if at_s < spec.full_s else at_s + max(spec.take_s, spec.every_s)

    def _judge(self) -> Sequence[Reading]:
        assert self._take is not None
        take, self._take = self._take, None
        spoken = take.spoken()
        start_s, end_s = max(self._start_s, self._told_s), max(self._seen_s, self._told_s)
        self._told_s = end_s
        if not spoken:
            return [*self._guess(take, start_s, end_s), Reading(start_s, end_s, 0.0, False, SURENESS)]
        best = max(spoken, key=lambda one: one.lag.sureness)
        return [
            Reading(start_s, end_s, best.lag.offset_ms, False, ESTIMATE),
            Reading(start_s, end_s, best.lag.sureness, False, SURENESS),
            *(reading for one in spoken for reading in self._say(one, start_s, end_s)),
        ]

    def _guess(self, take: Take, start_s: float, end_s: float) -> list[Reading]:
        """What the events of this take and those before it tell, if that is worth telling."""
        found = take.happened()
        if found is not None:
            self._events = found if self._events is None else self._events + found
        if found is None or self._events is None or (sureness := self._events.sureness) < WORTH_TELLING:
            return []
        return [
            Reading(start_s, end_s, self._events.offset_ms, False, EVENTS),
            Reading(start_s, end_s, sureness, False, EVENTS_SURENESS),
        ]

    def _say(self, one: Spoken, start_s: float, end_s: float) -> list[Reading]:
        at_s, until_s = (min(max(t, start_s), end_s) for t in (one.at_s, one.until_s))
        offset_ms, spec = one.lag.offset_ms, self._spec
        if one.lag.sureness < spec.sure:
            return []
        bad = abs(offset_ms) > spec.tolerance_ms
        return [
            Reading(at_s, until_s, offset_ms, bad and (offset_ms > 0) == (part == LATE), part) for part in (LATE, EARLY)
        ]
