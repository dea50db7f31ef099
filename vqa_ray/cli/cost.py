"""`vqa detectors --cost`: what each detector costs on this machine, for people or as JSON."""

from collections.abc import Sequence

import click
import msgspec
from rich.table import Table
from rich.text import Text

from vqa_ray import config
from vqa_ray.cli import show
from vqa_ray.detectors.base import DetectorSpec
from vqa_ray.pipeline.cost import SECONDS, Cost, measure

CAPTION = (
    "µs: for each item, beside decoding, with the options of profile live; the cheapest of three rounds.\n"
    "share: of what reading and decoding took. Images are shared: of those that ask, the first pays."
)


def tell(chosen: Sequence[type[DetectorSpec]], *, as_json: bool) -> None:
    """Measure the detectors, all at work at once, and print what was found."""
    specs = [getattr(config.LIVE.detectors, spec.id) or spec() for spec in chosen]
    err = show.console(stderr=True)
    with err.status("measuring") as status:
        costs = measure(specs, on_round=lambda words: status.update(f"measuring: {words}"))
    if as_json:
        for cost in costs:
            click.echo(msgspec.json.encode(cost))
        return
    show.console().print(table(costs))


def table(costs: Sequence[Cost]) -> Table:
    """A row a detector; those that found nothing to look at have no figures."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column("detector", no_wrap=True)
    made.add_column("for each")
    for size in SECONDS:
        made.add_column(f"{size} µs", justify="right")
        made.add_column("share", justify="right")
    cells: dict[str, list[str]] = {}
    for cost in costs:
        row = cells.setdefault(cost.detector, [cost.per])
        row += [f"{cost.us:.1f}", f"{cost.share:.1%}"] if cost.reads else ["", ""]
    for detector, row in cells.items():
        made.add_row(Text(detector, style="bold"), *row)
    made.caption, made.caption_justify = CAPTION, "left"
    return made
