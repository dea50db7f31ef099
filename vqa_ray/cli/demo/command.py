"""The command: sources, Ray, a watch of a minute with a kill in the middle, and the verdict."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group
from rich.text import Text

from vqa_ray.cli import show
from vqa_ray.cli.demo import screen as look
from vqa_ray.cli.demo.failover import LIMIT_S, Failover, streams_of, victim
from vqa_ray.cli.demo.match import Expected, Verdict, judge
from vqa_ray.cli.demo.receiver import Receiver
from vqa_ray.cli.demo.screen import Screen
from vqa_ray.cli.demo.script import KILL_AT_S, LEAST_S, LEAST_STREAMS, Part, cast, later
from vqa_ray.cli.main import INTERRUPTED, OK, PROBLEMS
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions, FleetStatus
from vqa_ray.config import FleetSpec, ReconnectChanges, StreamSpec
from vqa_ray.core.source import State
from vqa_ray.errors import ClusterError
from vqa_ray.media.synthetic.multicast import works as multicast_works
from vqa_ray.media.synthetic.source import SMALL, Kind, Source, serve
from vqa_ray.sinks.webhook import WebhookSpec

ANALYZERS = 2
LOOK_S = 0.25
UP_S = 60.0  # for all streams to be live; a loaded machine starts processes slowly
LEAD_S = 2.0  # from the moment when all is live to the first second of the script
RETRY_S = 2.0  # ceiling of the back-off: with jitter, doubling delays may look again 6 s after an outage of 6 s
TAIL_S = 12.0  # what is still open at the end of the watch may take this long to end and be told
SVG_WIDTH = 118


@click.command()
@click.option("--streams", type=click.IntRange(LEAST_STREAMS, 64), default=LEAST_STREAMS, show_default=True)
@click.option("--seconds", type=click.FloatRange(LEAST_S, 3600), default=LEAST_S, show_default=True)
@click.option("--no-kill", is_flag=True, help="Leave all analyzers alive.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Save a picture of the screen.")
def demo(streams: int, seconds: float, no_kill: bool, svg: Path | None) -> None:
    """Watch live streams with scripted faults, made on this machine, and compare what is found with the script.

    Starts a Ray of its own with two analyzers, and kills one of them in the middle. Exit code 0: every scripted fault
    was found on its stream, as what it is and at its time; nothing else was found; nothing was told twice.
    """
    out = show.console()
    try:
        fine = _demo(out, streams, seconds, not no_kill, svg)
    except KeyboardInterrupt:
        out.print("interrupted; everything that the demo started is stopped", style="dim")
        sys.exit(INTERRUPTED)
    sys.exit(OK if fine else PROBLEMS)


def _demo(out: Console, streams: int, seconds: float, kill: bool, svg: Path | None) -> bool:
    parts = _playable(cast(streams, seconds), out)
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        sources = {part.name: _source(stack, part) for part in parts}
        with out.status("starting Ray …") if out.is_terminal else contextlib.nullcontext():
            fleet = stack.enter_context(_own_fleet())
            for source in sources.values():
                source.wait()
        fleet.apply(_wanted(sources, receiver.url))
        out.print(f"{len(sources)} live streams, encoded on this machine in real time:", style="bold")
        for name, source in sources.items():
            out.print(f"  {name:<14} {source.url}")
        watch = Watch(fleet, receiver, out)
        with watch.screen:
            watch.until_live(len(sources))
            for part in parts:
                source = sources[part.name]
                source.schedule(later(part.faults, source.now_s + LEAD_S))
            watch.run(seconds + LEAD_S, kill_at_s=KILL_AT_S + LEAD_S if kill else None)
        incidents = fleet.incidents(limit=1000)
        verdict = judge(_expected(parts, sources), incidents, receiver.alerts)
    return _report(out, watch, verdict, len(receiver.alerts), svg)


def _playable(parts: tuple[Part, ...], out: Console) -> tuple[Part, ...]:
    """The parts, without multicast where the machine has none."""
    if multicast_works():
        return parts
    out.print(
        "multicast does not work on this machine's loopback: those streams are sent to one address", style="yellow"
    )
    return tuple(
        Part(part.name.replace(Kind.MULTICAST, Kind.UDP), Kind.UDP, part.faults)
        if part.kind is Kind.MULTICAST
        else part
        for part in parts
    )


def _source(stack: contextlib.ExitStack, part: Part) -> Source:
    source = serve(part.kind, programme=msgspec.structs.replace(SMALL, name=part.name))
    stack.callback(source.stop)
    return source


@contextlib.contextmanager
def _own_fleet() -> Iterator[Fleet]:
    """A fleet on a Ray that nobody else uses, with its files in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="vqa-"))
    elsewhere = os.environ.pop("RAY_ADDRESS", None)
    options = ClusterOptions(analyzers_min=ANALYZERS, analyzers_max=ANALYZERS)
    cores = max(ANALYZERS, os.cpu_count() or ANALYZERS)
    try:
        with Fleet.start(
            options=options, state_dir=folder / "state", cores=cores, temp_dir=str(folder / "r"), dashboard=False
        ) as fleet:
            yield fleet
    finally:
        if elsewhere is not None:
            os.environ["RAY_ADDRESS"] = elsewhere
        shutil.rmtree(folder, ignore_errors=True)


def _wanted(sources: dict[str, Source], webhook: str) -> FleetSpec:
    soon = ReconnectChanges(max_delay_s=RETRY_S)
    streams = tuple(StreamSpec(id=name, url=source.url, reconnect=soon) for name, source in sources.items())
    return FleetSpec(streams=streams, channels=(WebhookSpec(url=webhook),))


def _expected(parts: tuple[Part, ...], sources: dict[str, Source]) -> list[Expected]:
    return [
        Expected(part.name, part.kind, fault.kind, fault.start_utc, fault.end_utc)
        for part in parts
        for fault in sources[part.name].script
    ]


class Watch:
    """Looks at the fleet a few times a second and shows it; kills an analyzer when it is time."""

    def __init__(self, fleet: Fleet, receiver: Receiver, out: Console) -> None:
        self._fleet = fleet
        self._receiver = receiver
        self.screen = Screen(out)
        self.failover: Failover | None = None

    def until_live(self, streams: int) -> None:
        """Waits until every stream is live; ClusterError if that takes too long."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < UP_S:
            status = self._look("connecting")
            if sum(stream.state == State.LIVE for stream in status.streams) == streams:
                return
            time.sleep(LOOK_S)
        states = ", ".join(f"{s.stream_id} {s.state} {s.reason}" for s in status.streams if s.state != State.LIVE)
        raise ClusterError(f"not all streams came up within {UP_S:.0f} s: {states}")

    def run(self, seconds: float, *, kill_at_s: float | None) -> None:
        """The watch, and a little longer until everything that is open has ended and been told."""
        began_s = time.monotonic()
        while (elapsed_s := time.monotonic() - began_s) < seconds + TAIL_S:
            status = self._look(f"{elapsed_s:.0f} of {seconds:.0f} s")
            if kill_at_s is not None and elapsed_s >= kill_at_s and self.failover is None:
                self._kill(status)
            if elapsed_s >= seconds and status.open_incidents == 0 and status.undelivered == 0:
                return
            time.sleep(LOOK_S)

    def _look(self, words: str) -> FleetStatus:
        status = self._fleet.status()
        for incident in self._receiver.news():
            self.screen.say(show.incident_line(incident))
        if self.failover is not None and self.failover.look(status, time.monotonic()):
            self.screen.say(look.failover_line(self.failover.took_s, self.failover.streams, LIMIT_S))
        self.screen.show(status, words)
        return status

    def _kill(self, status: FleetStatus) -> None:
        chosen = victim(status)
        if chosen is None or chosen.pid is None:
            return
        streams = streams_of(status, chosen.name)
        self.failover = Failover(streams, time.monotonic())
        os.kill(chosen.pid, signal.SIGKILL)
        names = ", ".join(stream.stream_id for stream in streams)
        self.screen.say(Text(f"SIGKILL to {chosen.name} (process {chosen.pid}), which watches {names}", "bold magenta"))


def _report(out: Console, watch: Watch, verdict: Verdict, alerts: int, svg: Path | None) -> bool:
    failover = watch.failover
    fine = verdict.fine
    lines = look.verdict_lines(verdict, alerts)
    if failover is not None:
        lines.append(look.failover_line(failover.took_s, failover.streams, LIMIT_S))
        fine = fine and failover.took_s is not None and failover.took_s <= LIMIT_S
    page = Group(Text(), look.scripted_table(verdict.rows), Text(), *lines)
    out.print(page)
    if verdict.unexplained:
        out.print(show.incident_table(verdict.unexplained, media_time=False, with_stream=True))
    if svg is not None:
        _save(svg, Group(watch.screen.page, page))
        out.print(f"saved {svg}", style="dim")
    return fine


def _save(path: Path, page: Group) -> None:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        paper = Console(record=True, width=SVG_WIDTH, file=nowhere, force_terminal=True, color_system="truecolor")
        paper.print(page)
        paper.save_svg(str(path), title="vqa demo")
