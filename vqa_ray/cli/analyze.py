"""`vqa analyze`: one input in this process; incidents as a table or as JSON lines."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import click
import msgspec

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.cli.main import OK
from vqa_ray.cli.measure import MEASURES
from vqa_ray.cli.report import FileReport, JsonReport, LiveReport, Report, name_of
from vqa_ray.core.evidence import EvidenceOptions, base
from vqa_ray.core.notice import Incident
from vqa_ray.core.urls import is_live
from vqa_ray.errors import ConfigError, StoreError
from vqa_ray.media.schemes import row_of
from vqa_ray.pipeline import local
from vqa_ray.pipeline.evidence import Desk

if TYPE_CHECKING:
    from vqa_ray.sinks.store import ResultStore

log = logging.getLogger(__name__)

WRITER = "analyze"
MAKING_S = 120.0  # how long the end of the command waits for evidence of what was found, at most
COMPACTING_S = 10.0  # how long the end of the command waits for the store's upkeep at most


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
@click.option(
    "--evidence",
    metavar="URI",
    help="Keep stills and a clip of each incident in `evidence/` below this folder, s3://…; by the fleet's options.",
)
@click.option("--stream-id", metavar="ID", help="Name in the results.  [default: made of the input's name]")
@click.option("--measure", type=click.Choice(list(MEASURES)), help="Only measure this, and say how sure that is.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and incident, as soon as it is over.")
def analyze(
    url: str,
    profile: str | None,
    fleet: str | None,
    detectors: str | None,
    duration_s: float | None,
    wait: bool,
    store: str | None,
    evidence: str | None,
    stream_id: str | None,
    measure: str | None,
    as_json: bool,
) -> None:
    """Find what is broken in a file or a live input, without a cluster.

    A file is read to its end as fast as this machine can; a live input is watched until Ctrl-C or --duration.
    Exit code 0: nothing found, 1: incidents found, 2: cannot be opened. With --measure: 0, or 2.
    """
    chosen = choose_profile(url, profile, fleet, measure or detectors)
    name = _checked(stream_id) if stream_id else name_of(url)
    if measure:
        found_offset = MEASURES[measure](
            local.analyze(url, profile=chosen, readings=True, duration_s=duration_s, wait=wait)
        )
        click.echo(msgspec.json.encode(found_offset) if as_json else show.offset(found_offset))
        sys.exit(OK)
    report: Report = JsonReport(url) if as_json else LiveReport(url) if is_live(url) else FileReport(url)
    with ExitStack() as stack:
        results = stack.enter_context(_kept(store)) if store else None
        desk = stack.enter_context(_proved(evidence, fleet)) if evidence else None
        stack.enter_context(report)
        found = local.analyze(
            url,
            profile=chosen,
            stream_id=name,
            duration_s=duration_s,
            wait=wait,
            on_progress=report.progress,
            on_rows=results.add_windows if results else None,
            keeper=desk,
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
        ids = tuple(filter(None, (one.strip() for one in detectors.split(","))))
        if not ids:
            raise ConfigError("--detectors: names none; see `vqa detectors`")
        profile = profile.only(ids)
    row_of(url, profile.source, live=live)
    return profile


def _checked(stream_id: str) -> str:
    try:
        return msgspec.convert(stream_id, config.Name)
    except msgspec.ValidationError:
        raise ConfigError(f"--stream-id {stream_id!r} is refused: give {config.NAME_RULE}") from None


@contextmanager
def _kept(uri: str) -> "Iterator[ResultStore]":
    """The store, loaded when asked for (pyarrow takes its time); StoreError if something could not be written.

    Each call leaves some small files, so each merges those of the hours before, beside its own work. A merge that is
    broken off by the end leaves everything as it was.
    """
    from vqa_ray.sinks.store import ResultStore

    store = ResultStore(uri, writer=WRITER)
    upkeep = threading.Thread(target=_compact, args=(store,), name="store-upkeep", daemon=True)
    try:
        upkeep.start()
        yield store
        store.flush()
        upkeep.join(COMPACTING_S)
    finally:
        store.close()


@contextmanager
def _proved(uri: str, fleet: str | None) -> Iterator[Desk]:
    """The desk that keeps evidence, complete when the block ends; StoreError if some could not be kept."""
    from vqa_ray.sinks.evidence import EvidenceStore

    options = config.load_fleet(fleet).evidence if fleet else EvidenceOptions()
    options = msgspec.structs.replace(options, enabled=True)
    files = EvidenceStore(uri)
    files.prepare()
    desk = Desk(files, options, base=base(uri, options), wait=True)
    try:
        yield desk
    finally:
        desk.close(MAKING_S)
        done = desk.stats()
        click.echo(f"evidence: {done.made} moments, {done.clips} clips in {base(uri, EvidenceOptions())}", err=True)
    if done.failed or done.dropped:
        raise StoreError(f"{done.failed + done.dropped} moments have no evidence: {done.last_error or 'no room'}")


def _compact(store: "ResultStore") -> None:
    try:
        log.info("result store compacted: %s", store.compact())
    except StoreError as error:  # what this command found is in the store all the same
        log.info("the result store could not be compacted: %s", error)
