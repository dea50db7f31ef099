"""How long streams are without an analyzer when something dies, on a real Ray of several raylets with live streams.

An analyzer is killed, a node (its raylet and all on it), and the supervisor, again and again; one node is frozen
instead, and woken when its streams are elsewhere. Counted is from the signal to the first picture of each lost stream
analysed by its next owner, as the owners themselves note it (`benchmarks.witness`); the last stream counts.
"""

import random
import time
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec
from rich.console import Console

from benchmarks.machines import SIX, Late, Machines, epochs, machines, victims
from benchmarks.measure import Figures, Target, console, percentile, table, verdict, write
from benchmarks.witness import longest_gap_s, overlap_s
from vqa_ray.cluster.messages import FleetStatus
from vqa_ray.media.synthetic import Fault, FaultKind
from vqa_ray.media.synthetic.source import Kind

ANALYZER = Target(3.0)
NODE = Target(8.0)
NONE = Target(0.0)
STOPPED_S = 3.0  # a stream that analyses nothing for so long has stopped; segments of HLS come a second apart
AFTER_S = 2.0  # how long after the supervisor's return streams are looked at
ASLEEP_S = 3.0  # a frozen node sleeps on for so long when all its streams are elsewhere
AWAKE_S = 4.0  # and is looked at for so long when it is awake
BLACK_S = 40.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    analyzers: int
    nodes: int  # the last of them frozen
    supervisors: int
    streams: Mapping[str, Kind]
    machines: int = 3


FULL = Plan(
    analyzers=20,
    nodes=21,
    supervisors=20,
    streams=SIX,
)
SHORT = Plan(
    analyzers=1, nodes=1, supervisors=1, streams={"http": Kind.HTTP, "hls": Kind.HLS, "rtmp": Kind.RTMP}, machines=2
)


class Found(msgspec.Struct):
    """What was measured. took_s: of each kill, until the last of its streams was analysed again."""

    analyzer_s: list[float] = []
    node_s: list[float] = []
    supervisor_s: list[float] = []  # until it answered again
    stopped: int = 0
    overlap_s: float = 0.0
    zombie_alerts: int = 0

    def figures(self) -> Figures:
        """The flat JSON."""
        return {
            "analyzer_p99_s": percentile(self.analyzer_s, 0.99),
            "node_p99_s": percentile(self.node_s, 0.99),
            "supervisor_streams_stopped": self.stopped,
            "overlap_s": self.overlap_s,
        }


@click.command("failover")
@click.option("--short", is_flag=True, help="One kill of each kind.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the pauses between kills.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, seed: int, path: Path | None) -> None:
    """Until every stream of what was killed is analysed again."""
    terminal = console()
    found = run(SHORT if short else FULL, random.Random(seed), terminal)
    write(terminal, found.figures(), path)
    if found.overlap_s or found.stopped or found.zombie_alerts:
        raise SystemExit(1)


def run(plan: Plan, rng: random.Random, console: Console) -> Found:
    """Measure, print, and give what was found."""
    found = Found()
    with (
        console.status("starting Ray, its nodes and the streams") as said,
        machines(plan.machines, plan.streams) as made,
    ):
        for title, count, kill in (
            ("supervisor", plan.supervisors, _supervisor),
            ("analyzer", plan.analyzers, _analyzer),
            ("node", plan.nodes - 1, _node),
            ("frozen node", 1, _frozen),
        ):
            for turn in range(count):
                said.update(f"{title} {turn + 1}/{count}")
                status = made.settled()
                time.sleep(rng.uniform(0.0, 1.0))  # anywhere between two beats
                kill(made, status, found, console)
        found.overlap_s = sum(overlap_s(made.marks(name)) for name in plan.streams)
    _show(plan, found, console)
    return found


def _analyzer(made: Machines, status: FleetStatus, found: Found, console: Console) -> None:
    victim = victims(status)[0]
    lost = epochs(status, victim.name)
    took = made.back(lost, made.kill_analyzer(victim))
    found.analyzer_s.append(max(took.values()))
    _say(console, f"{victim.name} killed", took)


def _node(made: Machines, status: FleetStatus, found: Found, console: Console) -> None:
    victim = victims(status)[0]
    lost = epochs(status, victim.name)
    took = made.back(lost, made.kill_node(victim, status))
    found.node_s.append(max(took.values()))
    _say(console, f"the node of {victim.name} killed", took)
    made.bury()
    made.add_node()


def _frozen(made: Machines, status: FleetStatus, found: Found, console: Console) -> None:
    """While it sleeps its streams turn black: what it finds in its buffers when it wakes must not be told by it."""
    victim = victims(status)[0]
    lost = epochs(status, victim.name)
    at_s, wake = made.freeze_node(victim, status)
    for name in lost:
        source = made.sources[name]
        source.schedule([Fault(FaultKind.BLACK, source.now_s + 0.2, BLACK_S)])
    try:
        took = made.back(lost, at_s)
        time.sleep(ASLEEP_S)
    finally:
        wake()
    found.node_s.append(max(took.values()))
    _say(console, f"the node of {victim.name} frozen", took)
    time.sleep(AWAKE_S)
    found.zombie_alerts += zombie_alerts(made)


def _supervisor(made: Machines, status: FleetStatus, found: Found, console: Console) -> None:
    before = {one.stream_id: one.epoch for one in status.streams}
    at_s = made.kill_supervisor(status)
    while made.status().supervisor_pid == status.supervisor_pid:
        if time.monotonic() - at_s > 60:
            raise Late("the supervisor did not come back")
        time.sleep(0.1)
    back_s = time.monotonic()
    made.settled()
    time.sleep(max(0.0, back_s + AFTER_S - time.monotonic()))
    until_s = time.monotonic()
    stopped = []
    for name, epoch in before.items():
        marks = made.marks(name, at_s)
        gap_s = longest_gap_s(marks, at_s, until_s)
        if gap_s > STOPPED_S or {mark.epoch for mark in marks} != {epoch}:
            stopped.append(f"{name} ({gap_s:.1f} s)")
    found.stopped += len(stopped)
    found.supervisor_s.append(back_s - at_s)
    console.print(
        f"supervisor killed, back after {back_s - at_s:.1f} s; stopped: {', '.join(stopped) or 'none'}", style="dim"
    )


def zombie_alerts(made: Machines) -> int:
    """Alerts that the channel got and the supervisor's journal knows nothing of: told by who had no right to."""
    vouched = {incident.incident_id for incident in made.fleet.incidents(limit=10_000)}
    return sum(alert.key.rpartition(":")[0] not in vouched for alert in made.receiver.alerts)


def _say(console: Console, what: str, took: Mapping[str, float]) -> None:
    each = ", ".join(f"{name} {seconds:.1f}" for name, seconds in sorted(took.items(), key=lambda one: one[1]))
    console.print(f"{what}: {each} s", style="dim")


def _show(plan: Plan, found: Found, console: Console) -> None:
    title = f"Until analysed again, s; {len(plan.streams)} live streams on {plan.machines} nodes"
    shown = table(title, "killed", "n", "p50", "p99", "min–max", "target (p99)")
    rows = {"analyzer": (found.analyzer_s, ANALYZER), "node (one frozen)": (found.node_s, NODE)}
    for name, (values, target) in rows.items():
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        between = f"{min(values):.2f}–{max(values):.2f}"
        shown.add_row(name, str(len(values)), f"{p50:.2f}", f"{p99:.2f}", between, verdict(p99, target))
    back = found.supervisor_s
    between = f"{min(back):.2f}–{max(back):.2f}"
    shown.add_row(
        "supervisor, itself",
        str(len(back)),
        f"{percentile(back, 0.5):.2f}",
        f"{percentile(back, 0.99):.2f}",
        between,
        "",
    )
    console.print(shown)
    console.print(f"streams that stopped while the supervisor was away: {found.stopped} {verdict(found.stopped, NONE)}")
    console.print(f"time with two owners at work on a stream: {found.overlap_s:.3f} s {verdict(found.overlap_s, NONE)}")
    console.print(f"alerts of the woken node: {found.zombie_alerts} {verdict(found.zombie_alerts, NONE)}\n")
