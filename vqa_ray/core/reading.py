"""What detectors look at, and what they say of it. Values only: no clock, no I/O."""

import enum
from typing import Annotated

import msgspec


class Input(enum.StrEnum):
    """What a detector reads; each kind is made once and shared by all detectors of a stream."""

    VIDEO = "video"  # core.picture.Picture, one a decoded frame, in presentation order
    AUDIO = "audio"  # core.audio.AudioBlock, blocks of fixed length
    PACKET = "packet"  # PacketInfo, one a demuxed packet, before decoding
    TRANSPORT = "transport"  # TransportFault, one a broken run of MPEG-TS packets
    SOURCE = "source"  # SourceState, on each change and at each look of the watchdog


class Severity(enum.StrEnum):
    """How bad an incident is, from the vocabulary of broadcast alarms."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What one detector says of one frame, audio block or packet.

    `at_s` and `until_s` bound the span it speaks of, in seconds on the stream's timeline; for a frame: its own
    and its presumed successor's presentation time. `value` is in the detector's own unit (see its spec).
    `part` tells incidents of one detector apart that can be open at once (an audio channel, a PID), "" if none.
    """

    at_s: float
    until_s: float
    value: float
    bad: bool
    part: str = ""


class Continuity(enum.StrEnum):
    """How a packet's timestamp follows the one before it in its elementary stream."""

    FIRST = "first"  # the first of a connection
    STEADY = "steady"
    WRAP = "wrap"  # the 33-bit counter of MPEG-TS went round: no fault
    GAP = "gap"  # forward, short enough to be missing media
    JUMP = "jump"  # backward, or further forward than missing media explains: another time base


class PacketInfo(msgspec.Struct, frozen=True, gc=False):
    """One demuxed packet, seen before decoding.

    `at_s`: decode time (audio: presentation time) on the timeline, None when the packet carries no timestamp.
    `gap_s`: seconds between the end of the packet before it and this one; negative when it went back. Meaningful
    with GAP and JUMP.
    """

    kind: str  # "video" or "audio"
    stream: int  # index in the container
    at_s: float | None
    duration_s: float
    pts_s: float | None  # raw, as in the container
    size_bytes: int
    key: bool
    corrupt: bool  # libav's packet flag
    continuity: Continuity
    gap_s: float
    arrived_s: float  # monotonic clock


class TransportFault(msgspec.Struct, frozen=True, gc=False):
    """A continuity error of MPEG-TS: packets of `pid` are missing, repeated or out of order (ETSI TR 101 290, 1.4)."""

    at_s: float
    until_s: float
    pid: int
    errors: int  # number of discontinuities in the span; 0 says that the span was clean


class SourceState(msgspec.Struct, frozen=True, gc=False):
    """How the input is, at `at_s`; `silent_s` is how long no packet has come, `since_s` when that began (timeline)."""

    at_s: float
    since_s: float
    silent_s: float
    state: str  # core.source.State value
    reason: str = ""


Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
