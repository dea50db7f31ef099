"""Fleets as they are changed: what one has that the other has not, and small changes to one. Pure."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from vqa_ray.cluster.messages import ApplyResult
from vqa_ray.config import FleetSpec, StreamSpec, check_fleet, profile_for
from vqa_ray.core.refusal import suggest
from vqa_ray.core.urls import redact
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.secret import enc_hook

SHOWN = 40  # characters of a value


def between(before: FleetSpec, after: FleetSpec) -> ApplyResult:
    """What would be added, changed and removed. ConfigError if `after` is wrong."""
    old, new = {s.id: s for s in before.streams}, {s.id: s for s in after.streams}
    same = (before.profile, before.profiles) == (after.profile, after.profiles)
    details = {
        stream_id: tuple(_differences(_whole(before, old[stream_id]), _whole(after, new[stream_id])))
        for stream_id in sorted(old.keys() & new.keys())
        if not (same and old[stream_id] == new[stream_id])
    }
    details = {stream_id: lines for stream_id, lines in details.items() if lines}
    return ApplyResult(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(details),
        removed=tuple(sorted(old.keys() - new.keys())),
        details=details,
    )


def with_streams(fleet: FleetSpec, streams: Sequence[StreamSpec]) -> FleetSpec:
    """`fleet` with these too. ConfigError if one is another stream by the id of one that is there, or is wrong."""
    known = {stream.id: stream for stream in fleet.streams}
    for stream in streams:
        if known.get(stream.id, stream) != stream:
            raise ConfigError(f"there is another stream {stream.id!r} already; remove it first, or apply a fleet")
    new = tuple(stream for stream in streams if stream.id not in known)
    return _checked(msgspec.structs.replace(fleet, streams=(*fleet.streams, *new)))


def without_streams(fleet: FleetSpec, stream_ids: Sequence[str]) -> FleetSpec:
    """`fleet` without these. ConfigError if there is none of an id."""
    gone = _known(fleet, stream_ids)
    return msgspec.structs.replace(fleet, streams=tuple(s for s in fleet.streams if s.id not in gone))


def with_paused(fleet: FleetSpec, stream_ids: Sequence[str], paused: bool) -> FleetSpec:
    """`fleet` with these paused, or not. ConfigError if there is none of an id."""
    meant = _known(fleet, stream_ids)
    streams = [msgspec.structs.replace(s, paused=paused) if s.id in meant else s for s in fleet.streams]
    return msgspec.structs.replace(fleet, streams=tuple(streams))


def _known(fleet: FleetSpec, stream_ids: Sequence[str]) -> Collection[str]:
    known = [stream.id for stream in fleet.streams]
    for stream_id in stream_ids:
        if stream_id not in known:
            raise ConfigError(f"there is no stream {stream_id!r}{suggest(stream_id, known)}")
    return frozenset(stream_ids)


def _checked(fleet: FleetSpec) -> FleetSpec:
    try:
        check_fleet(fleet)
    except ConfigError as error:
        raise ConfigError(str(error)) from None  # of the plain kind that travels
    return fleet


def _whole(fleet: FleetSpec, stream: StreamSpec) -> dict[str, str]:
    """All that is said of how a stream is watched, its profile's options included, by dotted name."""
    try:
        profile = profile_for(fleet, stream)
    except ConfigError as error:
        raise ConfigError(str(error)) from None
    plain = msgspec.to_builtins(profile, enc_hook=enc_hook)
    own = {name: msgspec.to_builtins(getattr(stream, name)) for name in ("url", "labels", "paused", "priority")}
    return dict(_flat({**own, **plain, "profile": plain.pop("name")}))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    else:
        yield path, str(value)


def _differences(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            shown = _short(old), _short(new)
            yield (
                f"{name}: {shown[0]} → {shown[1]}" if shown[0] != shown[1] else f"{name}: {shown[0]}, in what is hidden"
            )


def _short(text: str) -> str:
    text = redact(text)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
