"""How picture and sound of a stream change, on a grid of 100 Hz: what survives encoding, scaling, gain and a logo.

The idea of SMPTE ST 2064-1, where fingerprints of picture and sound are sent along: here both streams are at hand, so
both are made here. Picture: by how much the mean luma of each of 12x8 areas changes in 40 ms. Sound: by how much the
logarithm of the power in each of 14 mel bands changes in 20 ms.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.detectors.lipsync.signals import BANDS, F32, F64, mel_bands, on_grid

RATE_HZ = 100
COLUMNS, ROWS = 12, 8
JOINS_S = 0.02  # blocks that follow each other by this are one piece of sound
HOLE_S = 0.5  # between two pictures, in which nothing is known
PIECE = 20 * RATE_HZ  # of the grid, heard at a time
MOTION = 2.0  # grey levels in 40 ms at which a change counts half: a cut does not outweigh everything else
AGAIN, AGAIN_SHARE = 0.3, 0.3  # of the changes around it, at which a picture is a repeated one; of all, for it to count
FAINT = 1e-3  # of a band's mean power: what is 30 dB below counts as silence


class Fingerprint:
    """Takes pictures and blocks of sound in any order; `video` and `audio` are what changed at each moment."""

    def __init__(self) -> None:
        self._at_s: list[float] = []
        self._areas: list[F32] = []
        self._sounds: list[tuple[float, int, list[F32]]] = []  # start, rate, blocks without a hole
        self._heard_s = float("-inf")

    def take(self, item: Picture | AudioBlock) -> None:
        """The next picture or block; 25 µs at 360p."""
        if isinstance(item, AudioBlock):
            self._hear(item)
        elif not self._at_s or item.at_s > self._at_s[-1]:
            self._at_s.append(item.at_s)
            small = item.small.astype(np.float32)
            self._areas.append(np.asarray(cv2.resize(small, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)).ravel())

    def _hear(self, block: AudioBlock) -> None:
        if not block.samples.size:
            return
        joins = abs(block.at_s - self._heard_s) < JOINS_S and self._sounds and self._sounds[-1][1] == block.rate_hz
        if not joins:
            self._sounds.append((block.at_s, block.rate_hz, []))
        self._sounds[-1][2].append(block.samples.mean(axis=0, dtype=np.float32))
        self._heard_s = block.until_s

    @property
    def start_s(self) -> float:
        """When the first of both began; 0 of nothing."""
        starts = [*self._at_s[:1], *(start_s for start_s, _, _ in self._sounds[:1])]
        return min(starts, default=0.0)

    @property
    def end_s(self) -> float:
        """When the last of both ended; 0 of nothing."""
        ends = [*self._at_s[-1:], *([self._heard_s] if self._sounds else [])]
        return max(ends, default=0.0)

    @property
    def seconds(self) -> float:
        """From the first to the last."""
        return self.end_s - self.start_s

    def grid(self) -> F64:
        """Times of the rows of `video` and `audio`."""
        return np.arange(int(np.ceil(self.start_s * RATE_HZ)), int(self.end_s * RATE_HZ) + 1) / RATE_HZ

    def video(self) -> F32:
        """(n, 96), 0 where nothing is known."""
        grid = self.grid()
        if len(self._at_s) < 2:
            return np.zeros((len(grid), COLUMNS * ROWS), np.float32)
        areas, times = np.array(self._areas, np.float64), np.array(self._at_s)
        new = fresh(areas)
        change = changes(smooth(on_grid(times[new].tolist(), areas[new], grid), 4), 2)
        change[~_known(grid, self._at_s)] = 0.0
        return np.asarray(change / (np.abs(change) + MOTION), np.float32)

    def audio(self) -> F32:
        """(n, 14), each band with standard deviation 1, 0 where nothing is known."""
        grid = self.grid()
        power = np.exp(self._bands(grid))
        there = np.isfinite(power).all(axis=1)
        if not there.any():
            return np.zeros((len(grid), BANDS), np.float32)
        level = np.log(power + FAINT * power[there].mean(axis=0) + 1e-12)
        change = changes(level, 1)
        change[~np.isfinite(change)] = 0.0
        return np.asarray(change / np.maximum(change.std(axis=0), 1e-9), np.float32)

    def _bands(self, grid: F64) -> F64:
        bands = np.full((len(grid), BANDS), np.nan)
        for start_s, rate_hz, blocks in self._sounds:
            samples = np.concatenate(blocks)
            for first in range(0, len(grid), PIECE):
                piece = slice(first, first + PIECE)
                heard = mel_bands(samples, rate_hz, start_s, grid[piece])
                bands[piece] = np.where(np.isfinite(heard), heard, bands[piece])
        return bands


def fresh(areas: F64) -> NDArray[np.bool_]:
    """Which pictures (n, areas) are not the one before it shown again; all, unless that is what the stream does.

    A programme of 25 pictures a second in a stream of 50 is otherwise taken for 10 ms later than it is.
    """
    steps = np.abs(np.diff(areas, axis=0)).mean(axis=1)
    if len(steps) < 5:
        return np.ones(len(areas), np.bool_)
    around = np.sort(np.lib.stride_tricks.sliding_window_view(np.pad(steps, 2), 5), axis=1)
    again = np.r_[False, steps < AGAIN * around[:, -2]]  # the highest one may be a cut
    return ~again if again.mean() > AGAIN_SHARE else np.ones(len(areas), np.bool_)


def smooth(values: F64, steps: int) -> F64:
    """Mean over `steps` (even) around each moment, the outer two by half; (n, d)."""
    kernel = np.r_[0.5, np.ones(steps - 1), 0.5] / steps
    if len(values) <= steps:
        return values
    padded = np.pad(values, ((steps // 2, steps // 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, "valid") for column in padded.T], axis=1)


def changes(values: F64, steps: int) -> F64:
    """Value `steps` later less value `steps` earlier, 0 at both ends; (n, d)."""
    out = np.zeros_like(values)
    out[steps:-steps] = values[2 * steps :] - values[: -2 * steps]
    return out


def _known(grid: F64, at_s: Sequence[float]) -> NDArray[np.bool_]:
    """Which times lie between two pictures that are not too far apart."""
    times = np.asarray(at_s)
    after = np.searchsorted(times, grid, side="right")
    inside = (after > 0) & (after < len(times))
    gap = times[np.clip(after, 0, len(times) - 1)] - times[np.clip(after - 1, 0, len(times) - 1)]
    return np.asarray(inside & (gap <= HOLE_S))
