"""A take: some seconds of one programme in which a face is followed and the sound is kept, and what it tells."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.detectors.lipsync.agreement import Agreement, agreement
from vqa_ray.detectors.lipsync.events import Happened, happened
from vqa_ray.detectors.lipsync.faces import LEFT_EYE, RIGHT_EYE, FaceNets, Square, around, eye_width
from vqa_ray.detectors.lipsync.signals import F32, F64, GRID_HZ, lip_distances, mel_bands, on_grid, varying
from vqa_ray.detectors.lipsync.verdict import LEAST_S, Lag, lags

SEARCH_S = 0.4  # between two searches for a face
FRAME_S = 0.030  # pictures that follow faster than this are left out: lips need no more than 30 a second
HOLE_S = 0.2  # between pictures or blocks, after which a track or the sound begins anew
SHIFT, GROWTH = 0.5, 1.3  # of the eyes between two pictures, in eye widths: more is another face
LIPS_MOVE = 0.006  # standard deviation of the opening, in eye widths, below which lips are still
ABRUPT = 60.0  # grey levels of change, more than which is a cut like any other
SOUND_VARIES = 0.25  # standard deviation of the bands (natural logarithm) below which nobody speaks


class Spoken(NamedTuple):
    """A lag that was found, in seconds on the timeline."""

    at_s: float
    until_s: float
    lag: Lag


class Track:
    """One face, picture by picture."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self.lips: list[F64] = []
        self.until_s = 0.0
        self.points: F32 | None = None

    def add(self, picture: Picture, points: F32) -> None:
        """The face in the next picture."""
        self.at_s.append(picture.at_s)
        self.lips.append(lip_distances(points))
        self.until_s, self.points = picture.until_s, points


class Take:
    """Collects pictures and sound; `spoken` says what they tell."""

    def __init__(self, nets: FaceNets) -> None:
        self._nets = nets
        self._tracks: list[Track] = []
        self._face: Square | None = None
        self._searched_s = self._seen_s = float("-inf")
        self._sounds: list[tuple[float, int, list[NDArray[np.float32]]]] = []  # start, rate, blocks without a hole
        self._heard_s = float("-inf")
        self._changes: list[tuple[float, float]] = []  # when, and by how much the picture changed, grey levels

    def see(self, picture: Picture) -> None:
        """The next picture."""
        self._changes.append((picture.at_s, min(picture.change, ABRUPT)))
        if picture.at_s - self._seen_s < FRAME_S and picture.at_s >= self._seen_s:
            return
        hole = not 0.0 <= picture.at_s - self._seen_s <= HOLE_S
        self._seen_s = picture.at_s
        new = self._face is None or hole
        if new:
            if 0.0 <= picture.at_s - self._searched_s < SEARCH_S:
                return
            self._searched_s = picture.at_s
            self._face = self._nets.find(picture)
        if self._face is None:
            return
        points = self._nets.landmarks(picture, self._face)
        if points is None:
            self._face = None
            return
        self._face = around(points)
        if new or self._tracks[-1].points is None or another(self._tracks[-1].points, points):
            self._tracks.append(Track())
        self._tracks[-1].add(picture, points)

    def hear(self, block: AudioBlock) -> None:
        """The next block of sound."""
        mono = block.samples.mean(axis=0, dtype=np.float32)
        joins = abs(block.at_s - self._heard_s) < 0.02 and self._sounds and self._sounds[-1][1] == block.rate_hz
        if not joins:
            self._sounds.append((block.at_s, block.rate_hz, []))
        self._sounds[-1][2].append(mono)
        self._heard_s = block.until_s

    def spoken(self) -> list[Spoken]:
        """The lags of all that was spoken, in order; empty when no face was seen for long enough, or nothing heard."""
        pieces = [piece for track in self._tracks if (piece := self._piece(track)) is not None]
        if not pieces:
            return []
        times = np.concatenate([grid for grid, _, _ in pieces])
        found = [agreement(lips, bands) for _, lips, bands in pieces]
        joined = Agreement(np.concatenate([f.score for f in found]), np.concatenate([f.known for f in found]))
        end_s = max(track.until_s for track in self._tracks)
        told = [Spoken(float(times[lag.first]), 0.0, lag) for lag in lags(joined)]
        ends = [*(one.at_s for one in told[1:]), max(end_s, float(times[-1]))]
        return [one._replace(until_s=end) for one, end in zip(told, ends, strict=True)]

    def happened(self) -> Happened | None:
        """How what is seen and what is heard agree, whoever makes it; None of too little."""
        if not self._changes:
            return None
        at_s, change = np.array(sorted(self._changes)).T
        grid = np.arange(int(np.ceil(at_s[0] * GRID_HZ)), int(at_s[-1] * GRID_HZ) + 1) / GRID_HZ
        bands = self._bands(grid)
        there = np.isfinite(bands).all(axis=1)
        return happened(np.interp(grid[there], at_s, change), bands[there])

    def _piece(self, track: Track) -> tuple[F64, F64, F64] | None:
        """Times of the grid, lips and bands of a track, cut to where both are there; None if that is too short."""
        if not track.at_s:
            return None
        first = int(np.ceil(track.at_s[0] * GRID_HZ - 1e-6))
        grid = np.arange(first, int(track.at_s[-1] * GRID_HZ) + 1) / GRID_HZ
        bands = self._bands(grid)
        there = np.flatnonzero(np.isfinite(bands).all(axis=1))
        if len(there) < LEAST_S * GRID_HZ:
            return None
        bands = np.stack([np.interp(grid, grid[there], column[there]) for column in bands.T], axis=1)
        lips = on_grid(track.at_s, np.array(track.lips), grid)
        still = varying(lips[:, :1]).std() < LIPS_MOVE or varying(bands).std(axis=0).mean() < SOUND_VARIES
        return None if still else (grid, lips, bands)

    def _bands(self, grid: F64) -> F64:
        bands = np.full((len(grid), 14), np.nan)
        for start_s, rate_hz, blocks in self._sounds:
            heard = mel_bands(np.concatenate(blocks), rate_hz, start_s, grid)
            bands = np.where(np.isfinite(heard), heard, bands)
        return bands


def another(before: F32, points: F32) -> bool:
    """Whether these are landmarks of another face than in the picture before: it jumped, or changed its size."""
    old, new = eye_width(before), eye_width(points)
    moved = points[[LEFT_EYE, RIGHT_EYE]].mean(axis=0) - before[[LEFT_EYE, RIGHT_EYE]].mean(axis=0)
    return float(np.linalg.norm(moved)) > SHIFT * old or not 1 / GROWTH < new / old < GROWTH
