"""What pts_gap and pts_jump share: packets of several tracks put on one line of time, in order."""

from collections import deque
from collections.abc import Iterable, Iterator

from vqa_ray.core.reading import Continuity, PacketInfo, Reading

REORDER_S = 0.5  # the tracks of a multiplex follow each other within this
STEP_S = 0.5  # one good reading speaks of this much
OTHER_BASE_S = 10.0  # PTS and decode time further apart than this belong to different time bases
PACKET_S = 0.1  # of sound, at most
ROUNDING_S = 0.001
RECENT = 64  # packets: more than any reordering


class Track:
    """The last packets of one track. They are only kept; what is to be known of them is asked when time breaks.

    `at_s` of a video packet is its decode time; the picture is shown later, by the delay of reordering. The
    smallest distance of raw PTS and `at_s` is that of a picture which is not reordered. In a new time base the delay
    is taken to be that of the last key frame before.
    """

    def __init__(self) -> None:
        self.recent: deque[PacketInfo] = deque(maxlen=RECENT)
        self.latest_s = 0.0  # decode time of the last packet
        self.highest_pts_s = -float("inf")  # end of the latest picture in the time base of the last packets

    def add(self, packet: PacketInfo, at_s: float) -> float:
        """Keep `packet`; how far behind the latest picture so far it is shown, in raw PTS."""
        self.recent.append(packet)
        self.latest_s = at_s
        if packet.pts_s is None:
            return 0.0
        ahead_s = packet.pts_s - self.highest_pts_s
        if ahead_s > -packet.duration_s or ahead_s < -OTHER_BASE_S:
            self.highest_pts_s = packet.pts_s + packet.duration_s
        return ahead_s

    def place(self, packet: PacketInfo) -> float:
        """Presentation time on the timeline of a packet that was just added."""
        return (packet.at_s or 0.0) + _delay_s(packet, self.recent)

    def end_before(self, packet: PacketInfo) -> float | None:
        """Where the pictures before `packet` end, in presentation time; None if there were none."""
        before = [p for p in self.recent if p is not packet and p.at_s is not None]
        return max((p.at_s + _delay_s(p, before) + p.duration_s for p in before if p.at_s is not None), default=None)


def placed(packets: Iterable[PacketInfo], tracks: dict[int, Track]) -> Iterator[tuple[PacketInfo, float, Track]]:
    """Each packet that has a time, with that and its track, which is made when it is new."""
    for packet in packets:
        at_s = packet.at_s
        if at_s is not None:
            track = tracks.get(packet.stream)
            if track is None:
                track = tracks[packet.stream] = Track()
            yield packet, at_s, track


def _delay_s(packet: PacketInfo, recent: Iterable[PacketInfo]) -> float:
    """From decode to presentation time of `packet`."""
    offset_s = _offset_s(packet)
    if offset_s is None:
        return 0.0
    offsets = [(other_s, p.key) for p in recent if p is not packet and (other_s := _offset_s(p)) is not None]
    same = [other_s for other_s, _ in offsets if abs(other_s - offset_s) <= OTHER_BASE_S]
    if packet.continuity is Continuity.JUMP or not same:
        return _key_delay_s(offsets)
    return max(0.0, offset_s - min(same))


def _key_delay_s(offsets: list[tuple[float, bool]]) -> float:
    """The delay of the last key frame, 0 if there is none."""
    key_s = next((offset_s for offset_s, key in reversed(offsets) if key), None)
    if key_s is None:
        return 0.0
    return key_s - min(offset_s for offset_s, _ in offsets if abs(offset_s - key_s) <= OTHER_BASE_S)


def _offset_s(packet: PacketInfo) -> float | None:
    return None if packet.at_s is None or packet.pts_s is None else packet.pts_s - packet.at_s


class Told:
    """Readings of one detector in time order, without overlap: good ones late and in steps, bad ones at once."""

    def __init__(self) -> None:
        self._until_s: float | None = None

    def due(self, at_s: float) -> bool:
        """Whether another good reading is due, were all fine up to `at_s`; cheap, asked for every packet."""
        return self._until_s is None or at_s - self._until_s >= REORDER_S + STEP_S

    def steady(self, at_s: float) -> list[Reading]:
        """One track is fine up to `at_s`; another may be behind it."""
        if self._until_s is None:
            self._until_s = at_s
        return self._good(at_s - REORDER_S) if at_s - self._until_s >= REORDER_S + STEP_S else []

    def fault(self, start_s: float, end_s: float, value: float) -> list[Reading]:
        """A fault from `start_s` to `end_s`: what was told of that span is left out, one told nearly whole is dropped.

        It is the same one in another track, whose packets end otherwise.
        """
        readings = self._good(start_s)
        told_s = start_s if self._until_s is None else self._until_s
        same, start_s = told_s > start_s, told_s
        if end_s - start_s > (PACKET_S if same else ROUNDING_S):
            readings.append(Reading(start_s, end_s, value, True))
            self._until_s = end_s
        return readings

    def _good(self, end_s: float) -> list[Reading]:
        start_s = self._until_s
        if start_s is None or end_s <= start_s:
            return []
        self._until_s = end_s
        return [Reading(start_s, end_s, 0.0, False)]
