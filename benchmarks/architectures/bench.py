"""The same detectors on the same stream in four architectures: what each takes, and what it costs.

Each runs in a process of its own (and starts more); CPU is counted without the start of processes. Stages and functions
are given the stream no faster than it plays, so their latencies hold the wait for a batch to fill.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from benchmarks import clips
from benchmarks.architectures import page, prices, reel, report, trace
from benchmarks.architectures.outcome import Outcome
from benchmarks.architectures.report import Report
from benchmarks.architectures.serverless import Variant
from benchmarks.clips import ClipSpec
from benchmarks.measure import Figures, console, in_child, write

HERE = "benchmarks.architectures"
NEEDED = ("moto", "boto3", "flask", "flask_cors")
PLAIN = Variant(name="serverless")
JPEG = Variant(name="serverless, JPEG", form="jpeg")
SMALL = Variant(name="serverless, small", form="small")
TOGETHER = Variant(name="serverless, batched", together=True)
GROUPED = Variant(name="serverless, grouped", together=True, grouped=True)
WITHIN_S = 900.0
_WRITTEN = click.Path(dir_okay=False, path_type=Path)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that all watch, and for how long it goes on without faults where only its CPU is measured."""

    clip: ClipSpec
    longer_s: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured. rounds: of ray-actor and a monolith at once, since load changes a CPU second."""

    subjects: tuple[Subject, ...]
    variants: tuple[Variant, ...]
    rounds: int


SHORT = Plan(subjects=(Subject(clip=clips.sd(reel.SHORTEST_S), longer_s=40),), variants=(PLAIN, GROUPED), rounds=3)
FULL = Plan(
    subjects=(Subject(clip=clips.sd(20), longer_s=60), Subject(clip=clips.hd(10), longer_s=30)),
    variants=(PLAIN, JPEG, SMALL, TOGETHER, GROUPED),
    rounds=7,
)


@click.command("architectures")
@click.option("--short", is_flag=True, help="One clip, and two variants of serverless.")
@click.option("--prices", "own", type=_WRITTEN, help="Your price list: the entries that differ.")
@click.option("--html", type=_WRITTEN, help="Write a page with pictures here.")
@click.option("--svg", type=_WRITTEN, help="Write the picture of what a stream-hour costs here.")
@click.option(
    "--trace", "traced", type=_WRITTEN, help="Write a Chrome trace here, or OpenTelemetry's JSON as NAME.otlp.json."
)
@click.option("--json", "path", type=_WRITTEN, help="Write the figures here.")
def command(
    short: bool, own: Path | None, html: Path | None, svg: Path | None, traced: Path | None, path: Path | None
) -> None:
    """The same detectors in one process, on Ray in two ways, and as serverless steps: dollars."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"{', '.join(missing)} not installed: the cloud's services are emulated; `make setup` or "
            "`pip install '.[bench]'` in a checkout brings what it takes"
        )
    terminal = console()
    reports = run(SHORT if short else FULL, terminal, prices.load(own))
    if html is not None:
        html.write_text(page.render(reports), encoding="utf-8")
    if svg is not None:
        svg.write_text(page.picture(reports[0]), encoding="utf-8")
    if traced is not None:
        outcomes = [row.outcome for row in reports[0].rows]
        epoch_ns = time.time_ns() - time.monotonic_ns()
        traced.write_text(trace.export(outcomes, epoch_ns, traced.name.endswith(".otlp.json")), encoding="utf-8")
    write(terminal, _figures(reports), path)
    if not all(one.equal for one in reports):
        raise click.ClickException("the architectures do not find the same incidents")


def run(plan: Plan, console: Console, listed: prices.Prices) -> list[Report]:
    """Measure and print, a report a clip."""
    reports = []
    for subject in plan.subjects:
        spec = subject.clip
        with console.status(f"making {spec.name}"):
            clip = reel.make(spec)
            longer = reel.make(msgspec.structs.replace(spec, seconds=subject.longer_s))
        with console.status(spec.name) as status:
            given = {"path": str(clip), "stream_s": spec.seconds, "timeout_s": WITHIN_S}
            outcomes = measure(
                plan, given, {"longer": str(longer), "longer_s": subject.longer_s, "rounds": plan.rounds}, status.update
            )
        reports.append(report.make(spec.name, outcomes, listed))
        report.show(reports[-1], console)
    return reports


def measure(plan: Plan, given: dict[str, Any], longer: dict[str, Any], say: Callable[[str], None]) -> list[Outcome]:
    """All architectures on one clip; the CPU of the first two, which take little, on the longer one."""
    say("monolith")
    alone = _outcome(in_child(f"{HERE}.one_process:monolith", **given))
    say("ray-actor")
    actor = _outcome(in_child(f"{HERE}.one_process:ray_actor", **given, **longer))
    used_s = statistics.median(actor.beside) * alone.stream_s  # beside ray-actor: the same machine for both
    alone = msgspec.structs.replace(alone, cpu_s={"pipeline": used_s}, working_s=used_s)
    say("ray-stages")
    staged = _outcome(in_child(f"{HERE}.ray_stages:run", **given))
    served = []
    for variant in plan.variants:
        say(variant.name)
        served.append(_outcome(in_child(f"{HERE}.serverless:run", **given, variant=msgspec.to_builtins(variant))))
    return [alone, actor, staged, *served]


def _outcome(data: Any) -> Outcome:
    return msgspec.convert(data, Outcome)


def _figures(reports: list[Report]) -> Figures:
    """Of the first clip under their names; of others with the clip's name behind."""
    out = report.figures(reports[0])
    for one in reports[1:]:
        found = report.figures(one)
        out["incidents_equal"] = min(int(out["incidents_equal"] or 0), int(found.pop("incidents_equal") or 0))
        out |= {f"{name}_{one.clip}": value for name, value in found.items()}
    return out
