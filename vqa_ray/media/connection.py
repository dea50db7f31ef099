"""One connection to an input: packets in, and of each what the detectors read."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.ladder import Tier
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import PacketInfo, TransportFault
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.urls import redact
from vqa_ray.errors import NotMedia, SourceError
from vqa_ray.media.continuity import Break
from vqa_ray.media.dating import FaultDating
from vqa_ray.media.failures import reading_failed
from vqa_ray.media.feed import Tap
from vqa_ray.media.info import choose, describe
from vqa_ray.media.opening import Opened, Opener
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.ring import PacketRing
from vqa_ray.media.tracks import AudioTrack, Track, VideoTrack

Item = PacketInfo | TransportFault | Picture | AudioBlock

DAMAGED_READS = 100  # so many unreadable places in a row of a file are its end
FLAGGED = ("hls", "mpegts", "rtp")  # containers whose packets libav marks behind a continuity error


class EndOfMedia(Exception):
    """The input is read to its end."""


class Connection:
    """An open input. One thread reads and closes it; plain attributes may be looked at from others.

    info: what the input holds; ring: its last packets; position_s: decode time of the last packet on the timeline;
    last_packet_mono_s: when it came, by the clock given; decode_errors: packets that could not be decoded.
    """

    def __init__(
        self,
        opener: Opener,
        opened: Opened,
        options: SourceOptions,
        timeline: Timeline,
        *,
        live: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.position_s: float | None = None
        self.last_packet_mono_s = now()
        self.decode_errors = 0
        self._opener = opener
        self._live = live
        self._options = options
        self._timeline = timeline
        self._now = now
        self._container: InputContainer | None = opened.container
        self._tap = opened.tap
        self._dating = FaultDating()
        self._video: VideoTrack | None = None
        self._audio: AudioTrack | None = None
        self._packets: Iterator[Packet] = iter(())
        self._frames: deque[Any] = deque()  # decoded, not yet given out: one picture a read
        self._unreadable = 0
        self._ended = False
        self._overdue = False
        self._choose(opened.container, opened.late_s)
        self.ring = PacketRing(options.ring_bytes, options.ring_s, video=self._video is not None)

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
        video, audio = self._video, self._audio
        if video is not None:
            video.release()
            if self._frames:
                return [self._picture(video)]
        packet = self._next_packet()
        if packet is None:
            return self._finish()
        if video is not None and packet.stream_index == video.index:
            return self._take_video(video, packet)
        if audio is not None and packet.stream_index == audio.index:
            return self._take_audio(audio, packet)
        return []

    def close(self) -> None:
        """Let go of the input and the decoders; may be called again."""
        container, self._container = self._container, None
        self._frames.clear()
        self._packets = iter(())
        self._video = self._audio = None
        if container is not None:
            container.close()
        if self._tap is not None:
            self._tap.close()

    # ---- one packet

    def _take_video(self, video: VideoTrack, packet: Packet) -> list[Item]:
        size = packet.size
        if not size and packet.dts is None:
            self._frames.extend(video.drain())
            return [self._picture(video)] if self._frames else []
        info = video.place(packet, size, self._now())
        self.ring.add("video", packet, info.key, info.at_s)
        out: list[Item] = [info]
        out += self._arrived(video, packet, info)
        frames = video.decode(packet, info.key) if size else None
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
        self.ring.add("audio", packet, True, info.at_s)
        out: list[Item] = [info]
        out += self._arrived(audio, packet, info)
        if size:
            out += audio.decode(packet)
            self.decode_errors += audio.take_errors()
        return out

    def _picture(self, video: VideoTrack) -> Picture:
        picture = video.picture(self._frames.popleft())
        if video.changed is not None and self.info.video is not None:
            self.info.video, video.changed = video.changed(self.info.video), None
        return picture

    def _arrived(self, track: Track, packet: Packet, info: PacketInfo) -> list[TransportFault]:
        """Note the packet; continuity errors that can be dated now that it has come, and clean spans."""
        self.last_packet_mono_s = info.arrived_s
        at_s, tap = info.at_s, self._tap
        if at_s is None:
            return []
        self.position_s = at_s
        shown_s = at_s + track.reordered_s
        if tap is None:
            return self._flags(at_s, shown_s, info) if self._flagged else []
        pos = packet.pos
        if pos is None:
            return []
        pos += tap.base
        tap.advance(pos)
        due = self._dating.passed(track.pid, pos, at_s, shown_s, info.duration_s)
        return self._dated(tap) if due or tap.check.breaks else []

    def _dated(self, tap: Tap, *, last: bool = False) -> list[TransportFault]:
        found = self._dating.date(tap.check.breaks, last=last)
        tap.check.breaks.clear()
        return found

    def _flags(self, at_s: float, shown_s: float, info: PacketInfo) -> list[TransportFault]:
        """Without the bytes: libav marks packets of a transport stream behind a continuity error as corrupt."""
        due = self._dating.passed(info.stream, 0, at_s, shown_s, info.duration_s)
        if info.corrupt:
            return self._dating.date([Break(0, info.stream)], last=True)
        return self._dating.date(()) if due else []

    # ---- the demuxer

    def _choose(self, container: InputContainer, late_s: float | None) -> None:
        """Take the tracks of a container that was just opened. late_s: None when it goes on behind a turn."""
        video, audio = choose(container)
        if video is None and audio is None:
            raise NotMedia(f"{redact(self._opener.url)}: holds no picture and no sound that can be decoded")
        for stream in container.streams:
            if stream is not video and stream is not audio:
                stream.discard = Discard.all  # do not even fetch it: renditions of HLS and DASH
        if late_s is not None:
            first_pts_s = None if self._live else _first_pts_s(video, audio)
            self._timeline.anchor(first_pts_s, late_s=late_s if self._live else 0.0)
        self.info = describe(container, self._opener.url, video, audio, live=self._live)
        self._video = VideoTrack(video, self._timeline) if video is not None else None
        self._audio = AudioTrack(audio, self._timeline) if audio is not None else None
        self._packets = self._demux()
        if self._tap is not None:
            self._watch(self._tap)
        self._flagged = self._tap is None and self.info.format in FLAGGED

    def _watch(self, tap: Tap) -> None:
        tap.advance(0)
        tap.opened()
        self.info.programs = tap.check.tables.programs or None
        pids = frozenset(track.pid for track in (self._video, self._audio) if track is not None)
        tap.watch(pids, wants_more=len(pids) < 2)

    def _demux(self) -> Iterator[Packet]:
        assert self._container is not None
        chosen = [track.stream for track in (self._video, self._audio) if track is not None]
        return self._container.demux(*chosen)

    def _next_packet(self) -> Packet | None:
        """The next packet; None at the end, and, with all frames out, where the programme turns into another one."""
        while True:
            called_s = self._now()
            if self._overdue:
                raise self._broken(TimeoutError(), 0.0)
            try:
                packet = next(self._packets, None)
            except av.error.InvalidDataError as error:
                self._unreadable += 1
                if self._live or self._unreadable > DAMAGED_READS:
                    raise self._broken(error, self._now() - called_s) from None
                self._packets = self._demux()
                continue
            except (av.error.FFmpegError, OSError, SourceError) as error:
                raise self._broken(error, self._now() - called_s) from None
            except IndexError:  # PyAV's flush, after libav found one more stream on the way; ours were flushed before
                packet = None
            self._unreadable = 0
            # Interrupted, libav first hands out the packet that its parser held, and would then wait once more.
            self._overdue = self._live and self._now() - called_s >= self._options.read_timeout_s
            tap = self._tap
            if packet is None or tap is None or tap.turned is None or packet.pos is None:
                return packet
            if packet.pos + tap.base < tap.turned:
                return packet
            if not tap.ends_itself:
                self._packets = self._flushes()

    def _flushes(self) -> Iterator[Packet]:
        """What libav's demuxer gives at its end: an empty packet a track."""
        for track in (self._video, self._audio):
            if track is not None:
                packet = Packet()
                packet.stream = track.stream
                yield packet

    def _finish(self) -> list[Item]:
        """The demuxer has no more: the last blocks and faults, then the end, or what comes behind a turn."""
        tap = self._tap
        if self._ended:
            raise EndOfMedia(self.info.url)
        out: list[Item] = list(self._audio.finish()) if self._audio is not None else []
        if tap is not None:
            tap.finish()
            if tap.turned is not None:
                self._turn(tap)
                return out
            out += self._dated(tap, last=True)
        self._ended = True
        if not out:
            raise EndOfMedia(self.info.url)
        return out

    def _turn(self, tap: Tap) -> None:
        """Another codec or other PIDs from here on: begin anew with the demuxer and the decoders, not with the time."""
        tier, container = self.tier, self._container
        if container is not None:
            container.close()
        duration_s = self.info.duration_s
        try:
            self._container = self._opener.again(tap)
            self._choose(self._container, None)
        except SourceError:
            if self._live:
                raise
            self._ended = True  # the rest of the file holds nothing that can be decoded
            return
        self.info.duration_s = duration_s
        self.ring.clear()
        self.ring.video = self._video is not None
        self.tier = tier

    def _broken(self, error: Exception, took_s: float) -> Exception:
        return reading_failed(self._opener.url, error, timeout_s=self._options.read_timeout_s, took_s=took_s)


def _first_pts_s(video: Any | None, audio: Any | None) -> float | None:
    """Raw PTS that is 0 on the timeline of a file: that of the first picture, or of the first sound."""
    stream = video if video is not None else audio
    return None if stream is None or stream.start_time is None else stream.start_time * float(stream.time_base)
