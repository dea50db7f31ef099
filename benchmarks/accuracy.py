"""What is found of labelled defects, beside FFmpeg's own filters on the same files, and what is told of clean ones.

A labelled set is given with --manifest. Else files are made here from a seed, each examined and deleted before the
next, so that hundreds of events of each class and hours of clean time need no room: defects are put into --from clips
of one's own, or into synthetic programmes. Clean time is looped and varied (crop, flip, light, hue, speed, letterbox,
size, fades, codec and bit rate; each minute so made comes five times in a row), and counts as that. Files are judged
with profile `qc`, clean ones also with `live`.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import track

from benchmarks import filters
from benchmarks.measure import Figures, Target, console, verdict, write
from vqa_ray.cli import scores
from vqa_ray.core.confidence import most_events
from vqa_ray.core.labels import Event, LabelledFile
from vqa_ray.core.reasons import reasons
from vqa_ray.core.scoring import Score
from vqa_ray.media.labelled import CLASSES, DEFAULT_CLASSES, Job, clean_job, jobs, make
from vqa_ray.pipeline.evaluate import detect, read_manifest

CLEAN_FILE_S = 60.0
CLEAN_TIMES = 5  # each such minute in a row: making it takes several times as long as looking at it
WANTED_F1 = {
    **dict.fromkeys(("black",), 1.0),
    **dict.fromkeys(("freeze", "green", "bars", "signal_loss", "silence", "audio_dropout"), 0.98),
    **dict.fromkeys(("cc_error", "pts_gap", "pts_jump"), 0.98),
    **dict.fromkeys(("corruption", "clipping", "loudness", "av_sync"), 0.95),
    "blockiness": 0.85,
}
WANTED_RECALL = Target(0.98, at_least=True)  # of generated events
LIVE_CLASSES = ("black", "freeze", "silence", "corruption")
LIVE_A_DAY = Target(1.0)
CLEAN = Target(0)
TASKS_A_CHILD = 100  # then a fresh process takes over


class Size(msgspec.Struct, frozen=True):
    """How much is generated: events of each class, and seconds without any."""

    events: int
    clean_s: float


FULL = Size(events=200, clean_s=36_000.0)
SHORT = Size(events=2, clean_s=60.0)


class Examined(msgspec.Struct):
    """A file, and what was found in it: by us with `qc`, with `live` (of clean files only), and by FFmpeg."""

    file: LabelledFile
    ours: list[Event]
    live: list[Event]
    ffmpeg: filters.Detected
    looked: frozenset[str]  # classes that FFmpeg was asked for
    unreadable: str = ""


class Total(msgspec.Struct):
    """All files judged, for each of those who looked."""

    ours: Score
    live: Score
    default: Score
    short: Score
    detections: dict[str, list[Event]]
    unreadable: dict[str, str]
    looked: frozenset[str] = frozenset()


@click.command("accuracy")
@click.option(
    "--manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A labelled set; else one is made."
)
@click.option(
    "--from", "clips", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Clean clip to put defects into; may be given more than once.",
)  # fmt: skip
@click.option("--short", is_flag=True, help=f"{SHORT.events} events a class and {SHORT.clean_s:g} clean seconds.")
@click.option("--events", type=click.IntRange(1), help=f"Made of each class.  [default: {FULL.events}]")
@click.option("--hours", type=click.FloatRange(0), help=f"Made without defect.  [default: {FULL.clean_s / 3600:g}]")
@click.option("--classes", help="Only these, separated by commas.  [default: all but av_sync]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--no-ffmpeg", is_flag=True, help="Without FFmpeg's filters.")
@click.option("--errors", is_flag=True, help="Also list what was missed and what was false.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(
    manifest: Path | None,
    clips: tuple[Path, ...],
    short: bool,
    events: int | None,
    hours: float | None,
    classes: str | None,
    seed: int,
    no_ffmpeg: bool,
    errors: bool,
    path: Path | None,
) -> None:
    """What is found of labelled defects beside FFmpeg's filters, and false alarms on clean files."""
    terminal = console()
    if manifest is not None:
        files = read_manifest(manifest).files
        work = partial(examine, manifest.parent, ffmpeg=not no_ffmpeg, blocks=not short)
        total = judged(in_processes(work, files), len(files), terminal)
    else:
        size = SHORT if short else FULL
        wanted = planned(
            classes.split(",") if classes else DEFAULT_CLASSES,
            Size(events or size.events, size.clean_s if hours is None else hours * 3600),
            seed,
            [clip.resolve() for clip in clips],
        )
        with tempfile.TemporaryDirectory(prefix="vqa_ray-accuracy-") as folder:
            work = partial(make_and_examine, Path(folder), ffmpeg=not no_ffmpeg)
            total = judged(in_processes(work, wanted), len(wanted), terminal)
    show(total, terminal, ffmpeg=not no_ffmpeg, errors=errors, generated=manifest is None)
    write(terminal, figures(total), path)


def planned(classes: Sequence[str], size: Size, seed: int, clips: Sequence[Path]) -> list[Job]:
    """The files to make, the longest first."""
    each = min(CLEAN_FILE_S, size.clean_s)
    times = CLEAN_TIMES if size.clean_s >= CLEAN_FILE_S * CLEAN_TIMES else 1
    clean = [clean_job(n, seed, each, clips, times) for n in range(round(size.clean_s / each / times) if each else 0)]
    return [*clean, *jobs(classes, size.events, seed, clips)]


def make_and_examine(folder: Path, job: Job, *, ffmpeg: bool) -> Examined:
    """One generated file, which is gone afterwards. blockdetect, which is slow, sees those with blockiness only."""
    file = make(job, folder)
    try:
        return examine(folder, file, ffmpeg=ffmpeg, blocks=job.kind == "blockiness")
    finally:
        (folder / file.file).unlink(missing_ok=True)


def examine(folder: Path, file: LabelledFile, *, ffmpeg: bool, blocks: bool) -> Examined:
    """Everything that anybody finds in one file."""
    path = folder / file.file
    found = detect(path, "qc")
    live = detect(path, "live") if not file.labels else []
    others = filters.detect(path, blocks=blocks) if ffmpeg else filters.Detected([], [])
    looked = frozenset(filters.CLASSES if ffmpeg else ()) - (frozenset() if blocks else {"blockiness"})
    events, unreadable = ([], found) if isinstance(found, str) else (found, "")
    return Examined(file, events, [] if isinstance(live, str) else live, others, looked, unreadable)


def in_processes(work: "partial[Examined]", items: Sequence[object]) -> Iterator[Examined]:
    """One process a core, each started afresh (one that decoded must not be forked); in the order of the items.

    A pool a batch, not one whose processes end after so many tasks: in Python from 3.11 on that may stop for ever
    (python/cpython issue 115634).
    """
    context, count = multiprocessing.get_context("spawn"), os.cpu_count() or 1
    for start in range(0, len(items), TASKS_A_CHILD * count):
        with ProcessPoolExecutor(count, mp_context=context) as pool:
            yield from pool.map(work, items[start : start + TASKS_A_CHILD * count])


def judged(examined: Iterator[Examined], count: int, console: Console) -> Total:
    """Count file by file, so that nothing but the score is kept of them."""
    total = Total(Score(), Score(), Score(), Score(), {}, {})
    for one in track(examined, "examining", count, console=console, transient=True):
        total.ours.add(one.file, one.ours)
        total.default.add(one.file, one.ffmpeg.default)
        total.short.add(one.file, one.ffmpeg.short)
        if not one.file.labels:
            total.live.add(one.file, one.live)
        total.detections[one.file.file] = one.ours
        total.looked |= one.looked
        if one.unreadable:
            total.unreadable[one.file.file] = one.unreadable
    return total


def figures(total: Total) -> Figures:
    """Flat figures; None where the sample, or FFmpeg, has nothing of a class."""
    made: Figures = {}
    for kind in CLASSES:
        tally = total.ours.of(kind)
        made |= {
            f"events_{kind}": tally.labels,
            f"f1_{kind}": tally.f1,
            f"recall_{kind}": tally.recall,
            f"ffmpeg_f1_{kind}": ffmpeg_f1(total, kind),
            f"start_error_frames_{kind}": tally.start_error_frames,
            f"start_error_ms_{kind}": None if tally.start_error_s is None else tally.start_error_s * 1e3,
            f"end_error_ms_{kind}": None if tally.end_error_s is None else tally.end_error_s * 1e3,
        }
    made |= {
        "false_alarms_clean": total.ours.clean_false,
        "ffmpeg_default_false_alarms_clean": total.default.clean_false,
        "ffmpeg_short_false_alarms_clean": total.short.clean_false,
        "clean_hours": total.ours.clean_seconds / 3600,
        "clean_seconds": total.ours.clean_seconds,
        "live_false_alarms_per_day": a_day(total.live, sum(total.live.clean_alarms.get(k, 0) for k in LIVE_CLASSES)),
    }
    return made | {f"live_false_alarms_{kind}": total.live.clean_alarms.get(kind, 0) for kind in LIVE_CLASSES}


def ffmpeg_f1(total: Total, kind: str) -> float | None:
    """The better of its two settings; None where it has nothing for the class, or was not asked."""
    found = [s.of(kind).f1 for s in (total.default, total.short)] if kind in total.looked else []
    return max((value for value in found if value is not None), default=None)


def a_day(score: Score, count: float) -> float | None:
    """So many in 24 hours of the clean time."""
    return count / score.clean_seconds * 86_400 if score.clean_seconds else None


def show(total: Total, console: Console, *, ffmpeg: bool, errors: bool, generated: bool) -> None:
    """The table, what it proves, and what missed its target."""
    classes = [kind for kind in total.looked if total.ours.of(kind).labels]
    others = [
        ("FFmpeg\nF1", {kind: total.default.of(kind).f1 for kind in classes}),
        ("short\nF1", {kind: total.short.of(kind).f1 for kind in classes}),
    ]
    wanted: tuple[str, dict[str, float | None]] = ("wanted\nF1", {**WANTED_F1})
    console.print(scores.score_table(total.ours, "Profile qc", [wanted, *(others if ffmpeg else [])]))
    for line in scores.claims(total.ours):
        console.print(line)
    if ffmpeg:
        for name, score in (("defaults", total.default), ("short holds", total.short)):
            console.print(f"FFmpeg, {name}: {scores.clean_words(score)}")
    for line in _verdicts(total, generated):
        console.print(line)
    if errors:
        for form, found in sorted(total.ours.forms.items()):
            console.print(f"{form}: {found.hits} of {found.of}", highlight=False)
        for line in reasons(total.ours, total.detections, total.unreadable):
            console.print(line, soft_wrap=True, markup=False, highlight=False)


def _verdicts(total: Total, generated: bool) -> Iterator[str]:
    short = [
        f"{kind} {tally.f1:.3f}"
        for kind, wanted in WANTED_F1.items()
        if (tally := total.ours.of(kind)).f1 is not None and tally.f1 < wanted
    ]
    yield f"F1 as wanted: {_all_but(short)}"
    yield f"false alarms on clean files, qc: {total.ours.clean_false} {verdict(total.ours.clean_false, CLEAN)}"
    if generated:
        recalls = {kind: tally.recall for kind, tally in total.ours.classes.items() if tally.recall is not None}
        low = [f"{kind} {recall:.3f}" for kind, recall in recalls.items() if not WANTED_RECALL.met(recall)]
        yield f"recall {WANTED_RECALL} of each class: {_all_but(low)}"
    alarms = sum(total.live.clean_alarms.get(kind, 0) for kind in LIVE_CLASSES)
    rate = a_day(total.live, alarms)
    if rate is not None:
        most = a_day(total.live, most_events(alarms)) or 0.0
        yield (
            f"live profile, {', '.join(LIVE_CLASSES)}: {alarms} false alarms in {figures(total)['clean_hours']:.2f} h, "
            f"{rate:.3g} a day {verdict(rate, LIVE_A_DAY)}; up to {most:.3g} a day are not excluded by this sample"
        )
        by_class = ", ".join(f"{kind} {count}" for kind, count in sorted(total.live.clean_alarms.items())) or "none"
        yield f"live profile, all classes: {by_class}"


def _all_but(short: Sequence[str]) -> str:
    return f"[red]not {', '.join(short)}[/]" if short else "[green]all[/]"
