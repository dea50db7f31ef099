"""`vqa cost`: what a fleet would take of machines and money, from what one stream takes of this one."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec
from rich.table import Table

from vqa_ray.cli import show
from vqa_ray.cli.main import OK
from vqa_ray.config import LIVE
from vqa_ray.core.ladder import RUNGS, Tier
from vqa_ray.core.sizing import MONTH_H, USUAL, Machine, Need, need
from vqa_ray.errors import ConfigError
from vqa_ray.media.synthetic.broadcast import ClipSpec, encode
from vqa_ray.pipeline.sizing import cpu_share

CLIP_S = 8.0
FILL = 0.85  # as the cluster packs analyzers
LIVE_OVER_FILE = 1.3  # what a live stream takes of CPU over the same media from a file: 4.3 % against 3.3 % at 360p25
USUAL_BIT_RATE, USUAL_PIXELS, POWER = 6e6, 1920 * 1080 * 30, 0.75  # bits grow slower than pixels: 1 Mb/s at 360p25
HEIGHTS, RATES = (90, 2160), (5, 60)
FORMAT = re.compile(r"(\d{2,4})p(\d{1,3})")
TIERS = {Tier.ALL: "all frames", Tier.NO_DISPOSABLE: "no disposable frames", Tier.KEY: "key frames only"}


@click.command()
@click.option("--streams", type=click.IntRange(min=1), required=True, metavar="N", help="How many streams.")
@click.option(
    "--profile", "shape", default="1080p30", show_default=True, metavar="FORMAT", help="Height and frame rate."
)
@click.option("--clip", type=click.Path(dir_okay=False, exists=True), help="Measure with a recording of yours instead.")
@click.option("--node", default=USUAL.name, show_default=True, metavar="NAME", help="What the machines are called.")
@click.option("--vcpus", type=click.IntRange(min=1), default=USUAL.vcpus, show_default=True, help="Of one machine.")
@click.option(
    "--usd-hour", type=click.FloatRange(min=0), default=USUAL.usd_hour, show_default=True, help="Price of one machine."
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def cost(streams: int, shape: str, clip: str | None, node: str, vcpus: int, usd_hour: float, as_json: bool) -> None:
    """Measure one stream on this machine, and say what many of them take.

    Cores, machines and dollars a month, for each rung of the ladder that a stream steps down when its analyzer is
    overloaded. The default price is a public list price (us-east-1, on demand, November 2025) without discounts; a
    vCPU is taken to be like a core of here. A live stream is reckoned to take 30 % more than a file.
    """
    machine = Machine(name=node, vcpus=vcpus, usd_hour=usd_hour)
    out = show.console(stderr=True)
    with _clip(clip, shape) as path:
        if out.is_terminal:
            out.print(f"measuring {clip or shape} …", style="dim")
        needs = {tier: need(streams, LIVE_OVER_FILE * cpu_share(path, LIVE, tier), machine, FILL) for tier in RUNGS}
    if as_json:
        rows = {tier.value: msgspec.to_builtins(one) for tier, one in needs.items()}
        click.echo(msgspec.json.encode({"streams": streams, "machine": machine, "tiers": rows}))
    else:
        show.console().print(_table(needs, streams, clip or shape, machine))
    sys.exit(OK)


def clip_of(shape: str) -> ClipSpec:
    """A clip of that format (`1080p30`), 16:9, at a usual bit rate; ConfigError if it is none."""
    found = FORMAT.fullmatch(shape)
    height, fps = map(int, found.groups()) if found else (0, 0)
    if not (HEIGHTS[0] <= height <= HEIGHTS[1] and height % 2 == 0 and RATES[0] <= fps <= RATES[1]):
        raise ConfigError(f"--profile {shape!r} is refused: give height and frame rate, as 1080p30 or 360p25")
    width = round(height * 16 / 9 / 2) * 2
    bit_rate = round(USUAL_BIT_RATE * (width * height * fps / USUAL_PIXELS) ** POWER)
    return ClipSpec(name=shape, width=width, height=height, fps=fps, bit_rate=bit_rate, seconds=CLIP_S)


@contextmanager
def _clip(own: str | None, shape: str) -> Iterator[str]:
    if own is not None:
        yield own
        return
    wanted = clip_of(shape)
    with TemporaryDirectory(prefix="vqa-") as folder:
        path = Path(folder) / "clip.ts"
        encode(wanted, path)
        yield str(path)


def _table(needs: Mapping[Tier, Need], streams: int, what: str, machine: Machine) -> Table:
    title = f"{streams:,} streams of {what}, on {machine.name} ({machine.vcpus} vCPUs, {machine.usd_hour:g} $/h)"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("decoded")
    for column in ("% of a core", "streams a core", "vCPUs", "machines", "$ a month", "$ a stream-hour"):
        table.add_column(column, justify="right")
    for tier, one in needs.items():
        share = f"{one.cpu_share:.1%}"
        if not one.streams_a_core:
            table.add_row(TIERS[tier], share, "too much for one core", "", "", "", "")
            continue
        hour = one.usd_month / MONTH_H / streams
        table.add_row(
            TIERS[tier], share, str(one.streams_a_core), f"{one.vcpus:,}", f"{one.machines:,}", f"{one.usd_month:,.0f}",
            f"{hour:.5f}",
        )  # fmt: skip
    return table
