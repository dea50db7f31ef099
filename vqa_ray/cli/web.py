"""`vqa web`: the operator's page of the running fleet."""

from pathlib import Path

import click

from vqa_ray.cli.fleet import address_option, connected
from vqa_ray.cluster.client import Fleet
from vqa_ray.web.access import Tokens
from vqa_ray.web.desk import FleetDesk
from vqa_ray.web.server import Served


@click.command()
@address_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; others than loopback need --tokens."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8088, show_default=True, help="0: any that is free.")
@click.option(
    "--tokens",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with a line `viewer TOKEN` or `operator TOKEN` each.  [default: a new operator token, printed]",
)
def web(address: str | None, host: str, port: int, tokens: Path | None) -> None:
    """Serve the operator's page and its API: wall, incidents with evidence, streams, fleet. Ctrl-C ends it.

    The fleet does not depend on it: several may run, behind a load balancer too, when they have the same --tokens.
    """
    known = Tokens.read(tokens) if tokens else None
    with connected(address) as running:
        served = Served(FleetDesk(running), host, port, known)
        try:
            click.echo(where(served))
            served.wait()
        except KeyboardInterrupt:
            pass
        finally:
            served.stop()


def serve(running: Fleet, port: int) -> Served:
    """The page of a fleet on this machine's own address, with a new token."""
    return Served(FleetDesk(running), "127.0.0.1", port, None)


def where(served: Served) -> str:
    """What a person needs to open the page."""
    token = f"\ntoken  {served.token}" if served.token else ""
    return f"page   {served.url}{token}"
