"""Jumps of luma on the grid of macroblocks."""

import cv2
import numpy as np

from vqa_ray.core.picture import Plane

BLOCK = 16  # luma pixels; the macroblock of MPEG-2 and H.264, and a divisor of HEVC's coding tree units
LINES = 8  # of the 16 across an edge that are looked at
CLIP = 31  # grey levels that one line may count: eight lines fit into a byte, and no line makes an edge alone
JUMP = 18  # grey levels, mean of the lines
LONGEST = 4  # edges in a row: longer jumps are lines of the scene, graphics, bars or borders
FEWEST = 4  # fewer are chance in a small picture
SIGMAS = 4.0  # beyond what chance puts on the grid, of a scene full of such jumps
STRIPE = 24  # rows and columns of blocks are enough to judge a picture by

GRID = slice(BLOCK - 2, None, BLOCK)  # of columns of steps: those between two blocks
_ALONG = np.ones((LONGEST + 1, 1), np.uint8)


def block_edges(luma: Plane, bit_depth: int = 8) -> float:
    """Luma jumps along the edges of blocks, beyond those that lie off the grid, per mille of all edges; luma: (h, w).

    An edge is 16 pixels long. Its jump is isolated: larger by 18 levels than the steps of luma on both sides of it,
    so that textures and slopes do not count; edges in a row count once. Jumps off the grid, on the other 15 of 16
    lines, are those that scenes and graphics have by themselves: what is on the grid must stand out from them.
    Of large pictures every second, third, … row and column of blocks is looked at.
    """
    height, width = luma.shape
    if height < 3 * BLOCK or width < 3 * BLOCK:
        return 0.0
    rows, columns = height // BLOCK, width // BLOCK
    luma = luma[: rows * BLOCK, : columns * BLOCK]
    upright = _jumps(_stripes(luma, max(1, rows // STRIPE), bit_depth))
    if _on_grid(upright) < FEWEST // 2:  # nearly always: spares the other half of the work
        return 0.0
    across = _jumps(_stripes(_transposed(luma, max(1, columns // STRIPE), bit_depth), 1, 8))
    if _on_grid(upright) + _on_grid(across) < FEWEST:
        return 0.0
    upright, across = _short(upright), _short(across)
    on_grid = _on_grid(upright) + _on_grid(across)
    by_chance = (cv2.countNonZero(upright) + cv2.countNonZero(across) - on_grid) / (BLOCK - 1)
    excess = on_grid - by_chance
    if excess < max(FEWEST, SIGMAS * by_chance**0.5):
        return 0.0
    return 1000.0 * excess / (upright[:, GRID].size + across[:, GRID].size)


def _stripes(luma: Plane, every: int, bit_depth: int) -> Plane:
    """Every second line of each `every`th row of blocks, (8 * blocks, w) uint8: the first lines, the second lines, …"""
    width = luma.shape[1]
    count = len(luma) // (BLOCK * every)
    blocks = luma[: count * BLOCK * every].reshape(count, BLOCK * every, width)[:, 1:BLOCK:2]
    lines = blocks.transpose(1, 0, 2).reshape(-1, width)
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
    """Where isolated jumps along x are; lines (8 * blocks, w) uint8 -> (blocks, w - 3) of 0 and 255.

    Column i is the step from pixel i + 1 to i + 2.
    """
    steps = cv2.min(cv2.absdiff(lines[:, 1:], lines[:, :-1]), CLIP)
    blocks = len(steps) // LINES
    while len(steps) > blocks:
        half = len(steps) // 2
        steps = cv2.add(steps[:half], steps[half:])
    beside = cv2.max(steps[:, :-2], steps[:, 2:])
    alone = cv2.subtract(steps[:, 1:-1], beside)
    jumps: Plane = cv2.threshold(alone, JUMP * LINES, 255, cv2.THRESH_BINARY)[1]
    return jumps


def _short(jumps: Plane) -> Plane:
    """The first edge of each jump, without those that go on over more than four blocks."""
    short: Plane = cv2.subtract(jumps, cv2.morphologyEx(jumps, cv2.MORPH_OPEN, _ALONG))
    short[1:] = cv2.subtract(short[1:], short[:-1])
    return short


def _on_grid(jumps: Plane) -> int:
    return cv2.countNonZero(np.ascontiguousarray(jumps[:, GRID]))
