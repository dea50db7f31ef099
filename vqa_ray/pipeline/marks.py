"""Which stream a thread works on, for whoever writes its log."""

import threading
from collections.abc import Callable

Marks = dict[str, str | int]

_here = threading.local()


def mark(ask: Callable[[], tuple[str, int]]) -> None:
    """From now on this thread works on the stream, in the epoch, that `ask` gives."""
    _here.ask = ask


def marks() -> Marks:
    """`stream` and `epoch` of this thread; nothing if it works on no one stream."""
    ask: Callable[[], tuple[str, int]] | None = getattr(_here, "ask", None)
    if ask is None:
        return {}
    stream_id, epoch = ask()
    return about(stream_id, epoch)


def about(stream_id: str, epoch: int) -> Marks:
    """The same, for what another thread logs of a stream: `log.info(..., extra=about(...))`."""
    return {"stream": stream_id, "epoch": epoch}
