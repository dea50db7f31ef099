"""Live streams that two cores hold: analysed completely, and decoded only, with the same reader and the same pace.

Analysed with all default detectors, and with the seven basic ones.

A sender replays a recorded 360p25 transport stream in real time to each stream, over HTTP; its own CPU is told beside
(it is on the same two cores where a machine has no more). Two processes share the streams, a thread a stream. A number
of streams is held when 99.9 % of their seconds were complete within a second of when they were due, nothing was left
out of the analysis, and none fell behind from the first to the last third. A number that fails is tried once more.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from benchmarks import clips
from benchmarks.clips import ClipSpec
from benchmarks.cost_runs import BASIC_IDS
from benchmarks.measure import Child, Figures, Target, console, in_child, table, verdict, write

PROCESSES = 2
HELD = 0.999
BEHIND_S = 0.5  # so much later at the end than at the beginning means falling behind
FULL_SHARE = Target(0.80, at_least=True)
EXPECTED = 0.8  # of the two cores may be used by streams that are held, at a first guess
REAL_TIME = 1.15  # what a live stream takes of CPU over the same media from a file


ALONE: dict[str, tuple[str, dict[str, Any]]] = {  # what each kind does, from a file: a first guess
    "decode": ("decode", {}),
    "analyse": ("pipeline", {}),
    "seven": ("pipeline", {"only": BASIC_IDS}),
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured. step: the number is found to within so many; tries: before a number is given up.

    warm_s: what all streams at once took to open is worked off by then, which takes long where little is left over.
    """

    clip: ClipSpec
    warm_s: float
    seconds: float
    step: int
    trials: int
    tries: int


FULL = Plan(clip=clips.sd(40), warm_s=12.0, seconds=10.0, step=2, trials=6, tries=2)
SHORT = Plan(clip=clips.sd(16), warm_s=3.0, seconds=3.0, step=2, trials=2, tries=1)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One number of streams, watched for a while. cpu_share: of one core, of all watchers together."""

    kind: str
    streams: int
    on_time: float  # share of seconds
    late_p99_s: float
    grown_s: float
    cpu_share: float
    sender_share: float
    stepped_down: int
    reconnects: int

    @property
    def held(self) -> bool:
        """Whether all streams were watched completely and in time, and would go on to be."""
        whole = self.on_time >= HELD and not self.stepped_down and not self.reconnects
        return whole and self.grown_s <= BEHIND_S


@click.command("density")
@click.option("--short", is_flag=True, help="Two trials a kind: a rough figure in half a minute.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, path: Path | None) -> None:
    """Live streams that two cores hold, analysed and decoded only."""
    terminal = console()
    write(terminal, run(SHORT if short else FULL, terminal), path)


def run(plan: Plan, console: Console) -> Figures:
    """Measure, print, and give the figures."""
    with console.status(f"making {plan.clip.name}"):
        clip = clips.make(plan.clip)
    trials: list[Trial] = []
    most: dict[str, int] = {}
    with console.status("density") as status:
        for kind, (function, options) in ALONE.items():
            share = in_child(f"benchmarks.cost_runs:{function}", path=str(clip), **options)["cpu_s"] / plan.clip.seconds
            start = max(plan.step, round(PROCESSES * EXPECTED / (share * REAL_TIME)) // plan.step * plan.step)
            held = partial(_held, kind, plan=plan, clip=clip, trials=trials, say=status.update)
            most[kind] = search(held, start=start, step=plan.step, trials=plan.trials)
    _show(trials, plan, console)
    alone = most["decode"]
    shares = {kind: most[kind] / alone if alone else None for kind in ("analyse", "seven")}
    for kind, words in (("analyse", "all default detectors"), ("seven", "the seven basic ones")):
        share = shares[kind]
        console.print(
            f"{plan.clip.name}, two cores: {most[kind]} streams analysed with {words}, {alone} decoded only, "
            f"share {share if share is None else round(share, 3)}: {verdict(share, FULL_SHARE)}"
        )
    console.print()
    return {
        "streams_full": most["analyse"],
        "streams_seven": most["seven"],
        "streams_decode_only": alone,
        "streams_share": shares["analyse"],
        "streams_share_seven": shares["seven"],
    }


def search(held: Callable[[int], bool], *, start: int, step: int, trials: int) -> int:
    """The largest number that is held, to within `step`, in at most `trials` looks; 0 if none was.

    From `start` on by a quarter up or a third down until it lies between two, then by halves.
    """
    low, high, n = 0, 0, start
    for _ in range(trials):
        if held(n):
            low = n
        else:
            high = n
        if high and high - low <= step:
            break
        n = (low + high) // 2 if low and high else (n * 5 // 4 if low else n * 2 // 3)
        n = max(step, n // step * step, low + step if low else 0)
    return low


def _held(kind: str, streams: int, *, plan: Plan, clip: Path, trials: list[Trial], say: Callable[[str], None]) -> bool:
    for _ in range(plan.tries):
        say(f"{kind}: {streams} streams")
        trials.append(_try(kind, streams, plan, clip))
        if trials[-1].held:
            return True
    return False


def _try(kind: str, streams: int, plan: Plan, clip: Path) -> Trial:
    with Child("benchmarks.replay:send", path=str(clip), stamps=False) as sender:
        urls = [f"http://127.0.0.1:{sender.ready['port']}/{k}" for k in range(streams)]
        watch = partial(in_child, "benchmarks.density_runs:watch", kind=kind, warm_s=plan.warm_s, seconds=plan.seconds)
        with ThreadPoolExecutor(PROCESSES) as pool:
            parts = list(pool.map(lambda k: watch(urls=urls[k::PROCESSES]), range(PROCESSES)))
        sent = sender.finish()
    total: dict[str, Any] = {name: sum(part[name] for part in parts) for name in ("due", "on_time", "cpu_share")}
    return Trial(
        kind=kind,
        streams=streams,
        on_time=total["on_time"] / total["due"],
        late_p99_s=max(part["late_p99_s"] or 0.0 for part in parts),
        grown_s=max(part["grown_s"] or 0.0 for part in parts),
        cpu_share=total["cpu_share"],
        sender_share=sent["cpu_share"],
        stepped_down=sum(part["stepped_down"] for part in parts),
        reconnects=sum(part["reconnects"] for part in parts),
    )


def _show(trials: list[Trial], plan: Plan, console: Console) -> None:
    shown = table(
        f"{plan.clip.name} over HTTP, {plan.seconds:g} s each", "kind", "streams", "on time", "late p99", "later by",
        "% of a core each", "sender", "held",
    )  # fmt: skip
    for t in sorted(trials, key=lambda t: (t.kind, t.streams)):
        shown.add_row(
            t.kind, str(t.streams), f"{t.on_time:.2%}", f"{t.late_p99_s * 1e3:.0f} ms", f"{t.grown_s * 1e3:.0f} ms",
            f"{t.cpu_share / t.streams:.2%}", f"{t.sender_share:.1%}", "yes" if t.held else "no",
        )  # fmt: skip
    console.print(shown)
