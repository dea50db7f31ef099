"""What is traced of one connection of a stream: from the call until the first frame."""

import time
from collections.abc import Callable

from vqa_ray.core import span
from vqa_ray.core.span import Attribute
from vqa_ray.core.urls import redact
from vqa_ray.media.source import SourceInfo
from vqa_ray.sinks import traces


class Trail:
    """Begins with the call; `over` once it has come to its end. name: of the connection's trace."""

    def __init__(self, stream_id: str, epoch: int, url: str, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._start_ns = now_ns()
        self._facts: dict[str, Attribute] = {"vqa.stream": stream_id, "vqa.epoch": epoch, "url.full": redact(url)}
        self.name = span.connection(stream_id, epoch, self._start_ns)
        self._opened = False
        self.over = False

    def opened(self, info: SourceInfo) -> None:
        """The source has answered."""
        self._opened = True
        self._facts["vqa.format"] = info.format
        if info.video is not None:
            self._facts |= {"vqa.codec": info.video.codec, "vqa.size": f"{info.video.width}x{info.video.height}"}
        traces.HERE.put(span.opened(self.name, self._start_ns, self._now_ns(), self._facts))

    def first_frame(self) -> None:
        """A picture or a block of sound has come."""
        self._end()

    def failed(self, why: str) -> None:
        """It broke off; later than the first frame that is the incidents' matter."""
        if self.over:
            return
        if not self._opened:
            traces.HERE.put(span.opened(self.name, self._start_ns, self._now_ns(), self._facts, error=why))
        self._end(why)

    def _end(self, error: str = "") -> None:
        self.over = True
        traces.HERE.put(span.connected(self.name, self._start_ns, self._now_ns(), self._facts, error=error))
