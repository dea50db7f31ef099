"""What a stream's snapshot says to its next owner, where it is not quite what its last one said."""

from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from vqa_ray.pipeline.analysis import StreamState


def without_position(snapshot: bytes) -> bytes:
    """A live stream's snapshot of which somebody went on since: its incidents stand, where it ended does not."""
    try:
        state = msgspec.json.decode(snapshot, type=StreamState)
    except msgspec.MsgspecError:
        return snapshot
    if state.url:
        return snapshot
    return msgspec.json.encode(replace(state, until_s=None, watched_s=None, reached={}))


def together(first: bytes, second: bytes, moved: Collection[str]) -> bytes:
    """The snapshot of a whole stream, of those of its halves; `moved` are the detectors of which the second tells."""
    try:
        one, other = (msgspec.json.decode(data, type=StreamState) for data in (first, second))
    except msgspec.MsgspecError:
        return first
    merged = replace(
        one,
        holds=(*(h for h in one.holds if h.detector not in moved), *(h for h in other.holds if h.detector in moved)),
        incidents=(
            *(i for i in one.incidents if i.detector not in moved),
            *(i for i in other.incidents if i.detector in moved),
        ),
        reached=one.reached | {name: at_s for name, at_s in other.reached.items() if name in moved},
    )
    return msgspec.json.encode(merged)
