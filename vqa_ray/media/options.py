"""What a profile or a stream says about how its input is opened: the `source:` section."""

from typing import Annotated

import msgspec

MIB = 1 << 20

Limit = Annotated[float, msgspec.Meta(gt=0, le=600)]


class SourceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an input is opened and read."""

    open_timeout_s: Annotated[Limit, msgspec.Meta(description="Give up opening after this long.")] = 10.0
    read_timeout_s: Annotated[
        Limit, msgspec.Meta(description="Give up a connection that sends nothing for this long.")
    ] = 10.0
    protocols: Annotated[
        tuple[str, ...] | None,
        msgspec.Meta(
            description="URL schemes that may be opened, directly or through a playlist; null: all, but never `file`"
            " for a live input."
        ),
    ] = None
    rtsp_transport: Annotated[
        str, msgspec.Meta(pattern="^(tcp|udp|udp_multicast|http)$", description="Transport of RTSP's media.")
    ] = "tcp"
    listen: Annotated[
        bool, msgspec.Meta(description="Wait for a sender that pushes to this URL (RTMP, RTSP, TCP, HTTP).")
    ] = False
    single_client: Annotated[
        bool | None,
        msgspec.Meta(
            description="The source serves one client at a time: a stream that moves lets go of it first, which costs a"
            " gap; null: so for what is sent to us (`listen`, UDP and RTP that are no multicast)."
        ),
    ] = None
    ring_bytes: Annotated[
        int, msgspec.Meta(ge=0, le=1024 * MIB, description="Compressed packets kept for evidence clips, at most.")
    ] = 6 * MIB
    ring_s: Annotated[
        float, msgspec.Meta(ge=0, le=600, description="Media time kept for evidence clips; the last GOP stays whole.")
    ] = 10.0
    options: Annotated[
        dict[str, str], msgspec.Meta(description="More libav options (demuxer and protocol), by their own names.")
    ] = {}
