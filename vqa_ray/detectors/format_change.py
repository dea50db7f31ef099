"""format_change: picture or sound are of another format than expected, or than they were.

What is expected is said by options; of what no option is set, the stream's own start is expected. Such a change is told
once: what lasts becomes the stream's new normal. What the stream leaves unsaid is no change. Its frame rate is a guess
for many inputs, and is compared with an option only.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Coding, Input, Reading, Severity
from vqa_ray.detectors.base import DetectorSpec, RaiseAfter, SeverityOf
from vqa_ray.detectors.stretch import Stretch

Format = tuple[object, ...]


class FormatChangeSpec(DetectorSpec, frozen=True, kw_only=True):
    """Size, depth, range, aspect, colour or rate of the picture, rate or channels of the sound, or a codec, is not the
    expected one."""

    id: ClassVar[str] = "format_change"
    inputs: ClassVar[tuple[Input, ...]] = (Input.VIDEO, Input.AUDIO, Input.CODING)
    unit: ClassVar[str] = "properties"
    adapts: ClassVar[str] = (
        "what no option expects is expected as it was at the start of the connection, or has been for settle_s since"
    )

    raise_after_s: RaiseAfter = 0.5
    severity: SeverityOf = Severity.MINOR
    width: Annotated[
        int, msgspec.Meta(ge=0, le=65536, description="pixels of a row that are expected; 0: as at the start")
    ] = 0
    height: Annotated[int, msgspec.Meta(ge=0, le=65536, description="rows that are expected; 0: as at the start")] = 0
    bit_depth: Annotated[
        int, msgspec.Meta(ge=0, le=16, description="bits of a sample that are expected; 0: as at the start")
    ] = 0
    rate_hz: Annotated[
        int, msgspec.Meta(ge=0, le=768_000, description="samples a second that are expected; 0: as at the start")
    ] = 0
    channels: Annotated[
        int, msgspec.Meta(ge=0, le=64, description="channels of sound that are expected; 0: as at the start")
    ] = 0
    video_codec: Annotated[
        str,
        msgspec.Meta(pattern="^[a-z0-9_]*$", description="codec of the picture, such as h264; empty: as at the start"),
    ] = ""
    audio_codec: Annotated[
        str, msgspec.Meta(pattern="^[a-z0-9_]*$", description="codec of the sound (aac); empty: as at the start")
    ] = ""
    fps: Annotated[
        float, msgspec.Meta(ge=0, le=1000, description="pictures a second, to two decimals, such as 29.97; 0: any")
    ] = 0.0
    aspect: Annotated[
        str,
        msgspec.Meta(
            pattern="^([0-9]+:[0-9]+)?$", description="width to height as shown, 16:9; empty: as at the start"
        ),
    ] = ""
    colour: Annotated[
        str,
        msgspec.Meta(
            pattern="^([0-9]+-[0-9]+-[0-9]+)?$",
            description="primaries, transfer and matrix as code points of ITU-T H.273: 1-1-1 is BT.709, 9-16-9 HDR10, "
            "9-18-9 HLG; empty: as at the start",
        ),
    ] = ""
    settle_s: Annotated[
        float,
        msgspec.Meta(ge=0, le=86400, description="seconds after which another format is the normal one"),
    ] = 10.0

    def build(self) -> "FormatChangeDetector":
        """A fresh detector with these options."""
        return FormatChangeDetector(self)


class FormatChangeDetector:
    """Watches picture, sound and what is said of their coding, each as a part of its own."""

    def __init__(self, spec: FormatChangeSpec) -> None:
        self._video = Watched("video", (spec.height, spec.width, spec.bit_depth, 0), spec.settle_s)
        self._audio = Watched("audio", (spec.rate_hz, spec.channels, 0), spec.settle_s)
        coding = (spec.video_codec, spec.audio_codec, spec.fps, spec.aspect, spec.colour)
        self._fps = bool(spec.fps)  # whether to compare it
        self._coding = Watched("coding", coding, spec.settle_s)

    def read(self, item: Picture | AudioBlock | Coding) -> Sequence[Reading]:
        """A reading a second, and at each change; `value` is how many properties differ."""
        if isinstance(item, Picture):
            return self._video.take((*item.luma.shape, item.bit_depth, item.full_range), item.at_s, item.until_s)
        if isinstance(item, Coding):
            form = (item.video_codec, item.audio_codec, item.fps * self._fps, item.aspect, item.colour)
            return self._coding.take(form, item.at_s, item.until_s)
        names = item.channels
        return self._audio.take((item.rate_hz, len(names), names), item.at_s, item.until_s)

    def finish(self) -> Sequence[Reading]:
        """Readings of the time since the last ones."""
        return (*self._video.finish(), *self._audio.finish(), *self._coding.finish())


class Watched:
    """One kind of media. asked: what options expect of each property, 0 where the start decides."""

    def __init__(self, part: str, asked: Format, settle_s: float) -> None:
        self._asked = asked
        self._settle_s = settle_s
        self._expected: Format | None = None
        self._form: Format | None = None
        self._since_s = 0.0  # of this form
        self._differing = 0.0
        self._stretch = Stretch(part)
        self.finish = self._stretch.finish

    def take(self, form: Format, at_s: float, until_s: float) -> Sequence[Reading]:
        """One picture or block of sound."""
        if form != self._form:
            self._form, self._since_s = form, at_s
            if self._expected is None:
                self._expected = self._or_asked(form)
            self._compare(form)
        elif self._differing and at_s - self._since_s >= self._settle_s:
            self._expected = self._or_asked(form)
            self._compare(form)
        return self._stretch.add(at_s, until_s, self._differing, self._differing > 0)

    def _or_asked(self, form: Format) -> Format:
        return tuple(asked or own for asked, own in zip(self._asked, form, strict=True))

    def _compare(self, form: Format) -> None:
        assert self._expected is not None
        self._differing = float(sum(map(differs, form, self._expected, self._asked)))


def differs(own: object, expected: object, asked: object) -> bool:
    """Whether a property is not as expected; one that is unsaid ("") only if an option asks for it."""
    return own != expected and expected != "" and (own != "" or bool(asked))
