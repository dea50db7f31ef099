"""Live streams with scripted faults, while analyzers, nodes and the supervisor are killed at random, for minutes.

Each stream turns black, freezes and falls silent in turn, each time for longer than a lost node may leave it alone; a
fault that nobody could see since nobody was looking would prove nothing. Every fault must be found and told, once, and
by who had the right to. Kills follow each other as soon as the fleet has its full strength again.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console

from benchmarks.failover import ANALYZER, NODE, NONE, zombie_alerts
from benchmarks.machines import SIX, Machines, epochs, machines, victims
from benchmarks.measure import Figures, console, table, verdict, write
from benchmarks.witness import overlap_s
from vqa_ray.cli.demo.match import BEHIND_S, CLASS_OF, EARLY_RTMP_S
from vqa_ray.core.notice import Incident
from vqa_ray.media.synthetic import Fault, FaultKind
from vqa_ray.media.synthetic.source import Kind

KINDS = (FaultKind.BLACK, FaultKind.FREEZE, FaultKind.SILENCE)
FAULT_S = 16.0  # a lost node leaves a stream alone for up to 8 s, and then a hold begins
QUIET_S = (8.0, 13.0)  # between two faults of a stream
PAUSE_S = (1.0, 6.0)  # between two kills, beyond what the fleet needs to have its full strength again
ASLEEP_S = (9.0, 16.0)  # how long a frozen node sleeps
TAIL_S = 30.0  # in which all that is open must be closed and told


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done. deck: what is killed; dealt in random order, again and again."""

    seconds: float
    streams: Mapping[str, Kind]
    machines: int
    deck: tuple[str, ...]


def full(minutes: float) -> Plan:
    """So many minutes, six streams."""
    return Plan(
        seconds=60.0 * minutes,
        machines=3,
        deck=("analyzer", "analyzer", "supervisor", "node", "frozen node"),
        streams=SIX,
    )


SHORT = Plan(
    seconds=32.0,
    machines=2,
    deck=("analyzer", "supervisor", "frozen node"),
    streams={"hls": Kind.HLS, "http": Kind.HTTP, "rtmp": Kind.RTMP},
)


class Scripted(msgspec.Struct, frozen=True):
    """A fault that must be found."""

    stream_id: str
    detector: str
    start_utc: datetime
    end_utc: datetime

    def explains(self, incident: Incident) -> bool:
        """Whether the incident is this fault: the same class, and begun while it lasted."""
        early, late = timedelta(seconds=EARLY_RTMP_S), timedelta(seconds=BEHIND_S)
        same = (incident.stream_id, incident.detector) == (self.stream_id, self.detector)
        return same and self.start_utc - early <= incident.start_utc <= self.end_utc + late


class Verdict(msgspec.Struct, frozen=True):
    """What became of the script. doubled: keys that came twice, and faults told under two ids."""

    lost: tuple[Scripted, ...]
    doubled: tuple[str, ...]
    others: tuple[Incident, ...]


class Kill(msgspec.Struct, frozen=True):
    """One kill. took_s: until the last of the streams was analysed again; None where none was lost."""

    what: str
    took_s: float | None


@click.command("chaos")
@click.option("--minutes", type=click.FloatRange(min=0.5), default=10.0, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the faults, the kills and the pauses.")
@click.option("--short", is_flag=True, help="About a minute, three kills.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(minutes: float, seed: int, short: bool, path: Path | None) -> None:
    """Random kills while live streams have scripted faults."""
    terminal = console()
    figures = run(SHORT if short else full(minutes), seed, terminal)
    write(terminal, figures, path)
    if figures["lost"] or figures["doubled"] or figures["zombie"]:
        raise SystemExit(1)


def run(plan: Plan, seed: int, console: Console) -> Figures:
    """Do it, print, and give the figures."""
    kills: list[Kill] = []
    with (
        console.status("starting Ray, its nodes and the streams") as said,
        machines(plan.machines, plan.streams) as made,
    ):
        made.settled()
        _schedule(made, plan.seconds, random.Random(seed))
        rng = random.Random(seed)
        until_s = time.monotonic() + plan.seconds
        for what in itertools.chain.from_iterable(rng.sample(plan.deck, len(plan.deck)) for _ in itertools.count()):
            if time.monotonic() > until_s - FAULT_S / 2:
                break
            time.sleep(rng.uniform(*PAUSE_S))
            said.update(f"{len(kills)} kills, {max(0.0, until_s - time.monotonic()):.0f} s to go")
            kills.append(_kill(made, what, rng))
            took = f": all analysed again after {kills[-1].took_s:.1f} s" if kills[-1].took_s is not None else ""
            console.print(f"{what} killed{took}", style="dim")
            made.settled()
        time.sleep(max(0.0, until_s - time.monotonic()))
        _wind_down(made)
        found = judge(_script(made), made.fleet.incidents(limit=10_000), [alert.key for alert in made.receiver.alerts])
        zombie = zombie_alerts(made)
        double_s = sum(overlap_s(made.marks(name)) for name in plan.streams)
        scripted = len(_script(made))
    _show(kills, found, scripted, zombie, double_s, console)
    return {"lost": len(found.lost), "doubled": len(found.doubled), "zombie": zombie, "kills": len(kills)}


def faults(seconds: float, rng: random.Random) -> list[Fault]:
    """One stream's script, from now on."""
    made: list[Fault] = []
    kinds = itertools.cycle(rng.sample(KINDS, len(KINDS)))
    at_s = rng.uniform(1.0, 6.0)
    while at_s + FAULT_S <= seconds:
        made.append(Fault(next(kinds), at_s, FAULT_S))
        at_s += FAULT_S + rng.uniform(*QUIET_S)
    return made


def judge(script: Sequence[Scripted], incidents: Iterable[Incident], keys: Sequence[str]) -> Verdict:
    """Scripted against found and told."""
    every = sorted(incidents, key=lambda one: one.start_utc)
    told = set(keys)
    lost, split = [], []
    for fault in script:
        opened = [one for one in every if fault.explains(one) and f"{one.incident_id}:opened" in told]
        if not opened:
            lost.append(fault)
        split += [f"{one.incident_id}:opened" for one in opened[1:]]
    twice = [key for key, count in Counter(keys).items() if count > 1]
    others = tuple(one for one in every if not any(fault.explains(one) for fault in script))
    return Verdict(tuple(lost), tuple(sorted({*twice, *split})), others)


def _schedule(made: Machines, seconds: float, rng: random.Random) -> None:
    for source in made.sources.values():
        now_s = source.now_s
        source.schedule([msgspec.structs.replace(f, start_s=f.start_s + now_s) for f in faults(seconds, rng)])


def _script(made: Machines) -> list[Scripted]:
    return [
        Scripted(name, CLASS_OF[fault.kind], fault.start_utc, fault.end_utc)
        for name, source in made.sources.items()
        for fault in source.script
    ]


def _kill(made: Machines, what: str, rng: random.Random) -> Kill:
    status = made.settled()
    if what == "supervisor":
        made.kill_supervisor(status)
        while made.status().supervisor_pid == status.supervisor_pid:
            time.sleep(0.1)
        return Kill(what, None)
    victim = rng.choice(victims(status))
    lost = epochs(status, victim.name)
    if what == "analyzer":
        return Kill(what, max(made.back(lost, made.kill_analyzer(victim)).values()))
    if what == "node":
        took = made.back(lost, made.kill_node(victim, status))
        made.bury()
        made.add_node()
        return Kill(what, max(took.values()))
    at_s, wake = made.freeze_node(victim, status)
    asleep_s = rng.uniform(*ASLEEP_S)
    try:
        took = made.back(lost, at_s)
        time.sleep(max(0.0, at_s + asleep_s - time.monotonic()))
    finally:
        wake()
    return Kill(what, max(took.values()))


def _wind_down(made: Machines) -> None:
    """Until what is open has ended and been told, for a while."""
    deadline_s = time.monotonic() + TAIL_S
    while (status := made.status()).open_incidents or status.undelivered:
        if time.monotonic() > deadline_s:
            return
        time.sleep(0.2)


def _show(kills: Sequence[Kill], found: Verdict, scripted: int, zombie: int, double_s: float, console: Console) -> None:
    shown = table("Kills", "killed", "n", "alone at most, s", "limit")
    for what in sorted({kill.what for kill in kills}):
        took = [kill.took_s for kill in kills if kill.what == what and kill.took_s is not None]
        limit = ANALYZER if what == "analyzer" else NODE
        figures = (f"{max(took):.2f}", verdict(max(took), limit)) if took else ("-", "")
        shown.add_row(what, str(sum(kill.what == what for kill in kills)), *figures)
    console.print(shown)
    console.print(f"scripted faults lost: {len(found.lost)} of {scripted} {verdict(len(found.lost), NONE)}")
    for fault in found.lost:
        console.print(
            f"  {fault.detector} of {fault.stream_id}, {fault.start_utc:%H:%M:%S} to {fault.end_utc:%H:%M:%S}"
        )
    console.print(f"told twice: {len(found.doubled)} {verdict(len(found.doubled), NONE)} {', '.join(found.doubled)}")
    console.print(f"alerts of who had no right to: {zombie} {verdict(zombie, NONE)}")
    console.print(f"time with two owners at work: {double_s:.3f} s {verdict(double_s, NONE)}")
    others = Counter(f"{one.detector} of {one.stream_id}" for one in found.others)
    if others:
        console.print(
            f"incidents that are not in the script: {', '.join(f'{n} × {name}' for name, n in others.items())}"
        )
