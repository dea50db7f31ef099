"""What the pipeline costs over decoding alone, in CPU and in memory, with FFmpeg's own detect filters beside it.

The same clip each time, each run in its own process, in turns; a ratio is always to the decoding of the same round.
CPU is that of the whole process, user and system, from opening the clip to closing it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from benchmarks import clips
from benchmarks.clips import ClipSpec
from benchmarks.cost_runs import BASIC_IDS
from benchmarks.measure import (
    ChildFailed,
    Figures,
    Spread,
    Target,
    console,
    in_child,
    in_turns,
    ratio,
    slope,
    table,
    verdict,
    write,
)

RUNS = "benchmarks.cost_runs"
DECODE, BASIC, FILTERS = "decoding alone", "vqa_ray, basic detectors", "FFmpeg black+freeze+silence"
PIPELINE, MORE_FILTERS = "vqa_ray, all of profile live", "FFmpeg, and block+blur+ebur128"
MIB = 1 << 20


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured. streams: numbers of streams in a process between which memory is compared.

    sd_repeats: of the small picture, whose runs are short, and so tell less each.
    """

    hd: ClipSpec
    sd: ClipSpec
    repeats: int
    sd_repeats: int
    streams: tuple[int, ...]
    parts: bool = False  # and where the time goes, detector by detector


FULL = Plan(hd=clips.hd(20), sd=clips.sd(40), repeats=7, sd_repeats=15, streams=(1, 3, 5), parts=True)
SHORT = Plan(hd=clips.hd(12), sd=clips.sd(40), repeats=3, sd_repeats=7, streams=(1, 3))
TARGETS = {
    "cpu_ratio_1080p30": Target(1.15),
    "cpu_ratio_360p25": Target(1.20),
    "cpu_ratio_all_1080p30": Target(1.20),
    "cpu_ratio_all_360p25": Target(1.30),
    "rss_mb_over_decoder": Target(10.0),
}


@click.command("cost")
@click.option("--short", is_flag=True, help="Shorter clips, fewer repeats: about two minutes.")
@click.option("--profile", "parts", is_flag=True, help="Also where the time goes; the full form always tells.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, parts: bool, path: Path | None) -> None:
    """CPU and memory of the pipeline over decoding alone, and FFmpeg's filters beside it."""
    plan = SHORT if short else FULL
    terminal = console()
    write(terminal, run(msgspec.structs.replace(plan, parts=plan.parts or parts), terminal), path)


def run(plan: Plan, console: Console) -> Figures:
    """Measure, print, and give the figures."""
    figures: Figures = {}
    for spec, repeats in ((plan.hd, plan.repeats), (plan.sd, plan.sd_repeats)):
        with console.status(f"making {spec.name}"):
            clip = clips.make(spec)
        figures |= _cpu(spec, clip, repeats, console)
        if plan.parts:
            figures |= _parts(spec, clip, repeats, console)
    return figures | _memory(plan, console)


def _cpu(spec: ClipSpec, clip: Path, repeats: int, console: Console) -> Figures:
    kinds = {
        DECODE: partial(_cpu_s, spec, "decode", clip),
        BASIC: partial(_cpu_s, spec, "pipeline", clip, only=BASIC_IDS),
        PIPELINE: partial(_cpu_s, spec, "pipeline", clip),
        FILTERS: partial(_cpu_s, spec, "ffmpeg_filters", clip),
    }
    with console.status(spec.name) as status:
        found = in_turns(kinds, repeats, lambda words: status.update(f"{spec.name}: {words}"))
    more = {DECODE: kinds[DECODE]}
    more[MORE_FILTERS] = partial(_cpu_s, spec, "ffmpeg_filters", clip, everything=True)
    with console.status(spec.name):  # on its own: it takes as long as all the rest
        slow = in_turns(more, max(1, repeats // 3), lambda words: status.update(f"{spec.name}: {words}"))
    ratios = _show(f"CPU, {spec.name} at {spec.bit_rate / 1e6:g} Mb/s", spec, found, console)
    all_filters = ratio(slow[MORE_FILTERS], slow[DECODE]).median
    basic, ours, filters = (ratios[kind].median for kind in (BASIC, PIPELINE, FILTERS))
    for name, key, value in (
        (BASIC, f"cpu_ratio_{spec.name}", basic),
        (PIPELINE, f"cpu_ratio_all_{spec.name}", ours),
    ):
        console.print(f"{name}: {value:.3f} of decoding, {verdict(value, TARGETS[key])}")
    console.print(f"{BASIC} against {FILTERS}: {basic:.3f}, {verdict(basic, Target(filters))}")
    console.print(f"{PIPELINE} against {MORE_FILTERS}: {ours:.3f}, {verdict(ours, Target(all_filters))}\n")
    return {
        f"cpu_ratio_{spec.name}": basic,
        f"cpu_ratio_all_{spec.name}": ours,
        f"ffmpeg_all_ratio_{spec.name}": all_filters,
        f"ffmpeg3_ratio_{spec.name}": filters,
        f"decode_ms_a_frame_{spec.name}": found[DECODE].median / (spec.seconds * spec.fps) * 1e3,
    }


def _parts(spec: ClipSpec, clip: Path, repeats: int, console: Console) -> Figures:
    """Where the time goes: the pipeline with parts of it left out."""
    from vqa_ray.config import LIVE

    kinds: dict[str, Callable[[], float]] = {
        DECODE: partial(_cpu_s, spec, "decode", clip),
        "our reader": partial(_cpu_s, spec, "read", clip),
        "our reader, small luma": partial(_cpu_s, spec, "read", clip, small=True),
        "null": partial(_cpu_s, spec, "pipeline", clip, only=["null"]),
    }
    for detector in LIVE.specs:
        counted = [detector.id] if detector.id == "black" else ["null", detector.id]
        kinds["+".join(counted)] = partial(_cpu_s, spec, "pipeline", clip, only=counted)
    kinds["all"] = partial(_cpu_s, spec, "pipeline", clip)
    with console.status(spec.name) as status:
        found = in_turns(kinds, repeats, lambda words: status.update(f"{spec.name}: {words}"))
    _show(f"Where it goes, {spec.name}", spec, found, console)
    return {}


def _show(title: str, spec: ClipSpec, found: dict[str, Spread], console: Console) -> dict[str, Spread]:
    """A row a kind; the ratio of each to decoding alone."""
    frames = spec.seconds * spec.fps
    shown = table(title, "run", "CPU s", "µs a frame over decoding", "% of a core", "ratio", "range of ratios")
    ratios = {name: ratio(values, found[DECODE]) for name, values in found.items()}
    for name, values in found.items():
        over_us = (ratios[name].median - 1.0) * found[DECODE].median / frames * 1e6
        share = values.median / spec.seconds * 100
        shown.add_row(
            name, f"{values.median:.2f}", f"{over_us:.0f}", f"{share:.1f}", f"{ratios[name].median:.3f}",
            str(ratios[name]),
        )  # fmt: skip
    console.print(shown)
    return ratios


def _cpu_s(spec: ClipSpec, function: str, clip: Path, **options: Any) -> float:
    cost = in_child(f"{RUNS}:{function}", path=str(clip), **options)
    wanted = spec.seconds * spec.fps
    if abs(cost["frames"] - wanted) > 2:
        raise ChildFailed(f"{function}: {cost['frames']} frames instead of {wanted:g}")
    return float(cost["cpu_s"])


def _memory(plan: Plan, console: Console) -> Figures:
    """Peak memory against the number of streams in a process; the slope is what one more takes."""
    clip = clips.make(plan.hd)
    shown = table(f"Memory, {plan.hd.name}", "run", *(f"{k} streams, MB" for k in plan.streams), "MB a stream")
    each: dict[bool, float] = {}
    with console.status("memory"):
        for analysed in (False, True):
            measured = partial(in_child, f"{RUNS}:peak_memory", path=str(clip), analysed=analysed)
            peaks = [measured(streams=k) for k in plan.streams]
            each[analysed] = slope(list(zip(map(float, plan.streams), peaks, strict=True))) / MIB
            name = PIPELINE if analysed else DECODE
            shown.add_row(name, *(f"{peak / MIB:.1f}" for peak in peaks), f"{each[analysed]:.1f}")
    over_mb = each[True] - each[False]
    console.print(shown)
    console.print(f"over the decoder: {over_mb:.1f} MB, {verdict(over_mb, TARGETS['rss_mb_over_decoder'])}\n")
    return {"rss_mb_over_decoder": over_mb, "rss_mb_decoder": each[False]}
