"""playlist: a live HLS playlist or DASH manifest stands still, skips segments, is not there, or comes slowly.

A DASH manifest whose segments are computed from the clock stands still when its newest segment is not there.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.reading import Input, PlaylistState, Reading, Severity
from vqa_ray.detectors.base import ClearAfter, DetectorSpec, Immediate, RaiseAfter, SeverityOf


class PlaylistSpec(DetectorSpec, frozen=True, kw_only=True):
    """A live playlist or manifest stands still, skips segments, goes back or comes slowly; a rendition is missing."""

    id: ClassVar[str] = "playlist"
    inputs: ClassVar[tuple[Input, ...]] = (Input.PLAYLIST,)
    unit: ClassVar[str] = "target durations or segments"
    adapts: ClassVar[str] = "limits are in target durations, as the playlist itself gives them"

    raise_after_s: RaiseAfter = 0.0
    clear_after_s: ClearAfter = 5.0
    severity: SeverityOf = Severity.MAJOR
    stale_targets: Annotated[
        float,
        msgspec.Meta(
            ge=1.5,
            le=1000,
            description="target durations without a new segment; RFC 8216 (6.2.2) allows 1.5",
        ),
    ] = 3.0
    slow_targets: Annotated[
        float, msgspec.Meta(ge=0.01, le=100, description="target durations that the answer to a request may take")
    ] = 0.5

    def build_lasting(self) -> "PlaylistDetector":
        """A fresh detector with these options; a playlist outlives the connections that play it."""
        return PlaylistDetector(self)


class PlaylistDetector(Immediate):
    """Parts: stale, sequence, missing and slow, of the rendition that is played; of others with their names."""

    def __init__(self, spec: PlaylistSpec) -> None:
        self._spec = spec
        self._told_s: dict[str, float] = {}

    def read(self, state: PlaylistState) -> Sequence[Reading]:
        """`value`: of stale and slow in target durations, of sequence in segments, of missing 1."""
        spec, target_s = self._spec, state.target_s
        out = [*self._tell("missing", state, state.since_s, float(state.missing), state.missing)]
        if state.missing:
            return out
        slow = state.took_s / target_s
        out += self._tell("slow", state, state.since_s, slow, slow > spec.slow_targets)
        out += self._tell("sequence", state, state.since_s, float(abs(state.skipped)), state.skipped != 0)
        stale = state.still_s / target_s
        if state.still_s == 0.0 or stale > spec.stale_targets:  # in between it may yet turn out to be stale
            due_s = state.at_s - state.still_s + (target_s if state.still_s else 0.0)
            out += self._tell("stale", state, due_s, stale, stale > spec.stale_targets)
        return out

    def _tell(self, kind: str, state: PlaylistState, since_s: float, value: float, bad: bool) -> Sequence[Reading]:
        """Up to now; bad from `since_s` on, good from where it was told last."""
        part = f"{kind} {state.rendition}" if state.rendition else kind
        told_s = self._told_s.get(part, since_s)
        start_s = max(told_s, since_s) if bad else told_s
        self._told_s[part] = state.at_s
        if start_s > state.at_s:
            return ()
        good = (Reading(told_s, start_s, 0.0, False, part),) if bad and start_s > told_s else ()
        return (*good, Reading(start_s, state.at_s, value, bad, part))
