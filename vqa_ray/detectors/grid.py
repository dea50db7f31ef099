"""How plainly the edges of coding blocks show, as steps of luma that come back every 8 or 16 pixels."""

from typing import NamedTuple

import cv2
import numpy as np

from vqa_ray.core.picture import Plane

BANDS = 20  # places that are looked at in each direction, each 4 pixels wide: an edge is as long, noise is not
LINES = 4  # of each place; places do not overlap, however small the picture
PERIOD = 16  # pixels: of half-size pictures that were scaled up, and macroblocks
HALF = 8  # of the transform in full-size ones
REACH = 9  # pixels around a step that tell how much goes on there
FLOOR = 2  # grey levels; smaller steps in a flat area are hardly seen
UNIT = 64  # of the relative step, as uint8: one step counts at most four, as it may be an edge of the scene
PLAIN = 24  # grey levels, the same for the step itself
QUIET = 0.05 * UNIT  # where nothing goes on off the grid
SUSPECT = 0.18  # edges across rows; below, there is no need to look along columns


class GridStrength(NamedTuple):
    """Strength: mean step on the grid over those off it, minus 1; step: the same as a difference, in grey levels."""

    strength: float
    step: float


NO_GRID = GridStrength(0.0, 0.0)


def grid_strength(luma: Plane, bit_depth: int = 8) -> GridStrength:
    """The strongest grid of 8 or 16 pixels, whatever its phase; luma: (h, w).

    After Muijs and Kirenko (2005): each step is set against the activity around it, so that blocks in smooth areas,
    which are seen, count, and steps within texture, which mask them, do not. The weaker of both directions counts:
    lines of graphics, borders and colour bars lie in one.
    """
    height, width = luma.shape
    if height < 4 * PERIOD or width < 4 * PERIOD:
        return NO_GRID
    across = _strongest(_rows(luma, bit_depth))
    if across.strength < SUSPECT:
        return across
    along = _strongest(_columns(luma, bit_depth))
    return GridStrength(min(across.strength, along.strength), min(across.step, along.step))


def _rows(luma: Plane, bit_depth: int) -> Plane:
    """Means of 4 rows at about 20 places, (places, w) uint8."""
    every = max(LINES, len(luma) // BANDS)
    count = len(luma) // every
    return _mean([luma[at : count * every : every] for at in range(LINES)], bit_depth)


def _columns(luma: Plane, bit_depth: int) -> Plane:
    """The same of columns, turned."""
    every = max(LINES, luma.shape[1] // BANDS)
    count = luma.shape[1] // every
    return _mean([np.ascontiguousarray(luma[:, at : count * every : every].T) for at in range(LINES)], bit_depth)


def _mean(lines: list[Plane], bit_depth: int) -> Plane:
    one, two, three, four = lines
    mean: Plane = cv2.addWeighted(
        cv2.addWeighted(one, 0.5, two, 0.5, 0.0), 0.5, cv2.addWeighted(three, 0.5, four, 0.5, 0.0), 0.5, 0.0
    )
    return mean if bit_depth == 8 else (mean >> (bit_depth - 8)).astype(np.uint8)


def _strongest(lines: Plane) -> GridStrength:
    """Of the grids across lines (n, w) uint8; the step is left out (0) of one that hardly shows."""
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    activity = cv2.add(cv2.blur(steps, (REACH, 1)), FLOOR)
    folded = _folded(cv2.divide(steps, activity, scale=UNIT))
    strength, phases = max(_on_grid(_halved(folded)), _on_grid(folded))
    if strength < SUSPECT:
        return GridStrength(strength, 0.0)
    plain = _folded(cv2.min(steps, PLAIN))
    return GridStrength(strength, _above(plain if len(phases) == PERIOD else _halved(plain), phases))


def _folded(values: Plane) -> list[float]:
    """Mean of each phase of 16 pixels; (n, w) uint8. Lists: so few numbers are handled faster without numpy."""
    profile = cv2.reduce(values, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    count = profile.shape[1] // PERIOD
    mean = cv2.reduce(profile[0, : count * PERIOD].reshape(count, PERIOD), 0, cv2.REDUCE_AVG)
    folded: list[float] = mean[0].tolist()
    return folded


def _halved(folded: list[float]) -> list[float]:
    """Mean of each phase of 8 pixels."""
    return [(a + b) / 2 for a, b in zip(folded[:HALF], folded[HALF:], strict=True)]


def _on_grid(folded: list[float]) -> tuple[float, list[int]]:
    """Strength; and the phases, beginning with that of the grid."""
    period, phase = len(folded), folded.index(max(folded))
    phases = [(phase + n) % period for n in range(period)]
    excess = _above(folded, phases)
    return excess / (folded[phase] - excess + QUIET), phases


def _above(folded: list[float], phases: list[int]) -> float:
    """The first phase above the mean of the others, but for the two next to it, over which scaling spreads a step."""
    return folded[phases[0]] - sum(folded[phase] for phase in phases[2:-1]) / (len(phases) - 3)
