"""Where HLS goes from one segment to the next: continuity counters may begin anew there, and that is no fault.

A packager that writes each segment by itself starts its counters at 0, and an inserted advertisement comes with those
of another stream. RFC 8216 asks for continuous timestamps only, and players look at nothing else. libav reads the
segments as one transport stream and marks the packets on both sides. A segment begins with a key frame, so what is
marked around one counts for nothing; where packets are lost on the way to the packager, others are marked as well.
"""

from collections import deque

from vqa_ray.media.breaks import Break

BEFORE, AFTER = 3, 3  # pictures; libav's parsers show a mark up to two packets early, and sound is not cut with them


class Seams:
    """Keeps breaks back until it is clear whether they lie around a key frame."""

    def __init__(self) -> None:
        self._pictures = 0
        self._key = -AFTER - 1  # number of the last key frame
        self._kept: deque[tuple[int, Break]] = deque()  # with the number of the picture before

    @property
    def open(self) -> bool:
        """Whether anything is kept back."""
        return bool(self._kept)

    def picture(self, *, key: bool) -> list[Break]:
        """Another packet of the picture; the breaks that no key frame followed in time."""
        self._pictures += 1
        if key:
            self._key = self._pictures
            while self._kept and self._pictures - self._kept[-1][0] <= BEFORE:
                self._kept.pop()
        found = []
        while self._kept and self._pictures - self._kept[0][0] > BEFORE:
            found.append(self._kept.popleft()[1])
        return found

    def marked(self, found: Break) -> None:
        """A packet is marked; given after `picture` for one of the picture itself."""
        if self._pictures - self._key > AFTER:
            self._kept.append((self._pictures, found))
