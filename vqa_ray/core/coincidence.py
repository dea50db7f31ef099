"""How bad an incident is beside others of its stream. Pure.

A dead picture is a fault; with dead sound the programme is gone, whatever the cause. A picture that stands still under
speech is less: a title card may be meant. Only the picture's incident rises, so that one alert tells of both. Severity
never falls while an incident lasts, since what came and went would be told again and again.
"""

from collections.abc import Iterable

from vqa_ray.core.hold import Hold
from vqa_ray.core.reading import ROUNDING_S

TOGETHER_S = 1.0  # both at once for this long: programmes are joined by less of black and silence


def together(hold: Hold, others: Iterable[Hold]) -> Hold | None:
    """The first of the others that makes an incident of `hold` worse: open, named by its rule, and at the same time."""
    causes = hold.rule.worse_with
    return next((other for other in others if other.rule.detector in causes and _overlap(hold, other)), None)


def _overlap(one: Hold, other: Hold) -> bool:
    if not other.is_open:
        return False
    return min(one.bad_until_s, other.bad_until_s) - max(one.start_s, other.start_s) >= TOGETHER_S - ROUNDING_S
