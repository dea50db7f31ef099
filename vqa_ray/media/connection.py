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
    last_packet_mono_s: when it came, by the clock given.
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
        self._packets: Iterator[Packet[Any]] = iter(())
        self._checks = False
        self._frames: deque[Any] = deque()  # decoded, not yet given out: one picture a read
        self._sounds: list[tuple[Packet[Any], float]] = []  # packets of sound that wait for more, and when they came
        self._errors = 0  # of decoders that are closed
        self._unreadable = 0
        self._ended = False
        self._failed: SourceError | None = None
        self._name = opened.name
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

    @property
    def decode_errors(self) -> int:
        """Packets that could not be decoded, since the connection began."""
        return self._errors + sum(track.errors for track in (self._video, self._audio) if track is not None)

    def take_skipped(self) -> int:
        """Frames left out because of the tier since the last call."""
        return self._video.take_skipped() if self._video is not None else 0

    def read(self) -> list[Item]:
        """Take one packet of video, or those of about 0.1 s of sound, and give what came of it.

        PacketInfo comes first; there is at most one Picture, and it is last: a packet that gives several is given out
        over several calls, so that each can be compared with the one before it. Sound is taken together because Python
        costs several times as much when it runs for a moment between two pictures. Raises EndOfMedia at the end (after
        all that the decoders still held), SourceUnavailable when the input breaks off or is silent for longer than
        `read_timeout_s`. Damage in the media raises nothing.
        """
        video, audio = self._video, self._audio
        if video is not None:
            video.release()
            if self._frames:
                return [self._picture(video)]
        while True:
            packet = self._next_packet()
            if packet is None:
                return self._finish()
            index = packet.stream_index
            if video is not None and index == video.index:
                return self._take_video(video, packet)
            if audio is not None and index == audio.index:
                self._sounds.append((packet, self._now()))
                if len(self._sounds) >= audio.batch:
                    return self._take_sounds(audio)

    def close(self) -> None:
        """Let go of the input and the decoders; may be called again."""
        container, self._container = self._container, None
        self._errors = self.decode_errors
        self._frames.clear()
        self._sounds.clear()
        self._packets = iter(())
        self._video = self._audio = None
        if container is not None:
            container.close()
        if self._tap is not None:
            self._tap.close()

    # ---- one packet

    def _take_video(self, video: VideoTrack, packet: "Packet[Any]") -> list[Item]:
        size = packet.size
        if not size and packet.dts is None:
            self._frames.extend(video.drain())
            return [self._picture(video)] if self._frames else []
        arrived_s = self._now()
        info = video.place(packet, size, arrived_s)
        at_s = info.at_s
        self.ring.add("video", packet, size, info.key, at_s)
        self.last_packet_mono_s = arrived_s
        out: list[Item] = [info]
        if at_s is not None:
            self.position_s = at_s
            if self._checks:
                out += self._transport(video, packet, at_s, info)
        frames = video.decode(packet, info.key) if size else None
        if frames:
            self._frames.extend(frames)
            out.append(self._picture(video))
        return out

    def _take_sounds(self, audio: AudioTrack) -> list[Item]:
        """All packets of sound that wait."""
        sounds, self._sounds = self._sounds, []
        out: list[Item] = []
        for packet, arrived_s in sounds:
            size = packet.size
            if not size and packet.dts is None:
                out += audio.drain()
                continue
            info = audio.place(packet, size, arrived_s)
            out.append(info)
            at_s = info.at_s
            self.ring.add("audio", packet, size, True, at_s)
            if at_s is not None:
                self.position_s = at_s
                if self._checks:
                    out += self._transport(audio, packet, at_s, info)
            if size:
                out += audio.decode(packet)
        self.last_packet_mono_s = sounds[-1][1]
        return out

    def _picture(self, video: VideoTrack) -> Picture:
        picture = video.picture(self._frames.popleft())
        if video.changed is not None and self.info.video is not None:
            self.info.video, video.changed = video.changed(self.info.video), None
        return picture

    def _transport(self, track: Track, packet: "Packet[Any]", at_s: float, info: PacketInfo) -> list[TransportFault]:
        """Continuity errors that can be dated now that this packet has come, and clean spans."""
        tap, passed, dating = self._tap, track.passed, self._dating
        if passed is None:
            return []
        pos = packet.pos if tap is not None else 0
        if pos is None:
            return []
        if tap is not None:
            pos += tap.base
            tap.advance(pos)
        shown_s = at_s + track.reordered_s
        passed.packets.append((pos, shown_s, shown_s + info.duration_s))
        passed.at_s = at_s
        if tap is None:  # libav marks packets of a transport stream behind a continuity error as corrupt
            breaks = [Break(0, track.pid)] if info.corrupt else []
            return dating.date(breaks, last=True) if breaks else dating.date(()) if at_s >= dating.due_s else []
        if at_s >= dating.due_s or dating.waiting or tap.check.breaks:
            return self._dated(tap)
        return []

    def _dated(self, tap: Tap, *, last: bool = False) -> list[TransportFault]:
        found = self._dating.date(tap.check.breaks, last=last)
        tap.check.breaks.clear()
        return found

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
        self.info = describe(container, self._opener.url, video, audio, live=self._live, name=self._name)
        self._video = VideoTrack(video, self._timeline) if video is not None else None
        self._audio = AudioTrack(audio, self._timeline) if audio is not None else None
        self._packets = self._demux()
        if self._tap is not None:
            self._watch(self._tap)
        self._checks = self._tap is not None or self.info.format in FLAGGED
        for track in (self._video, self._audio):
            if track is not None and self._checks:
                track.passed = self._dating.track(track.pid)

    def _watch(self, tap: Tap) -> None:
        tap.advance(0)
        tap.opened()
        self.info.programs = tap.check.tables.programs or None
        pids = frozenset(track.pid for track in (self._video, self._audio) if track is not None)
        tap.watch(pids, wants_more=len(pids) < 2)

    def _demux(self) -> Iterator["Packet[Any]"]:
        assert self._container is not None
        chosen = [track.stream for track in (self._video, self._audio) if track is not None]
        return self._container.demux(*chosen)

    def _next_packet(self) -> "Packet[Any] | None":
        """The next packet; None at the end, and, with all frames out, where the programme turns into another one."""
        while True:
            called_s = self._now()
            if self._failed is not None:
                return None
            try:
                packet = next(self._packets, None)
            except av.error.InvalidDataError as error:
                self._unreadable += 1
                if self._live or self._unreadable > DAMAGED_READS:
                    self._broken(error, self._now() - called_s)
                    return None
                self._packets = self._demux()
                continue
            except (av.error.FFmpegError, OSError, SourceError) as error:
                self._broken(error, self._now() - called_s)
                return None
            except IndexError:  # PyAV's flush, after libav found one more stream on the way; ours were flushed before
                packet = None
            self._unreadable = 0
            if self._live and self._now() - called_s >= self._options.read_timeout_s:
                # Interrupted, libav first hands out the packet that its parser held, and would then wait once more.
                self._broken(TimeoutError(), 0.0)
            tap = self._tap
            if packet is None or tap is None or tap.turned is None or packet.pos is None:
                return packet
            if packet.pos + tap.base < tap.turned:
                return packet
            if not tap.ends_itself:
                self._packets = self._flushes()

    def _flushes(self) -> Iterator["Packet[Any]"]:
        """What libav's demuxer gives at its end: an empty packet a track."""
        for track in (self._video, self._audio):
            if track is not None:
                packet = Packet()
                packet.stream = track.stream
                yield packet

    def _finish(self) -> list[Item]:
        """The demuxer has no more: the last sound and faults, then the end, or what comes behind a turn."""
        tap, audio = self._tap, self._audio
        out: list[Item] = self._take_sounds(audio) if audio is not None and self._sounds else []
        if self._failed is not None:
            if not out:
                raise self._failed
            return out
        if self._ended:
            raise EndOfMedia(self.info.url)
        if audio is not None:
            out += audio.finish()
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
        self._errors = self.decode_errors
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

    def _broken(self, error: Exception, took_s: float) -> None:
        """The input broke off: what waits is given out before that is raised."""
        self._failed = reading_failed(self._opener.url, error, timeout_s=self._options.read_timeout_s, took_s=took_s)


def _first_pts_s(video: Any | None, audio: Any | None) -> float | None:
    """Raw PTS that is 0 on the timeline of a file: that of the first picture, or of the first sound."""
    stream = video if video is not None else audio
    return None if stream is None or stream.start_time is None else stream.start_time * float(stream.time_base)
