"""Channel `jsonl`: one CloudEvent a line, appended to a file or written to standard output."""

import os
import sys
import threading
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from vqa_ray.core.notice import Notice
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import ChannelSpec, Delivery, Outcome
from vqa_ray.sinks.event import cloud_event

STDOUT = "-"


class JsonLinesSpec(ChannelSpec, frozen=True, kw_only=True, tag="jsonl"):
    """Appends each notice to the file `path` as one line of JSON (a CloudEvent); `-` is standard output.

    The file is opened for each line, so it may be rotated at any time.
    """

    id: ClassVar[str] = "jsonl"

    path: Annotated[str, msgspec.Meta(min_length=1)] = STDOUT

    def build(self) -> "JsonLines | JsonLinesToStdout":
        """The channel; raises ConfigError when the file cannot be opened for writing."""
        if self.path == STDOUT:
            return JsonLinesToStdout(self.label, self.page_url)
        return JsonLines(self.label, Path(self.path), self.page_url)


class JsonLines:
    """Appends to one file."""

    resend_every_s: float | None = None

    def __init__(self, name: str, path: Path, page_url: str | None = None) -> None:
        self.name = name
        self._page_url = page_url
        self._path = path.expanduser()
        self._torn = False
        try:
            os.close(self._open())
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def send(self, notice: Notice, /) -> Delivery:
        """Appends one line by one write, so that lines of several processes do not mix."""
        line = (b"\n" if self._torn else b"") + cloud_event(notice, self._page_url) + b"\n"
        try:
            file = self._open()
            try:
                written = os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            return Delivery(Outcome.RETRY, f"{self._path}: {error.strerror}")
        self._torn = 0 < written < len(line)
        if written < len(line):
            return Delivery(Outcome.RETRY, f"{self._path}: {written} of {len(line)} bytes written, is the disk full?")
        return Delivery(Outcome.SENT)

    def close(self) -> None:
        """Nothing stays open between lines."""


class JsonLinesToStdout:
    """Writes to standard output."""

    resend_every_s: float | None = None
    _lock = threading.Lock()  # one for all: there is one standard output

    def __init__(self, name: str, page_url: str | None = None) -> None:
        self.name = name
        self._page_url = page_url

    def send(self, notice: Notice, /) -> Delivery:
        """Writes one line and flushes it."""
        try:
            with self._lock:
                sys.stdout.write(cloud_event(notice, self._page_url).decode() + "\n")
                sys.stdout.flush()
        except (OSError, ValueError) as error:  # closed by its reader, or by us
            return Delivery(Outcome.GIVE_UP, f"standard output: {getattr(error, 'strerror', None) or 'closed'}")
        return Delivery(Outcome.SENT)

    def close(self) -> None:
        """Standard output is not ours to close."""
