"""What goes wrong and when: the scripted faults of a synthetic source. Values only."""

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec


class FaultKind(enum.StrEnum):
    """A defect that a synthetic source can be told to have."""

    BLACK = "black"  # black pictures; the sound goes on
    FREEZE = "freeze"  # the same picture encoded again and again; the sound goes on
    SILENCE = "silence"  # every channel at digital silence; the picture goes on
    SILENT_CHANNEL = "silent_channel"  # the last channel alone
    CORRUPTION = "corruption"  # packets of the picture are lost on the way
    OUTAGE = "outage"  # the source dies: listener and connections closed, nothing sent; then it returns
    STALL = "stall"  # connections stay, nothing is sent
    PTS_JUMP = "pts_jump"  # all timestamps step forward by JUMP_S at the start, and stay there
    PTS_GAP = "pts_gap"  # media is missing from the stream; connections stay
    AV_DRIFT = "av_drift"  # timestamps of the sound run ahead by DRIFT_S_PER_S, and fall back at the end


JUMP_S = 1000.0
DRIFT_S_PER_S = 0.02


class Fault(msgspec.Struct, frozen=True, kw_only=False, forbid_unknown_fields=True):
    """A defect from `start_s` on, `duration_s` long, in seconds of the source's own media time."""

    kind: FaultKind
    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """The first moment that is good again."""
        return self.start_s + self.duration_s


class ScriptedFault(msgspec.Struct, frozen=True):
    """A defect on the wall clock: when the source sends it."""

    kind: FaultKind
    start_utc: datetime
    end_utc: datetime


class Script:
    """The faults of one source. `add` may be called by another thread than the one that asks."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.faults = tuple(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """More faults; times already played have no effect."""
        self.faults = (*self.faults, *faults)

    def at(self, kind: FaultKind, at_s: float) -> Fault | None:
        """The fault of that kind that is on at `at_s`, if any."""
        return next((f for f in self.faults if f.kind is kind and f.start_s <= at_s < f.end_s), None)

    def timestamp_shift_s(self, at_s: float) -> float:
        """How far timestamps have jumped until `at_s`."""
        return JUMP_S * sum(1 for f in self.faults if f.kind is FaultKind.PTS_JUMP and f.start_s <= at_s)

    def drift_s(self, at_s: float) -> float:
        """How far the timestamps of the sound are ahead at `at_s`."""
        fault = self.at(FaultKind.AV_DRIFT, at_s)
        return (at_s - fault.start_s) * DRIFT_S_PER_S if fault else 0.0


def on_the_wall_clock(faults: Iterable[Fault], origin_utc: datetime) -> tuple[ScriptedFault, ...]:
    """The same faults in UTC, for a source that began at `origin_utc`."""
    return tuple(
        ScriptedFault(f.kind, origin_utc + timedelta(seconds=f.start_s), origin_utc + timedelta(seconds=f.end_s))
        for f in faults
    )
