"""`vqa report`: a day of the result store as a page, with its tables beside it."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.cli.day.page import render
from vqa_ray.cli.fleet import address_option, connected
from vqa_ray.core import report as core
from vqa_ray.core.remark import Remark
from vqa_ray.errors import ClusterError, StoreError
from vqa_ray.sinks.history import read_analysed, read_recorded, write_report
from vqa_ray.sinks.store import read_incidents

BEFORE = timedelta(days=7)  # an incident that began no earlier than this before the day counts in it
Labels = Mapping[str, Mapping[str, str]]


def pairs(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each `key:value`."""
    for text in texts:
        if not all(text.partition(":")):
            raise click.BadParameter(f"{text!r}: write key:value")
    return texts


@click.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="In UTC; of today, what is over of it.")
@click.option("--store", required=True, metavar="URI", help="The result store: a folder, s3://…, gs://….")
@click.option("--html", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The page to write.")
@click.option("--stream", help="Only this stream.")
@click.option(
    "--label", "labels", multiple=True, callback=pairs, help="Only streams with this key:value; several: all."
)
@click.option("--fleet", type=click.Path(dir_okay=False), help="A fleet file, for the labels of its streams.")
@address_option
def report(
    day: datetime,
    store: str,
    html: Path,
    stream: str | None,
    labels: tuple[str, ...],
    fleet: str | None,
    address: str | None,
) -> None:
    """Write what a day was like: availability, incidents by kind, time to detect, the longest, coverage.

    One self-contained page, and beside it STEM.streams and STEM.incidents as CSV and Parquet. What people said of
    incidents, and labels of streams without any, come from the running fleet where one answers.
    """
    period = period_of(day.replace(tzinfo=UTC), datetime.now(UTC))
    known, remarks = asked(address)
    if fleet:
        known = {**known, **{one.id: one.labels for one in config.load_fleet(fleet).streams}}
    made = gather(store, period, stream=stream, labels=labels, known=known, remarks=remarks)
    if not made.streams:
        raise StoreError(
            f"the store holds nothing of {day:%Y-%m-%d}" + (" for these streams" if stream or labels else "")
        )
    of = " ".join(filter(None, [stream, *labels])) or show.many(len(made.streams), "stream")
    try:
        html.write_text(render(made, of=of), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{html}: cannot be written: {error.strerror}") from None
    for path in (html, *write_report(made, html.with_suffix(""))):
        click.echo(path)


def period_of(day: datetime, now: datetime) -> core.Period:
    """The day, or what is over of it; StoreError for one that has not begun."""
    until = min(day + timedelta(days=1), now.replace(microsecond=0))
    if until <= day:
        raise StoreError(f"{day:%Y-%m-%d} has not begun (UTC)")
    return core.Period(day, until)


def asked(address: str | None) -> tuple[Labels, list[Remark] | None]:
    """Labels of its streams and remarks of the running fleet; nothing and None if there is none."""
    try:
        with connected(address) as running:
            return {one.stream_id: one.labels for one in running.status().streams}, running.remarks()
    except ClusterError:
        return {}, None


def gather(
    store: str,
    period: core.Period,
    *,
    stream: str | None = None,
    labels: Collection[str] = (),
    known: Labels | None = None,
    remarks: list[Remark] | None = None,
) -> core.DayReport:
    """The report of a store's period; raises StoreError."""
    since, until = period.since - BEFORE, period.until
    analysed = read_analysed(store, period, stream=stream)
    incidents = read_incidents(store, since=since, until=until, stream=stream)
    recorded = read_recorded(store, since=period.since, until=until)
    return core.make(
        period,
        analysed=analysed,
        incidents=incidents,
        recorded=recorded,
        labels=known or {},
        remarks=remarks,
        only=labels,
    )
