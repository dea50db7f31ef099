"""`vqa detectors`: the registry, for people or as JSON."""

import click
import msgspec
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.core.advice import advice
from vqa_ray.core.refusal import suggest
from vqa_ray.detectors.base import DetectorSpec
from vqa_ray.detectors.registry import SPECS, by_id, options, summary
from vqa_ray.errors import ConfigError

VALUE_COLUMNS = 36  # a longer value of an option is folded


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--cost", is_flag=True, help="Measure what each costs on this machine instead: about half a minute.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and detector, with all its options.")
def detectors(names: tuple[str, ...], cost: bool, as_json: bool) -> None:
    """List the detectors, or show the options of some with default and range."""
    for name in names:
        if name not in by_id:
            raise ConfigError(f"detector {name!r}: there is no such name{suggest(name, by_id)}")
    chosen = [by_id[name] for name in names] or list(SPECS)
    if cost:
        from vqa_ray.cli.cost import tell  # media: libav takes a third of a second to load

        tell(chosen, as_json=as_json)
        return
    if as_json:
        for spec in chosen:
            click.echo(msgspec.json.encode(described(spec)))
        return
    out = show.console()
    out.print(Group(*map(_page, chosen)) if names else _table(chosen))


def described(spec: type[DetectorSpec]) -> dict[str, object]:
    """One detector as a record: what it finds, what it reads, its options, and what the profiles make of it."""
    profiles = {profile.name: getattr(profile.detectors, spec.id) for profile in (config.LIVE, config.QC)}
    return {
        "id": spec.id,
        "finds": summary(spec),
        "inputs": [kind.value for kind in spec.inputs],
        "unit": spec.unit,
        "hidden_by": spec.hidden_by,
        "worse_with": spec.worse_with,
        "adapts": spec.adapts,
        "advice": advice(spec.id),
        "options": options(spec),
        "profiles": profiles,
    }


def _table(chosen: list[type[DetectorSpec]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("detector", "live", "qc"):
        table.add_column(column, no_wrap=True)
    table.add_column("finds")
    for spec in chosen:
        table.add_row(
            Text(spec.id, style="bold"), *(_hold(profile, spec) for profile in (config.LIVE, config.QC)), summary(spec)
        )
    table.caption = (
        "live, qc: how long a defect lasts before it counts, in the shipped profiles. Options: vqa detectors NAME"
    )
    table.caption_justify = "left"
    return table


def _hold(profile: config.Profile, spec: type[DetectorSpec]) -> str:
    made = getattr(profile.detectors, spec.id)
    return "off" if made is None else f"{made.raise_after_s:g} s"


def _page(spec: type[DetectorSpec]) -> Group:
    hidden = f"; silent while {' or '.join(spec.hidden_by)} lasts" if spec.hidden_by else ""
    worse = f"; critical together with {' or '.join(spec.worse_with)}" if spec.worse_with else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("option", no_wrap=True)
    for column in ("default", "live", "qc", "allowed"):
        table.add_column(column, max_width=VALUE_COLUMNS, overflow="fold")
    table.add_column("meaning")
    for option in options(spec):
        values = (_value(getattr(profile.detectors, spec.id), option.name) for profile in (config.LIVE, config.QC))
        table.add_row(option.name, _shown(option.default), *values, option.allowed, option.description)
    return Group(
        Text.assemble((spec.id, "bold"), f"  reads {' and '.join(spec.inputs)}, measures {spec.unit}{hidden}{worse}"),
        Text(summary(spec)),
        *([Text(f"Adapts to the stream: {spec.adapts}.")] if spec.adapts else []),
        Text(f"What to try: {advice(spec.id)}"),
        Padding(table, (1, 0, 1, 2), expand=False),
    )


def _value(made: DetectorSpec | None, option: str) -> str:
    return "off" if made is None else _shown(getattr(made, option))


def _shown(value: object) -> str:
    """A value of an option; of a list a member a line."""
    return "\n".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
