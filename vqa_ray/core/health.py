"""How well a stream is, as one figure from 0 to 100: what its open incidents leave of it, and what it recovers.

    ceiling = 100 x the product of KEEPS[severity] over all open incidents (coincidence compounds)
    health(t) = min(ceiling, health before + 100 / RECOVER_S x seconds since)

So it falls at once when an incident opens, stays down while it lasts, and rises by at most 100 points a minute after
that: one good frame makes no healthy stream. `black` alone (major) leaves 60; black and silence together (critical and
major) leave 6; without a signal (critical) 10 are left, and 54 s later all is forgotten.
"""

from collections.abc import Iterable
from types import MappingProxyType

import msgspec

from vqa_ray.core.reading import Severity

WHOLE = 100.0
RECOVER_S = 60.0  # from 0 to 100
KEEPS = MappingProxyType({Severity.INFO: 0.98, Severity.MINOR: 0.9, Severity.MAJOR: 0.6, Severity.CRITICAL: 0.1})


class Health(msgspec.Struct, frozen=True):
    """A straight line: `level` at `at_s` (seconds on the stream's timeline), rising to `ceiling` and no further."""

    level: float = WHOLE
    at_s: float = 0.0
    ceiling: float = WHOLE

    def at(self, at_s: float) -> float:
        """The figure at a moment; before the last change it is that of the last change."""
        if self.level >= self.ceiling or at_s <= self.at_s:
            return self.level
        return min(self.ceiling, self.level + (at_s - self.at_s) * WHOLE / RECOVER_S)

    def after(self, at_s: float, severities: Iterable[Severity]) -> "Health":
        """How it goes on when incidents of these severities are open from `at_s` on."""
        ceiling = ceiling_of(severities)
        since_s = at_s if self.level >= WHOLE else max(at_s, self.at_s)
        return Health(min(ceiling, self.at(at_s)), since_s, ceiling)


def ceiling_of(severities: Iterable[Severity]) -> float:
    """The most that a stream's health can be while incidents of these severities are open."""
    ceiling = WHOLE
    for severity in severities:
        ceiling *= KEEPS[severity]
    return ceiling
