"""From the fingerprints of two streams of one programme to the sync error between them (trust class "reference").

Picture and sound are aligned each by itself; by how much more the sound is delayed than the picture is the error, as
far as the reference is in sync. Once over everything, then in pieces of 5 s, so that a step or a drift shows.
"""

import math
from typing import NamedTuple

import numpy as np

from vqa_ray.detectors.lipsync.signals import F32
from vqa_ray.detectors.reference.alignment import APART, Peak, curve, peaks
from vqa_ray.detectors.reference.fingerprint import RATE_HZ, Fingerprint

RANGE_S = 5.0
OVERLAP_S, LEAST_S = 6.0, 3.0  # of both streams, wanted and (of short ones) needed
PIECE_S, HOP_S = 5.0, 2.5
SWAY_S = 0.3  # by which the delay of the picture may differ from piece to piece
SURE = 0.15
HIGHEST = 0.995  # correlation, above which nothing is surer
SLACK_S = 0.2
DRIFT_OVER_S, DRIFT_PIECES, STRAIGHT_S = 30.0, 5, 0.01


class Aligned(NamedTuple):
    """One alignment. offset_s: positive when the sound of the output comes late; delay_s: of its picture.

    sureness: by how much the correlation (by Fisher's z, which spreads out what is near 1) is higher than at any other
    lag in range, of picture or sound, whichever is less; different programmes reach 0.06. at_s: middle of the piece, on
    the output's time.
    """

    at_s: float
    offset_s: float
    delay_s: float
    sureness: float

    @property
    def sure(self) -> bool:
        """Whether an alarm may build on it."""
        return self.sureness >= SURE


class Marks(NamedTuple):
    """The changes of picture and sound of one stream, rows from `start_s` on."""

    start_s: float
    video: F32
    audio: F32

    def cut(self, start_s: float, end_s: float) -> "Marks":
        """What lies between the two times."""
        first = max(0, round((start_s - self.start_s) * RATE_HZ))
        last = max(first, round((end_s - self.start_s) * RATE_HZ))
        return Marks(self.start_s + first / RATE_HZ, self.video[first:last], self.audio[first:last])

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.video) / RATE_HZ


class Verdict(NamedTuple):
    """whole: over everything, None where nothing is in common; pieces: those that are sure, in time order."""

    whole: Aligned | None
    pieces: list[Aligned]

    @property
    def best(self) -> Aligned | None:
        """The middle one of the pieces, or, if none is sure, the whole."""
        ordered = sorted(self.pieces, key=lambda piece: piece.offset_s)
        return ordered[len(ordered) // 2] if ordered else self.whole

    @property
    def worst(self) -> Aligned | None:
        """The piece that is furthest out of sync, or, if none is sure, the whole."""
        return max(self.pieces, key=lambda piece: abs(piece.offset_s), default=self.whole)

    @property
    def drift_ms_per_min(self) -> float | None:
        """Slope of the pieces' offsets; None of too little, or where they do not lie on a line (a step)."""
        if len(self.pieces) < DRIFT_PIECES or self.pieces[-1].at_s - self.pieces[0].at_s < DRIFT_OVER_S:
            return None
        at_s, offset_s = (np.array([piece[k] for piece in self.pieces]) for k in (0, 1))
        slope, level = np.polyfit(at_s, offset_s, 1)
        astray = float(np.median(np.abs(offset_s - slope * at_s - level)))
        return float(slope) * 60_000.0 if astray <= STRAIGHT_S else None


def marks(fingerprint: Fingerprint) -> Marks:
    """The changes of what a fingerprint took."""
    grid = fingerprint.grid()
    return Marks(float(grid[0]), fingerprint.video(), fingerprint.audio())


def judge(reference: Marks, output: Marks) -> Verdict:
    """The sync error of `output`, over all and in pieces."""
    shorter_s = min(reference.seconds, output.seconds)
    overlap_s = min(OVERLAP_S, 0.6 * shorter_s)
    if overlap_s < LEAST_S:
        return Verdict(None, [])
    whole = _whole(reference, output, overlap_s)
    if whole is None:
        return Verdict(None, [])
    return Verdict(whole, _pieces(reference, output, whole.delay_s))


def _whole(reference: Marks, output: Marks, overlap_s: float) -> Aligned | None:
    """The lags of picture and sound that lie in range of each other and fit best together."""
    shift_s = output.start_s - reference.start_s
    pictures = peaks(curve(reference.video, output.video, overlap_s))
    sounds = peaks(curve(reference.audio, output.audio, overlap_s))
    pairs = [(p, s) for p in pictures for s in sounds if abs(s.lag_s - p.lag_s) <= RANGE_S]
    if not pairs:
        return None
    picture, sound = max(pairs, key=lambda pair: pair[0].height + pair[1].height)
    sureness = min(_margin(picture, pictures, sound.lag_s), _margin(sound, sounds, picture.lag_s))
    at_s = output.start_s + output.seconds / 2
    return Aligned(at_s, sound.lag_s - picture.lag_s, picture.lag_s + shift_s, sureness)


def _pieces(reference: Marks, output: Marks, delay_s: float) -> list[Aligned]:
    """The sure ones of the pieces of 5 s, whose picture has about the delay that is known."""
    start_s = max(output.start_s, reference.start_s + delay_s)
    end_s = min(output.start_s + output.seconds, reference.start_s + reference.seconds + delay_s)
    times = np.arange(start_s, end_s - PIECE_S + 0.01, HOP_S)
    found = [_piece(reference, output.cut(float(t), float(t) + PIECE_S), delay_s) for t in times]
    return [piece for piece in found if piece is not None and piece.sure]


def _piece(reference: Marks, piece: Marks, delay_s: float) -> Aligned | None:
    begin_s = piece.start_s - delay_s
    reach_s = RANGE_S + SLACK_S
    near = reference.cut(begin_s - SWAY_S, begin_s + PIECE_S + SWAY_S)
    wide = reference.cut(begin_s - reach_s, begin_s + PIECE_S + reach_s)
    pictures = _lags(near.video, piece.video, piece.start_s - near.start_s - delay_s, SWAY_S)
    sounds = _lags(wide.audio, piece.audio, piece.start_s - wide.start_s - delay_s, reach_s)
    if not pictures or not sounds or abs(sounds[0].lag_s - pictures[0].lag_s) > RANGE_S + SLACK_S:
        return None
    sureness = min(_z(pictures[0].height), _margin(sounds[0], sounds, pictures[0].lag_s))
    offset_s = sounds[0].lag_s - pictures[0].lag_s
    return Aligned(piece.start_s + PIECE_S / 2, offset_s, delay_s + pictures[0].lag_s, sureness)


def _lags(one: F32, other: F32, shift_s: float, reach_s: float) -> list[Peak]:
    """Peaks of the lag within `reach_s`, with `shift_s` added."""
    found = curve(one, other, LEAST_S).within(-shift_s - reach_s, -shift_s + reach_s)
    return [Peak(peak.lag_s + shift_s, peak.height) for peak in peaks(found)]


def _margin(peak: Peak, among: list[Peak], around_s: float) -> float:
    """By how much a peak is higher than the others in range of `around_s`, or, where there is none, than nothing."""
    others = [
        other.height
        for other in among
        if abs(other.lag_s - peak.lag_s) > APART / RATE_HZ / 2 and abs(other.lag_s - around_s) <= RANGE_S
    ]
    return _z(peak.height) - _z(max(others, default=0.0))


def _z(correlation: float) -> float:
    """Fisher's transformation, at most 3."""
    return math.atanh(min(correlation, HIGHEST))
