"""What it costs to be able to prove incidents, and what a hundred of them at once do to the streams beside them.

CPU: the whole pipeline of `analyze` over a clean clip, with evidence against without, each in its own process, in
turns; and beside it what one incident takes, made and kept in a local folder. The share on top counts both, with
`PER_HOUR` incidents an hour and stream, each with evidence of its start and its end. Frames: one process watches live
360p25 streams over HTTP; at one moment a hundred detectors in them find fault. It is done without evidence first, with
as many streams (up to 20) as lose no frame then; with a store that answers at once; and (full form) with one that
takes a second a file.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import clips
from benchmarks.clips import ClipSpec
from benchmarks.measure import Child, Figures, Target, console, in_child, in_turns, ratio, table, verdict, write
from vqa_ray.core.evidence import MIB
from vqa_ray.media.options import SourceOptions
from vqa_ray.pipeline.evidence.witness import STILLS

RUNS = "benchmarks.evidence_runs"
WITHOUT, WITH = "without evidence", "packet ring and stills"
NONE = "no evidence"
PER_HOUR = 4
MOMENTS = 2  # start and end
INCIDENTS = 100  # at once
TRIES = 2
OVERHEAD, LOST = Target(0.03), Target(0.0)
STILL_BYTES = 320 * 180 * 3 // 2
BUDGET_MB = (SourceOptions().ring_bytes + STILLS * STILL_BYTES) / MIB + 1.0  # and a megabyte for what holds them


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured. moments: made to know what one takes; settle_s: before the incidents, seconds: after.

    streams: how many are tried, the most first. stores: name, and seconds that a file takes.
    """

    clips: tuple[ClipSpec, ...]
    repeats: int
    moments: int
    streams: tuple[int, ...]
    settle_s: float
    seconds: float
    stores: dict[str, float]
    memory: int = 0  # streams in a process, 0 leaves memory out


FULL = Plan(
    clips=(clips.hd(20), clips.sd(40)), repeats=9, moments=8, streams=(20, 10, 5, 2), settle_s=8.0, seconds=12.0,
    stores={"a folder": 0.0, "takes a second a file": 1.0}, memory=4,
)  # fmt: skip
SHORT = Plan(
    clips=(clips.sd(20),), repeats=3, moments=4, streams=(10, 5, 2), settle_s=5.0, seconds=6.0, stores={"a folder": 0.0}
)


@click.command("evidence")
@click.option("--short", is_flag=True, help="360p alone, fewer repeats: under a minute.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, path: Path | None) -> None:
    """CPU and memory of evidence, and frames lost when a hundred incidents open at once."""
    terminal = console()
    write(terminal, run(SHORT if short else FULL, terminal), path)


def run(plan: Plan, console: Console) -> Figures:
    """Measure, print, and give the figures."""
    shares = [_overhead(spec, plan, console) for spec in plan.clips]
    if plan.memory:
        _memory(plan, console)
    lost = _at_once(plan, console)
    return {"cpu_overhead_share": max(shares), "frames_lost": lost}


def _overhead(spec: ClipSpec, plan: Plan, console: Console) -> float:
    with console.status(f"making {spec.name}"):
        clip = str(clips.make(spec))
    kinds = {name: partial(_cpu_s, clip, proved) for name, proved in ((WITHOUT, False), (WITH, True))}
    with console.status(spec.name) as status:
        found = in_turns(kinds, plan.repeats, lambda words: status.update(f"{spec.name}: {words}"))
        moment = in_child(f"{RUNS}:moments", path=clip, count=plan.moments)
    held = ratio(found[WITH], found[WITHOUT])
    stream_s = found[WITHOUT].median / spec.seconds  # CPU a second of media
    incidents = PER_HOUR * MOMENTS / 3600 * moment["cpu_s"] / stream_s
    share = float(max(0.0, held.median - 1.0) + incidents)
    shown = table(f"Evidence of {spec.name}", "part", "CPU", "share of the pipeline")
    shown.add_row("pipeline, a second of media", f"{stream_s * 1e3:.1f} ms", "")
    shown.add_row(WITH, f"{(held.median - 1.0) * stream_s * 1e3:.2f} ms", f"{held.median - 1.0:+.2%} ({held})")
    shown.add_row(
        f"a moment: strip, clip of {moment['bytes'] / 1e6:.1f} MB, record", f"{moment['cpu_s'] * 1e3:.0f} ms",
        f"{incidents:.2%} with {PER_HOUR} incidents an hour",
    )  # fmt: skip
    console.print(shown)
    console.print(f"on top of the same pipeline: {share:.2%}, {verdict(share, OVERHEAD)}\n")
    return share


def _cpu_s(clip: str, proved: bool) -> float:
    return float(in_child(f"{RUNS}:pipeline", path=clip, proved=proved)["cpu_s"])


def _memory(plan: Plan, console: Console) -> None:
    """What one more stream takes with evidence, against its budget: the ring and the stills."""
    clip = str(clips.make(plan.clips[0]))
    with console.status("memory"):
        with_, without = (
            in_child(f"{RUNS}:peak_memory", path=clip, streams=plan.memory, proved=proved) for proved in (True, False)
        )
    each_mb = (with_ - without) / plan.memory / MIB
    console.print(f"memory a stream: {each_mb:.1f} MB, {verdict(each_mb, Target(round(BUDGET_MB, 1)))}\n")


def _at_once(plan: Plan, console: Console) -> int | None:
    """Frames lost, with the worst of the stores; None where the machine loses some without evidence too."""
    clip = clips.make(clips.sd(40))
    shown = table(
        f"{INCIDENTS} incidents at once, live streams in one process", "store", "streams", "incidents", "with clips",
        "evidence dropped", "frames", "lost", "late",
    )  # fmt: skip
    streams = _held(clip, plan, shown, console)
    lost = None
    if streams is not None:
        lost = max(_least(clip, plan, streams, store, shown, console) for store in plan.stores)
    console.print(shown)
    if lost is None:
        console.print("frames lost: the machine is too busy to tell, it loses some without evidence too\n")
    else:
        console.print(f"frames lost: {lost}, {verdict(lost, LOST)}\n")
    return lost


def _held(clip: Path, plan: Plan, shown: Table, console: Console) -> int | None:
    """How many streams this machine watches through the incidents without loss when none is proved."""
    for streams in plan.streams:
        if not _watch(clip, plan, streams, NONE, None, shown, console):
            return streams
    return None


def _least(clip: Path, plan: Plan, streams: int, store: str, shown: Table, console: Console) -> int:
    """Frames lost in one try, or in the better of two: what else runs here may take the cores for a moment."""
    tried: list[int] = []
    while len(tried) < TRIES and (not tried or tried[-1]):
        tried.append(_watch(clip, plan, streams, store, plan.stores[store], shown, console))
    return min(tried)


def _watch(
    clip: Path, plan: Plan, streams: int, store: str, file_s: float | None, shown: Table, console: Console
) -> int:
    """Watch so many streams through the incidents; a row of the table, and the frames lost. file_s None: no store."""
    with (
        console.status(f"{streams} streams, store: {store}"),
        tempfile.TemporaryDirectory(prefix="vqa-evidence-") as folder,
        Child("benchmarks.replay:send", path=str(clip), stamps=False) as sender,
    ):
        urls = [f"http://127.0.0.1:{sender.ready['port']}/{k}" for k in range(streams)]
        found: dict[str, Any] = in_child(
            f"{RUNS}:at_once", urls=urls, incidents=INCIDENTS // streams, settle_s=plan.settle_s, seconds=plan.seconds,
            folder=folder, file_s=file_s,
        )  # fmt: skip
    shown.add_row(
        store, str(streams), str(found["incidents"]), str(found["clips"]), str(found["dropped"]), str(found["frames"]),
        str(found["lost"]), f"{found['late_s'] * 1e3:.0f} ms",
    )  # fmt: skip
    return int(found["lost"])
