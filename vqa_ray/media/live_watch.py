"""Looks at what describes a live segmented input, beside libav, which skips what is missing and tells nobody.

A thread of its own, since the one that reads waits for segments.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

import av.error

from vqa_ray.core.reading import PlaylistState
from vqa_ray.core.urls import resolve
from vqa_ray.media.dash import NetFile
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.schemes import libav_options

LIMIT_S = 2.0  # a request takes no longer, so that `stop` does not
AT_LEAST_S, AT_MOST_S = 1.0, 10.0  # between two looks
KEPT = 256  # states that nobody has taken yet
MOST_RENDITIONS = 32


class LiveWatch:
    """Started and stopped by one thread; `take` may be called from another."""

    most_bytes = 1 << 20  # of a description

    def __init__(self, url: str, options: SourceOptions, *, now: Callable[[], float] = time.monotonic) -> None:
        self._url = resolve(url)
        self._options = libav_options(self._url, options, live=True)
        self._now = now
        self._states: deque[PlaylistState] = deque(maxlen=KEPT)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="playlists", daemon=True)
        self._looked_s: dict[str, float] = {}

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> bool:
        """Look no more; returns within the time limit of a request, whether the thread has ended by then."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(2.0 * LIMIT_S)
        return not self._thread.is_alive()

    def take(self) -> list[PlaylistState]:
        """What was seen since the last call; times by the clock given."""
        out: list[PlaylistState] = []
        while self._states:
            out.append(self._states.popleft())
        return out

    def _run(self) -> None:
        """Until `_over` is set, or the input says that it has ended."""
        raise NotImplementedError

    def _since(self, key: str, asked_s: float, at_s: float) -> float:
        """When this was looked at before; at first, when it was asked for."""
        since_s = self._looked_s.get(key, asked_s)
        self._looked_s[key] = at_s
        return since_s

    def _fetch(self, url: str, most: int | None = None) -> tuple[bytes | None, bool]:
        """Its first bytes, None if it could not be had; and whether the server said that there is no such thing."""
        most = most or self.most_bytes
        deadline_s, data = self._now() + LIMIT_S, b""
        try:
            file = NetFile(url, self._options, LIMIT_S)
            try:
                while (part := file.read(1 << 15)) and len(data) < most and self._now() < deadline_s:
                    data += part
            finally:
                file.close()
        except (av.error.HTTPNotFoundError, av.error.HTTPForbiddenError):
            return None, True
        except (av.error.FFmpegError, OSError, ValueError):
            return None, False
        return data, False
