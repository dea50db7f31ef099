"""Jumps of luma on the grid of macroblocks."""

import cv2
import numpy as np

from vqa_ray.core.picture import Plane

BLOCK = 16  # luma pixels; the macroblock of MPEG-2 and H.264, and a divisor of HEVC's coding tree units
LINES = 8  # of the 16 across an edge that are looked at,
FEW_LINES = 4  # or as few to see whether that is worth while
CLIP = 31  # grey levels that one line may count: eight lines fit into a byte, and no line makes an edge alone
JUMP = 18  # grey levels, mean of the lines
LONGEST = 4  # edges in a row: longer jumps are lines of the scene, graphics, bars or borders
FEWEST = 4  # fewer are chance in a small picture
SIGMAS = 4.0  # beyond what chance puts on the grid, of a scene full of such jumps
ROWS, COLUMNS = 16, 24  # of blocks are enough to judge a picture by

GRID = slice(BLOCK - 2, None, BLOCK)  # of columns of steps: those between two blocks


def block_edges(luma: Plane, bit_depth: int = 8) -> float:
    """Luma jumps along the edges of blocks, beyond those that lie off the grid, per mille of all edges; luma: (h, w).

    An edge is 16 pixels long. Its jump is isolated: larger by 18 levels than the steps of luma on both sides of it,
    so that textures and slopes do not count; edges in a row count once. Jumps off the grid, on the other 15 of 16
    lines, are those that scenes and graphics have by themselves: what is on the grid must stand out from them.
    Of large pictures every second, third, … row and column of blocks is looked at.
    """
    whole, down, along = _blocks(luma)
    if not whole.size:
        return 0.0
    upright = _short(_jumps(_stripes(whole, down, bit_depth)), down)
    across = _short(_jumps(_stripes(_transposed(whole, along, bit_depth), 1, 8)), along)
    on_grid, also_on_grid = _on_grid(upright), _on_grid(across)
    by_chance = (cv2.countNonZero(upright) + cv2.countNonZero(across) - on_grid - also_on_grid) / (BLOCK - 1)
    excess = on_grid + also_on_grid - by_chance
    if excess < max(FEWEST, SIGMAS * by_chance**0.5):
        return 0.0
    return 1000.0 * excess / (upright[:, GRID].size + across[:, GRID].size)


def grid_jumps(luma: Plane, bit_depth: int = 8) -> int:
    """How many upright edges of blocks jump, seen in 4 of 16 lines: a tenth of the work of `block_edges`; luma: (h, w).

    Where it is no more than usual, and less than two, `block_edges` finds nothing.
    """
    whole, down, _ = _blocks(luma)
    if not whole.size:
        return 0
    height, width = whole.shape
    rows, columns = height // BLOCK, width // BLOCK - 1
    by_block = whole[:, BLOCK - 2 : BLOCK * columns + BLOCK - 2].reshape(rows, BLOCK, columns, BLOCK)
    lines = by_block[::down, 1 :: BLOCK // FEW_LINES, :, :4].transpose(1, 3, 0, 2).reshape(FEW_LINES, -1)
    if bit_depth > 8:
        lines = (lines >> (bit_depth - 8)).astype(np.uint8)
    edges = lines.shape[1] // 4  # of each four pixels across it
    steps = cv2.absdiff(lines[:, edges:], lines[:, :-edges])
    steps = cv2.reduce(cv2.min(steps, CLIP, dst=steps), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32F)
    beside = cv2.max(steps[:, :edges], steps[:, 2 * edges :])
    return cv2.countNonZero(cv2.compare(cv2.subtract(steps[:, edges:-edges], beside), JUMP * FEW_LINES, cv2.CMP_GT))


def _blocks(luma: Plane) -> tuple[Plane, int, int]:
    """The part of whole blocks, nothing of a small picture; and each how many-th row and column of them is enough."""
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    if min(rows, columns) < 3:
        return luma[:0], 1, 1
    return luma[: rows * BLOCK, : columns * BLOCK], max(1, rows // ROWS), max(1, columns // COLUMNS)


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
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1])
    steps = cv2.min(steps, CLIP, dst=steps)  # in place: a fresh half megabyte costs more than the arithmetic
    blocks = len(steps) // LINES
    while len(steps) > blocks:
        half = len(steps) // 2
        steps = cv2.add(steps[:half], steps[half:], dst=steps[:half])
    beside = cv2.max(steps[:, :-2], steps[:, 2:])
    alone = cv2.subtract(steps[:, 1:-1], beside, dst=beside)
    jumps: Plane = cv2.threshold(alone, JUMP * LINES, 255, cv2.THRESH_BINARY, dst=alone)[1]
    return jumps


def _short(jumps: Plane, every: int) -> Plane:
    """The first edge of each jump, without those that go on over more than four blocks, of which every n-th is seen."""
    longer = np.ones((max(1, LONGEST // every) + 1, 1), np.uint8)
    short: Plane = cv2.subtract(jumps, cv2.morphologyEx(jumps, cv2.MORPH_OPEN, longer))
    short[1:] = cv2.subtract(short[1:], short[:-1])
    return short


def _on_grid(jumps: Plane) -> int:
    return cv2.countNonZero(np.ascontiguousarray(jumps[:, GRID]))
