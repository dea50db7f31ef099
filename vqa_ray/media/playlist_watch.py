"""Looks at the playlists of a live HLS input.

One request a target duration for the playlist that is played, and one for the others in turn: about what a further
player costs the origin.
"""

import time
from collections.abc import Callable

from vqa_ray.core.reading import PlaylistState
from vqa_ray.media.live_watch import AT_LEAST_S, AT_MOST_S, MOST_RENDITIONS, LiveWatch
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.playlist_state import Follower, Listed, Rendition, listed, renditions


class PlaylistWatch(LiveWatch):
    """Follows the playlist that is played."""

    def __init__(self, url: str, options: SourceOptions, *, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url, options, now=now)
        self._followers: dict[str, Follower] = {}
        self._target_s = AT_LEAST_S

    def _run(self) -> None:
        found: list[Rendition] = []
        turn = 0
        while not self._over.is_set():
            if not found:
                data, _ = self._fetch(self._url)
                if data is not None:
                    found = renditions(_text(data), self._url)[:MOST_RENDITIONS] or [Rendition("", self._url)]
            if found and self._look(found[0], main=True):
                return
            if len(found) > 1 and not self._over.is_set():
                turn = turn % (len(found) - 1) + 1
                self._look(found[turn], main=False)
            self._over.wait(min(AT_MOST_S, max(AT_LEAST_S, self._target_s)))

    def _look(self, rendition: Rendition, *, main: bool) -> bool:
        """Whether it says that it has ended."""
        name = "" if main else rendition.name
        asked_s = self._now()
        data, missing = self._fetch(rendition.url)
        at_s = self._now()
        since_s = self._since(rendition.url, asked_s, at_s)
        now = listed(_text(data)) if data is not None else None
        if now is None:
            if missing:
                self._states.append(PlaylistState(at_s, since_s, name, self._target_s, 0.0, 0, True, at_s - asked_s))
            return False  # a server that does not answer is for signal_loss to tell
        self._tell(rendition, name, now, since_s, at_s, at_s - asked_s)
        if main:
            self._target_s = now.target_s
        return now.ended and main

    def _tell(self, rendition: Rendition, name: str, now: Listed, since_s: float, at_s: float, took_s: float) -> None:
        if not now.ended:
            advance = self._followers.setdefault(rendition.url, Follower()).step(now, at_s)
            still_s, skipped = advance.still_s, advance.skipped
            self._states.append(PlaylistState(at_s, since_s, name, now.target_s, still_s, skipped, False, took_s))


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
