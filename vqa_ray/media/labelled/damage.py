"""What damage on the way does to the picture: the decoded frames that differ, and the labels that follow from them."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vqa_ray.core.labels import Label, Soft
from vqa_ray.media.labelled.coding import decoded
from vqa_ray.media.labelled.material import U8
from vqa_ray.media.labelled.variation import planes

BLOCK = 16
DIFFERENT = 10.0  # grey levels of mean absolute difference: the block is damaged
VISIBLE = 0.002  # share of damaged blocks: the frame is
MINOR, CRITICAL = 0.05, 0.3  # the worst frame's share
MERGE_S = 0.5  # damaged frames no further apart are one event


class Damage(NamedTuple):
    """A frame, counted from the first, and what share of the blocks on the screen differs from the clean decode.

    missing: nothing of it was decoded, so that the screen shows the picture before it.
    """

    frame: int
    shown: float
    missing: bool = False

    @property
    def share(self) -> float:
        """The share of its own blocks that are damaged: all of a missing one."""
        return 1.0 if self.missing else self.shown


def compare(clean: Path, broken: Path, fps: Fraction) -> list[Damage]:
    """All frames of `clean` of which `broken` shows something else, or nothing; each counts from its first picture.

    Some containers begin at zero, MPEG-TS does not.
    """
    others = _from_zero(broken)
    other = next(others, None)
    found: list[Damage] = []
    shown = 0.0
    for n, (at, picture) in enumerate(_from_zero(clean)):
        while other is not None and other[0] < at - 0.5 / fps:
            other = next(others, None)
        missing = other is None or other[0] > at + 0.5 / fps
        if not missing and other is not None:
            shown = _share(picture, other[1])
        if missing or shown > 0:
            found.append(Damage(n, shown, missing))
    return found


def _from_zero(path: Path) -> Iterator[tuple[Fraction, U8]]:
    zero = None
    for at, picture in decoded(path):
        zero = at if zero is None else zero
        yield at - zero, picture


def labels(damage: Sequence[Damage], sub: str, fps: Fraction) -> tuple[list[Label], list[Soft]]:
    """Events of visible damage, and where there is some that hardly shows."""
    visible = [one for one in damage if one.share > VISIBLE]
    made = [_label(event, sub, fps) for event in _events(visible, fps)]
    slight = [one for one in damage if one.share <= VISIBLE]
    soft = [Soft("corruption", *_span(event, fps), why="hardly visible damage") for event in _events(slight, fps)]
    return made, soft


def as_shown(damage: Sequence[Damage], fps: Fraction) -> tuple[list[Damage], list[Soft]]:
    """What is damaged on the screen of a receiver, and where it shows a picture again: that is no damage to see."""
    shown = [Damage(one.frame, one.shown) for one in damage if one.shown > 0]
    again = _events([one for one in damage if one.missing], fps)
    why = "a picture is missing, the one before is shown again"
    return shown, [Soft(kind, *_span(event, fps), why=why) for event in again for kind in ("corruption", "freeze")]


def repaired(broken: Path, count: int, fps: Fraction, zero: Fraction) -> Iterator[U8]:
    """What a receiver shows of a damaged file: `count` frames, the last one again where one is missing."""
    frames = decoded(broken)
    following, shown = next(frames, None), None
    for n in range(count):
        due = zero + (n + Fraction(1, 2)) / fps
        while following is not None and (following[0] < due or shown is None):
            shown, following = following[1], next(frames, None)
        if shown is not None:
            yield shown


def _share(a: U8, b: U8) -> float:
    if a.shape != b.shape:
        return 1.0
    difference = cv2.absdiff(planes(a)[0], planes(b)[0])
    height, width = (side // BLOCK * BLOCK for side in difference.shape)
    means = cv2.resize(difference[:height, :width], (width // BLOCK, height // BLOCK), interpolation=cv2.INTER_AREA)
    return float(np.mean(np.asarray(means) > DIFFERENT))


def _events(damage: Sequence[Damage], fps: Fraction) -> list[list[Damage]]:
    events: list[list[Damage]] = []
    for one in damage:
        if events and (one.frame - events[-1][-1].frame) / fps <= MERGE_S:
            events[-1].append(one)
        else:
            events.append([one])
    return events


def _span(event: Sequence[Damage], fps: Fraction) -> tuple[float, float]:
    return round(float(event[0].frame / fps), 6), round(float((event[-1].frame + 1) / fps), 6)


def _label(event: Sequence[Damage], sub: str, fps: Fraction) -> Label:
    worst = max(one.share for one in event)
    severity = "minor" if worst < MINOR else "critical" if worst >= CRITICAL else "major"
    return Label("corruption", *_span(event, fps), value=round(worst, 4), sub=sub, severity=severity, stream="video")
