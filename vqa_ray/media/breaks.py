"""What the bytes of a transport stream show to be wrong, before it has a time."""

import msgspec

from vqa_ray.core.reading import Indicator


class Break(msgspec.Struct, frozen=True, gc=False):
    """A fault in the packet at byte `pos` of the stream, or, where `end` is given, from there to that byte.

    Without more: a counter that does not follow the one before it in its PID. interval_s: see TransportFault.
    """

    pos: int
    pid: int
    indicator: Indicator = Indicator.CONTINUITY
    end: int | None = None
    interval_s: float = 0.0
