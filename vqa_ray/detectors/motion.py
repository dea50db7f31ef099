"""How things moved in the last half second: from sketches of all frames, and thumbs of some."""

import math
from collections import deque
from typing import NamedTuple

import cv2

from vqa_ray.core.picture import Plane

RECENT_S = 0.5
STEPS = 4  # frames whose changes tell how things moved at the end
CUT_RATIO = 4.0  # a cut changes the mean by four times what movement did


class Move(NamedTuple):
    """A frame that differs from the one before it.

    sketch, before: of this frame and the one before it; step: largest change of the thumb, infinite where the sketch
    left no doubt; thumb: of this frame, where it was made.
    """

    at_s: float
    sketch: Plane
    before: Plane
    step: float
    thumb: Plane | None

    def mean(self) -> float:
        """Mean change of the sketch."""
        return float(cv2.norm(self.sketch, self.before, cv2.NORM_L1)) / self.sketch.size


class Before(NamedTuple):
    """How things moved in the half second before a frame: by how much in all, and from frame to frame at the end."""

    change: float
    step: float


UNKNOWN = Before(0.0, 0.0)


class Moves:
    """The frames of the last half second that differ from the one before."""

    def __init__(self) -> None:
        self._moves: deque[Move] = deque()

    def add(self, move: Move) -> None:
        """Another frame that differs from the one before it."""
        while self._moves and self._moves[0].at_s < move.at_s - RECENT_S:
            self._moves.popleft()
        self._moves.append(move)

    def clear(self) -> None:
        """What came before has nothing to do with what follows."""
        self._moves.clear()

    def before(self, held: Plane) -> Before:
        """How things moved before `held`, which moved last; unknown right after a cut."""
        moves = after_cut(self._moves)
        if len(moves) < 2:
            return UNKNOWN
        step = sorted(move.step for move in moves[-STEPS:])[-2]
        first = next((move.thumb for move in moves[:-1] if move.thumb is not None), None)
        # soon after a cut no thumb may have been made yet: then by four samples of the sketches together
        change = largest(_fours(moves[-1].sketch), _fours(moves[0].sketch)) if first is None else largest(held, first)
        return Before(change if step == math.inf else max(change, step), step)


def after_cut(moves: deque[Move]) -> list[Move]:
    """The moves after the last cut: a cut changes the mean by four times what any move before it did."""
    start, highest = 0, math.inf
    for number, move in enumerate(moves):
        mean = move.mean()
        if mean > CUT_RATIO * highest:
            start, highest = number + 1, math.inf
        else:
            highest = mean if highest == math.inf else max(highest, mean)
    return list(moves)[start:]


def _fours(sketch: Plane) -> Plane:
    """Means of 2x2 samples: single ones change more than a thumb does."""
    height, width = sketch.shape
    if height < 2 or width < 2:
        return sketch
    fours: Plane = cv2.resize(
        sketch[: height // 2 * 2, : width // 2 * 2], (width // 2, height // 2), interpolation=cv2.INTER_AREA
    )
    return fours


def largest(a: Plane, b: Plane) -> float:
    """The largest absolute difference."""
    return float(cv2.norm(a, b, cv2.NORM_INF))
