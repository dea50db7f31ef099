"""Keys of a terminal as they are pressed, without Enter."""

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from vqa_ray.cli.top import view

CODES = {
    b"\x1b[A": view.UP,
    b"\x1b[B": view.DOWN,
    b"\x1bOA": view.UP,
    b"\x1bOB": view.DOWN,
    b"\x1b[5~": view.PAGE_UP,
    b"\x1b[6~": view.PAGE_DOWN,
    b"\x1b[H": view.HOME,
    b"\x1b[F": view.END,
    b"\x1b[1~": view.HOME,
    b"\x1b[4~": view.END,
    b"\r": view.ENTER,
    b"\n": view.ENTER,
    b"\x7f": view.ERASE,
    b"\x08": view.ERASE,
}
ENDS = {b"\x1b", *(code for code in CODES if len(code) == 1)}  # what ends a run of letters
LONGEST = 64  # bytes that are read at once


@contextmanager
def unbuffered(fd: int) -> Iterator[None]:
    """Within it keys come at once and are not echoed; Ctrl-C stays what it is."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def read(fd: int, within_s: float) -> list[str]:
    """The keys that were pressed, after a wait for the first of them; raises EOFError if the terminal is gone."""
    if not select.select([fd], [], [], within_s)[0]:
        return []
    try:
        data = os.read(fd, LONGEST)
    except OSError:
        data = b""
    if not data:
        raise EOFError("the terminal is gone")
    return parse(data)


def parse(data: bytes) -> list[str]:
    """Keys by name, others as their letter; sequences of keys that mean nothing here are left out."""
    keys: list[str] = []
    while data:
        code = next((code for code in CODES if data.startswith(code)), None)
        if code is not None:
            keys.append(CODES[code])
            data = data[len(code) :]
        elif data.startswith((b"\x1b[", b"\x1bO")):
            data = _after_sequence(data)
        elif data.startswith(b"\x1b"):
            keys.append(view.ESCAPE)
            data = data[1:]
        else:
            first = next((n for n, byte in enumerate(data) if bytes((byte,)) in ENDS), len(data))
            keys += data[:first].decode(errors="ignore")
            data = data[first:]
    return keys


def _after_sequence(data: bytes) -> bytes:
    """What follows an escape sequence: it ends with a byte from @ to ~."""
    return next((data[n + 1 :] for n in range(2, len(data)) if 0x40 <= data[n] <= 0x7E), b"")
