"""What all benchmarks share: runs in child processes, taken in turns; medians of ratios; a table, and flat JSON.

The machine is never quiet, so nothing is compared with what was measured at another time: kinds of runs alternate,
each round forwards then backwards, and each run is compared with the reference of its own round.
"""

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
import msgspec
from rich.console import Console
from rich.table import Table

WIDTH = 120
ROOT = Path(__file__).resolve().parent.parent
Figures = dict[str, float | int | None]


class ChildFailed(click.ClickException):
    """A measured run ended with an error; its message is the run's last words."""


class Target(msgspec.Struct, frozen=True):
    """What a figure must be: at most, or at least, `value`."""

    value: float
    at_least: bool = False

    def met(self, figure: float | None) -> bool:
        """Whether `figure` keeps it."""
        return figure is not None and (figure >= self.value if self.at_least else figure <= self.value)

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.value:g}"


class Spread(msgspec.Struct, frozen=True):
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{min(self.values):.3g}–{max(self.values):.3g}, n={len(self.values)}"


def command(function: str, arguments: Mapping[str, Any]) -> list[str]:
    """The command line of a process that calls `function` ("module:name") and prints what it returns as JSON."""
    return [sys.executable, "-m", "benchmarks.child", function, json.dumps(arguments)]


def in_child(function: str, *, timeout_s: float = 600.0, **arguments: Any) -> Any:
    """What `function` returns in a process of its own; ChildFailed if it did not end well."""
    try:
        done = subprocess.run(
            command(function, arguments), cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"{function}: not done within {timeout_s:g} s") from None
    if done.returncode != 0:
        raise ChildFailed(f"{function}: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Child:
    """A long-running child: a line when it is ready, a line of results when its stdin is closed."""

    def __init__(self, function: str, **arguments: Any) -> None:
        self._process = subprocess.Popen(
            command(function, arguments), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready: Any = None

    def wait(self) -> Any:
        """What it says once it is ready."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailed(f"a child ended before it was ready, with exit code {self._process.wait()}")
        self.ready = json.loads(line)
        return self.ready

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def say(self, line: str) -> None:
        """Give it a line on its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def finish(self, timeout_s: float = 30.0) -> Any:
        """Tell it to end; what it returns."""
        out, _ = self._process.communicate(timeout=timeout_s)
        return json.loads(out.splitlines()[-1])

    def __enter__(self) -> Self:
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def cpu_s() -> float:
    """CPU seconds of this process so far: all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def in_turns(
    kinds: Mapping[str, Callable[[], float]], repeats: int, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Spread]:
    """Run each kind `repeats` times: A B C, C B A, A B C …; the values of each in the order of rounds."""
    values: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(repeats):
        for name in kinds if turn % 2 == 0 else reversed(list(kinds)):
            progress(f"{name} {turn + 1}/{repeats}")
            values[name].append(kinds[name]())
    return {name: Spread(tuple(found)) for name, found in values.items()}


def ratio(of: Spread, to: Spread) -> Spread:
    """Value by value, each to the reference of its own round."""
    return Spread(tuple(a / b for a, b in zip(of.values, to.values, strict=True)))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope through (x, y)."""
    xs, ys = zip(*points, strict=True)
    return statistics.linear_regression(xs, ys).slope


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(0, rank - 1)]


def console() -> Console:
    """The terminal, or as wide as our tables where it is none."""
    made = Console()
    return made if made.is_terminal else Console(width=WIDTH)


def table(title: str, *columns: str) -> Table:
    """An empty table; the first column is left-aligned, the others are figures."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", no_wrap=index == 0)
    return made


def verdict(figure: float | None, target: Target) -> str:
    """The target, and whether it is met."""
    return f"[{'green' if target.met(figure) else 'red'}]{target} {'met' if target.met(figure) else 'missed'}[/]"


def write(console: Console, figures: Figures, path: Path | None) -> None:
    """The figures as one flat JSON object, into `path` if it is given; they are printed in any case."""
    text = json.dumps({name: round(v, 4) if isinstance(v, float) else v for name, v in figures.items()}, indent=1)
    console.print_json(text)
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")
