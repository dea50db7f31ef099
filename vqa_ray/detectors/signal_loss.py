"""signal_loss: the source sends nothing, or cannot be reached."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Input, Reading, Severity, SourceState
from vqa_ray.detectors.base import NOTHING, DetectorSpec, Immediate, RaiseAfter, SeverityOf

UP = frozenset({"live", "ended"})
OPENING = "connecting"


class SignalLossSpec(DetectorSpec, frozen=True, kw_only=True):
    """No packet comes: the source stalls, is down, or does not answer. The root cause of most else."""

    id: ClassVar[str] = "signal_loss"
    input: ClassVar[Input] = Input.SOURCE
    unit: ClassVar[str] = "s"

    raise_after_s: RaiseAfter = 2.0
    severity: SeverityOf = Severity.CRITICAL
    grace_s: Annotated[
        float,
        msgspec.Meta(ge=0, le=3600, description="seconds that the first connection may take before it counts as loss"),
    ] = 10.0

    def build(self) -> "SignalLossDetector":
        """A fresh detector with these options."""
        return SignalLossDetector(self)


class SignalLossDetector(Immediate):
    """Lives as long as its stream: over all its connections."""

    def __init__(self, spec: SignalLossSpec) -> None:
        self._grace_s = spec.grace_s
        self._opening = True  # nothing has come yet
        self._told_s: float | None = None  # end of the last reading

    def read(self, state: SourceState) -> Sequence[Reading]:
        """Bad from `since_s` on while no packet comes; `value` is for how long none has come.

        While the first connection is being made nothing is said, so that an incident taken over from another
        analyzer stays as it is.
        """
        if state.state in UP:
            self._opening = False
            return self._tell(state.at_s, state.at_s, 0.0, False)
        if self._opening and state.state == OPENING and state.silent_s <= self._grace_s:
            return NOTHING
        return self._tell(state.since_s, state.at_s, state.silent_s, True)

    def _tell(self, at_s: float, until_s: float, value: float, bad: bool) -> Sequence[Reading]:
        if self._told_s is not None:
            at_s = max(at_s, self._told_s)
        self._told_s = max(at_s, until_s)
        return (Reading(at_s, self._told_s, value, bad),)
