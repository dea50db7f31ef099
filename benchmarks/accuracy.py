"""What is found of labelled defects, and what is told of clean files that is not there; profile `qc`.

Without a manifest the files are made here, from seeds: black, freeze, silence, lost transport packets, and clean ones.
A manifest is JSON: `{"files": [{"file", "labels": [{"class", "start", "end"}], "soft": […], "duration"}]}`, with files
beside it and times in seconds from the first picture. How a detection is judged: see `scoring`.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks import clips
from benchmarks.measure import Figures, Target, console, table, verdict, write
from benchmarks.scoring import Event, LabelledFile, Manifest, Score, score
from vqa_ray.core.notice import Incident
from vqa_ray.errors import SourceError
from vqa_ray.media.synthetic import Fault, FaultKind, Programme, write_file
from vqa_ray.pipeline.local import analyze

SECONDS = 12.0
FPS = 25
LENGTHS_S = {  # of generated defects
    FaultKind.BLACK: (0.4, 2.5),
    FaultKind.FREEZE: (0.8, 2.5),
    FaultKind.SILENCE: (0.5, 2.5),
    FaultKind.CORRUPTION: (0.6, 1.5),
}
CLEAN = Target(0)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How many files are generated: of each kind of defect, and without any."""

    each: int
    clean: int
    width: int = 640
    height: int = 360


FULL = Plan(each=6, clean=8)
SHORT = Plan(each=1, clean=2)


@click.command("accuracy")
@click.option(
    "--manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A labelled set; else one is made."
)
@click.option("--short", is_flag=True, help="Six generated files instead of 32.")
@click.option("--errors", is_flag=True, help="Also list what was missed and what was false.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(manifest: Path | None, short: bool, errors: bool, path: Path | None) -> None:
    """What is found of labelled defects, and false alarms on clean files."""
    terminal = console()
    if manifest is None:
        folder = clips.cache()
        files = generate(SHORT if short else FULL, folder, terminal)
    else:
        folder = manifest.parent
        files = list(msgspec.json.decode(manifest.read_bytes(), type=Manifest).files)
    write(terminal, run(files, folder, terminal, errors=errors), path)


def run(files: Sequence[LabelledFile], folder: Path, console: Console, *, errors: bool = False) -> Figures:
    """Analyse the files, print, and give the figures."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda file: detect(folder / file.file), files)
        named = zip((file.file for file in files), found, strict=True)
        events = dict(track(named, "analysing", len(files), console=console, transient=True))
    total = score(files, events)
    _show(total, console, errors)
    figures: Figures = {f"f1_{kind}": tally.f1 for kind, tally in total.classes.items() if tally.f1 is not None}
    return figures | {"false_alarms_clean": total.clean_false, "clean_seconds": total.clean_seconds}


def detect(path: Path) -> list[Event]:
    """The incidents of a file, as they are when it ends; none of a file that cannot be read."""
    last: dict[str, Incident] = {}
    try:
        for item in analyze(str(path), profile="qc"):
            if isinstance(item, Incident):
                last[item.incident_id] = item
    except SourceError as error:
        click.echo(f"{path.name}: {error}", err=True)
    return [Event(i.detector, i.start_s, i.start_s if i.end_s is None else i.end_s) for i in last.values()]


def generate(plan: Plan, folder: Path, console: Console) -> list[LabelledFile]:
    """The generated set; files that are in the folder already are not made again."""
    wanted = list(_planned(plan))
    for file, programme, faults in track(wanted, "making files", console=console, transient=True):
        path = folder / file.file
        if not path.exists():
            partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
            write_file(partial, SECONDS, programme, faults).replace(path)
    return [file for file, _, _ in wanted]


def _planned(plan: Plan) -> Iterator[tuple[LabelledFile, Programme, list[Fault]]]:
    rng = np.random.default_rng(2)
    kinds = [kind for kind in LENGTHS_S for _ in range(plan.each)] + [None] * plan.clean
    for seed, kind in enumerate(kinds):
        suffix = ".ts" if kind is FaultKind.CORRUPTION or seed % 2 else ".mp4"
        programme = Programme(
            name=f"{seed}", width=plan.width, height=plan.height, fps=FPS, seed=seed, b_frames=2 * (seed % 2)
        )
        faults = [] if kind is None else [_fault(rng, kind, 1.5 + 5.0 * half) for half in range(2)]
        labels = tuple(label for fault in faults for label in _labels(fault))
        name = f"{kind or 'clean'}-{clips.digest((programme, tuple(faults)))}{suffix}"
        yield LabelledFile(name, labels, duration=SECONDS), programme, faults


def _fault(rng: np.random.Generator, kind: FaultKind, from_s: float) -> Fault:
    """One that starts and ends at a frame."""
    start_s, length_s = from_s + rng.uniform(0.0, 1.5), rng.uniform(*LENGTHS_S[kind])
    return Fault(kind, round(start_s * FPS) / FPS, round(length_s * FPS) / FPS)


def _labels(fault: Fault) -> Iterator[Event]:
    """What the fault is called; damage lasts to the next key frame, of which there is one a second."""
    if fault.kind is FaultKind.CORRUPTION:
        yield Event("cc_error", fault.start_s, fault.end_s)
        yield Event("corruption", fault.start_s, float(math.ceil(fault.end_s)))
    else:
        yield Event(fault.kind.value, fault.start_s, fault.end_s)


def _show(total: Score, console: Console, errors: bool) -> None:
    shown = table(
        "Profile qc", "class", "found", "missed", "false", "ignored", "precision", "recall", "F1", "start, median ms"
    )
    for kind, tally in sorted(total.classes.items()):
        shares = ["-" if v is None else f"{v:.3f}" for v in (tally.precision, tally.recall, tally.f1)]
        error = "-" if tally.start_error_s is None else f"{tally.start_error_s * 1e3:.0f}"
        shown.add_row(
            kind, str(tally.hits), str(tally.missed), str(tally.false), str(tally.ignored), *shares, error
        )  # fmt: skip
    console.print(shown)
    if errors:
        for word, events in (("missed", total.missed), ("false", total.false)):
            for name, event in events:
                console.print(f"{word}: {name} {event.kind} {event.start:.2f}–{event.end:.2f}")
    console.print(
        f"clean: {total.clean_files} files, {total.clean_seconds:.0f} s, {total.clean_false} false alarms: "
        f"{verdict(total.clean_false, CLEAN)}\n"
    )
