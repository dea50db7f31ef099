"""Looks at the manifest of a live DASH input: whether it goes on, and whether what it names is there.

A manifest with a timeline lists what is there; one with numbers is computed from the clock, whatever the packager does.
So a segment that is due is asked for, too: its first bytes, of the best picture at each look, of the others in turn.
"""

import math
import time
from collections.abc import Callable
from urllib.parse import urljoin

from vqa_ray.core.reading import PlaylistState
from vqa_ray.errors import NotMedia, UnsupportedSource
from vqa_ray.media.dash import LATE_AT_MOST_S
from vqa_ray.media.live_watch import AT_LEAST_S, AT_MOST_S, MOST_RENDITIONS, LiveWatch
from vqa_ray.media.manifest import Representation, Segment, parse, representations
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.playlist_state import Advance

PROBED = 1  # byte of a segment: the least that can be asked for


class ManifestWatch(LiveWatch):
    """Follows the best picture, or the best sound where there is none."""

    most_bytes = 1 << 23

    def __init__(
        self,
        url: str,
        options: SourceOptions,
        *,
        now: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url, options, now=now)
        self._wall_s = wall_s
        self._follower = ManifestFollower()
        self._target_s = self._every_s = AT_LEAST_S
        self._turn = 0

    def _run(self) -> None:
        while not self._over.is_set() and not self._look():
            self._over.wait(min(AT_MOST_S, max(AT_LEAST_S, self._every_s)))

    def _look(self) -> bool:
        """Whether the input is live no more."""
        asked_s = self._now()
        data, missing = self._fetch(self._url)
        at_s = self._now()
        since_s = self._since(self._url, asked_s, at_s)
        if missing:
            self._states.append(PlaylistState(at_s, since_s, "", self._target_s, 0.0, 0, True, at_s - asked_s))
        if data is None:
            return False
        try:
            manifest = parse(data, self._wall_s())
            found = representations(data, self._wall_s())[:MOST_RENDITIONS]
        except (NotMedia, UnsupportedSource, ValueError):
            return False
        if not manifest.dynamic:
            return True
        if found:
            self._follow(found[0], since_s, at_s, at_s - asked_s)
            self._every_s = max(manifest.update_s, self._target_s)
            self._ask_another(found[1:])
        return False

    def _follow(self, played: Representation, since_s: float, at_s: float, took_s: float) -> None:
        """How far the best one goes; while its newest segment is not there, no further than before."""
        segments = played.segments
        self._target_s = max(AT_LEAST_S, *(segment.duration_s for segment in segments))
        there = self._there(segments)
        if there is None:
            return  # a server that does not answer is for signal_loss to tell
        advance = self._follower.step(segments if there else None, self._target_s, at_s)
        self._states.append(
            PlaylistState(at_s, since_s, "", self._target_s, advance.still_s, advance.skipped, False, took_s)
        )

    def _ask_another(self, others: list[Representation]) -> None:
        """Whether one of the other versions is there, a different one at each look."""
        if not others or self._over.is_set():
            return
        self._turn = (self._turn + 1) % len(others)
        other = others[self._turn]
        asked_s = self._now()
        there = self._there(other.segments)
        at_s = self._now()
        since_s = self._since(other.name, asked_s, at_s)
        if there is not None:
            self._states.append(
                PlaylistState(at_s, since_s, other.name, self._target_s, 0.0, 0, not there, at_s - asked_s)
            )

    def _there(self, segments: list[Segment]) -> bool | None:
        """Whether the newest segment that is due can be had, None if that cannot be told."""
        data, missing = self._fetch(urljoin(self._url, due(segments).url), PROBED)
        return None if data is None and not missing else data is not None


def due(segments: list[Segment]) -> Segment:
    """The newest segment that even a packager that is late by `LATE_AT_MOST_S` has written; else the oldest."""
    left_s = 0.0
    for segment in reversed(segments):
        if left_s >= LATE_AT_MOST_S:
            return segment
        left_s += segment.duration_s
    return segments[0]


class ManifestFollower:
    """Follows the segments of one representation over many looks."""

    def __init__(self) -> None:
        self._end_s: float | None = None  # of the newest segment, in the presentation
        self._newest = ""
        self._moved_s = self._looked_s = -math.inf

    def step(self, segments: list[Segment] | None, target_s: float, at_s: float) -> Advance:
        """Compare with the look before; None: what is listed is not there. A look that comes late says nothing of what
        was listed meanwhile."""
        looked_s, self._looked_s = self._looked_s, at_s
        if looked_s == -math.inf:
            self._moved_s = at_s
        if segments is None or segments[-1].url == self._newest:
            return Advance(at_s - self._moved_s, 0)
        first, last, before = segments[0], segments[-1], self._end_s
        self._newest, self._moved_s = last.url, at_s
        self._end_s = None if last.at_s is None else last.at_s + last.duration_s
        if before is None or self._end_s is None or first.at_s is None:
            return Advance(0.0, 0)
        if before - self._end_s > target_s / 2:
            return Advance(0.0, -max(1, round((before - self._end_s) / target_s)))
        late = at_s - looked_s > max(2.0, len(segments) - 1) * target_s
        skipped_s = first.at_s - before
        return Advance(0.0, 0 if late or skipped_s <= target_s / 2 else max(1, round(skipped_s / target_s)))
