"""Why a label was missed and what a false alarm was, in words; for whoever improves a detector. Pure."""

from collections.abc import Iterator, Sequence

from vqa_ray.core.labels import Event, Label
from vqa_ray.core.scoring import Score, iou


def reasons(score: Score, detections: dict[str, list[Event]], unreadable: dict[str, str]) -> Iterator[str]:
    """A line for each file that could not be read, each label missed and each false alarm."""
    for name, why in unreadable.items():
        yield f"unreadable  {name}: {why}"
    for name, label in score.missed:
        form = ", ".join(filter(None, (label.sub, label.severity)))
        what = f"{_span(label)} ({form})" if form else _span(label)
        yield f"missed      {name}: {what}: {_instead(label, detections.get(name, []))}"
    for name, event in score.false:
        measured = "" if event.value is None else f": measured {event.value:.4g}"
        yield f"false       {name}: {_span(event)}{measured}{f', {event.reason}' if event.reason else ''}"


def _instead(label: Label, found: Sequence[Event]) -> str:
    """What was said at that place, or nearest to it."""
    same = [event for event in found if event.kind == label.kind]
    if same:
        near = min(same, key=lambda event: abs(event.start - label.start))
        late_s = near.start - label.start
        way = "late" if late_s > 0 else "early"
        return f"nearest is {near.start:.2f}–{near.end:.2f}, {abs(late_s):.2f} s {way}, shares {iou(label, near):.0%}"
    others = [event for event in found if event.start <= label.end and event.end >= label.start]
    if others:
        return "only " + ", ".join(_span(event) for event in others)
    return "nothing was found there" if found else "nothing was found in the file"


def _span(event: Event) -> str:
    return f"{event.kind} {event.start:.2f}–{event.end:.2f}"
