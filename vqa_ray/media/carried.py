"""What an input carries beside picture and sound, seen as it passes: captions and splice messages."""

from collections.abc import Sequence
from typing import Any

from av.container import InputContainer

from vqa_ray.core.reading import Services
from vqa_ray.media.services import CEA, DVB, SCTE35, TELETEXT, TEXT

EVERY_S = 1.0
TRIES = 12  # pictures that are looked at for captions: at a doubled frame rate not each has some
_TRACKS = {
    "dvb_teletext": TELETEXT, "dvb_subtitle": DVB, "eia_608": CEA, "scte_35": SCTE35, "mov_text": TEXT, "subrip": TEXT,
    "webvtt": TEXT, "ass": TEXT, "ttml": TEXT, "text": TEXT,
}  # fmt: skip


def services_of_tracks(container: InputContainer) -> frozenset[str]:
    """Names of what has a track of its own; libav calls some of them data without a codec."""
    names = (getattr(getattr(stream, "codec_context", None), "name", None) for stream in container.streams)
    return frozenset(_TRACKS[name] for name in names if name in _TRACKS)


class Carried:
    """Looks once a second. due_s: when to look next."""

    def __init__(self, at_once: frozenset[str]) -> None:
        self.due_s = float("-inf")
        self._at_once = at_once
        self._told_s: float | None = None
        self._tried = 0

    def look(self, at_s: float, frames: Sequence[Any], announced: frozenset[str], *, video: bool) -> list[Services]:
        """What there is since the last look, once that is known; announced: by the programme tables as they are now."""
        found = self._at_once | announced
        if video and CEA not in found:
            self._tried += len(frames)
            if any(frame.side_data.get("A53_CC") is not None for frame in frames):
                found |= {CEA}
            elif self._tried < TRIES:
                return []
        since_s = at_s if self._told_s is None else min(self._told_s, at_s)
        self._told_s, self._tried, self.due_s = at_s, 0, at_s + EVERY_S
        return [Services(since_s, at_s, found)]
