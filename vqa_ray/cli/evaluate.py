"""`vqa evaluate` and `vqa inject`: how well the detectors do on a labelled set, and how to make one of one's own."""

import sys
from pathlib import Path

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vqa_ray.cli import scores, show
from vqa_ray.cli.main import OK, PROBLEMS
from vqa_ray.config import FleetSpec, load_fleet, resolve_profile
from vqa_ray.core.reasons import reasons
from vqa_ray.core.refusal import suggest
from vqa_ray.errors import ConfigError
from vqa_ray.media.labelled import CLASSES, DEFAULT_CLASSES
from vqa_ray.media.labelled import inject as make_files
from vqa_ray.pipeline.evaluate import Evaluation
from vqa_ray.pipeline.evaluate import evaluate as evaluate_files


@click.command()
@click.argument("manifest", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--profile", default="qc", show_default=True, metavar="NAME", help="live, qc, or one of --fleet.")
@click.option("--fleet", type=click.Path(dir_okay=False), help="Fleet file to take profiles from.")
@click.option("--errors", is_flag=True, help="Also list what was missed and what was false, with the reasons.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Keep what was found, as JSON by file.")
@click.option("--json", "as_json", is_flag=True, help="The score as one JSON object.")
def evaluate(manifest: Path, profile: str, fleet: str | None, errors: bool, save: Path | None, as_json: bool) -> None:
    """Analyse the files of a labelled set and compare what is found with the labels.

    MANIFEST is JSON beside the files: {"files": [{"file", "labels": [{"class", "start", "end"}], …}]}, times in seconds
    from the first picture; `vqa inject` writes one. Exit code 0: all found and nothing else, 1: something was missed or
    false, 2: the manifest cannot be used.
    """
    chosen = resolve_profile(load_fleet(fleet) if fleet else FleetSpec(), profile, at=("--profile",))
    with _bar() as bar:
        task = bar.add_task(manifest.name, total=None)
        done = evaluate_files(
            manifest, profile=chosen, on_file=lambda _, n, of: bar.update(task, completed=n, total=of)
        )  # fmt: skip
    if save is not None:
        save.write_bytes(msgspec.json.encode(done.detections))
    if as_json:
        click.echo(
            msgspec.json.encode({"profile": profile, "unreadable": done.unreadable, **scores.record(done.score)})
        )
    else:
        _print(done, profile, errors)
    faulty = done.score.missed or done.score.false or done.unreadable
    sys.exit(PROBLEMS if faulty else OK)


def _print(done: Evaluation, profile: str, errors: bool) -> None:
    out = show.console()
    out.print(scores.score_table(done.score, f"profile {profile}"))
    out.print()
    for line in scores.claims(done.score):
        out.print(line)
    if errors:
        for line in reasons(done.score, done.detections, done.unreadable):
            out.print(line, soft_wrap=True, markup=False)
    elif done.unreadable:
        out.print(f"{len(done.unreadable)} files could not be read; --errors says why.")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("clips", metavar="[CLIP]...", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--classes", metavar="A,B", help=f"Only these.  [default: all but av_sync; {', '.join(CLASSES)}]")
@click.option("--events", type=click.IntRange(1, 100_000), default=6, show_default=True, help="Of each class.")
@click.option(
    "--clean", "clean_s", type=click.FloatRange(0, 864_000), default=60.0, show_default=True, metavar="S",
    help="Seconds without any defect, to count false alarms.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other files; the same, the same.")
def inject(folder: Path, clips: tuple[Path, ...], classes: str | None, events: int, clean_s: float, seed: int) -> None:
    """Make a labelled set: defects of every class put into clean CLIPs, or into a synthetic programme without any.

    CLIPs must be free of defects, for what they have by themselves is not labelled; a minute or more of each is best.
    Files and manifest.json go into FOLDER; `vqa evaluate FOLDER/manifest.json` then says how well they are found.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: give a new folder")
    with _bar() as bar:
        task: TaskID = bar.add_task("making files", total=None)
        path = make_files(
            folder,
            [clip.resolve() for clip in clips],
            classes=_classes(classes),
            events=events,
            clean_seconds=clean_s,
            seed=seed,
            on_file=lambda n, of: bar.update(task, completed=n, total=of),
        )
    click.echo(path)


def _classes(names: str | None) -> tuple[str, ...]:
    """Those asked for; raises ConfigError for one that there is not."""
    if names is None:
        return DEFAULT_CLASSES
    chosen = tuple(filter(None, (name.strip() for name in names.split(","))))
    for name in chosen:
        if name not in CLASSES:
            raise ConfigError(f"--classes: there is no class {name!r}{suggest(name, CLASSES)}")
    return chosen


def _bar() -> Progress:
    """On stderr, where that is a terminal."""
    err = show.console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
