"""`vqa apply`, `status`, `incidents`, `drain`, `unpark`, `stop`: the fleet that is running."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import msgspec

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.cli.main import OK, PROBLEMS
from vqa_ray.cluster.client import Fleet

Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])

address_option = click.option(
    "--address",
    envvar="RAY_ADDRESS",
    show_envvar=True,
    help="Ray cluster, as `auto` or `host:port`.  [default: the local one]",
)


def within_option(words: str) -> Callable[[Wrapped], Wrapped]:
    """`--within S` of a command that waits; words: what it does when the time is over."""
    return click.option(
        "--within",
        "within_s",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default=True,
        metavar="S",
        help=words,
    )


@contextmanager
def connected(address: str | None) -> Iterator[Fleet]:
    """The running fleet, which goes on afterwards."""
    running = Fleet.connect(address=address)
    try:
        yield running
    finally:
        running.leave()


@click.command()
@click.argument("fleet", type=click.Path(dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only print what would be added (+), changed (~) and removed (-).")
@address_option
def apply(fleet: str, dry_run: bool, address: str | None) -> None:
    """Make the running fleet what a file says: streams are added, changed and removed, the rest goes on untouched."""
    spec = config.load_fleet(fleet)
    with connected(address) as running:
        result = running.apply(spec, dry_run=True) if dry_run else running.apply(spec)
    if dry_run:
        click.echo("\n".join([*show.changes(result), f"would be: {show.applied(result)}"]))
    else:
        click.echo(show.applied(result))


@click.command()
@address_option
@click.option("--json", "as_json", is_flag=True, help="The whole status as one JSON object.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C: the table each second, and incidents as they come.")
def status(address: str | None, as_json: bool, watch: bool) -> None:
    """Show the streams of the running fleet, those in trouble first.

    Exit code 1 if any stream is not watched as it should be or has an open incident.
    """
    if watch and as_json:
        raise click.UsageError("--watch draws a table; call --json again and again instead")
    with connected(address) as running:
        if watch:
            from vqa_ray.cli.run import Watch

            Watch(running, show.console()).until(None)
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
    with connected(address) as running:
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
@click.argument("node", required=False)
@click.option("--here", is_flag=True, help="The machine on which this runs.")
@within_option("Give up waiting after S seconds; what is left there goes on.")
@address_option
def drain(node: str | None, here: bool, within_s: float, address: str | None) -> None:
    """Move all streams off a machine, before it goes: NODE is its Ray node's id, address or host name.

    Nothing new is started there. Exit code 1 if analyzers are left there when the time is over.
    """
    if here == (node is not None):
        raise click.UsageError("name a NODE, or give --here")
    with connected(address) as running:
        empty = running.drain(node, within_s)
    click.echo("empty" if empty else f"not empty after {within_s:.0f} s", err=not empty)
    sys.exit(OK if empty else PROBLEMS)


@click.command()
@click.argument("stream")
@address_option
def unpark(stream: str, address: str | None) -> None:
    """Watch a parked stream again: one that kept crashing its analyzer, or whose source was given up."""
    with connected(address) as running:
        was = running.unpark(stream)
    click.echo(f"{stream} is watched again" if was else f"{stream} was not parked", err=not was)


@click.command()
@address_option
def stop(address: str | None) -> None:
    """Stop the running fleet: streams are released, analyzers and the supervisor end. Results stay."""
    Fleet.connect(address=address).stop()
    click.echo("stopped")
