"""One connection to an input: packets in, and of each what the detectors read."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.packet import Packet

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.ladder import Tier
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import PacketInfo, TransportFault
from vqa_ray.core.timeline import Timeline
from vqa_ray.media.failures import reading_failed
from vqa_ray.media.info import SourceInfo
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.ring import PacketRing
from vqa_ray.media.tracks import AudioTrack, VideoTrack

Item = PacketInfo | TransportFault | Picture | AudioBlock

DAMAGED_READS = 100  # so many unreadable places in a row of a file are its end


class EndOfMedia(Exception):  # noqa: N818  (no error: a file ended as it should)
    """The input is read to its end."""


class Connection:
    """An open input. One thread reads and closes it; plain attributes may be looked at from others.

    info: what the input holds; ring: its last packets; position_s: decode time of the last packet on the timeline;
    last_packet_mono_s: when it came, by the clock given; decode_errors: packets that could not be decoded.
    """

    def __init__(
        self,
        url: str,
        container: InputContainer,
        info: SourceInfo,
        options: SourceOptions,
        timeline: Timeline,
        *,
        video: Any | None,
        audio: Any | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.info = info
        self.ring = PacketRing(options.ring_bytes, options.ring_s, video=video is not None)
        self.position_s: float | None = None
        self.last_packet_mono_s = now()
        self.decode_errors = 0
        self._url = url
        self._container: InputContainer | None = container
        self._options = options
        self._timeline = timeline
        self._now = now
        self._video = VideoTrack(video, timeline) if video is not None else None
        self._audio = AudioTrack(audio, timeline) if audio is not None else None
        self._frames: deque[Any] = deque()  # decoded, not yet given out: one picture a read
        self._packets: Iterator[Packet] = self._demux()
        self._unreadable = 0
        self._ended = False

    @property
    def tier(self) -> Tier:
        """What of the video is decoded; may be set at any time. Up from key frames only it goes at the next of them."""
        return self._video.tier if self._video is not None else Tier.ALL

    @tier.setter
    def tier(self, tier: Tier) -> None:
        if self._video is not None:
            self._video.tier = tier

    @property
    def frames_skipped(self) -> int:
        """Frames left out because of the tier, since the connection began."""
        return self._video.skipped if self._video is not None else 0

    def take_skipped(self) -> int:
        """Frames left out because of the tier since the last call."""
        return self._video.take_skipped() if self._video is not None else 0

    def read(self) -> list[Item]:
        """Take one packet and give what came of it, maybe nothing: its PacketInfo first, at most one Picture, last.

        A packet that gives several pictures is given out over several calls, so that each can be compared with the one
        before it. Raises EndOfMedia at the end (after all that the decoders still held), SourceUnavailable when the
        input breaks off or is silent for longer than `read_timeout_s`. Damage in the media raises nothing.
        """
        video = self._video
        if video is not None:
            video.release()
            if self._frames:
                return [self._picture(video)]
        packet = self._next_packet()
        if packet is None:
            return self._finish()
        if video is not None and packet.stream_index == video.index:
            return self._take_video(video, packet)
        if self._audio is not None and packet.stream_index == self._audio.index:
            return self._take_audio(self._audio, packet)
        return []

    def close(self) -> None:
        """Let go of the input and the decoders; may be called again."""
        container, self._container = self._container, None
        self._frames.clear()
        self._packets = iter(())
        self._video = self._audio = None
        if container is not None:
            container.close()

    # ---- one packet

    def _take_video(self, video: VideoTrack, packet: Packet) -> list[Item]:
        size = packet.size
        if not size and packet.dts is None:
            self._frames.extend(video.drain())
            return [self._picture(video)] if self._frames else []
        info = video.place(packet, size, self._now())
        self._arrived(info)
        self.ring.add("video", packet, info.key, info.at_s)
        out: list[Item] = [info]
        frames = video.decode(packet, info.key) if size else []
        self.decode_errors += video.take_errors()
        if frames:
            self._frames.extend(frames)
            out.append(self._picture(video))
        return out

    def _take_audio(self, audio: AudioTrack, packet: Packet) -> list[Item]:
        size = packet.size
        if not size and packet.dts is None:
            return list(audio.drain())
        info = audio.place(packet, size, self._now())
        self._arrived(info)
        self.ring.add("audio", packet, True, info.at_s)
        out: list[Item] = [info]
        if size:
            out += audio.decode(packet)
            self.decode_errors += audio.take_errors()
        return out

    def _picture(self, video: VideoTrack) -> Picture:
        picture = video.picture(self._frames.popleft())
        if video.changed is not None and self.info.video is not None:
            self.info.video, video.changed = video.changed(self.info.video), None
        return picture

    def _arrived(self, info: PacketInfo) -> None:
        self.last_packet_mono_s = info.arrived_s
        if info.at_s is not None:
            self.position_s = info.at_s

    def _finish(self) -> list[Item]:
        if self._ended:
            raise EndOfMedia(self.info.url)
        self._ended = True
        out: list[Item] = list(self._audio.finish()) if self._audio is not None else []
        if not out:
            raise EndOfMedia(self.info.url)
        return out

    # ---- the demuxer

    def _demux(self) -> Iterator[Packet]:
        assert self._container is not None
        chosen = [track.stream for track in (self._video, self._audio) if track is not None]
        return self._container.demux(*chosen)

    def _next_packet(self) -> Packet | None:
        while True:
            try:
                packet = next(self._packets, None)
            except av.error.InvalidDataError as error:
                self._unreadable += 1
                if self.info.live or self._unreadable > DAMAGED_READS:
                    raise self._broken(error) from None
                self._packets = self._demux()
                continue
            except (av.error.FFmpegError, OSError) as error:
                raise self._broken(error) from None
            self._unreadable = 0
            return packet

    def _broken(self, error: Exception) -> Exception:
        return reading_failed(self._url, error, timeout_s=self._options.read_timeout_s)
