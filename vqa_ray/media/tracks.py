"""The decoder of one elementary stream, and the times of what leaves it."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import av.error
import msgspec
from av.packet import Packet

from vqa_ray.core.audio import BLOCK_S, AudioBlock
from vqa_ray.core.ladder import Tier
from vqa_ray.core.picture import Picture, sketch_all
from vqa_ray.core.reading import PacketInfo
from vqa_ray.core.timeline import Timeline
from vqa_ray.media.blocks import BlockMaker
from vqa_ray.media.dating import Passed
from vqa_ray.media.info import VideoInfo
from vqa_ray.media.pictures import PictureMaker
from vqa_ray.media.references import References

_SKIP = {Tier.ALL: "DEFAULT", Tier.NO_DISPOSABLE: "NONREF", Tier.KEY: "NONKEY"}
MOST_TOGETHER = 8  # packets of sound
MOST_DAMAGED = 256  # packets without a picture so far; more is a decoder that gives none


class Track:
    """What video and audio share: one decoder with one thread, and the place of each packet on the timeline."""

    kind = ""

    def __init__(self, stream: Any, timeline: Timeline) -> None:
        self.stream = stream
        self.index: int = stream.index
        self.pid: int = stream.id  # of a transport stream
        self.reordered_s = 0.0  # from decode to presentation time of the last packet
        self._timeline = timeline
        self._base_s = float(stream.time_base)
        self._context = stream.codec_context
        self._context.thread_count = 1
        self._context.thread_type = "NONE"
        self._reorders = self.kind == "video"
        self.errors = 0  # packets that could not be decoded
        self.passed: Passed | None = None  # where its packets are put down, of a transport stream

    def place(self, packet: "Packet[Any]", size: int, now_s: float) -> PacketInfo:
        """The packet as detectors see it."""
        base_s, pts, dts = self._base_s, packet.pts, packet.dts
        pts_s = None if pts is None else pts * base_s
        dts_s = None if dts is None else dts * base_s
        duration_s = (packet.duration or 0) * base_s
        if self._reorders and pts_s is not None and dts_s is not None:
            self.reordered_s = pts_s - dts_s
        placed = self._timeline.place(self.index, self.kind, dts_s, pts_s, duration_s)
        return PacketInfo(
            self.kind, self.index, placed.at_s, duration_s, pts_s, size, packet.is_keyframe, packet.is_corrupt,
            placed.continuity, placed.gap_s, now_s,
        )  # fmt: skip

    def _decode(self, packet: "Packet[Any] | None") -> list[Any]:
        try:
            return self._context.decode(packet)  # type: ignore[no-any-return]
        except av.error.EOFError:  # flushed before
            return []
        except av.error.FFmpegError:
            self.errors += 1
            return []


class VideoTrack(Track):
    """Decodes video, as much of it as the tier says.

    changed: how VideoInfo is to be amended, after a picture of another size or form than the one before.
    """

    kind = "video"

    def __init__(self, stream: Any, timeline: Timeline) -> None:
        super().__init__(stream, timeline)
        rate = stream.average_rate or stream.guessed_rate
        self._step_s = 1.0 / float(rate) if rate else 0.04
        self._halves = 0  # pictures in a row that took twice as long as their packets say: two fields each
        self._maker = PictureMaker()
        self._damaged = False
        self._unflagged = self._context.name == "hevc"  # libav's decoder does not say that it decoded damaged data
        self._references = References(self._context.extradata) if self._context.name == "h264" else None
        self._damaged_pts: set[int] = set()  # of packets behind a loss that libav does not flag
        self._last_s: float | None = None  # of the picture before
        self._form = self._maker.form
        self.changed: Callable[[VideoInfo], VideoInfo] | None = None
        self.skipped = 0
        self._taken = 0
        self._tier = Tier.ALL
        self._key_only = False
        self._balance = 0  # packets in less frames out
        self._delay = 0  # what of that is the decoder's delay
        self.release, self.show = self._maker.release, self._maker.show

    @property
    def tier(self) -> Tier:
        """What is decoded."""
        return self._tier

    @tier.setter
    def tier(self, tier: Tier) -> None:
        if tier is self._tier:
            return
        self._tier = tier
        self._delay = self._balance
        if tier is Tier.KEY:
            self._key_only = True
        elif not self._key_only:
            self._context.skip_frame = _SKIP[tier]

    def take_skipped(self) -> int:
        """Frames left out since the last call."""
        count, self._taken = self.skipped - self._taken, self.skipped
        return count

    def place(self, packet: "Packet[Any]", size: int, now_s: float) -> PacketInfo:
        """The packet as detectors see it; whether its picture will be damaged is noted here."""
        info = super().place(packet, size, now_s)
        lost = self._references is not None and self._references.lost(packet, info.key)
        if (lost or (self._unflagged and info.corrupt)) and packet.pts is not None:
            if len(self._damaged_pts) >= MOST_DAMAGED:
                self._damaged_pts.clear()
            self._damaged_pts.add(packet.pts)
        return info

    def decode(self, packet: "Packet[Any]", key: bool) -> list[Any]:
        """Frames that leave the decoder when this packet enters it."""
        if self._key_only:
            return self._decode_key(packet, key)
        errors = self.errors
        frames = self._decode(packet)
        if self.errors != errors and self._last_s is not None:  # before the first picture: joined in mid-GOP
            self._damaged = True
        if self._damaged and frames and frames[0].pts is not None:  # it may have to wait behind others
            self._damaged_pts.add(frames[0].pts)
            self._damaged = False
        self._balance += 1 - len(frames)
        if self._tier is not Tier.ALL and self._balance > self._delay:
            self.skipped += self._balance - self._delay
            self._balance = self._delay
        return frames

    def drain(self) -> list[Any]:
        """What the decoder still holds at the end."""
        return self._decode(None)

    def pictures(self, frames: Iterable[Any]) -> list[Picture]:
        """Frames as pictures, in order; `show` is to be called of each before it is looked at."""
        pictures = [self._picture(frame) for frame in frames]
        if len(pictures) > 1:
            sketch_all(pictures)
        return pictures

    def _picture(self, frame: Any) -> Picture:
        """The frame as a picture; its `until_s` is when the next one is due."""
        pts = frame.pts if frame.pts is not None else frame.dts
        last_s = self._last_s
        if pts is None:
            at_s = 0.0 if last_s is None else last_s + self._step_s
        else:
            at_s = self._timeline.at("video", pts * self._base_s)
        duration_s = self._duration_s(frame, at_s)
        self._last_s = at_s
        damaged = self._damaged
        if self._damaged_pts and pts in self._damaged_pts:
            self._damaged_pts.discard(pts)
            damaged = True
        picture = self._maker.make(frame, at_s, at_s + duration_s, damaged)
        self._damaged = False
        if self._maker.form != self._form:
            self._form = self._maker.form
            self.changed = partial(_amended, form=self._form, interlaced=picture.interlaced, rotation=frame.rotation)
        return picture

    def _duration_s(self, frame: Any, at_s: float) -> float:
        """How long the picture is shown: what its packet says, unless that is nothing or the time of a single field."""
        duration_s: float = frame.duration * self._base_s
        step_s = 0.0 if self._last_s is None else at_s - self._last_s
        if not 0.0 < step_s < 10.0:
            step_s = self._step_s
        usual_s = min(step_s, 2.0 * self._step_s)  # nothing is shown for as long as nothing came
        self._halves = min(4, self._halves + 1) if abs(step_s - 2.0 * duration_s) < 0.2 * duration_s else 0
        self._step_s = step_s
        if self._halves > 2:
            return 2.0 * duration_s
        return max(duration_s, usual_s) if duration_s <= 0.0 or self._tier is not Tier.ALL else duration_s

    def _decode_key(self, packet: "Packet[Any]", key: bool) -> list[Any]:
        """Key frames alone, each at once: a decoder that waits for the next to reorder would be a GOP late."""
        if not key:
            self.skipped += 1
            return []
        if self._tier is not Tier.KEY:
            self._key_only = False
            self._context.skip_frame = _SKIP[self._tier]
            self._balance = self._delay = 0
            return self.decode(packet, key)
        frames = self._decode(packet) + self._decode(None)
        self._context.flush_buffers()
        return frames


class AudioTrack(Track):
    """Decodes sound into blocks."""

    kind = "audio"

    def __init__(self, stream: Any, timeline: Timeline) -> None:
        super().__init__(stream, timeline)
        self._maker = BlockMaker()
        rate_hz, size = self._context.sample_rate, self._context.frame_size or 1024
        self.batch = max(1, min(MOST_TOGETHER, round(BLOCK_S * rate_hz / size)))  # packets that are taken together

    def decode(self, packet: "Packet[Any]") -> list[AudioBlock]:
        """Blocks that this packet completes."""
        out: list[AudioBlock] = []
        for frame in self._decode(packet):
            pts = frame.pts
            at_s = None if pts is None else self._timeline.at("audio", pts * self._base_s)
            out += self._maker.add(frame, at_s)
        return out

    def drain(self) -> list[AudioBlock]:
        """Blocks of what the decoder still holds at the end."""
        out: list[AudioBlock] = []
        for frame in self._decode(None):
            out += self._maker.add(frame, None)
        return out

    def finish(self) -> list[AudioBlock]:
        """The last block, shorter than the others."""
        return self._maker.flush()


def _amended(info: VideoInfo, *, form: tuple[int, int, str], interlaced: bool, rotation: int) -> VideoInfo:
    width, height, pix_fmt = form
    return msgspec.structs.replace(
        info, width=width, height=height, pix_fmt=pix_fmt, interlaced=interlaced, rotation=rotation
    )
