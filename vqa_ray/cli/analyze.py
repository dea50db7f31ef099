"""`vqa analyze`: one input in this process; incidents as a table or as JSON lines."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import click
import msgspec

from vqa_ray import config
from vqa_ray.cli.report import FileReport, JsonReport, LiveReport, Report, name_of
from vqa_ray.core.notice import Incident
from vqa_ray.core.urls import is_live
from vqa_ray.errors import ConfigError
from vqa_ray.media.schemes import row_of
from vqa_ray.pipeline import local

if TYPE_CHECKING:
    from vqa_ray.sinks.store import ResultStore

WRITER = "analyze"


@click.command()
@click.argument("url", metavar="FILE|URL")
@click.option("--profile", metavar="NAME", help="live, qc, or one of --fleet.  [default: qc for a file, else live]")
@click.option("--fleet", type=click.Path(dir_okay=False), help="Fleet file to take profiles from.")
@click.option("--detectors", metavar="A,B", help="Only these, with the profile's options; see `vqa detectors`.")
@click.option(
    "--duration", "duration_s", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Stop after S seconds."
)
@click.option("--wait", is_flag=True, help="Keep trying a live input that does not answer at first.")
@click.option("--store", metavar="URI", help="Keep incidents and measurements in this folder, s3://…, gs://…")
@click.option("--stream-id", metavar="ID", help="Name in the results.  [default: made of the input's name]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and incident, as soon as it is over.")
def analyze(
    url: str,
    profile: str | None,
    fleet: str | None,
    detectors: str | None,
    duration_s: float | None,
    wait: bool,
    store: str | None,
    stream_id: str | None,
    as_json: bool,
) -> None:
    """Find what is broken in a file or a live input, without a cluster.

    A file is read to its end as fast as this machine can; a live input is watched until Ctrl-C or --duration.
    Exit code 0: nothing found, 1: incidents found, 2: cannot be opened.
    """
    chosen = choose_profile(url, profile, fleet, detectors)
    name = _checked(stream_id) if stream_id else name_of(url)
    report: Report = JsonReport(url) if as_json else LiveReport(url) if is_live(url) else FileReport(url)
    with ExitStack() as stack:
        results = stack.enter_context(_kept(store)) if store else None
        stack.enter_context(report)
        found = local.analyze(
            url,
            profile=chosen,
            stream_id=name,
            duration_s=duration_s,
            wait=wait,
            on_progress=report.progress,
            on_rows=results.add_windows if results else None,
        )
        for incident in stack.enter_context(closing(found)):
            if isinstance(incident, Incident):
                report.found(incident)
                if results:
                    results.add_incident(incident, 0)
    sys.exit(report.exit_code)


def choose_profile(url: str, name: str | None, fleet: str | None, detectors: str | None) -> config.Profile:
    """The profile that the options ask for; raises ConfigError, or SourceError for a URL that it never opens."""
    declared = config.load_fleet(fleet) if fleet else config.FleetSpec()
    live = is_live(url)
    profile = config.resolve_profile(declared, name or ("live" if live else "qc"), at=("--profile",))
    if detectors is not None:
        profile = profile.only(tuple(filter(None, (one.strip() for one in detectors.split(",")))))
    row_of(url, profile.source, live=live)
    return profile


def _checked(stream_id: str) -> str:
    try:
        return msgspec.convert(stream_id, config.Name)
    except msgspec.ValidationError:
        raise ConfigError(f"--stream-id {stream_id!r} is refused: give {config.NAME_RULE}") from None


@contextmanager
def _kept(uri: str) -> "Iterator[ResultStore]":
    """The store, loaded when asked for (pyarrow takes its time); StoreError if something could not be written."""
    from vqa_ray.sinks.store import ResultStore

    store = ResultStore(uri, writer=WRITER)
    try:
        yield store
        store.flush()
    finally:
        store.close()
