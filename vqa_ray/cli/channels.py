"""`vqa channels test`: whether alerts get through, before one has to."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import click
import msgspec
from rich.table import Table
from rich.text import Text

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.cli.main import OK, PROBLEMS
from vqa_ray.core.refusal import suggest
from vqa_ray.errors import ConfigError
from vqa_ray.sinks.channel import ChannelSpec, Outcome
from vqa_ray.sinks.trial import CONFIG, Trial, attempt

AT_ONCE = 8
WORDS = {
    Outcome.SENT.value: ("sent", "green"),
    Outcome.RETRY.value: ("not now", "yellow"),
    Outcome.GIVE_UP.value: ("refused", "red"),
    CONFIG: ("cannot be used", "red"),
}


@click.group()
def channels() -> None:
    """Alert channels of a fleet file: test."""


@channels.command()
@click.argument("fleet", type=click.Path(dir_okay=False))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and channel.")
def test(fleet: str, names: tuple[str, ...], as_json: bool) -> None:
    """Send a test message to each channel (or those that are named) and say what came back.

    It is an incident of severity info that opens and closes at once, sent from this machine, with its environment.
    Exit code 0 if all took it, 1 if one did not, 2 if there is no such channel or the file is wrong.
    """
    trials = run(chosen(config.load_fleet(fleet).outlets, names))
    if as_json:
        for trial in trials:
            click.echo(msgspec.json.encode(trial))
    else:
        show.console().print(_table(trials))
    sys.exit(OK if all(trial.fine for trial in trials) else PROBLEMS)


def chosen(every: Sequence[ChannelSpec], names: Sequence[str]) -> list[ChannelSpec]:
    """The channels of these names, or all; ConfigError for an unknown name, or where there are none."""
    if not every:
        raise ConfigError("the fleet has no channels")
    known = {channel.label: channel for channel in every}
    for name in names:
        if name not in known:
            raise ConfigError(f"channel {name!r}: there is no such name{suggest(name, known)}")
    return [known[name] for name in names] or list(every)


def run(specs: Sequence[ChannelSpec]) -> list[Trial]:
    """Tries all, several at once; in their order."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(attempt, specs))


def _table(trials: Sequence[Trial]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("channel", "type", "result", "took"):
        table.add_column(column, no_wrap=True)
    table.add_column("what came back", overflow="fold")
    for trial in trials:
        words, style = WORDS[trial.outcome]
        came = Text(trial.detail)
        table.add_row(
            Text(trial.name, style="bold"), trial.type, Text(words, style=style), show.length(trial.took_s), came
        )
    return table
