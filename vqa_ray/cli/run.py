"""`vqa run`: watch a fleet on Ray, with a live table in a terminal and plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.cli.fleet import address_option
from vqa_ray.cli.main import OK, PROBLEMS
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions, FleetStatus
from vqa_ray.core.notice import Incident
from vqa_ray.errors import ClusterError, ConfigError

LOOK_S = 1.0
ENDED = "ended"
LATEST = 200  # incidents asked for at each look


def analyzers(_: click.Context, __: click.Parameter, text: str | None) -> ClusterOptions | None:
    """`2:40` as options of a supervisor."""
    if text is None:
        return None
    least, colon, most = text.partition(":")
    if not (colon and least.isdigit() and most.isdigit() and int(least) <= int(most) and int(most) > 0):
        raise click.BadParameter("give two numbers, as in 2:40")
    return ClusterOptions(analyzers_min=int(least), analyzers_max=int(most))


@click.command()
@click.argument("fleet", type=click.Path(dir_okay=False))
@address_option
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="End the watch after S seconds.",
)
@click.option(
    "--analyzers",
    callback=analyzers,
    metavar="MIN:MAX",
    help="How many analyzers there are at least and at most, whatever the file says; one asks Ray for a core and 1 GiB."
    "  [default: the file's `cluster`, or 1 to as many as there are cores]",
)
@click.option(
    "--follow",
    metavar="CONFIGMAP",
    help="In Kubernetes: then watch that ConfigMap of this namespace, and apply its `fleet.yaml` at each change.",
)
@click.option(
    "--web",
    "web_port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve the operator's page at that port of 127.0.0.1, by an actor on Ray's head (0: any that is free); "
    "`vqa web` does it for others.",
)
@click.option("--web-host", default="127.0.0.1", show_default=True, help="Address to listen at, on Ray's head.")
@click.option(
    "--web-tokens",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File on the head, as of `vqa web --tokens`.  [default: a new operator token, printed]",
)
@click.option("--detach", is_flag=True, help="Start the fleet on the cluster of --address and come back at once.")
def run(
    fleet: str,
    address: str | None,
    duration_s: float | None,
    analyzers: ClusterOptions | None,
    follow: str | None,
    web_port: int | None,
    web_host: str,
    web_tokens: Path | None,
    detach: bool,
) -> None:
    """Watch a fleet on Ray and show it live, until Ctrl-C or until all its files are read.

    Without --address a Ray of its own starts on this machine, and ends with this command. On a cluster the fleet goes
    on; `vqa stop` ends it. Exit code 1 if there were incidents.
    """
    if detach and not address:
        raise click.UsageError(
            "--detach needs a Ray that outlives this command: `ray start --head`, then --address auto (or RAY_ADDRESS)"
        )
    spec = config.load_fleet(fleet)
    if analyzers is not None:
        least, most = analyzers.analyzers_min, analyzers.analyzers_max
        cluster = msgspec.structs.replace(spec.cluster, analyzers_min=least, analyzers_max=most)
        spec = msgspec.structs.replace(spec, cluster=cluster)
    out = show.console()
    with busy(out, "starting on Ray …"):
        running = Fleet.start(address=address, options=analyzers)
    watch = None
    try:
        out.print(f"{fleet}: {show.applied(running.apply(spec))}", style="dim")
        if follow:
            running.follow(follow)
            out.print(f"ConfigMap {follow} is followed", style="dim")
        if web_port is not None:
            out.print(page(running, web_port, web_host, web_tokens), soft_wrap=True)
        if not detach:
            watch = Watch(running, out)
            watch.until(duration_s)
    except KeyboardInterrupt:
        pass
    finally:
        if watch:
            with suppress(OSError):  # the terminal may be gone (SIGHUP)
                out.print(f"{fleet}: {show.counts(list(watch.incidents.values()))}", style="dim")
        leave(running, out)
    sys.exit(PROBLEMS if watch and watch.incidents else OK)


def page(running: Fleet, port: int, host: str, tokens: Path | None) -> str:
    """Where the page is, or why it is not served: the fleet is watched all the same."""
    from vqa_ray.cli.web import serve  # only who wants the page pays for it

    try:
        return serve(running, port, host, tokens)
    except (ConfigError, ClusterError) as error:
        return f"the page is not served: {error}"


def leave(running: Fleet, out: Console) -> None:
    """End the fleet with the Ray that was started for it; on a cluster leave it, and say how to come back."""
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(busy(out, "stopping …" if running.owned else "leaving …"))
        if running.owned:
            running.stop()
        else:
            running.leave()
    words = "stopped" if running.owned else "the fleet goes on: `vqa status` shows it, `vqa stop` ends it"
    out.print(words, style="dim")


def busy(out: Console, words: str) -> AbstractContextManager[object]:
    """Says in a terminal what one is waiting for."""
    return out.status(words) if out.is_terminal else nullcontext()


class Watch:
    """Looks at the fleet once a second: tells of each incident as it begins and ends, and draws the table."""

    def __init__(self, running: Fleet, out: Console, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.incidents: dict[str, Incident] = {}
        self._running = running
        self._out = out
        self._sleep = sleep
        self._states: dict[str, str] = {}
        self._away = False
        self._before = frozenset(one.incident_id for one in running.incidents(limit=LATEST) if not one.open)

    def until(self, duration_s: float | None) -> None:
        """Look until the time is over, all files are read, or Ctrl-C."""
        began_s = time.monotonic()
        table = Live(console=self._out, transient=True, auto_refresh=False)
        with table if self._out.is_terminal else nullcontext() as live:
            while duration_s is None or time.monotonic() - began_s < duration_s:
                if self.look(live, time.monotonic() - began_s):
                    return
                self._sleep(LOOK_S)

    def look(self, live: Live | None, elapsed_s: float) -> bool:
        """One look; whether all is over. A supervisor that is away for a while (it restarts) does not end the watch."""
        try:
            status, latest = self._running.status(), self._running.incidents(limit=LATEST)
        except ClusterError as error:
            if not self._away:
                self._out.print(f"{error}; trying again", style="yellow")
            self._away = True
            return False
        self._away = False
        self.tell(latest)
        if live is not None:
            live.update(self.page(status, elapsed_s), refresh=True)
        else:
            self._tell_states(status)
        return bool(status.streams) and all(stream.state == ENDED for stream in status.streams)

    def tell(self, latest: list[Incident]) -> None:
        """A line for each that began, grew worse or ended since the look before."""
        for incident in sorted(latest, key=lambda one: one.end_utc or one.start_utc):
            known = self.incidents.get(incident.incident_id)
            same = known is not None and (known.open, known.severity) == (incident.open, incident.severity)
            if incident.incident_id in self._before or same:
                continue
            if known is None and not incident.open:
                self._out.print(show.incident_line(began(incident)))
            self.incidents[incident.incident_id] = incident
            self._out.print(show.incident_line(incident))

    def page(self, status: FleetStatus, elapsed_s: float) -> RenderableType:
        """What a terminal shows: the fleet in a line, then as many streams as fit."""
        rows = max(3, self._out.height - 6)
        footer = Text(f"watching for {show.length(elapsed_s)}; Ctrl-C ends", style="dim")
        return Group(Text(), show.status_line(status), show.stream_table(status.streams, rows=rows), footer)

    def _tell_states(self, status: FleetStatus) -> None:
        for stream in status.streams:
            if self._states.get(stream.stream_id) != stream.state:
                self._states[stream.stream_id] = stream.state
                self._out.print(show.state_line(stream))


def began(incident: Incident) -> Incident:
    """The incident as it was when it began."""
    return msgspec.structs.replace(incident, end_s=None, end_utc=None, severity_before=None)
