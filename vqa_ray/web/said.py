"""What people say through the API: remarks and mutes, as they come in, and what is silent, as it is shown."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from vqa_ray.core.quiet import Mute, Quiet, Scope, Window
from vqa_ray.core.remark import Name, Note, RemarkKind

LONGEST_MIN = 30 * 24 * 60.0


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a new remark."""

    kind: RemarkKind
    by: Name
    note: Note = ""


class NewMute(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a new mute. minutes: how long, at most 30 days."""

    minutes: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_MIN)]
    by: Name
    note: Note = ""

    def __post_init__(self) -> None:
        """ValueError for one that would silence everything."""
        if not (self.streams or self.labels or self.detectors):
            raise ValueError("streams, labels, detectors: give at least one of them")

    def mute(self, now: datetime) -> Mute:
        """As it is kept."""
        return Mute(
            mute_id=uuid.uuid4().hex[:8],
            streams=self.streams,
            labels=self.labels,
            detectors=self.detectors,
            by=self.by,
            note=self.note,
            at_utc=now,
            until_utc=now + timedelta(minutes=self.minutes),
        )


def shown(quiet: Quiet, now: datetime | None = None) -> dict[str, Any]:
    """What the page lists. `until_utc` of a window: of the time that lasts now, else null."""
    now = now or datetime.now(UTC)
    return {"mutes": quiet.mutes, "windows": [_window(one, now) for one in quiet.windows]}


def _window(window: Window, now: datetime) -> dict[str, Any]:
    times = {"until_utc": window.until(now), "next_utc": window.next(now)}
    plain: dict[str, Any] = msgspec.to_builtins(window)
    return plain | times
