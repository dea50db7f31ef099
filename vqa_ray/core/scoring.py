"""Detections against labels: what was hit, what was missed, what was false. Pure.

A detection hits a label of its class when they overlap by half (intersection over union) or start within half a second
of each other; each is used once, the best pairs first. What is left over counts as false unless it cannot be judged
(a `soft` interval of its class), belongs to a label that was hit (a second piece of it), or follows from a label of
another class: a picture that is lost is black and frozen too.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from vqa_ray.core.confidence import wilson
from vqa_ray.core.labels import Event, Label, LabelledFile, Soft

IOU = 0.5
START_S = 0.5
EXPLAINED_SHARE = 0.5  # of a detection that lies within the label which explains it
PAD_S = 0.75  # what a defect causes may reach beyond it by so much …
PADS_S = {"pts_jump": 2.0, "loudness": 3.0, "clipping": 3.0}  # … of these by more

EXPLAINS: Mapping[str, frozenset[str]] = {
    "signal_loss": frozenset(
        {"black", "freeze", "silence", "pts_gap", "corruption", "blockiness", "loudness", "bars", "audio_dropout"}
        | {"cc_error", "clipping"}
    ),
    "black": frozenset({"freeze", "signal_loss", "silence"}),
    "freeze": frozenset({"signal_loss"}),
    "green": frozenset({"freeze", "corruption", "signal_loss", "blockiness", "black"}),
    "bars": frozenset({"freeze", "loudness", "silence"}),
    "corruption": frozenset({"blockiness", "green", "freeze", "pts_gap", "black"}),
    "cc_error": frozenset({"corruption", "pts_gap", "freeze", "blockiness", "green"}),
    "blockiness": frozenset({"corruption"}),
    "pts_gap": frozenset({"freeze", "silence", "signal_loss", "audio_dropout", "black"}),
    "pts_jump": frozenset({"pts_gap", "signal_loss", "silence", "freeze", "audio_dropout"}),
    "silence": frozenset({"audio_dropout", "loudness"}),
    "audio_dropout": frozenset({"silence", "loudness"}),
    "loudness": frozenset({"silence", "clipping"}),
    "clipping": frozenset({"loudness"}),
}


class Match(NamedTuple):
    """What became of the detections and labels of one class in one file."""

    hits: list[tuple[Label, Event]]
    missed: list[Label]
    false: list[Event]
    ignored: list[Event]


class Tally(msgspec.Struct):
    """Of one class, over all files. Errors are detection minus label; a file without a known frame rate adds none
    in frames. value_errors: of the sound's offset, in ms, where the label has one."""

    hits: int = 0
    false: int = 0
    missed: int = 0
    ignored: int = 0
    start_errors_s: list[float] = []
    end_errors_s: list[float] = []
    start_errors_frames: list[float] = []
    value_errors: list[float] = []

    @property
    def labels(self) -> int:
        """How many there were to find."""
        return self.hits + self.missed

    @property
    def precision(self) -> float | None:
        """Share of judged detections that are right, None without any."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else None

    @property
    def recall(self) -> float | None:
        """Share of labels that were hit, None without any."""
        return self.hits / self.labels if self.labels else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; 0 when nothing was hit, None without labels: the sample says nothing of the class."""
        return 2 * self.hits / (2 * self.hits + self.false + self.missed) if self.labels else None

    @property
    def recall_interval(self) -> tuple[float, float]:
        """95 % interval of the recall."""
        return wilson(self.hits, self.labels)

    @property
    def precision_interval(self) -> tuple[float, float]:
        """95 % interval of the precision."""
        return wilson(self.hits, self.hits + self.false)

    @property
    def start_error_s(self) -> float | None:
        """Median distance of the starts."""
        return median_size(self.start_errors_s)

    @property
    def end_error_s(self) -> float | None:
        """Median distance of the ends."""
        return median_size(self.end_errors_s)

    @property
    def start_error_frames(self) -> float | None:
        """Median distance of the starts, in frames of each file."""
        return median_size(self.start_errors_frames)

    def add(self, match: Match, frames_per_s: float | None) -> None:
        """Count one file."""
        self.hits += len(match.hits)
        self.false += len(match.false)
        self.missed += len(match.missed)
        self.ignored += len(match.ignored)
        starts = [detection.start - label.start for label, detection in match.hits]
        self.start_errors_s += starts
        self.start_errors_frames += [error * frames_per_s for error in starts] if frames_per_s else []
        self.end_errors_s += [detection.end - label.end for label, detection in match.hits]
        self.value_errors += [
            detection.value - label.offset_ms
            for label, detection in match.hits
            if detection.value is not None and label.offset_ms is not None
        ]


class Found(NamedTuple):
    """How many of how many."""

    hits: int
    of: int


class Score(msgspec.Struct):
    """A whole set. clean_false: false alarms in files without any label, by class; forms: by "class/sub" and
    by "class/severity"."""

    classes: dict[str, Tally] = {}
    forms: dict[str, Found] = {}
    clean_files: int = 0
    clean_seconds: float = 0.0
    clean_alarms: dict[str, int] = {}
    missed: list[tuple[str, Label]] = []
    false: list[tuple[str, Event]] = []

    @property
    def clean_false(self) -> int:
        """False alarms in files without any label."""
        return sum(self.clean_alarms.values())

    def of(self, kind: str) -> Tally:
        """The tally of a class; an empty one where the sample neither has it nor was it detected."""
        return self.classes.get(kind, Tally())

    def add(self, file: LabelledFile, detections: Sequence[Event]) -> None:
        """Judge the detections of one file."""
        found = sorted(detections, key=lambda event: event.start)
        for kind in sorted({event.kind for event in (*file.labels, *found)}):
            match = judge(kind, file, found)
            self.classes.setdefault(kind, Tally()).add(match, file.frames_per_s)
            self._count_forms(match)
            self.missed += [(file.file, label) for label in match.missed]
            self.false += [(file.file, event) for event in match.false]
            if not file.labels and match.false:
                self.clean_alarms[kind] = self.clean_alarms.get(kind, 0) + len(match.false)
        if not file.labels:
            self.clean_files += 1
            self.clean_seconds += file.seconds

    def _count_forms(self, match: Match) -> None:
        judged = [(label, 1) for label, _ in match.hits] + [(label, 0) for label in match.missed]
        for label, hit in judged:
            for form in filter(None, (label.sub, label.severity)):
                before = self.forms.get(f"{label.kind}/{form}", Found(0, 0))
                self.forms[f"{label.kind}/{form}"] = Found(before.hits + hit, before.of + 1)


def score(files: Iterable[LabelledFile], detections: Mapping[str, Sequence[Event]]) -> Score:
    """Judge the detections of each file, by the file's name."""
    total = Score()
    for file in files:
        total.add(file, detections.get(file.file, ()))
    return total


def median_size(errors: Sequence[float]) -> float | None:
    """The median of the absolute values, None without any."""
    return statistics.median(map(abs, errors)) if errors else None


def judge(kind: str, file: LabelledFile, found: Sequence[Event]) -> Match:
    """The detections of one class in one file."""
    labels = [label for label in file.labels if label.kind == kind]
    events = [event for event in found if event.kind == kind]
    pairs = _pairs(labels, events)
    hits = [(labels[i], events[j]) for i, j in pairs]
    hit, used = {i for i, _ in pairs}, {j for _, j in pairs}
    rest = [event for j, event in enumerate(events) if j not in used]
    excused = [_excused(event, file, [label for label, _ in hits]) for event in rest]
    return Match(
        hits=hits,
        missed=[label for i, label in enumerate(labels) if i not in hit],
        false=[event for event, out in zip(rest, excused, strict=True) if not out],
        ignored=[event for event, out in zip(rest, excused, strict=True) if out],
    )


def _pairs(labels: Sequence[Label], events: Sequence[Event]) -> list[tuple[int, int]]:
    """Which label goes with which detection: the best first, by overlap and nearness of the starts."""
    candidates = []
    for i, label in enumerate(labels):
        for j, event in enumerate(events):
            apart_s, shared = abs(label.start - event.start), iou(label, event)
            if shared >= IOU or apart_s <= START_S:
                candidates.append((-(shared + max(0.0, 1.0 - apart_s)), i, j))
    chosen: list[tuple[int, int]] = []
    for _, i, j in sorted(candidates):
        if all(i != a and j != b for a, b in chosen):
            chosen.append((i, j))
    return chosen


def _excused(event: Event, file: LabelledFile, hit: Sequence[Label]) -> bool:
    """Whether a detection without a label of its own is no false alarm."""
    if any(soft.kind == event.kind and (_overlap(soft, event) > 0 or _within(event, soft)) for soft in file.soft):
        return True
    if any(_overlap(label, event) > 0 for label in hit):
        return True
    return any(event.kind in EXPLAINS.get(label.kind, ()) and _explained(event, label) for label in file.labels)


def _explained(event: Event, label: Event) -> bool:
    pad_s = PADS_S.get(label.kind, PAD_S)
    wide = Event(label.kind, label.start - pad_s, label.end + pad_s)
    length_s = max(event.end - event.start, 1e-6)
    return _within(event, wide) or _overlap(wide, event) / length_s >= EXPLAINED_SHARE


def _within(event: Event, span: Event | Soft) -> bool:
    return span.start <= event.start <= span.end


def _overlap(a: Event | Soft, b: Event) -> float:
    return max(0.0, min(a.end, b.end) - max(a.start, b.start))


def iou(a: Event, b: Event) -> float:
    """What two events share of the span that holds both; of two without length, whether they are at one place."""
    span_s = max(a.end, b.end) - min(a.start, b.start)
    return _overlap(a, b) / span_s if span_s > 0 else float(a.start == b.start)
