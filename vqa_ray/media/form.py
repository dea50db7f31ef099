"""How an input is coded, and which tracks it has, as it says from one second to the next."""

from fractions import Fraction
from typing import Any

from av.container import InputContainer

from vqa_ray.core.reading import Coding

EVERY_S = 1.0
UNSAID = 2  # code point of ITU-T H.273
KINDS = ("video", "audio")
FIELD_ORDER = {2: "top", 3: "bottom", 4: "bottom", 5: "top"}  # libav's: coded, then shown first
FINEST = 50  # denominator of an aspect: 720x576 with 64:45 is 16:9, and no odd sum of pixels


class Form:
    """Looks once a second. due_s: when to look next."""

    def __init__(self, container: InputContainer, video: Any | None, audio: Any | None) -> None:
        self.due_s = float("-inf")
        self._told_s: float | None = None
        self._context = video.codec_context if video is not None else None
        rate = (video.average_rate or video.guessed_rate) if video is not None else None
        self._fps = round(float(rate), 2) if rate else 0.0
        self._codecs = _codec(video), _codec(audio)
        self._tracks = tuple(
            (stream.type, stream.id, stream.language or "") for stream in container.streams if stream.type in KINDS
        )

    def look(self, at_s: float, announced: frozenset[int] | None) -> Coding:
        """What holds since the last look; announced: PIDs in the programme tables as they are now, if there are any."""
        since_s = at_s if self._told_s is None else min(self._told_s, at_s)
        self._told_s, self.due_s = at_s, at_s + EVERY_S
        tracks = tuple(
            (kind, language) for kind, pid, language in self._tracks if announced is None or pid in announced
        )
        picture, sound = self._codecs
        context = self._context
        order = FIELD_ORDER.get(int(getattr(context, "field_order", 0) or 0), "")
        return Coding(
            since_s, at_s, picture, sound, self._fps, aspect(context), colour(context), tracks, field_order=order
        )


def aspect(context: Any | None) -> str:
    """Width to height as it is to be shown, such as 16:9; "" while that is not known."""
    if context is None or not context.width or not context.height:
        return ""
    shape = Fraction(context.width, context.height) * (context.sample_aspect_ratio or 1)
    shape = shape.limit_denominator(FINEST)
    return f"{shape.numerator}:{shape.denominator}"


def colour(context: Any | None) -> str:
    """Code points of primaries, transfer and matrix (ITU-T H.273), such as 1-1-1 for BT.709; "" if none is said."""
    if context is None:
        return ""
    points = context.color_primaries, context.color_trc, context.colorspace
    return "" if set(points) <= {UNSAID, None} else "-".join(str(int(point)) for point in points)


def _codec(track: Any | None) -> str:
    return "" if track is None else str(track.codec_context.codec.canonical_name)
