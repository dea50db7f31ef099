"""How far one supervisor goes: planning for thousands of streams, and the beats of hundreds of analyzers.

Planning is the supervisor's own roster and plan with simulated analyzers, each action carried out at once: a steady
second, the loss of a node, all streams from nothing, machines added. Times are CPU time of the one thread that plans,
which is what a clock shows where nobody else wants the core. A beat's cost is taken from real actors on a
private Ray, with all that Ray does for a call in the supervisor's process, and multiplied.
"""

import math
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console

from benchmarks.measure import Figures, Target, console, in_child, table, verdict, write
from benchmarks.scale.simulated import Simulated
from vqa_ray.cluster import metrics, status
from vqa_ray.cluster.messages import FleetStatus
from vqa_ray.cluster.tally import Tally
from vqa_ray.core.exposure import Exposure, MetricsOptions
from vqa_ray.core.reconcile import Assign

STREAMS, ANALYZERS = 10_000, 500
A_ANALYZER = STREAMS // ANALYZERS  # streams
MORE = 0.10  # of the machines are added
MOST_ROUNDS = 400

TICK_MS = Target(50)
NODE_LOSS_MS = Target(100)
FROM_EMPTY_MS = Target(2000)
BALANCE = Target(1.10)
MOVES = Target(0.12)
CORES = Target(1.0)
GROWTH = Target(2.0)  # times as much a stream as n log n would take, from the smallest fleet to the largest


class Plan(msgspec.Struct, frozen=True):
    """How much is done."""

    sizes: tuple[int, ...]  # fleets in streams
    repeats: int
    beats_s: float


FULL = Plan(sizes=(1_000, 3_000, 10_000, 30_000, 100_000), repeats=15, beats_s=20.0)
SHORT = Plan(sizes=(1_000, 10_000, 100_000), repeats=5, beats_s=5.0)


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Of one fleet: milliseconds, and how even the loads are."""

    streams: int
    from_empty_ms: float
    tick_ms: float
    node_loss_ms: float
    lost: int
    balance: float


@click.command("scale")
@click.option("--short", is_flag=True, help="Three sizes of fleets, and beats for five seconds.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, path: Path | None) -> None:
    """Planning for thousands of streams, and the beats of hundreds of analyzers."""
    terminal = console()
    write(terminal, run(SHORT if short else FULL, terminal), path)


def run(plan: Plan, console: Console) -> Figures:
    """Measure, print, and give the figures."""
    times = []
    for streams in plan.sizes:
        with console.status(f"{streams:,} streams on {streams // A_ANALYZER:,} analyzers"):
            times.append(measure(Simulated(streams, streams // A_ANALYZER), plan.repeats))
    with console.status(f"{MORE:.0%} more machines"):
        moves_share, balance = grow(STREAMS, ANALYZERS)
        status_ms, gauges = telling(STREAMS, ANALYZERS)
    with console.status("beats of real analyzers on a private Ray"):
        beats = in_child("benchmarks.scale.beats:measure", seconds=plan.beats_s)
    asked = next(one for one in times if one.streams == STREAMS)
    telling_s = (status_ms / 1000 + gauges * beats["gauge_cpu_s"]) / metrics.EVERY_S
    cores = ANALYZERS * beats["beat_cpu_s"] + asked.tick_ms / 1000 + telling_s
    made: Figures = {
        "tick_ms": asked.tick_ms,
        "node_loss_ms": asked.node_loss_ms,
        "from_empty_ms": asked.from_empty_ms,
        "balance_max_over_mean": max(asked.balance, balance),
        "moves_share": moves_share,
        "supervisor_cpu_cores": cores,
    }
    _show(made, times, console)
    console.print(
        f"one beat of {beats['beat_bytes'] / 1000:.1f} kB took the supervisor {1000 * beats['beat_cpu_s']:.2f} ms "
        f"({beats['beats']:.0f} beats); {ANALYZERS} analyzers: {ANALYZERS * beats['beat_bytes'] / 1e6:.1f} MB/s and "
        f"{ANALYZERS * beats['beat_cpu_s']:.2f} cores, the plan {asked.tick_ms / 1000:.2f}, "
        f"{gauges} gauges each {metrics.EVERY_S:g} s {telling_s:.2f}"
    )
    return made


def measure(fleet: Simulated, repeats: int) -> Times:
    """All streams from nothing, steady seconds, and the loss of a node."""
    placed = []
    for _ in range(3):
        actions, took_s = fleet.tick()
        placed.append(took_s)
    assigned = sum(isinstance(action, Assign) for action in actions)
    if assigned != len(fleet.share):
        raise click.ClickException(f"{assigned} of {len(fleet.share)} streams were placed")
    fleet.carry_out(actions)
    steady = []
    for _ in range(repeats):
        fleet.beat()
        actions, took_s = fleet.tick()
        steady.append(took_s)
        fleet.carry_out(actions)
    loads = fleet.loads()
    lost, actions, lost_s = fleet.lose_node(repeats)
    if {action.stream_id for action in actions if isinstance(action, Assign)} != set(lost):
        raise click.ClickException("not all streams of a lost node were placed in one plan")
    return Times(
        streams=len(fleet.share),
        from_empty_ms=1000 * statistics.median(placed),
        tick_ms=1000 * statistics.median(steady),
        node_loss_ms=1000 * lost_s,
        lost=len(lost),
        balance=max(loads) / statistics.mean(loads),
    )


def grow(streams: int, analyzers: int) -> tuple[float, float]:
    """Machines are added to a fleet at rest: the share of streams that move, and how even the loads are then."""
    fleet = Simulated(streams, analyzers)
    fleet.carry_out(fleet.tick()[0])
    fleet.beat()
    fleet.settle()
    fleet.add(int(MORE * analyzers))
    fleet.moved = 0
    quiet = 0
    for _ in range(MOST_ROUNDS):
        fleet.beat()
        actions, _ = fleet.tick()
        fleet.carry_out(actions)
        quiet = 0 if actions else quiet + 1
        if quiet == 3:
            break
    loads = fleet.loads()
    return fleet.moved / streams, max(loads) / statistics.mean(loads)


def telling(streams: int, analyzers: int) -> tuple[float, int]:
    """Milliseconds to make the status of a fleet and its gauges, without setting them; how many gauges that are."""
    fleet = Simulated(streams, analyzers)
    fleet.carry_out(fleet.tick()[0])
    fleet.beat()
    times, gauges = [], 0
    for _ in range(3):
        began_s = time.thread_time()
        whole = FleetStatus(
            streams=status.stream_statuses(fleet.roster),
            analyzers=status.analyzer_statuses(fleet.roster),
            waiting=status.waiting(fleet.roster),
            open_incidents=0,
            undelivered=0,
            dropped_stale=0,
            tick_failures=0,
            started_utc=datetime.now(UTC),
            supervisor_pid=0,
        )
        tally, options = Tally(), MetricsOptions()
        tally.look(whole.streams, whole.analyzers, 0.0)
        view = metrics.View(
            status=whole,
            channels={},
            tally=tally,
            losses=fleet.roster.losses,
            lasting=(),
            options=options,
            shown=Exposure().choose(metrics.plights(whole), options.streams, 0.0),
        )
        gauges = len(list(metrics.gauges(view)))
        times.append(time.thread_time() - began_s)
    return 1000 * statistics.median(times), gauges


def growth(times: Sequence[Times]) -> float:
    """The largest of the three times a stream, in the largest fleet over the smallest, over what n log n allows."""
    small, large = times[0], times[-1]
    allowed = large.streams * math.log(large.streams) / (small.streams * math.log(small.streams))
    ratios = (
        large.from_empty_ms / small.from_empty_ms,
        large.tick_ms / small.tick_ms,
        large.node_loss_ms / small.node_loss_ms,
    )
    return max(ratios) / allowed


def _show(made: Figures, times: Sequence[Times], console: Console) -> None:
    sizes = table(
        "Planning, milliseconds", "streams", "analyzers", "from empty", "steady tick", "node lost", "max/mean"
    )
    for one in times:
        sizes.add_row(
            f"{one.streams:,}",
            f"{one.streams // A_ANALYZER:,}",
            f"{one.from_empty_ms:.0f}",
            f"{one.tick_ms:.1f}",
            f"{one.node_loss_ms:.1f} ({one.lost} streams)",
            f"{one.balance:.3f}",
        )
    console.print(sizes)
    console.print(f"growth over n log n: {growth(times):.2f} {verdict(growth(times), GROWTH)}")
    rows = table(f"{STREAMS:,} streams on {ANALYZERS} analyzers", "", "measured", "wanted")
    targets = {
        "tick_ms": TICK_MS,
        "node_loss_ms": NODE_LOSS_MS,
        "from_empty_ms": FROM_EMPTY_MS,
        "balance_max_over_mean": BALANCE,
        "moves_share": MOVES,
        "supervisor_cpu_cores": CORES,
    }
    for name, target in targets.items():
        value = made[name]
        rows.add_row(name.replace("_", " "), f"{value:.3g}", verdict(value, target))
    console.print(rows)
