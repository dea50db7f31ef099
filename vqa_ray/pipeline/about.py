"""What is known of a stream that is being watched, beyond its state: for a person who looks at it."""

import msgspec

from vqa_ray.media.source import SourceInfo


class About(msgspec.Struct, frozen=True, kw_only=True):
    """source: what its container says, without secrets; gop_s: the latest distance of key frames; None: not known."""

    source: SourceInfo | None = None
    gop_s: float | None = None
