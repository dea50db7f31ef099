"""Indicators of ETSI TR 101 290 as parts of one detector."""

from collections.abc import Mapping, Sequence

from vqa_ray.core.reading import Indicator, Reading, TransportFault
from vqa_ray.detectors.base import NOTHING, Immediate


class Indicators(Immediate):
    """Tells each indicator as a part of its own, once it was hit: bad while hit, good in between.

    limits_s: how often something must come, where that is not the standard's; a fault begins when that is over.
    """

    def __init__(self, told: frozenset[Indicator], limits_s: Mapping[Indicator, float]) -> None:
        self._told = told
        self._limits_s = limits_s
        self._until_s: dict[str, float] = {}  # of each part that was hit

    def read(self, fault: TransportFault) -> Sequence[Reading]:
        """`value`: seconds that something was missing, or the number of hits in the span."""
        if fault.indicator is Indicator.CONTINUITY:
            return self._good(fault.until_s) if not fault.errors else NOTHING
        if fault.indicator not in self._told:
            return NOTHING
        value, at_s, until_s = float(fault.errors), fault.at_s, fault.until_s
        if fault.interval_s:
            value, over_s = fault.interval_s, fault.interval_s - self._limits_s.get(fault.indicator, 0.0)
            if over_s <= 0.0:
                return NOTHING
            at_s = max(at_s, until_s - over_s)
        part = fault.indicator.value
        told_s = self._until_s.get(part)
        if told_s is not None and at_s <= told_s:
            at_s, until_s = told_s, max(told_s, until_s)
        self._until_s[part] = until_s
        bad = Reading(at_s, until_s, value, True, part)
        return (bad,) if told_s is None or at_s <= told_s else (Reading(told_s, at_s, 0.0, False, part), bad)

    def _good(self, until_s: float) -> Sequence[Reading]:
        """All that was told before is good again since."""
        out = [Reading(told_s, until_s, 0.0, False, part) for part, told_s in self._until_s.items() if told_s < until_s]
        for reading in out:
            self._until_s[reading.part] = until_s
        return out
