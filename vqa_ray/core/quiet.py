"""Who is not to be told, and when: maintenance windows and mutes. Pure; incidents are found and kept all the same."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from vqa_ray.core.notice import Incident

LONGEST_MIN = 7 * 24 * 60.0
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Who = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which incidents are meant: all that is given must fit, and what is not given fits any.

    labels: those of the stream. detectors: their ids.
    """

    streams: tuple[_Text, ...] = ()
    labels: dict[str, str] = {}
    detectors: tuple[_Text, ...] = ()

    def fits(self, incident: Incident) -> bool:
        """Whether the incident is meant."""
        return (
            (not self.streams or incident.stream_id in self.streams)
            and (not self.detectors or incident.detector in self.detectors)
            and all(incident.labels.get(name) == value for name, value in self.labels.items())
        )

    @property
    def words(self) -> str:
        """For a person."""
        parts = [*self.streams, *(f"{name}:{value}" for name, value in sorted(self.labels.items())), *self.detectors]
        return ", ".join(parts) or "everything"


class Window(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time that returns, such as maintenance or an ad break, in which nothing is told.

    cron: when it begins, five fields as in crontab(5), in `time_zone` (IANA); minutes: how long it lasts.
    """

    name: _Text
    cron: str
    minutes: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_MIN)]
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """ValueError for what is no schedule or no time zone."""
        try:
            ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"time_zone: {self.time_zone!r} is none; give one such as Europe/Berlin") from None
        try:
            next(CronSim(self.cron, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration):
            raise ValueError(
                f"cron: {self.cron!r} is no schedule; give minute, hour, day, month, weekday: '30 2 * * 1-5'"
            ) from None

    def until(self, now: datetime) -> datetime | None:
        """When it ends, if it lasts now."""
        begun = self._first(now - timedelta(minutes=self.minutes))
        return begun + timedelta(minutes=self.minutes) if begun <= now else None

    def next(self, now: datetime) -> datetime:
        """When it begins next."""
        return self._first(now)

    def _first(self, after: datetime) -> datetime:
        return next(CronSim(self.cron, after.astimezone(ZoneInfo(self.time_zone)))).astimezone(UTC)


class Mute(Scope, frozen=True, kw_only=True):
    """What somebody does not want to hear of until a moment. mute_id: made by who takes it."""

    mute_id: str
    by: _Who
    until_utc: datetime
    at_utc: datetime
    note: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class Quiet(msgspec.Struct, frozen=True, kw_only=True):
    """All that silences."""

    windows: tuple[Window, ...] = ()
    mutes: tuple[Mute, ...] = ()

    def at(self, now: datetime) -> "Silence":
        """What silences now."""
        muted = [(mute, f"muted by {mute.by}") for mute in self.mutes if now < mute.until_utc]
        lasting = [(one, f"in the window {one.name}") for one in self.windows if one.until(now) is not None]
        return Silence((*muted, *lasting))

    def why(self, incident: Incident, now: datetime) -> str:
        """Why the incident is not to be told now, for a person; "" if it is."""
        return self.at(now).why(incident)


class Silence(NamedTuple):
    """All that silences at one moment, and why."""

    scopes: tuple[tuple[Scope, str], ...]

    def why(self, incident: Incident) -> str:
        """See `Quiet.why`."""
        return next((why for scope, why in self.scopes if scope.fits(incident)), "")


def lasting(mutes: Iterable[Mute], now: datetime) -> tuple[Mute, ...]:
    """Those that have not ended, the soonest to end first."""
    return tuple(sorted((one for one in mutes if now < one.until_utc), key=lambda one: (one.until_utc, one.mute_id)))
