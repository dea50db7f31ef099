"""What pts_gap and pts_jump share: packets of several tracks put on one line of time, in order."""

from vqa_ray.core.reading import Continuity, PacketInfo, Reading

REORDER_S = 0.5  # the tracks of a multiplex follow each other within this
STEP_S = 0.5  # one good reading speaks of this much
OTHER_BASE_S = 10.0  # PTS and decode time further apart than this belong to different time bases


class Presentation:
    """Turns decode times into presentation times, from the packets of one track alone.

    `at_s` of a video packet is its decode time; the picture is shown later, by the delay of reordering. The
    smallest distance of raw PTS and `at_s` is that of a picture which is not reordered. Across a jump or a wrap the
    delay is taken to be that of the last key frame.
    """

    def __init__(self) -> None:
        self.end_s: float | None = None  # end of the latest picture shown, None before the first packet
        self._offset_s: float | None = None
        self._key_delay_s = 0.0

    def place(self, packet: PacketInfo) -> float | None:
        """Presentation time of `packet` on the timeline, None without timestamps."""
        if packet.at_s is None:
            return None
        at_s = packet.at_s if packet.pts_s is None else packet.at_s + self._delay(packet, packet.pts_s - packet.at_s)
        self.end_s = max(at_s if self.end_s is None else self.end_s, at_s + packet.duration_s)
        return at_s

    def _delay(self, packet: PacketInfo, offset_s: float) -> float:
        before_s = offset_s if self._offset_s is None else self._offset_s
        if packet.continuity is Continuity.JUMP or abs(offset_s - before_s) > OTHER_BASE_S:
            self._offset_s = offset_s - self._key_delay_s
            return self._key_delay_s
        self._offset_s = min(before_s, offset_s)
        delay_s = offset_s - self._offset_s
        if packet.key:
            self._key_delay_s = delay_s
        return delay_s


class Told:
    """Readings of one detector in time order, without overlap: good ones late and in steps, bad ones at once."""

    def __init__(self) -> None:
        self._until_s: float | None = None

    def steady(self, at_s: float) -> list[Reading]:
        """One track is fine up to `at_s`; another may be behind it."""
        if self._until_s is None:
            self._until_s = at_s
        return self._good(at_s - REORDER_S) if at_s - self._until_s >= REORDER_S + STEP_S else []

    def fault(self, start_s: float, end_s: float, value: float) -> list[Reading]:
        """A fault from `start_s` to `end_s`: what was told of that span is left out, one told whole is dropped."""
        readings = self._good(start_s)
        start_s = start_s if self._until_s is None else self._until_s
        if end_s > start_s:
            readings.append(Reading(start_s, end_s, value, True))
            self._until_s = end_s
        return readings

    def _good(self, end_s: float) -> list[Reading]:
        start_s = self._until_s
        if start_s is None or end_s <= start_s:
            return []
        self._until_s = end_s
        return [Reading(start_s, end_s, 0.0, False)]
