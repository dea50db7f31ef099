"""What evidence is cut from: the packet ring of a connection, with the form of its tracks, which both outlive it."""

import io
from typing import Any

import av
import msgspec
from av.packet import Packet

from vqa_ray.media.ring import ENTRY_BYTES, Entry, PacketRing

KEPT_IN = "matroska"  # takes nearly every codec; nothing is ever written


class Form(msgspec.Struct, frozen=True):
    """A track as packets of it are to be read: its stream's parameters, copied, and its time base."""

    template: Any
    codec: str
    base_s: float


class Forms(msgspec.Struct, frozen=True):
    """The tracks of a connection. owner: the container that the copies belong to."""

    video: Form | None = None
    audio: Form | None = None
    owner: Any = None

    def of(self, kind: str) -> Form | None:
        """The track of that kind."""
        return self.video if kind == "video" else self.audio


class Footage(msgspec.Struct, frozen=True):
    """Packets, held by reference, in demux order, and the form of their tracks. May be used on any thread.

    held_bytes: what they take in memory, as far as it was counted.
    """

    entries: tuple[Entry, ...]
    forms: Forms
    held_bytes: int = 0

    def shown_s(self, entry: Entry) -> float | None:
        """When what is in the packet is shown, on the timeline."""
        kind, packet, _, at_s = entry
        form, pts, dts = self.forms.of(kind), packet.pts, packet.dts
        if at_s is None or form is None or kind == "audio" or pts is None or dts is None:
            return at_s
        return at_s + (pts - dts) * form.base_s

    def with_more(self, later: "Footage") -> "Footage":
        """And what came since, as far as nothing is missing between: `later` was grabbed from the same tape."""
        if not self.entries or later.forms is not self.forms:
            return self if self.entries else later
        last = self.entries[-1][1]
        for index in range(len(later.entries) - 1, -1, -1):
            if later.entries[index][1] is last:
                more = later.entries[index + 1 :]
                held_bytes = self.held_bytes + sum(entry[1].size + ENTRY_BYTES for entry in more)
                return Footage(self.entries + more, self.forms, held_bytes)
        return self


class Tape:
    """The ring of a connection and the form of what is in it now."""

    def __init__(self, ring: PacketRing, video: Any | None, audio: Any | None) -> None:
        self.ring = ring
        self.forms = forms_of(video, audio)

    def turn(self, video: Any | None, audio: Any | None) -> None:
        """Other tracks from here on; nothing of before is held."""
        self.ring.clear()
        self.ring.video = video is not None
        self.forms = forms_of(video, audio)

    def grab(self) -> Footage:
        """What is held now, from a key frame on; nothing is copied. May be called from any thread."""
        return Footage(self.ring.entries(), self.forms, self.ring.size_bytes)


def forms_of(video: Any | None, audio: Any | None) -> Forms:
    """Copies of the parameters of open streams: they do not need their container any more; 0.1 ms."""
    owner = av.open(io.BytesIO(), "w", format=KEPT_IN)
    return Forms(video and _form(owner, video), audio and _form(owner, audio), owner)


def _form(owner: Any, stream: Any) -> Form | None:
    try:
        template = owner.add_stream_from_template(stream, opaque=True)
    except ValueError:  # a codec that no container of ours holds
        return None
    return Form(template, stream.codec_context.codec.canonical_name, float(stream.time_base))


def copy_of(packet: "Packet[Any]", stream: Any, pts: int | None, dts: int | None) -> "Packet[Any]":
    """A packet of the same data at other times, for another stream of the same time base."""
    made: Packet[Any] = Packet(bytes(packet))
    made.pts, made.dts, made.duration = pts, dts, packet.duration or 0
    made.time_base = packet.time_base
    made.is_keyframe = packet.is_keyframe
    made.stream = stream
    return made
