"""Whether a grid of blocks shows more than it uses to: the judgement of `blockiness` on looks at single pictures."""

from collections import deque

from vqa_ray.detectors.grid import GridStrength

RECENT = 12  # intact looks, whose second largest tells what is usual,
LONG = 60  # and so many, of which as large a share counts: a title card of half a minute is not its usual
FEW = 6  # of fewer the largest counts: what the stream is like is hardly known
KNOWN = 1  # intact looks into a scene, after which its past tells what is usual,
BEGUN = 3  # and into a stream,
BEGUN_STILL = 5  # a second apart, if it begins with a slate or in black: what comes next is coded better than usual
RISE = 1.8  # times what is usual,
RISE_AT_CUT = 3.0  # or so many times, in a scene that nothing is known of
SEEN_STEP = 0.35  # grey levels, mean over the grid: less is not seen, on dark or flat pictures
SURE = 2.4  # times the tolerance: of a scene that nothing is known of,
SURE_STEP = 0.6  # and the step that it takes there,
START_STEP = 3.0  # or at the start of a stream: MPEG-2 at its usual rates has a strength of 1.7, but steps of 2.4
STAY = 0.6  # of the tolerance,
STAY_RISE = 1.2  # times what was usual before,
FADE = 0.04  # and of the strongest since then: it is good again below any of these


class Verdict:
    """Whether blocks show more than they use to."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._usual: deque[float] = deque(maxlen=LONG)
        self._scene = 0  # intact looks since the last cut
        self._leave = 0.0  # below this strength it is good again
        self._peak = 0.0
        self._bad = False
        self._begun = BEGUN

    @property
    def settled(self) -> bool:
        """Whether enough is known of stream and scene."""
        return self._bad or (self._scene >= KNOWN and len(self._usual) >= self._begun)

    @property
    def usual(self) -> float:
        """The strength that the stream has at times, or this scene."""
        looks = list(self._usual)
        return max(_second(looks[-RECENT:]), _ranked(looks), _second(looks[-self._scene :]) if self._scene else 0.0)

    def rises(self, grid: GridStrength, cut: bool, *, same: bool = False) -> bool:
        """Whether it would be bad, and was not before; cut: another scene than at the look before.

        same: nearly the same picture as at that look, so that blocks in it are none of the stream's own.
        """
        if self._bad:
            return False
        if len(self._usual) < self._begun and not (same and self._scene >= KNOWN):
            least, step = max(2 * SURE * self._tolerance, RISE * self.usual), START_STEP
        elif cut or not self.settled:
            least, step = max(SURE * self._tolerance, RISE_AT_CUT * self.usual), SURE_STEP
        else:
            least, step = max(self._tolerance, RISE * self.usual), SEEN_STEP
        return grid.strength >= least and grid.step >= step

    def of(
        self,
        grid: GridStrength,
        cut: bool,
        *,
        same: bool = False,
        still: bool = False,
        flat: bool = False,
        soon: bool = False,
    ) -> bool:
        """The verdict on one look. Learnt is neither of a picture seen before nor of one that could show no blocks.

        soon: right after another look, so that the two tell little more than one.
        """
        if self._bad:
            leave = self._tolerance if cut else self._leave
            self._peak = max(self._peak, grid.strength)
            self._bad = grid.strength >= max(leave, FADE * self._peak) and grid.step >= STAY * SEEN_STEP
        elif self.rises(grid, cut, same=same):
            self._bad, self._peak = True, grid.strength
            self._leave = max(STAY * self._tolerance, STAY_RISE * self.usual)
        if cut or flat:
            self._scene = 0
        if (still or flat) and len(self._usual) < BEGUN:
            self._begun = BEGUN_STILL
        if not (self._bad or flat or (still and self._usual)):  # one picture, however long it stands, tells little
            if soon and self._scene and self._begun != BEGUN:
                self._usual[-1] = max(self._usual[-1], grid.strength)
            else:
                self._scene += 1
                self._usual.append(grid.strength)
        return self._bad


def _ranked(looks: list[float]) -> float:
    """One that as large a share of them exceed as of the recent ones: of a few the largest, else not."""
    passed = 0 if len(looks) < FEW else max(1, len(looks) // RECENT)
    return sorted(looks, reverse=True)[passed] if looks else 0.0


def _second(looks: list[float]) -> float:
    """The second largest, or the only one: a single look may be of anything."""
    return sorted(looks)[-2:][0] if looks else 0.0
