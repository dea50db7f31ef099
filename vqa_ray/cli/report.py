"""What `vqa analyze` shows: JSON lines, a table with a progress bar (files), or lines as it happens (live)."""

import logging
import re
import sys
import time
from datetime import datetime
from pathlib import PurePath
from queue import SimpleQueue
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from vqa_ray.cli import show
from vqa_ray.cli.main import INTERRUPTED, OK, PROBLEMS
from vqa_ray.core.notice import Incident
from vqa_ray.core.urls import is_live, redact

DRAW_S = 0.1


def name_of(url: str) -> str:
    """A stream id made of a file's name, or of a URL's host and path."""
    if is_live(url):
        parts = urlsplit(url)
        text = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    else:
        text = PurePath(url.removeprefix("file:")).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:100].strip("-._") or "input"


def as_shown(incident: Incident) -> Incident | dict[str, object]:
    """The incident as JSON shows it: an offset of the sound as `offset_ms` too, positive when the sound comes late."""
    if incident.detector not in ("av_sync", "av_marker") or incident.part == "drift":
        return incident
    shown: dict[str, object] = msgspec.to_builtins(incident, builtin_types=(datetime,))
    return shown | {"offset_ms": round(incident.value, 1)}


class Report:
    """What is known of one analysis, and how it is shown; a context manager around it.

    Whatever ends the analysis (its end, Ctrl-C, an input that breaks off), what was found until then is shown.
    """

    def __init__(self, url: str) -> None:
        self.name = redact(url) if is_live(url) else PurePath(url).name
        self.incidents: dict[str, Incident] = {}
        self.position_s = 0.0
        self._interrupted = False
        self._began_s = time.monotonic()
        self._drawn_s = 0.0

    @property
    def exit_code(self) -> int:
        """0 nothing found, 1 something; 130 when a file was not read to its end for Ctrl-C."""
        return INTERRUPTED if self._interrupted else PROBLEMS if self.incidents else OK

    def found(self, incident: Incident) -> None:
        """An incident opened, or closed."""
        self.incidents[incident.incident_id] = incident
        self.show(incident)

    def progress(self, position_s: float, length_s: float | None) -> None:
        """How far it is; drawn a few times a second, though told each frame."""
        self.position_s = position_s
        now_s = time.monotonic()
        if now_s - self._drawn_s >= DRAW_S:
            self._drawn_s = now_s
            self.draw(position_s, length_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self.stop()
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        if kind is None or interrupted or self.incidents:
            self.finish(time.monotonic() - self._began_s, whole=kind is None)
        return interrupted

    def start(self) -> None:
        """Before the first frame."""

    def stop(self) -> None:
        """After the last frame, before `finish`."""

    def show(self, incident: Incident) -> None:
        """An incident opened or closed just now."""

    def draw(self, position_s: float, length_s: float | None) -> None:
        """The position changed."""

    def finish(self, spent_s: float, *, whole: bool) -> None:
        """Everything is known; `whole` says that it was not broken off."""


class JsonReport(Report):
    """One object a line and incident, when it is over; at the end those that still last, with `end_s` null."""

    def show(self, incident: Incident) -> None:
        """A line for an incident that is over."""
        if incident.end_s is not None:
            self._line(incident)

    def finish(self, spent_s: float, *, whole: bool) -> None:
        """Lines for those that still last."""
        for incident in self.incidents.values():
            if incident.end_s is None:
                self._line(incident)

    def _line(self, incident: Incident) -> None:
        click.echo(msgspec.json.encode(as_shown(incident)))
        sys.stdout.flush()


class FileReport(Report):
    """A bar on stderr while it reads, then a table on stdout and a summary on stderr."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._err = show.console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[words]}"),
            console=self._err,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._err.is_terminal,
        )
        self._task = self._bar.add_task(self.name, total=None, words="opening")

    def start(self) -> None:
        """Show the bar."""
        self._bar.start()

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def draw(self, position_s: float, length_s: float | None) -> None:
        """Move the bar."""
        speed = position_s / max(1e-3, time.monotonic() - self._began_s)
        found = show.counts(list(self.incidents.values()))
        words = f"{show.clock(position_s)[:-4]}  {speed:.1f}×  {found}"
        self._bar.update(self._task, completed=position_s, total=length_s, words=words)

    def finish(self, spent_s: float, *, whole: bool) -> None:
        """The table, and how long it took."""
        incidents = list(self.incidents.values())
        if incidents:
            show.console().print(show.incident_table(incidents, media_time=True, with_stream=False))
        self._interrupted = not whole
        speed = self.position_s / spent_s if spent_s > 0 else 0.0
        self._err.print(
            f"{'' if whole else 'broken off: '}{self.name}: {show.counts(incidents)} in {show.length(self.position_s)},"
            f" analysed in {show.length(spent_s)} ({speed:.1f}× real time)",
            style="dim",
        )


class _Above(logging.Handler):
    """Keeps what the pipeline logs until it can be printed above the live line, rather than through it."""

    def __init__(self, out: Console) -> None:
        super().__init__(logging.WARNING)
        self._out = out
        self._lines: SimpleQueue[str] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        """From the stream's thread."""
        self._lines.put(redact(record.getMessage()))

    def print_all(self) -> None:
        """A dim line for each. What comes just before an error that ends it all is that error, and stays unprinted."""
        while not self._lines.empty():
            self._out.print(Text(self._lines.get(), style="dim"))


class LiveReport(Report):
    """Lines as incidents begin and end, above a line that says what goes on; at the end a table."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._out = show.console()
        self._line = Progress(
            TextColumn("{task.description}"),
            console=self._out,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._out.is_terminal,
        )
        self._task = self._line.add_task(f"connecting to {self.name}")
        self._above = _Above(self._out)

    def start(self) -> None:
        """Show the line."""
        logging.getLogger("vqa_ray").addHandler(self._above)
        self._line.start()

    def stop(self) -> None:
        """Take the line away."""
        self._line.stop()
        logging.getLogger("vqa_ray").removeHandler(self._above)

    def show(self, incident: Incident) -> None:
        """A line for it."""
        self._out.print(show.incident_line(incident, with_stream=False))

    def draw(self, position_s: float, length_s: float | None) -> None:
        """Count the time."""
        self._above.print_all()
        limit = f" of {show.length(length_s)}" if length_s else ""
        found = show.counts(list(self.incidents.values()))
        words = f"{self.name}: watched for {show.length(position_s)}{limit}, {found}; Ctrl-C ends"
        self._line.update(self._task, description=words)

    def finish(self, spent_s: float, *, whole: bool) -> None:
        """The table of all."""
        incidents = list(self.incidents.values())
        if incidents:
            self._out.print()
            self._out.print(show.incident_table(incidents, media_time=False, with_stream=False))
        self._out.print(f"{self.name}: {show.counts(incidents)} in {show.length(spent_s)}", style="dim")
