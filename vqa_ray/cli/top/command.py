"""`vqa top`: looks at the fleet each second, and at the keys all the time."""

import sys
import threading
from collections.abc import Sequence

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vqa_ray.cli import show
from vqa_ray.cli.fleet import address_option, connected
from vqa_ray.cli.top import keys
from vqa_ray.cli.top.view import SORTS, View, matching, pressed
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import AnalyzerStatus, FleetStatus
from vqa_ray.errors import ClusterError

LOOK_S = 1.0
KEYS_S = 0.2  # at most this long after a new status it is drawn
METERS = 8  # analyzers that are shown, those with most to do
METER = 24  # letters


@click.command()
@address_option
def top(address: str | None) -> None:
    """Show the streams of the running fleet live, worst first: a table that keys sort, filter and scroll."""
    out = show.console()
    if not (sys.stdin.isatty() and out.is_terminal):
        raise click.UsageError("top needs a terminal; `vqa status` prints the table once")
    with connected(address) as running, Looks(running) as looks:
        fd = sys.stdin.fileno()
        with keys.unbuffered(fd), Live(console=out, screen=True, auto_refresh=False) as live:
            watch(looks, out, live, fd)


class Looks:
    """Asks for the status each second, in a thread of its own: a supervisor that is away must not hold up keys."""

    def __init__(self, running: Fleet) -> None:
        self.status: FleetStatus | None = None
        self.trouble = ""
        self._running = running
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looks", daemon=True)

    def __enter__(self) -> "Looks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LOOK_S)  # an answer that does not come ends with the process

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.status, self.trouble = self._running.status(), ""
            except ClusterError as error:
                self.trouble = f"{error}; trying again"
            self._over.wait(LOOK_S)


def watch(looks: Looks, out: Console, live: Live, fd: int) -> None:
    """Draws until `q`, or until the terminal is gone."""
    view, drawn = View(), None
    while not view.over:
        status = looks.status
        size = out.size
        state = (view, status, looks.trouble, size)
        if state != drawn:
            live.update(page(status, view, looks.trouble, size.height), refresh=True)
            drawn = state
        try:
            taken = keys.read(fd, KEYS_S)
        except EOFError:
            return
        streams = matching(status.streams, view) if status else []
        for key in taken:
            view = pressed(view, key, rows=len(streams), room=room(status, size.height))


def room(status: FleetStatus | None, height: int) -> int:
    """How many streams fit below the heads."""
    meters = min(METERS, len(status.analyzers)) if status else 0
    return max(1, height - meters - 6)


def page(status: FleetStatus | None, view: View, trouble: str, height: int) -> RenderableType:
    """All of the screen."""
    if status is None:
        return Text(trouble or "asking the supervisor …")
    streams = matching(status.streams, view)
    fits = room(status, height)
    first = max(0, min(view.first, len(streams) - fits))
    table = show.stream_table(streams[first : first + fits], ordered=True)
    heads = [show.status_line(status), *map(meter, busiest(status.analyzers))]
    for head in heads:
        head.no_wrap, head.overflow = True, "ellipsis"
    return Group(
        *heads,
        Text(),
        table if streams else Text("no stream matches" if status.streams else "no streams", style="dim"),
        Text(),
        footer(view, first, min(first + fits, len(streams)), len(streams), trouble),
    )


def busiest(analyzers: Sequence[AnalyzerStatus]) -> list[AnalyzerStatus]:
    """The analyzers that have most to do."""
    return sorted(analyzers, key=lambda one: (-one.load, one.name))[:METERS]


def meter(one: AnalyzerStatus) -> Text:
    """What an analyzer has to do, as a bar whose whole length is a core."""
    filled = max(0, min(METER, round(one.load * METER)))
    style = "red" if one.load > one.capacity else "green"
    return Text.assemble(
        (f"{one.name:>14} [", "bold"),
        ("|" * filled, style),
        " " * (METER - filled),
        ("]", "bold"),
        f" {one.load:4.0%}  {show.many(one.streams, 'stream')}, {one.rss_bytes / 2**20:.0f} MiB",
    )


def footer(view: View, first: int, last: int, count: int, trouble: str) -> Text:
    """What the keys do, or the text that is being typed."""
    if trouble:
        return Text(trouble, style="yellow", no_wrap=True)
    if view.typing:
        return Text.assemble(("/", "bold"), view.text, ("█", "blink"), ("  Enter keeps it, Esc clears it", "dim"))
    where = f"{first + 1}-{last} of {count}" if count else "0"
    sorts = " ".join(f"{key} {sort.value}" for key, sort in SORTS.items())
    text = f", with “{view.text}” (Esc clears it)" if view.text else ""
    order = f"by {view.sort.value}{', backwards' if view.backwards else ''}"
    return Text(f"{where}, {order}{text}   sort: {sorts}   / filter   ↑↓ scroll   q quits", style="dim", no_wrap=True)
