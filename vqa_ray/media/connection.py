"""One connection to an input: packets in, and of each what the detectors read."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard

from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.batch import SMALLEST, Batch
from vqa_ray.core.ladder import Tier
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Coding, Continuity, PacketInfo, Services, TransportFault
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.urls import redact
from vqa_ray.errors import NotMedia, SourceError
from vqa_ray.media.breaks import Break
from vqa_ray.media.carried import Carried, services_of_tracks
from vqa_ray.media.dating import FaultDating
from vqa_ray.media.failures import reading_failed
from vqa_ray.media.feed import Tap
from vqa_ray.media.form import Form
from vqa_ray.media.info import choose, describe
from vqa_ray.media.opening import Opened, Opener
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.ring import PacketRing
from vqa_ray.media.seams import Seams
from vqa_ray.media.slots import Slot
from vqa_ray.media.tape import Tape
from vqa_ray.media.tracks import AudioTrack, Track, VideoTrack

Packets = tuple[PacketInfo, ...]
Item = Packets | TransportFault | Services | Coding | Picture | AudioBlock

_Placed = tuple["Packet[Any]", PacketInfo | None]  # None: the decoder is to give what it still holds

DAMAGED_READS = 100  # so many unreadable places in a row of a file are its end
AHEAD = 8  # packets of video that are taken from a file together, and of sound what belongs to them
TOGETHER, TOGETHER_PIXELS = 8, 1 << 21  # pictures of a file that are decoded before the first of them is given out
UNUSUAL_S = 0.2  # between two packets of a track: what comes after it is told at once
RTP_SESSIONS = ("rtsp", "rtp", "sdp")  # inputs whose tracks are put in step by sender reports
FLAGGED = ("hls", "mpegts", "rtp")  # containers whose packets libav marks behind a continuity error


class EndOfMedia(Exception):
    """The input is read to its end."""


class Connection:
    """An open input. One thread reads and closes it; plain attributes may be looked at from others.

    info: what the input holds; ring: its last packets; tape: the same, to cut evidence from; position_s: decode time of
    the last packet on the timeline; last_packet_mono_s: when it came, by the clock given. tells_services, tells_coding:
    whether to give Services and Coding, which are looked at once a second. slot: taken when packets have come, and kept
    until more are needed, so that what was given out is looked at in it.
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
        self.tells_services = self.tells_coding = False
        self.slot = Slot()
        self._opener = opener
        self._live = live
        self._options = options
        self._timeline = timeline
        self._now = now
        self._container: InputContainer | None = opened.container
        self._tap = opened.tap
        self._dating = FaultDating()
        self._passed_by = 0  # packets, where there are no bytes to count
        self._seams: Seams | None = None
        self._video: VideoTrack | None = None
        self._audio: AudioTrack | None = None
        self._packets: Iterator[Packet[Any]] = iter(())
        self._checks = False
        self._coming: deque[_Placed] = deque()  # packets of video, not yet decoded
        self._sounds: list[_Placed] = []  # and of sound
        self._frames: list[Any] = []  # decoded
        self._shown: deque[Picture] = deque()  # not yet given out: one a read
        self._infos: list[PacketInfo] = []  # of packets, not yet given out
        self._unusual = False  # one of them is
        self._errors = 0  # of decoders that are closed
        self._unreadable = 0
        self._batch = SMALLEST
        self._ended = False
        self._failed: SourceError | None = None
        self._name = opened.name
        self._choose(opened.container, opened.late_s)
        self.ring = PacketRing(options.ring_bytes, options.ring_s, video=self._video is not None)
        self.tape = Tape(self.ring, *self._streams)

    @property
    def tier(self) -> Tier:
        """What of the video is decoded; may be set at any time. Up from key frames only it goes at the next of them."""
        return self._video.tier if self._video is not None else Tier.ALL

    @tier.setter
    def tier(self, tier: Tier) -> None:
        if self._video is not None:
            self._video.tier = tier

    @property
    def batch(self) -> Batch:
        """How much of a live input is taken at once; may be set at any time by the reading thread.

        Of segments it stays the smallest: they come whole, so that nothing is gained, and the last pictures of one
        would wait for the next.
        """
        return self._batch

    @batch.setter
    def batch(self, batch: Batch) -> None:
        if batch is not self._batch and not self.info.segmented:
            self._batch = batch
            self._portion()

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
        """Take packets and give what came of them: of a live input as much as `batch` says, and about 0.1 s of sound.

        Of a file those of `AHEAD` pictures, and the sound that belongs to them. What is known of packets comes first,
        as a tuple in demux order; of a live input, of those that follow the one before as they should up to 0.1 s
        later, together with the sound. There is at most one Picture, and it is last: several are given out over several
        calls, so that each can be compared with the one before it. Things are taken together because Python costs
        several times as much when it runs for a moment between two pictures. Raises EndOfMedia at the end (after all
        that the decoders still held), SourceUnavailable when the input breaks off or is silent for longer than
        `read_timeout_s`. Damage in the media raises nothing.
        """
        video = self._video
        if video is not None:
            video.release()
            if self._shown:
                return [self._show(video)]
        while True:
            out: list[Item] = []
            if not self._coming and not self._take(out):
                return self._finish()
            if video is not None:
                self._take_pictures(video, out)
            if out:
                return out

    def close(self) -> None:
        """Let go of the input and the decoders; may be called again."""
        self.slot.give()
        container, self._container = self._container, None
        self._errors = self.decode_errors
        self._coming.clear()
        self._sounds.clear()
        self._frames.clear()
        self._shown.clear()
        self._packets = iter(())
        self._video = self._audio = None
        if container is not None:
            container.close()
        if self._tap is not None:
            self._tap.close()

    # ---- packets

    def _take(self, out: list[Item]) -> bool:
        """Take packets until there are enough of one track, and sound that is enough or a file's; False at the end.

        They are placed one after the other, since Python costs several times as much between two decoded pictures.
        """
        self.slot.give()
        came = self._come()
        self.slot.take()
        found = self._place(came)
        audio = self._audio
        enough = not self._live or len(self._sounds) >= self._enough_sounds
        if self._infos and (enough or audio is None or self._unusual):
            out.append(self._told())
        out += found
        if audio is not None and enough:
            self._take_sounds(audio, out)
        return bool(came)

    def _come(self) -> "list[tuple[Track, Packet[Any], float]]":
        """The next packets, with their tracks and when they came; none at the end."""
        video, audio, now = self._video, self._audio, self._now
        pictures, sounds = self._enough_pictures, max(1, self._enough_sounds - len(self._sounds))
        until_s = math.inf
        came: list[tuple[Track, Packet[Any], float]] = []
        while pictures and sounds:
            packet = self._next_packet()
            if packet is None:
                break
            index = packet.stream_index
            if video is not None and index == video.index:
                pictures -= 1
                track: Track = video
            elif audio is not None and index == audio.index:
                sounds -= 1
                track = audio
            else:
                continue
            self.last_packet_mono_s = arrived_s = now()
            came.append((track, packet, arrived_s))
            if arrived_s > until_s:
                break
            until_s = min(until_s, arrived_s + self._gather_s)
        return came

    def _place(self, came: "list[tuple[Track, Packet[Any], float]]") -> list[Item]:
        """Put packets down and let them wait for their decoder; faults of the transport stream that this tells."""
        found: list[Item] = []
        video, add, infos, checks = self._video, self.ring.add, self._infos, self._checks
        for track, packet, arrived_s in came:
            waiting = self._coming if track is video else self._sounds
            size = packet.size
            if not size and packet.dts is None:
                waiting.append((packet, None))
                continue
            info = track.place(packet, size, arrived_s)
            infos.append(info)
            waiting.append((packet, info))
            at_s = info.at_s
            add(track.kind, packet, size, info.key, at_s)
            if info.gap_s > UNUSUAL_S or info.continuity is not Continuity.STEADY:
                self._unusual = True
            if at_s is not None:
                self.position_s = at_s
                if checks:
                    found += self._passed(track, packet, at_s, info)
        tap, dating, position_s = self._tap, self._dating, self.position_s
        due = position_s is not None and position_s >= dating.due_s
        if tap is not None and (due or dating.waiting or tap.check.breaks):
            found += self._dated(tap)
        return found

    def _take_pictures(self, video: VideoTrack, out: list[Item]) -> None:
        """Decode packets until there are pictures enough to give out the first."""
        while self._coming and len(self._frames) < self._together:
            packet, info = self._coming.popleft()
            if info is None:
                self._frames.extend(video.drain())
                continue
            frames = video.decode(packet, info.key) if info.size_bytes else ()
            if self.tells_services and info.at_s is not None and info.at_s >= self._carried.due_s:
                out += self._services(info.at_s, frames)
            if self.tells_coding and info.at_s is not None and info.at_s >= self._form.due_s:
                out.append(self._form.look(info.at_s, self._pids))
            self._frames.extend(frames)
        if len(self._frames) >= self._together or (self._live and self._frames):
            out.append(self._picture(video))

    def _take_sounds(self, audio: AudioTrack, out: list[Item]) -> None:
        """Decode all packets of sound that wait."""
        for packet, info in self._sounds:
            if info is None:
                out += audio.drain()
            elif info.size_bytes:
                out += audio.decode(packet)
        self._sounds.clear()
        position_s = self.position_s
        if self._video is not None or position_s is None:
            return
        if self.tells_services and position_s >= self._carried.due_s:
            out += self._services(position_s, ())
        if self.tells_coding and position_s >= self._form.due_s:
            out.append(self._form.look(position_s, self._pids))

    def _told(self) -> Packets:
        """What was not yet given out of packets."""
        infos = tuple(self._infos)
        self._infos.clear()
        self._unusual = False
        return infos

    def _picture(self, video: VideoTrack) -> Picture:
        """The first of the pictures that were decoded; the others are given out by later reads."""
        self._shown.extend(video.pictures(self._frames))
        self._frames.clear()
        if video.changed is not None and self.info.video is not None:
            self.info.video, video.changed = video.changed(self.info.video), None
        return self._show(video)

    def _show(self, video: VideoTrack) -> Picture:
        picture = self._shown.popleft()
        video.show(picture)
        return picture

    @property
    def _announced(self) -> frozenset[str]:
        """Services in the programme tables as they are now."""
        return self._tap.check.tables.services if self._tap is not None else frozenset()

    @property
    def _pids(self) -> frozenset[int] | None:
        """PIDs in the programme tables as they are now, None where there are none."""
        announced = self._tap.check.tables.announced if self._tap is not None else ()
        return frozenset(announced[-1].types) if announced else None

    def _services(self, at_s: float, frames: Sequence[Any]) -> list[Services]:
        told = self._carried.look(at_s, frames, self._announced, video=self._video is not None)
        if told:
            self.info.services = tuple(sorted(told[-1].found))
        return told

    def _passed(self, track: Track, packet: "Packet[Any]", at_s: float, info: PacketInfo) -> list[TransportFault]:
        """Put down where a packet lies; without the bytes of the transport stream also what libav says of faults."""
        tap, passed, dating = self._tap, track.passed, self._dating
        pos = packet.pos if tap is not None else 0
        if passed is None or pos is None:
            return []
        shown_s = at_s + track.reordered_s
        passed.at_s = at_s
        if tap is not None:
            passed.packets.append((pos + tap.base, shown_s, shown_s + info.duration_s, at_s))
            return []
        self._passed_by += 1
        passed.packets.append((self._passed_by, shown_s, shown_s + info.duration_s, at_s))
        # libav marks packets of a transport stream behind a continuity error
        marked, seams = [Break(self._passed_by, track.pid)] if info.corrupt else [], self._seams
        if seams is not None:
            found = seams.picture(key=info.key) if track is self._video else []
            for one in marked:
                seams.marked(one)
            return dating.date(found) if found or (at_s >= dating.due_s and not seams.open) else []
        return dating.date(marked, last=bool(marked)) if marked or at_s >= dating.due_s else []

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
            aligning = container.format.name in RTP_SESSIONS
            self._timeline.anchor(first_pts_s, late_s=late_s if self._live else 0.0, aligning=aligning)
        self.info = describe(container, self._opener.url, video, audio, live=self._live, name=self._name)
        self._video = VideoTrack(video, self._timeline) if video is not None else None
        self._audio = AudioTrack(audio, self._timeline) if audio is not None else None
        self._portion()
        self._packets = self._demux()
        tracks = services_of_tracks(container)
        self._carried = Carried(tracks)
        self._form = Form(container, video, audio)
        if self._tap is not None:
            self._watch(self._tap)
        self.info.services = tuple(sorted(tracks | self._announced))
        self._checks = self._tap is not None or self.info.format in FLAGGED
        joined = self._tap is None and self.info.format == "hls" and self._video is not None
        self._seams = Seams() if joined else None
        for track in (self._video, self._audio):
            if track is not None and self._checks:
                track.passed = self._dating.track(track.pid)

    def _portion(self) -> None:
        """How much is taken at once: of a live input as much as `batch` says, and for no longer than it says."""
        video, batch = self.info.video, self._batch
        ahead = batch.pictures if self._live else (AHEAD if video is not None else 1)
        self._together = 1 if video is None else together(video.width * video.height)
        if self._live:
            self._together = min(self._together, ahead)
        self._enough_pictures = self._together if self._live else ahead
        self._enough_sounds = ahead * self._audio.batch if self._audio is not None else 1
        self._gather_s = batch.every_s if self._live and ahead > 1 else math.inf
        if self._tap is not None:
            self._tap.every_s = batch.every_s

    def _watch(self, tap: Tap) -> None:
        tap.advance(0)
        tap.opened()
        self.info.programs = tap.check.tables.programs or None
        pids = frozenset(track.pid for track in (self._video, self._audio) if track is not None)
        tap.watch(pids, wants_more=len(pids) < 2)

    @property
    def _streams(self) -> tuple[Any | None, Any | None]:
        """The chosen tracks of the open container: picture and sound."""
        return self._video and self._video.stream, self._audio and self._audio.stream

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
            if packet is None or tap is None or packet.pos is None:
                return packet
            pos = packet.pos + tap.base
            tap.advance(pos)
            if tap.turned is None or pos < tap.turned:
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
        out: list[Item] = [self._told()] if self._infos else []
        if audio is not None and self._sounds:
            self._take_sounds(audio, out)
        if self._video is not None and self._frames:
            out.append(self._picture(self._video))
            return out
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
        self.slot.give()  # opening waits for the network
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
        self.tape.turn(*self._streams)
        self.tier = tier

    def _broken(self, error: Exception, took_s: float) -> None:
        """The input broke off: what waits is given out before that is raised."""
        self._failed = reading_failed(self._opener.url, error, timeout_s=self._options.read_timeout_s, took_s=took_s)


def together(pixels: int) -> int:
    """How many pictures are decoded at a time, of a file, and at most of a live input.

    Python is faster when it runs several times in a row (360p25, four together: 50 of 1100 us a frame), but pictures
    that wait take memory.
    """
    return max(1, min(TOGETHER, TOGETHER_PIXELS // max(1, pixels)))


def _first_pts_s(video: Any | None, audio: Any | None) -> float | None:
    """Raw PTS that is 0 on the timeline of a file: that of the first picture, or of the first sound."""
    stream = video if video is not None else audio
    return None if stream is None or stream.start_time is None else stream.start_time * float(stream.time_base)
