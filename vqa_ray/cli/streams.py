"""`vqa add`, `remove`, `pause`, `resume`, `move`: single streams of the fleet that is running."""

import click
import msgspec

from vqa_ray.cli import show
from vqa_ray.cli.fleet import address_option, connected, within_option
from vqa_ray.config import StreamSpec
from vqa_ray.core import refusal

names = click.argument("streams", nargs=-1, required=True, metavar="STREAM...")


def specs(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[StreamSpec]:
    """Each `ID=URL`, or a stream as in a fleet file in JSON."""
    return [_spec(text) for text in texts]


def _spec(text: str) -> StreamSpec:
    stream_id, equals, url = text.partition("=")
    try:
        if text.lstrip().startswith("{"):
            return msgspec.json.decode(text, type=StreamSpec)
        return msgspec.convert({"id": stream_id, "url": url if equals else None}, StreamSpec)
    except msgspec.ValidationError as error:
        data = msgspec.json.decode(text) if text.lstrip().startswith("{") else {"id": stream_id, "url": url or None}
        raise click.BadParameter(_why(refusal.explain(error, data, StreamSpec))) from None
    except msgspec.DecodeError as error:
        raise click.BadParameter(f"is no JSON: {error}") from None


def _why(wrong: refusal.Refusal) -> str:
    if wrong.path == ("url",):
        return "write ID=URL, or a stream in JSON"
    return f"{refusal.dotted(wrong.path)}: {wrong.why}" if wrong.path else wrong.why


@click.command()
@click.argument("streams", nargs=-1, required=True, metavar="STREAMSPEC...", callback=specs)
@click.option("--profile", help="Of those that name none.")
@address_option
def add(streams: list[StreamSpec], profile: str | None, address: str | None) -> None:
    """Watch more streams: each as ID=URL, or with all its fields in JSON. A later `vqa apply` takes its file's word."""
    if profile:
        streams = [s if s.profile else msgspec.structs.replace(s, profile=profile) for s in streams]
    with connected(address) as running:
        click.echo(show.applied(running.add(streams)))


@click.command()
@names
@address_option
def remove(streams: tuple[str, ...], address: str | None) -> None:
    """Watch streams no longer; what they have open is closed."""
    with connected(address) as running:
        click.echo(show.applied(running.remove(streams)))


@click.command()
@names
@address_option
def pause(streams: tuple[str, ...], address: str | None) -> None:
    """Leave streams declared, but unwatched until `vqa resume`; what they have open is closed."""
    with connected(address) as running:
        click.echo(show.applied(running.pause(streams)))


@click.command()
@names
@address_option
def resume(streams: tuple[str, ...], address: str | None) -> None:
    """Watch paused streams again."""
    with connected(address) as running:
        click.echo(show.applied(running.pause(streams, paused=False)))


@click.command()
@click.argument("stream")
@click.argument("analyzer", required=False)
@within_option("Give up waiting after S seconds.")
@address_option
def move(stream: str, analyzer: str | None, within_s: float, address: str | None) -> None:
    """Have another analyzer (the one named, or the best) take a stream, with what is open on it."""
    with connected(address) as running:
        where = running.move(stream, analyzer, within_s=within_s)
    click.echo(f"{stream} is at {where}")
