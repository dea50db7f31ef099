"""A defect of picture or sound before encoding: what, from which frame to which. Values only."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np

from vqa_ray.core.labels import Label


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """first, last: frames, last is the first good one. level: strength in the form's own measure.

    noise: standard deviation on the luma, grey levels; ceiling: where clipped sound is cut; key_every: frames from
    one key frame to the next of an encoder before ours.
    """

    kind: str
    sub: str
    first: int
    last: int
    severity: str
    level: float = 0.0
    noise: float = 0.0
    ceiling: float = 1.0
    key_every: int = 12
    stream: str = "video"

    def label(self, fps: Fraction) -> Label:
        """As the manifest has it."""
        start, end = (round(float(n / fps), 6) for n in (self.first, self.last))
        return Label(self.kind, start, end, sub=self.sub, severity=self.severity, stream=self.stream)


def severity_of(seconds: float, minor_below: float, critical_from: float) -> str:
    """By how long it lasts."""
    return "minor" if seconds < minor_below else "critical" if seconds >= critical_from else "major"


def placed(
    rng: np.random.Generator,
    lengths: Sequence[int],
    fps: Fraction,
    *,
    lead_s: tuple[float, float] = (1.5, 2.5),
    gap_s: tuple[float, float] = (1.5, 2.5),
    tail_s: tuple[float, float] = (1.0, 2.0),
) -> tuple[list[tuple[int, int]], int]:
    """First frame and first good frame of spans one after the other, and how many frames there are."""

    def frames(limits: tuple[float, float]) -> int:
        return max(1, round(float(rng.uniform(*limits)) * fps))

    at, spans = frames(lead_s), []
    for n, length in enumerate(lengths):
        at += frames(gap_s) if n else 0
        spans.append((at, at + length))
        at += length
    return spans, at + frames(tail_s)
