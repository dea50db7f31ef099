"""How far a count can be trusted: 95 % intervals of a share and of a rate. Pure."""

import math

Z_95 = 1.959964  # of the normal distribution, two-sided
TAIL = 0.05
STEPS = 60  # of the bisection: more than a float has bits


def wilson(hits: int, of: int, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927), (0, 1) when nothing was counted; true to its level for small counts."""
    if of <= 0:
        return 0.0, 1.0
    share, z2 = hits / of, z * z
    center = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = z / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    low = 0.0 if hits == 0 else max(0.0, center - half)
    return low, 1.0 if hits == of else min(1.0, center + half)


def needed_without_miss(share: float, z: float = Z_95) -> int:
    """How many events must all be found before the interval lies above `share`, which is below 1."""
    return math.ceil(z * z * share / (1.0 - share))


def most_events(seen: int, tail: float = TAIL) -> float:
    """The expected count that is as good as excluded by having seen no more than `seen` (Poisson, one-sided 95 %).

    3.0 for none: with no false alarm in T hours, more than 3 / T an hour are excluded.
    """
    low, high = 0.0, 10.0 * (seen + 3.0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(seen, middle) > tail else (low, middle)
    return high


def _at_most(seen: int, mean: float) -> float:
    """The chance of `seen` or fewer events where `mean` are expected."""
    return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(seen + 1)) if mean > 0 else 1.0
