"""`vqa sync`: the sync error of one input against another one of the same programme."""

import sys

import click
import msgspec

from vqa_ray.cli import show
from vqa_ray.cli.analyze import choose_profile
from vqa_ray.cli.main import OK, PROBLEMS, WRONG
from vqa_ray.pipeline.sync import DRIFT_MS_PER_MIN, DURATION_S, TOLERANCE_MS, Sync
from vqa_ray.pipeline.sync import sync as measure

NOTHING_COMMON = "nothing in common: is it the same programme, at about the same time, for long enough?"


@click.command()
@click.argument("reference", metavar="REFERENCE")
@click.argument("output", metavar="OUTPUT")
@click.option(
    "--duration", "duration_s", type=click.FloatRange(min=5, max=600), default=DURATION_S, show_default=True,
    metavar="S", help="Compare S seconds of each.",
)  # fmt: skip
@click.option(
    "--tolerance-ms", type=click.FloatRange(min=1, max=5000), default=TOLERANCE_MS, show_default=True, metavar="MS",
    help="An offset beyond this, early or late, is a problem.",
)  # fmt: skip
@click.option("--profile", metavar="NAME", help="How inputs are opened.  [default: qc for a file, else live]")
@click.option("--fleet", type=click.Path(dir_okay=False), help="Fleet file to take profiles from.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def sync(
    reference: str,
    output: str,
    duration_s: float,
    tolerance_ms: float,
    profile: str | None,
    fleet: str | None,
    as_json: bool,
) -> None:
    """Measure how early or late the sound of OUTPUT is, against REFERENCE, which shows the same programme in sync.

    Both are files or live inputs, in any coding, size and frame rate; one may be delayed. Exit code 0: in sync, 1: off
    by more than the tolerance, or drifting by more than 20 ms a minute, 2: cannot be opened, or too little in common
    to be sure.
    """
    profiles = (choose_profile(reference, profile, fleet, None), choose_profile(output, profile, fleet, None))
    found = measure(reference, output, duration_s=duration_s, profiles=profiles)
    click.echo(msgspec.json.encode(found) if as_json else said(found))
    sys.exit(OK if found.within(tolerance_ms) else PROBLEMS if found.sure else WRONG)


def said(found: Sync) -> str:
    """The measurement in words."""
    if found.offset_ms is None or found.worst_ms is None or found.delay_ms is None:
        return NOTHING_COMMON
    if not found.sure:
        return f"{NOTHING_COMMON} (sureness {found.sureness:.2f})"
    words = show.early_or_late(found.offset_ms)
    if abs(found.worst_ms - found.offset_ms) >= 1.0:
        words += f", at worst {show.early_or_late(found.worst_ms).removeprefix('sound ')}"
    drift = found.drift_ms_per_min
    if drift is not None and abs(drift) > DRIFT_MS_PER_MIN:
        words += f", drifts by {drift:+.0f} ms a minute"
    return f"{words}, sure (sureness {found.sureness:.2f}, from reference; picture {found.delay_ms / 1000:+.2f} s)"
