"""`vqa check` and `vqa schema`: fleet files, without starting anything."""

from collections import Counter

import click
import msgspec

from vqa_ray import config
from vqa_ray.cli.show import many
from vqa_ray.core.urls import redact, scheme


@click.command()
@click.argument("fleet", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Each stream with its complete profile, one object a line.")
def check(fleet: str, as_json: bool) -> None:
    """Check a fleet file without starting anything; exit code 2 and the first error if it is wrong."""
    spec = config.load_fleet(fleet)
    if as_json:
        for stream in spec.streams:
            profile = config.profile_for(spec, stream)
            click.echo(msgspec.json.encode({"id": stream.id, "url": redact(stream.url), "profile": profile}))
        return
    click.echo(f"{fleet}: fine: {_summary(spec)}")


def _summary(spec: config.FleetSpec) -> str:
    schemes = Counter(scheme(stream.url) for stream in spec.streams)
    profiles = Counter(config.profile_for(spec, stream).name for stream in spec.streams)
    parts = [
        f"{many(len(spec.streams), 'stream')} ({_counted(schemes)})" if spec.streams else "no streams",
        f"profiles {_counted(profiles)}" if profiles else "",
        f"alerts to {', '.join(channel.label for channel in spec.channels)}" if spec.channels else "no alert channels",
        f"results in {redact(spec.store)}" if spec.store else "no result store",
    ]
    return "; ".join(filter(None, parts))


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


@click.command()
def schema() -> None:
    """Print the JSON Schema of a fleet file, for editors: `# yaml-language-server: $schema=fleet.schema.json`."""
    click.echo(msgspec.json.format(msgspec.json.encode(config.json_schema()), indent=2))
