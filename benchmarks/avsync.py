"""Audio/video sync by marker and by reference: what is measured of offsets that are known, since they are made here.

Markers: files with flashes and beeps, of 24 to 60 frames a second, in several containers and codings. References: two
versions of a programme; the output has another coding, size, rate, level and a logo, is delayed as a whole, and its
sound is early or late beyond that. Offsets are drawn from a seed, even over ±2 s; some more files drift by 40 ms a
minute. Errors are those of each flash, and of each pair of files. Different programmes are compared too: none is sure.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.measure import Figures, Target, console, percentile, table, verdict, write
from vqa_ray.config import QC
from vqa_ray.detectors.av_marker import DRIFT, LATE
from vqa_ray.media.labelled.coding import Coding
from vqa_ray.media.labelled.marker import Marker, write_marker
from vqa_ray.media.labelled.versions import Version, write_version
from vqa_ray.pipeline.local import Measured, analyze
from vqa_ray.pipeline.sync import sync

RANGE_S = 2.0
DRIFT_S_PER_MIN = 0.040
RATES = tuple(Fraction(rate) for rate in ("25", "30000/1001", "50", "24", "60"))
CODINGS = (
    Coding(suffix=".ts", preset="ultrafast"),
    Coding(suffix=".mp4", codec="mpeg4", bit_rate=500_000),
    Coding(suffix=".ts", codec="mpeg2video", audio="mp2", bit_rate=1_000_000),
    Coding(suffix=".mkv", codec="libx264", audio="libopus", bit_rate=300_000, preset="ultrafast", b_frames=2),
)
MARKER_P95_MS, REFERENCE_MEDIAN_MS = Target(5.0), Target(10.0)
DRIFT_ERROR_MS_PER_MIN = Target(10.0)
ALL, NONE = Target(1.0, at_least=True), Target(0)


class Size(msgspec.Struct, frozen=True):
    """How many files, and of how many seconds."""

    markers: int
    references: int
    others: int  # pairs of different programmes
    drifts: int  # of each way
    seconds: float  # of a version
    drift_s: float


FULL = Size(markers=60, references=54, others=6, drifts=3, seconds=20.0, drift_s=60.0)
SHORT = Size(markers=6, references=4, others=1, drifts=1, seconds=12.0, drift_s=45.0)


class Case(msgspec.Struct, frozen=True):
    """One file or pair. way: marker, reference or other."""

    way: str
    number: int
    seconds: float
    drifts: bool = False


class Found(msgspec.Struct):
    """Errors in ms of what was measured; empty where nothing sure was."""

    case: Case
    errors_ms: list[float]
    drift_ms_per_min: float | None = None


@click.command("avsync")
@click.option("--short", is_flag=True, help=f"{SHORT.markers} markers, {SHORT.references} references of 12 s.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, seed: int, path: Path | None) -> None:
    """Marker and reference sync against known offsets, and drift."""
    terminal = console()
    with tempfile.TemporaryDirectory(prefix="vqa_ray-avsync-") as folder:
        cases = planned(SHORT if short else FULL)
        found = list(
            track(examined(cases, seed, Path(folder)), "measuring", len(cases), console=terminal, transient=True)
        )
    made = figures(found)
    show(made, terminal)
    write(terminal, made, path)


def planned(size: Size) -> list[Case]:
    """All cases, the longest first."""
    drifting = [Case(way, n, size.drift_s, True) for way in ("reference", "marker") for n in range(size.drifts)]
    return [
        *drifting,
        *(Case("reference", n, size.seconds) for n in range(size.references)),
        *(Case("other", n, size.seconds) for n in range(size.others)),
        *(Case("marker", n, 25.0) for n in range(size.markers)),
    ]


def examined(cases: Sequence[Case], seed: int, folder: Path) -> Iterator[Found]:
    """One process a core, each started afresh."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield from pool.map(partial(examine, seed=seed, folder=folder), cases)


def examine(case: Case, *, seed: int, folder: Path) -> Found:
    """Make one case, measure it, delete it."""
    rng = np.random.default_rng([seed, case.number, ("marker", "reference", "other").index(case.way), case.drifts])
    offset_s = float(rng.uniform(-RANGE_S, RANGE_S))
    coding = CODINGS[case.number % len(CODINGS)]
    mine = folder / f"{case.way}-{case.number}-{case.drifts}"
    mine.mkdir()
    try:
        look: Callable[[Case, float, Coding, np.random.Generator, Path], Found]
        look = _marker if case.way == "marker" else _reference
        return look(case, offset_s, coding, rng, mine)
    finally:
        for file in mine.iterdir():
            file.unlink()
        mine.rmdir()


def _marker(case: Case, offset_s: float, coding: Coding, rng: np.random.Generator, folder: Path) -> Found:
    marker = Marker(
        seconds=case.seconds,
        offset_s=offset_s,
        drift_s_per_min=DRIFT_S_PER_MIN if case.drifts else 0.0,
        fps=RATES[case.number % len(RATES)] if coding.codec == "libx264" else RATES[case.number % 3],
        share=float(rng.uniform(0.3, 1.0)),
        every_s=float(rng.uniform(4.2, 5.0)),
    )
    path = write_marker(folder / f"marker{coding.suffix}", marker, coding)
    readings = [
        item.reading
        for item in analyze(str(path), profile=QC.only(("av_marker",)), readings=True)
        if isinstance(item, Measured)
    ]
    drifts = [reading.value for reading in readings if reading.part == DRIFT]
    errors = [
        reading.value - 1000.0 * (offset_s + marker.drift_s_per_min * reading.at_s / 60.0)
        for reading in readings
        if reading.part == LATE
    ]
    return Found(case, errors, drifts[-1] if drifts else None)


def _reference(case: Case, offset_s: float, coding: Coding, rng: np.random.Generator, folder: Path) -> Found:
    programme = int(rng.integers(0, 1000))
    version = Version(
        seconds=case.seconds,
        delay_s=round(float(rng.uniform(-3.0, 3.0)) * 25) / 25,
        offset_s=offset_s,
        drift_s_per_min=DRIFT_S_PER_MIN if case.drifts else 0.0,
        fps=Fraction(50) if case.number % 3 == 1 else Fraction(25),
        size=((320, 180), (256, 144), (640, 360))[case.number % 3 if not case.drifts else 0],
        contrast=float(rng.uniform(0.8, 1.0)),
        gain_db=float(rng.uniform(-12.0, 3.0)),
        logo=bool(case.number % 2),
        repeats=case.number % 2 == 1,
    )
    reference = write_version(folder / "reference.ts", programme, Version(seconds=case.seconds))
    other = programme + (1 if case.way == "other" else 0)
    found = sync(str(reference), str(write_version(folder / f"output{coding.suffix}", other, version, coding)))
    if not found.sure or found.offset_ms is None:
        return Found(case, [])
    middle = found.pieces[len(found.pieces) // 2].at_s if found.pieces else case.seconds / 2
    true_ms = 1000.0 * (offset_s + version.drift_s_per_min * middle / 60.0)
    return Found(case, [found.offset_ms - true_ms], found.drift_ms_per_min)


def figures(found: Sequence[Found]) -> Figures:
    """Flat figures of both ways; None where nothing was measured."""
    made: Figures = {}
    for way in ("marker", "reference"):
        steady = [one for one in found if one.case.way == way and not one.case.drifts]
        errors = [abs(error) for one in steady for error in one.errors_ms]
        drifting = [one for one in found if one.case.way == way and one.case.drifts]
        drifts = [abs(one.drift_ms_per_min - 1000.0 * DRIFT_S_PER_MIN) for one in drifting if one.drift_ms_per_min]
        made |= {
            f"{way}_offsets": len(steady),
            f"{way}_measured_share": sum(bool(one.errors_ms) for one in steady) / len(steady) if steady else None,
            f"{way}_error_median_ms": median(errors) if errors else None,
            f"{way}_error_p95_ms": percentile(errors, 0.95) if errors else None,
            f"{way}_error_max_ms": max(errors, default=None),
            f"{way}_drifts": len(drifting),
            f"{way}_drifts_found": len(drifts),
            f"{way}_drift_error_max_ms_per_min": max(drifts, default=None),
        }
    others = [one for one in found if one.case.way == "other"]
    return made | {"reference_other_programmes": len(others), "reference_false": sum(bool(o.errors_ms) for o in others)}


def show(made: Figures, console: Console) -> None:
    """The table, and what missed its target."""
    rows = table("Audio/video sync, generated offsets within ±2 s", "", "marker", "reference", "wanted")
    for name, marker, reference in (
        ("measured_share", ALL, ALL),
        ("error_median_ms", None, REFERENCE_MEDIAN_MS),
        ("error_p95_ms", MARKER_P95_MS, None),
        ("error_max_ms", None, None),
        ("drift_error_max_ms_per_min", DRIFT_ERROR_MS_PER_MIN, DRIFT_ERROR_MS_PER_MIN),
    ):
        values = [made[f"{way}_{name}"] for way in ("marker", "reference")]
        wanted = [
            f"{way} {verdict(value, target)}"
            for way, value, target in zip(("marker", "reference"), values, (marker, reference), strict=True)
            if target is not None
        ]
        rows.add_row(name.replace("_", " "), *("" if v is None else f"{v:.3g}" for v in values), ", ".join(wanted))
    console.print(rows)
    false = made["reference_false"]
    console.print(
        f"different programmes that were taken for one: {false} of {made['reference_other_programmes']} "
        f"{verdict(false, NONE)}"
    )
