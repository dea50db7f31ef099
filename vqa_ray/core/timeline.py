"""One line of time for a stream, over all its connections: raw timestamps in, seconds since the stream's origin out.

A 33-bit wrap is no event, a jump of the time base is taken out, a short gap is kept as the time that it is. Pure: the
shell says when a connection begins and hands in timestamps in the order in which packets leave the demuxer.
"""

import msgspec

from vqa_ray.core.reading import Continuity

GAP_AT_MOST_S = 10.0  # a longer step forward is another time base, not missing media
GAP_AT_LEAST_S = 0.3  # below, it is jitter or single lost frames in any stream
BACK_AT_LEAST_S = 0.1  # DTS and audio PTS never go back by more than rounding and overlap
REORDER_AT_MOST_S = 1.0  # PTS without DTS go back by the depth of reordering (16 frames at 16 fps)
MOST_REORDERED = 20  # frames by which a PTS may be ahead of the DTS: the most that codecs reorder, and some
NORMAL_STEPS = 5.0  # a gap is this many of the stream's own steps beyond the expected time
IRREGULAR_SHARE = 0.05  # above: variable frame rate or sparse sound, judged by its own longest pauses
CALM_SHARE = 0.001  # below: regular, and nothing more to learn of a step like the others
LEARN_STEPS = 5  # a new track's first steps tell what is normal and are no gaps yet
SAME_BASE_S = 60.0  # tracks of one connection further apart than this do not share a time base
ALIGNING_S = 12.0  # RTCP sender reports come each 5 s, give or take half of it (RFC 3550, 6.2); two were perhaps lost
ALIGN_AT_MOST_S = 2.0  # tracks of one session do not start further apart
SAME_SOURCE_S = 4.0  # two connections see the same moment at most this far apart: a GOP that is sent at once, buffers
JOIN_S = 1.0  # a track that jumps joins the base another one jumped to, if that puts it this near
TURNOVER = 128  # packets after a change of base during which frames of before may still leave the decoder
WRAPS_S = (2**33 / 90_000, 2**32 / 1_000)  # MPEG-TS; FLV and RTMP


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Where a packet belongs. gap_s: from the end of the one before it in its track, negative when it went back."""

    at_s: float | None
    continuity: Continuity
    gap_s: float


_UNTIMED = Placed(None, Continuity.STEADY, 0.0)


class _Track:
    """What is normal in one elementary stream, and where it stands."""

    __slots__ = (
        "aligned", "base", "bases", "by_dts", "calm", "duration_s", "first_s", "high_s", "irregular", "kind",
        "last_s", "limit_s", "longest_s", "low_s", "offset_s", "shown_s", "since_change", "steps", "typical_s",
    )  # fmt: skip

    def __init__(self, kind: str, ts_s: float, duration_s: float, by_dts: bool, base: int, offset_s: float) -> None:
        self.kind = kind
        self.first_s = ts_s
        self.aligned = False
        self.last_s = ts_s
        self.duration_s = duration_s
        self.by_dts = by_dts
        self.base = base
        self.offset_s = offset_s  # of that base
        self.bases = [base]  # that its frames may still belong to, oldest first
        self.since_change = 0
        self.shown_s: float | None = None  # time of the last decoded frame
        self.steps = 0
        self.typical_s = duration_s
        self.irregular = 0.0
        self.longest_s = 0.0
        self.limit_s = GAP_AT_LEAST_S
        self.calm = False  # regular for long: a step between these two teaches nothing
        self.low_s = 0.0
        self.high_s = 0.0

    def learn(self, step_s: float) -> None:
        """Take a step forward into what is normal."""
        self.steps += 1
        typical_s = self.typical_s
        if typical_s <= 0.0 or self.steps == 1:
            self.typical_s = typical_s = max(step_s, typical_s)
        odd = step_s > 1.6 * typical_s + 0.002
        self.irregular += ((1.0 if odd else 0.0) - self.irregular) * (1 / 64)
        regular = self.irregular < CALM_SHARE and self.steps >= LEARN_STEPS and len(self.bases) == 1
        self.calm = regular and (self.by_dts or self.kind == "audio")
        self.longest_s = max(self.longest_s * 0.998, step_s if odd else 0.0)
        self.typical_s = typical_s + (min(step_s, 4.0 * typical_s) - typical_s) * 0.1
        normal_s = NORMAL_STEPS * self.typical_s
        if self.irregular > IRREGULAR_SHARE:
            normal_s = max(normal_s, 2.0 * self.longest_s)
        self.limit_s = max(GAP_AT_LEAST_S, normal_s)
        self.low_s, self.high_s = 0.5 * self.typical_s, 1.5 * self.typical_s

    def turn(self, base: int, offset_s: float) -> None:
        """From here on packets are in another base."""
        self.base, self.offset_s, self.calm = base, offset_s, False
        self.bases.append(base)
        self.since_change = 0

    def settle(self) -> None:
        """One more packet since the last change: in the end no frame of before it can be left in the decoder."""
        self.since_change += 1
        if self.since_change > TURNOVER:
            self.bases = [self.base]


class Timeline:
    """The stream's time. at_s = raw seconds + the offset of the time base that the raw timestamp is in.

    origin_s: what `connect` is given is counted from here (0: from the stream's origin).
    """

    def __init__(self, origin_s: float = 0.0) -> None:
        self.origin_s = origin_s
        self._start_s = 0.0
        self._floor_s: float | None = None
        self._aligning = False
        self._expected_s: float | None = None
        self._offsets: list[float] = []  # of each base of this connection, in the order of their appearance
        self._tracks: dict[int, _Track] = {}
        self._kinds: dict[str, _Track] = {}

    @property
    def pts_minus_at_s(self) -> float | None:
        """What is added to a time on this line to get the container's own timestamp, None before the first packet."""
        return -self._offsets[-1] if self._offsets else None

    def connect(self, now_s: float, floor_s: float | None = None) -> None:
        """A new connection begins at `now_s`, seconds since the stream's origin; nothing is bridged from before.

        floor_s: nothing of it is placed before this, though it may have been made before: there, time has passed.
        """
        self._start_s = now_s - self.origin_s
        self._floor_s = floor_s
        self._expected_s = None
        self._offsets = []
        self._tracks = {}
        self._kinds = {}

    def expect(self, pts_minus_at_s: float) -> None:
        """What was added to times of the same source elsewhere: a connection whose timestamps go on goes on exactly.

        It is not believed where it is more than SAME_SOURCE_S off: many senders count anew for each client.
        """
        self._expected_s = pts_minus_at_s

    def anchor(self, pts_s: float | None, *, late_s: float = 0.0, aligning: bool = False) -> None:
        """What is at the beginning: raw `pts_s` (None: whatever comes first), `late_s` after `connect` was called.

        late_s is negative when it was live before that: segments that were listed already. aligning: an RTP session,
        whose tracks each count from their own first packet until a sender report puts them in step: no fault.
        """
        self._aligning = aligning
        self._start_s += late_s
        if self._floor_s is not None:
            self._start_s = max(self._start_s, self._floor_s)
        if pts_s is not None and not self._offsets:
            self._offsets.append(self._first_offset_s(pts_s))

    def place(self, track: int, kind: str, dts_s: float | None, pts_s: float | None, duration_s: float) -> Placed:
        """Place a packet of elementary stream `track` (kind "video" or "audio"); raw seconds, in demux order.

        at_s is the decode time (without DTS, and of sound: the presentation time).
        """
        known = self._tracks.get(track)
        if known is not None and known.calm:
            ts_s = dts_s if known.by_dts else pts_s
            if ts_s is not None and known.low_s <= (step_s := ts_s - known.last_s) <= known.high_s:
                gap_s = step_s - known.duration_s
                known.last_s = ts_s
                known.duration_s = duration_s or known.typical_s
                return Placed(ts_s + known.offset_s, Continuity.STEADY, gap_s)
        return self._place(track, known, kind, dts_s, pts_s, duration_s)

    def at(self, kind: str, pts_s: float) -> float:
        """The time of a decoded frame of this kind, by its raw PTS. That of a picture never goes back.

        Frames of before a jump that leave the decoder after it get the time they would have had without the jump. A
        picture whose PTS is damaged (it lies far ahead of the packets) gets the time at which it is due.
        """
        track = self._kinds.get(kind)
        if track is None:
            return pts_s + (self._offsets[-1] if self._offsets else 0.0)
        at_s = pts_s + track.offset_s if len(track.bases) == 1 else self._among(track, pts_s)
        if kind == "video":
            shown_s, here_s = track.shown_s, track.last_s + track.offset_s
            if at_s - here_s > REORDER_AT_MOST_S and at_s - here_s > MOST_REORDERED * track.typical_s:
                at_s = here_s if shown_s is None else shown_s + track.typical_s
            if shown_s is not None and at_s < shown_s:
                return shown_s
        track.shown_s = at_s
        return at_s

    def _place(
        self, number: int, known: _Track | None, kind: str, dts_s: float | None, pts_s: float | None, duration_s: float
    ) -> Placed:
        ts_s, by_dts = (dts_s, True) if dts_s is not None and kind != "audio" else (pts_s, False)
        if ts_s is None:
            ts_s, by_dts = dts_s, dts_s is not None
        if ts_s is None:
            if known is not None:
                known.last_s += known.duration_s
            return _UNTIMED
        if known is None:
            return self._first(number, kind, ts_s, pts_s, duration_s, by_dts)
        if len(known.bases) > 1:
            known.settle()
        return self._next(known, ts_s, by_dts, duration_s or known.typical_s)

    def _first(
        self, number: int, kind: str, ts_s: float, pts_s: float | None, duration_s: float, by_dts: bool
    ) -> Placed:
        if not self._offsets:
            self._offsets.append(self._first_offset_s(ts_s if pts_s is None else pts_s))
        elif self._tracks:
            other = next(iter(self._tracks.values()))
            here_s = other.last_s + other.offset_s
            if abs(ts_s + self._offsets[-1] - here_s) > SAME_BASE_S:
                self._offsets.append(here_s - ts_s)
        track = _Track(kind, ts_s, duration_s, by_dts, len(self._offsets) - 1, self._offsets[-1])
        self._tracks[number] = self._kinds[kind] = track
        return Placed(ts_s + track.offset_s, Continuity.FIRST, 0.0)

    def _first_offset_s(self, pts_s: float) -> float:
        offset_s = self._start_s - pts_s
        expected_s = None if self._aligning else self._expected_s  # each session of RTP counts anew
        if expected_s is not None and abs(expected_s + offset_s) <= SAME_SOURCE_S:
            return -expected_s
        return offset_s

    def _next(self, track: _Track, ts_s: float, by_dts: bool, duration_s: float) -> Placed:
        step_s = ts_s - track.last_s
        gap_s = step_s - track.duration_s
        if by_dts is not track.by_dts:  # DTS and PTS are not to be compared
            track.by_dts = by_dts
            continuity = Continuity.STEADY
        elif -self._back_s(track) <= gap_s <= track.limit_s:
            continuity = Continuity.STEADY
            if step_s > 0.0:
                track.learn(step_s)
        else:
            continuity, gap_s = self._broken(track, ts_s, gap_s)
        reordered = continuity is Continuity.STEADY and not by_dts and track.kind == "video"
        track.last_s = max(track.last_s, ts_s) if reordered else ts_s
        track.duration_s = duration_s
        return Placed(ts_s + track.offset_s, continuity, gap_s)

    @staticmethod
    def _back_s(track: _Track) -> float:
        if track.by_dts or track.kind == "audio":
            return max(BACK_AT_LEAST_S, 2.0 * track.duration_s)
        return max(REORDER_AT_MOST_S, 2.0 * track.duration_s)

    def _broken(self, track: _Track, ts_s: float, gap_s: float) -> tuple[Continuity, float]:
        """The step is not normal: a wrap, a gap or a jump."""
        turn_s = next((t for t in WRAPS_S for t in (t, -t) if abs(gap_s + t) <= SAME_BASE_S), 0.0)
        gap_s += turn_s
        limit_s = track.limit_s if track.steps >= LEARN_STEPS else GAP_AT_MOST_S
        steady = -self._back_s(track) <= gap_s <= limit_s
        if steady or 0.0 < gap_s <= GAP_AT_MOST_S:
            if turn_s:
                self._turn(track, track.offset_s + turn_s, JOIN_S)
            if gap_s > 0.0:
                track.learn(gap_s + track.duration_s)
            if not steady and not self._aligns(track, ts_s, gap_s):
                return Continuity.GAP, gap_s
            return (Continuity.WRAP if turn_s else Continuity.STEADY), gap_s
        expected_s = track.last_s + track.duration_s + track.offset_s
        aligns = self._aligns(track, ts_s, gap_s)
        self._turn(track, expected_s - ts_s, min(JOIN_S, abs(gap_s) / 2))
        return (Continuity.STEADY, 0.0) if aligns else (Continuity.JUMP, gap_s)

    def _aligns(self, track: _Track, ts_s: float, gap_s: float) -> bool:
        """Whether this is the step of a track that is put in step with the others, once, soon after the beginning."""
        soon = abs(ts_s - track.first_s) <= ALIGNING_S and abs(gap_s) <= ALIGN_AT_MOST_S
        if not self._aligning or track.aligned or not soon:
            return False
        track.aligned = True
        return True

    def _turn(self, track: _Track, offset_s: float, near_s: float) -> None:
        """Into the base that another track already turned to, if it fits; else into one with this offset."""
        for base in range(track.base + 1, len(self._offsets)):
            if abs(self._offsets[base] - offset_s) <= near_s:
                track.turn(base, self._offsets[base])
                return
        self._offsets.append(offset_s)
        track.turn(len(self._offsets) - 1, offset_s)

    def _among(self, track: _Track, pts_s: float) -> float:
        """While bases change: the time, of those that each base gives, that goes on best from the frame before."""
        times = [pts_s + self._offsets[base] for base in track.bases]
        if track.shown_s is None:
            return times[-1]
        due_s = track.shown_s + track.typical_s
        return min(times, key=lambda at_s: abs(at_s - due_s))
