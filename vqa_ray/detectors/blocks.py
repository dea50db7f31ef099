"""Jumps of luma on the grid of macroblocks."""

import cv2
import numpy as np

from vqa_ray.core.picture import Plane

BLOCK = 16  # luma pixels; the macroblock of MPEG-2 and H.264, and a divisor of HEVC's coding tree units
LINES = 8  # of the 16 across an edge that are looked at
CLIP = 31  # grey levels that one line may count: eight lines fit into a byte, and no line makes an edge alone
JUMP = 19  # grey levels, mean of the lines
LONGEST = 4  # edges in a row: longer jumps are lines of the scene, graphics, bars or borders
FEWEST = 4  # edges: fewer are chance in a small picture
STRIPE = 24  # rows and columns of blocks are enough to judge a picture by

_ALONG = np.ones((LONGEST + 1, 1), np.uint8)


def block_edges(luma: Plane, bit_depth: int = 8) -> float:
    """Block edges with a luma jump, beyond those that lie off the grid, per mille of all; luma: (h, w).

    An edge is 16 pixels long. Its jump is isolated: larger by 19 levels than the steps of luma on both sides of it,
    so that textures and slopes do not count. Jumps off the grid, on the other 15 of 16 lines, are those that scenes
    have by themselves. Of large pictures every second, third, … row and column of blocks is looked at.
    """
    height, width = luma.shape
    if height < 3 * BLOCK or width < 3 * BLOCK:
        return 0.0
    rows, columns = height // BLOCK, width // BLOCK
    luma = luma[: rows * BLOCK, : columns * BLOCK]
    upright = _jumps(_stripes(luma, max(1, rows // STRIPE), bit_depth))
    across = _jumps(_stripes(_transposed(luma, max(1, columns // STRIPE), bit_depth), 1, 8))
    on_grid = other = edges = 0
    for jumps in (upright, across):
        grid = jumps[:, BLOCK - 2 :: BLOCK]
        found = int(np.count_nonzero(grid))
        on_grid += found
        other += cv2.countNonZero(jumps) - found
        edges += grid.size
    excess = on_grid - other / (BLOCK - 1)
    return 1000.0 * excess / edges if excess >= FEWEST else 0.0


def _stripes(luma: Plane, every: int, bit_depth: int) -> Plane:
    """Every second line of each `every`th row of blocks, (blocks * 8, w) uint8."""
    width = luma.shape[1]
    count = len(luma) // (BLOCK * every)
    lines = luma[: count * BLOCK * every].reshape(count, BLOCK * every, width)[:, 1:BLOCK:2].reshape(-1, width)
    return lines if bit_depth == 8 else (lines >> (bit_depth - 8)).astype(np.uint8)


def _transposed(luma: Plane, every: int, bit_depth: int) -> Plane:
    """Each `every`th column of blocks, turned, (blocks * 16, h) uint8."""
    height = len(luma)
    count = luma.shape[1] // (BLOCK * every)
    columns = luma[:, : count * BLOCK * every].reshape(height, count, BLOCK * every)[:, :, :BLOCK].reshape(height, -1)
    if bit_depth > 8:
        columns = (columns >> (bit_depth - 8)).astype(np.uint8)
    turned: Plane = cv2.transpose(columns)
    return turned


def _jumps(lines: Plane) -> Plane:
    """Where isolated, short jumps along x are; lines (8 a block, w) uint8 -> (blocks, w - 3) of 0 and 255.

    Column i is the step from pixel i + 1 to i + 2.
    """
    steps = cv2.min(cv2.absdiff(lines[:, 1:], lines[:, :-1]), CLIP)
    total = cv2.add(steps[0::LINES], steps[1::LINES])
    for line in range(2, LINES):
        total = cv2.add(total, steps[line::LINES])
    beside = cv2.max(total[:, :-2], total[:, 2:])
    alone = cv2.subtract(total[:, 1:-1], beside)
    found: Plane = cv2.threshold(alone, JUMP * LINES, 255, cv2.THRESH_BINARY)[1]
    short: Plane = cv2.subtract(found, cv2.morphologyEx(found, cv2.MORPH_OPEN, _ALONG))
    return short
