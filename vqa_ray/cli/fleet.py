"""`vqa apply`, `status`, `incidents`, `stop`: the fleet that is running."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.cli.main import OK, PROBLEMS
from vqa_ray.cluster.client import Fleet

address_option = click.option(
    "--address",
    envvar="RAY_ADDRESS",
    show_envvar=True,
    help="Ray cluster, as `auto` or `host:port`.  [default: the local one]",
)


@contextmanager
def _connected(address: str | None) -> Iterator[Fleet]:
    """The running fleet, which goes on afterwards."""
    running = Fleet.connect(address=address)
    try:
        yield running
    finally:
        running.leave()


@click.command()
@click.argument("fleet", type=click.Path(dir_okay=False))
@address_option
def apply(fleet: str, address: str | None) -> None:
    """Make the running fleet what a file says: streams are added, changed and removed, the rest goes on untouched."""
    spec = config.load_fleet(fleet)
    with _connected(address) as running:
        result = running.apply(spec)
    click.echo(show.applied(result))


@click.command()
@address_option
@click.option("--json", "as_json", is_flag=True, help="The whole status as one JSON object.")
def status(address: str | None, as_json: bool) -> None:
    """Show the streams of the running fleet, those in trouble first.

    Exit code 1 if any stream is not watched as it should be or has an open incident.
    """
    with _connected(address) as running:
        now = running.status()
    if as_json:
        click.echo(msgspec.json.encode(now))
    else:
        out = show.console()
        out.print(show.status_line(now))
        out.print(show.stream_table(now.streams))
    fine = now.open_incidents == 0 and all(stream.state in show.FINE for stream in now.streams)
    sys.exit(OK if fine else PROBLEMS)


@click.command()
@address_option
@click.option("--open", "open_only", is_flag=True, help="Only those that last; exit code 1 if there are any.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many, the latest."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and incident.")
def incidents(address: str | None, open_only: bool, limit: int, as_json: bool) -> None:
    """Show the latest incidents of the running fleet; older ones are in its result store."""
    with _connected(address) as running:
        found = running.incidents(limit=limit, open_only=open_only)
    if as_json:
        for incident in found:
            click.echo(msgspec.json.encode(incident))
    elif found:
        show.console().print(show.incident_table(found, media_time=False, with_stream=True))
    else:
        click.echo("no open incidents" if open_only else "no incidents", err=True)
    sys.exit(PROBLEMS if open_only and found else OK)


@click.command()
@address_option
def stop(address: str | None) -> None:
    """Stop the running fleet: streams are released, analyzers and the supervisor end. Results stay."""
    Fleet.connect(address=address).stop()
    click.echo("stopped")
