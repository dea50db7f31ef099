"""What detectors look at, and what they say of it. Values only: no clock, no I/O."""

import enum
from typing import Annotated

import msgspec


class Input(enum.StrEnum):
    """What a detector reads; each kind is made once and shared by all detectors of a stream."""

    VIDEO = "video"  # core.picture.Picture, one a decoded frame, in presentation order
    AUDIO = "audio"  # core.audio.AudioBlock, blocks of fixed length
    PACKET = "packet"  # PacketInfo, one a demuxed packet, before decoding
    TRANSPORT = "transport"  # TransportFault, one a fault of MPEG-TS, or a span without
    SERVICES = "services"  # Services, one a second
    CODING = "coding"  # Coding, one a second
    PLAYLIST = "playlist"  # PlaylistState, one a look at a live HLS playlist or DASH manifest
    SOURCE = "source"  # SourceState, on each change and at each look of the watchdog


class Severity(enum.StrEnum):
    """How bad an incident is, from the vocabulary of broadcast alarms."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


ROUNDING_S = 1e-6
"""Times computed from PTS differ by less where they are meant to be the same; no frame is as short as that."""


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


class Indicator(enum.StrEnum):
    """What can be wrong with a transport stream, by the names of ETSI TR 101 290, 5.2."""

    SYNC_LOSS = "TS_sync_loss"  # 1.1
    SYNC_BYTE = "Sync_byte_error"  # 1.2
    PAT = "PAT_error"  # 1.3.a
    CONTINUITY = "Continuity_count_error"  # 1.4
    PMT = "PMT_error"  # 1.5.a
    PID = "PID_error"  # 1.6
    TRANSPORT = "Transport_error"  # 2.1
    CRC = "CRC_error"  # 2.2
    PCR_REPETITION = "PCR_repetition_error"  # 2.3a
    PCR_DISCONTINUITY = "PCR_discontinuity_indicator_error"  # 2.3b
    PTS = "PTS_error"  # 2.5
    CAT = "CAT_error"  # 2.6


class TransportFault(msgspec.Struct, frozen=True, gc=False):
    """A fault of MPEG-TS in packets of `pid`, or, with errors = 0, a span without continuity errors.

    Such a span also says that all other faults that begin before its end have been told. `interval_s`: of indicators
    that ask for something to come often enough, how long it had not come by `until_s`, by the stream's own clock; the
    span begins when it was due by the standard.
    """

    at_s: float
    until_s: float
    pid: int
    errors: int
    indicator: Indicator = Indicator.CONTINUITY
    interval_s: float = 0.0


CAPTIONS = frozenset({"teletext_subtitles", "dvb_subtitles", "cea_captions", "arib_captions", "text_subtitles"})
SPLICES = frozenset({"scte35"})


class Services(msgspec.Struct, frozen=True, gc=False):
    """What was carried beside picture and sound, by the names in CAPTIONS and SPLICES."""

    at_s: float
    until_s: float
    found: frozenset[str]


class Coding(msgspec.Struct, frozen=True, gc=False):
    """How an input was coded, as it says itself.

    Codecs by libav's names, "" without such a track; fps: pictures a second, 0 if not said; aspect: width to height as
    shown (16:9); colour: code points of primaries, transfer and matrix (ITU-T H.273), "" if not said; tracks: kind
    and language of each that is announced; field_order: "top" or "bottom" first, "" if not said.
    """

    at_s: float
    until_s: float
    video_codec: str
    audio_codec: str
    fps: float
    aspect: str
    colour: str
    tracks: tuple[tuple[str, str], ...]
    field_order: str = ""


class PlaylistState(msgspec.Struct, frozen=True, gc=False):
    """A live HLS playlist or DASH manifest as it was found at `at_s`; the look before was at `since_s`.

    rendition: "" for the one that is played; still_s: since when its end has not moved; skipped: segments that were
    never listed, negative when the numbers went back; missing: the server says that there is none; took_s: to fetch it.
    """

    at_s: float
    since_s: float
    rendition: str
    target_s: float
    still_s: float
    skipped: int
    missing: bool
    took_s: float


class SourceState(msgspec.Struct, frozen=True, gc=False):
    """How the input is, at `at_s`; `silent_s` is how long no packet has come, `since_s` when that began (timeline)."""

    at_s: float
    since_s: float
    silent_s: float
    state: str  # core.source.State value
    reason: str = ""


Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
