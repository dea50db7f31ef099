"""`vqa web`: the operator's page of the running fleet."""

from pathlib import Path

import click

from vqa_ray.cli.fleet import address_option, connected
from vqa_ray.cluster.client import Fleet
from vqa_ray.errors import ConfigError
from vqa_ray.web.access import Tokens, new_token
from vqa_ray.web.actor import PageActor
from vqa_ray.web.desk import FleetDesk
from vqa_ray.web.server import Served, is_here


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
@click.option(
    "--actor",
    is_flag=True,
    help="Have an actor on Ray's head serve it, as long as the fleet lives, and come back at once; "
    "--tokens is a file on the head.",
)
def web(address: str | None, host: str, port: int, tokens: Path | None, actor: bool) -> None:
    """Serve the operator's page and its API: wall, incidents with evidence, streams, fleet. Ctrl-C ends it.

    The fleet does not depend on it: several may run, behind a load balancer too, when they have the same --tokens.
    """
    if actor:
        with connected(address) as running:
            click.echo(serve(running, port, host, tokens))
        return
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


def serve(running: Fleet, port: int, host: str = "127.0.0.1", tokens: Path | None = None) -> str:
    """The page of a fleet, by an actor on Ray's head; what a person needs to open it. Without tokens a new one."""
    if tokens is None and not is_here(host):
        raise ConfigError(f"--host {host}: others can reach it; give --tokens FILE")
    token = None if tokens else new_token()
    url = running.serve(PageActor, host, port, token, str(tokens) if tokens else None)
    return _words(url, token)


def where(served: Served) -> str:
    """What a person needs to open the page."""
    return _words(served.url, served.token)


def _words(url: str, token: str | None) -> str:
    return f"page   {url}" + (f"\ntoken  {token}" if token else "")
