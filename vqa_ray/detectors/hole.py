"""A hole in the media: neither picture nor sound for a while, though the connection stands."""

import math
from collections.abc import Sequence

from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import ROUNDING_S, Continuity, PacketInfo, Reading
from vqa_ray.detectors.base import NOTHING
from vqa_ray.detectors.timestamps import REORDER_S, Told

SUSPECT = 0.5  # of the shortest hole: decode times of reordered pictures hide a part
STALL = 0.5  # of a hole: when its packet was waited for that long, the source stalled, which is told by itself
LATE_S = 2.0  # a picture that does not come within this after the hole does not date it


class MediaHole:
    """Packets of all tracks tell that there is a hole; the pictures around it, where it begins and ends."""

    def __init__(self, min_hole_s: float, part: str) -> None:
        self._min_hole_s = min_hole_s
        self._suspect_s = SUSPECT * min_hole_s
        self._part = part
        self._end_s: float | None = None  # of the latest packet, in decode time
        self._arrived_s = 0.0  # when it came
        self._waited = (0.0, -math.inf)  # for how long a packet was waited for, and where its media begins
        self._hole: tuple[float, float] | None = None  # in decode time, not told yet
        self._shown_s: float | None = None  # end of the last picture
        self._told = Told()

    def packets(self, packets: Sequence[PacketInfo]) -> Sequence[Reading]:
        """A hole is told from here only where no picture dates it."""
        out: Sequence[Reading] = NOTHING
        for packet in packets:
            at_s, end_s = packet.at_s, self._end_s
            if at_s is None:
                continue
            after_s = at_s + packet.duration_s
            if end_s is None:
                self._end_s = after_s
            else:
                waited_s = packet.arrived_s - self._arrived_s
                if at_s - end_s >= self._suspect_s and packet.continuity is not Continuity.JUMP:
                    # A demuxer gives out the last packet of before a stall with the first ones behind it.
                    before_s, since_s = self._waited
                    longest_s = max(waited_s, before_s) if end_s - since_s <= REORDER_S else waited_s
                    self._hole = (end_s, at_s) if longest_s < STALL * (at_s - end_s) else None
                if waited_s > self._waited[0] or at_s - self._waited[1] > REORDER_S:
                    self._waited = waited_s, at_s
                if after_s > end_s:
                    self._end_s = after_s
            self._arrived_s = packet.arrived_s
            if (self._shown_s is None or self._hole is not None) and (told := self._blind(at_s)):
                out = [*out, *told]
        return out

    def _blind(self, at_s: float) -> Sequence[Reading]:
        """What packets alone tell, where there is no picture to date it."""
        hole = self._hole
        if hole is not None:
            return self._tell(*hole) if self._shown_s is None or at_s > hole[1] + LATE_S else NOTHING
        return self._named(self._told.steady(at_s)) if self._told.due(at_s) else NOTHING

    def picture(self, picture: Picture) -> Sequence[Reading]:
        """Bad from the end of the last picture to this one, if packets were missing in between."""
        shown_s, at_s = self._shown_s, picture.at_s
        self._shown_s = picture.until_s
        if (hole := self._hole) is not None and shown_s is not None:
            start_s, end_s = max(shown_s, hole[0] - REORDER_S), min(at_s, hole[1] + REORDER_S)
            if end_s - start_s >= self._suspect_s:
                return self._tell(start_s, end_s)
        return self._named(self._told.steady(at_s)) if self._hole is None and self._told.due(at_s) else NOTHING

    def _tell(self, start_s: float, end_s: float) -> Sequence[Reading]:
        self._hole = None
        if end_s - start_s < self._min_hole_s - ROUNDING_S:
            return NOTHING
        return self._named(self._told.fault(start_s, end_s, end_s - start_s))

    def _named(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        return [Reading(r.at_s, r.until_s, r.value, r.bad, self._part) for r in readings]
