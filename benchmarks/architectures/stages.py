"""The pipeline of one stream cut into stages: a converter, hosts of detectors, and a collector that judges.

In one process an item is shown to each detector in turn and what it says goes to the incidents at once. Cut apart,
the order is lost, and root causes hide others by it: so each item has a number in its stream, each detector a rank,
and the collector replays readings in the order that one process would have had. Incidents are the same, to the frame.
"""

import pickle
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from benchmarks.architectures.wire import Chain, unpack_blocks, unpack_pictures
from vqa_ray.config import LIVE, Profile
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.incident import Transition
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Coding, Input, PlaylistState, Reading, Services, SourceState, TransportFault
from vqa_ray.detectors.base import DetectorSpec
from vqa_ray.pipeline.analysis import Analysis, reader

HOLDS_S = {"black": 1.0, "freeze": 1.5, "silence": 1.0}  # shorter than in the live profile: more faults in less time
_KINDS: tuple[tuple[type, Input], ...] = (
    (Picture, Input.VIDEO),
    (AudioBlock, Input.AUDIO),
    (tuple, Input.PACKET),
    (TransportFault, Input.TRANSPORT),
    (Services, Input.SERVICES),
    (Coding, Input.CODING),
    (PlaylistState, Input.PLAYLIST),
    (SourceState, Input.SOURCE),
)


class Said(msgspec.Struct, frozen=True, array_like=True):
    """What one detector said of item `seq` of the stream. rank: its place among those that are shown an item."""

    seq: int
    rank: int
    readings: tuple[Reading, ...]


class Told(NamedTuple):
    """An incident as architectures are compared by it; times to the microsecond."""

    detector: str
    part: str
    start_s: float
    end_s: float | None
    severity: str


def profile() -> Profile:
    """What all architectures run: the live profile with holds that fit into short clips, less what reads no media."""
    chosen = LIVE.only(tuple(spec.id for spec in LIVE.specs if set(spec.inputs) - {Input.PLAYLIST, Input.SOURCE}))
    changed = {
        name: msgspec.structs.replace(getattr(chosen.detectors, name), raise_after_s=seconds)
        for name, seconds in HOLDS_S.items()
    }
    return msgspec.structs.replace(chosen, detectors=msgspec.structs.replace(chosen.detectors, **changed))


def ranked(specs: Iterable[DetectorSpec]) -> list[DetectorSpec]:
    """In the order in which one process shows an item to detectors: root causes first."""
    return sorted(specs, key=lambda spec: len(spec.hidden_by))  # as Analysis has it


def kind_of(item: Any) -> Input:
    """What kind of input an item is."""
    return next(kind for made, kind in _KINDS if isinstance(item, made))


class Host:
    """Some of the detectors of one stream, in a process of their own. Its state is a value: `state`, `resume`."""

    def __init__(self, specs: Sequence[DetectorSpec], ids: Sequence[str]) -> None:
        self._watching = [(rank, spec.inputs, spec.build()) for rank, spec in enumerate(specs) if spec.id in ids]
        self.wants = frozenset(kind for _, inputs, _ in self._watching for kind in inputs)
        self._chain = Chain()

    @property
    def wants_others(self) -> bool:
        """Whether it reads anything but pictures and sound."""
        return bool(self.wants - {Input.VIDEO, Input.AUDIO})

    def feed(self, pictures: Iterable[Any], sounds: Any, others: Sequence[tuple[int, Any]]) -> list[Said]:
        """Show a batch to the detectors, item by item in the order of the stream; what they said."""
        items: list[tuple[int, Input, Any]] = []
        for data in pictures:
            items += [(shown.head.seq, Input.VIDEO, shown) for shown in unpack_pictures(data)]
        if sounds is not None:
            items += [(seq, Input.AUDIO, block) for seq, block in unpack_blocks(sounds)]
        items += [(seq, kind, item) for seq, item in others if (kind := kind_of(item)) in self.wants]
        items.sort(key=lambda one: one[0])
        said: list[Said] = []
        for seq, kind, item in items:
            shown = self._chain.picture(item) if kind is Input.VIDEO else item
            for rank, inputs, detector in self._watching:
                if kind in inputs and (readings := reader(detector, kind)(shown)):
                    said.append(Said(seq, rank, tuple(readings)))
        self._chain.release()
        return said

    def finish(self) -> list[Said]:
        """What detectors held back at the end of the media."""
        return [
            Said(-1, rank, tuple(readings)) for rank, _, detector in self._watching if (readings := detector.finish())
        ]

    def state(self) -> bytes:
        """All that the detectors remember."""
        return pickle.dumps((self._watching, self._chain), protocol=5)

    def resume(self, state: bytes) -> None:
        """Continue from what `state` gave; only ever what this program wrote itself."""
        self._watching, self._chain = pickle.loads(state)


class Collector:
    """Judges what all hosts of one stream said: waits until a batch is complete, and takes batches in order."""

    def __init__(self, stream_id: str, chosen: Profile, hosts: int) -> None:
        self._analysis = Analysis(stream_id, chosen.specs, origin_utc=datetime.now(UTC), on_rows=lambda _: None)
        self._hosts = hosts
        self._waiting: dict[int, dict[str, list[Said]]] = {}
        self.next = 0
        self.told: list[Told] = []

    def add(self, number: int, host: str, said: list[Said]) -> list[Transition]:
        """Take what a host said of a batch, once: what is told twice counts once. What opened and closed."""
        if number >= self.next:
            self._waiting.setdefault(number, {})[host] = said
        out: list[Transition] = []
        while len(self._waiting.get(self.next, ())) == self._hosts:
            out += self._judge([one for part in self._waiting.pop(self.next).values() for one in part])
            self.next += 1
        return out

    def finish(self, held: Iterable[Said]) -> list[Transition]:
        """The media ended; held: what detectors held back."""
        out = self._judge(sorted(held, key=lambda one: one.rank))
        found = self._analysis.finish()
        self._note(found)
        return out + found

    def _judge(self, said: list[Said]) -> list[Transition]:
        out: list[Transition] = []
        for one in sorted(said, key=lambda one: (one.seq, one.rank)):
            out += self._analysis.take(self._analysis.specs[one.rank].id, one.readings)
        self._note(out)
        return out

    def _note(self, found: Iterable[Transition]) -> None:
        self.told += closed(found)


def closed(found: Iterable[Transition]) -> list[Told]:
    """The incidents that ended."""
    return [told(incident) for kind, incident in found if kind is NoticeKind.CLOSED]


def told(incident: Any) -> Told:
    """What is compared of an incident."""
    end_s = None if incident.end_s is None else round(incident.end_s, 6)
    return Told(incident.detector, incident.part, round(incident.start_s, 6), end_s, incident.severity.value)


def write_others(others: list[tuple[int, Any]]) -> bytes:
    """Packets and faults, each with its number, as bytes."""
    return pickle.dumps(others, protocol=5)


def read_others(data: bytes) -> list[tuple[int, Any]]:
    """What `write_others` wrote; only ever what this program wrote itself."""
    found: list[tuple[int, Any]] = pickle.loads(data)
    return found
