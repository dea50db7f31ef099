"""What is wanted of a stream that is watched in halves: a spec and a profile for each. Pure."""

from collections.abc import Collection, Mapping
from typing import TypeAlias

import msgspec

from vqa_ray.config import Profile, StreamSpec
from vqa_ray.core.halves import Half, Split, Stage, causes, needed, second
from vqa_ray.pipeline.analysis import SOUND, rule_of

Resolved: TypeAlias = tuple[StreamSpec, Profile, str]
"""A stream, its complete profile, and the digest of both."""

HALVES = ("/1", "/2")  # how the digests of halves end


def expanded(streams: Mapping[str, Resolved], splits: Mapping[str, Split]) -> Mapping[str, Resolved]:
    """The streams, those that are split as two, by the names under which they are assigned."""
    split = {name: one for name, one in splits.items() if one.stage is not Stage.WHOLE}
    if not split:
        return streams
    found: dict[str, Resolved] = {}
    for stream_id, (spec, profile, version) in streams.items():
        if (of := split.get(stream_id)) is None:
            found[stream_id] = spec, profile, version
            continue
        halves = [halved(profile, Half(moved=of.moved, second=other)) for other in (False, True)]
        found[stream_id] = spec, halves[0], version + HALVES[0]
        name = second(stream_id)
        found[name] = msgspec.structs.replace(spec, id=name), halves[1], version + HALVES[1]
    return found


def halved(profile: Profile, half: Half) -> Profile:
    """The profile with what one half tells of, and what it must judge for that."""
    names = needed(told_by(profile, half), why(profile))
    ordered = tuple(spec.id for spec in profile.specs if spec.id in names)
    return msgspec.structs.replace(profile.only(ordered), half=half)


def told_by(profile: Profile, half: Half) -> tuple[str, ...]:
    """The profile's detectors of which the half tells."""
    return tuple(spec.id for spec in profile.specs if half.tells(spec.id))


def why(profile: Profile) -> Mapping[str, Collection[str]]:
    """Of each detector of the profile those by which its incidents are hidden or made worse."""
    return causes(map(rule_of, profile.specs), SOUND)
