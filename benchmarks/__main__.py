"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME [--short] [--json FILE]` runs one."""

import importlib

import click

BENCHMARKS: dict[str, str] = {
    "cost": "CPU and memory of the pipeline over decoding alone, and FFmpeg's filters beside it.",
    "density": "Live streams that two cores hold, analysed and decoded only.",
    "latency": "From the first bad frame arriving to the webhook received.",
    "architectures": "The same detectors in one process, on Ray in two ways, and as serverless steps: dollars.",
    "accuracy": "What is found of labelled defects, and false alarms on clean files.",
    "scale": "Planning for thousands of streams, and the beats of hundreds of analyzers.",
    "failover": "Until every stream of a killed analyzer or node is analysed again; the supervisor killed.",
    "chaos": "Random kills while live streams have scripted faults: none lost, none told twice.",
    "autoscale": "Ray's autoscaler brings machines for waiting analyzers, and takes drained ones away.",
    "evidence": "CPU and memory of proof of incidents, and frames lost when a hundred open at once.",
    "avsync": "Marker and reference sync against known offsets, and drift.",
}


class _Group(click.Group):
    """Imports a benchmark when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the list."""
        return list(BENCHMARKS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in BENCHMARKS:
            return None
        made: click.Command = importlib.import_module(f"benchmarks.{cmd_name}").command
        return made

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, without importing any."""
        with formatter.section("Benchmarks"):
            formatter.write_dl(list(BENCHMARKS.items()))


@click.group(cls=_Group, invoke_without_command=True)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Measure vqa_ray on this machine."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
