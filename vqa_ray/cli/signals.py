"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it started is stopped, what it found is shown."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Within it the first of these signals raises KeyboardInterrupt, and more of them do nothing.

    A command that was started with `nohup` goes on without its terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in ENDING}
    wanted = [one for one in ENDING if before[one] is not signal.SIG_IGN]

    def end(number: int, frame: FrameType | None) -> None:
        for one in wanted:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in wanted:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in wanted:
            signal.signal(one, before[one])
