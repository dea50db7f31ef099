"""How things moved in the last half second, from the thumbs of pictures."""

import math
from collections import deque
from typing import NamedTuple

import cv2

from vqa_ray.core.picture import Plane

RECENT_S = 0.5
STEPS = 4  # frames whose changes tell how things moved at the end
CUT_RATIO = 4.0  # a cut changes the mean by four times what movement did


class Move(NamedTuple):
    """A frame that differs from the one before it: when, by how much at most, and both thumbs."""

    at_s: float
    largest: float
    thumb: Plane
    before: Plane

    @property
    def mean(self) -> float:
        """The mean absolute change."""
        return float(cv2.norm(self.thumb, self.before, cv2.NORM_L1)) / max(1, self.thumb.size)


class Before(NamedTuple):
    """How things moved in the half second before a frame: by how much in all, and from frame to frame at the end."""

    change: float
    step: float


UNKNOWN = Before(0.0, 0.0)


class Moves:
    """The frames of the last half second that differ from the one before."""

    def __init__(self) -> None:
        self._moves: deque[Move] = deque()

    def add(self, at_s: float, step: float, thumb: Plane, before: Plane) -> None:
        """A frame that differs from the one before it by `step` at most."""
        while self._moves and self._moves[0].at_s < at_s - RECENT_S:
            self._moves.popleft()
        self._moves.append(Move(at_s, step, thumb, before))

    def clear(self) -> None:
        """What came before has nothing to do with what follows."""
        self._moves.clear()

    def at_most(self, held: Plane) -> float:
        """What `before` would give for its change if there were no cuts; cheaper."""
        if not self._moves:
            return 0.0
        return max(largest(held, self._moves[0].before), max(move.largest for move in self._moves))

    def before(self, held: Plane) -> Before:
        """How things moved before `held`, which moved last; unknown right after a cut."""
        moves = after_cut(list(self._moves))
        if len(moves) < 2:
            return UNKNOWN
        step = sorted(move.largest for move in moves[-STEPS:])[-2]
        return Before(max(step, largest(held, moves[0].before)), step)


def after_cut(moves: list[Move]) -> list[Move]:
    """The moves after the last cut: a cut changes the mean by four times what any move before it did."""
    start, highest = 0, math.inf
    for number, move in enumerate(moves):
        mean = move.mean
        if mean > CUT_RATIO * highest:
            start, highest = number + 1, math.inf
        else:
            highest = mean if highest == math.inf else max(highest, mean)
    return moves[start:]


def largest(a: Plane, b: Plane) -> float:
    """The largest absolute difference."""
    return float(cv2.norm(a, b, cv2.NORM_INF))
