"""What was measured and what it costs, as one value; and as tables on the terminal."""

import statistics
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console

from benchmarks.architectures import case, trace
from benchmarks.architectures import prices as p
from benchmarks.architectures.outcome import Outcome
from benchmarks.architectures.prices import Cost, Prices
from benchmarks.measure import Figures, Target, percentile, table, verdict

MAIN = ("monolith", "ray-actor", "ray-stages", "serverless")
FAVOURABLE = "serverless, cheapest"
SAVING = Target(0.90, at_least=True)
ACTOR = Target(1.05)
PARTS = (  # columns of the tables of dollars, and the components in each
    ("steps", ("state transitions",)),
    ("objects", ("objects",)),
    ("state", ("state",)),
    ("messages", ("messages",)),
    ("waiting", ("functions, waiting",)),
    ("hand-over", ("handing over",)),
    ("ready", ("standing ready", "unused")),
    ("computing", p.COMPUTE),
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One architecture, measured and priced. cost: dollars a stream-hour by component, of 1,000 streams; alone: the
    same of a single stream that is watched around the clock."""

    outcome: Outcome
    cost: Cost
    alone: Cost
    equal: bool

    @property
    def name(self) -> str:
        """Of the architecture."""
        return self.outcome.name

    @property
    def usd(self) -> float:
        """A stream-hour, of many."""
        return p.total(self.cost)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. favourable: the cheapest variant of serverless by the price list's cheapest ways."""

    clip: str
    rows: list[Row]
    favourable: Row
    prices: Prices

    def row(self, name: str) -> Row:
        """Of an architecture."""
        return next(row for row in self.rows if row.name == name)

    @property
    def equal(self) -> bool:
        """Whether the four architectures found the same incidents."""
        return all(self.row(name).equal for name in MAIN)


def make(clip: str, outcomes: Sequence[Outcome], prices: Prices) -> Report:
    """Price what was measured."""
    reference = sorted(map(tuple, outcomes[0].told))
    rows = [_row(one, prices, reference) for one in outcomes]
    served = [one for one in outcomes if one.executions and sorted(map(tuple, one.told)) == reference]
    cheapest = min(served, key=lambda one: p.total(p.serverless(one, prices, express=True)))
    favourable = Row(
        outcome=msgspec.structs.replace(cheapest, name=FAVOURABLE),
        cost=p.serverless(cheapest, prices, express=True),
        alone=p.alone(cheapest, prices, express=True),
        equal=True,
    )
    return Report(clip=clip, rows=rows, favourable=favourable, prices=prices)


def _row(outcome: Outcome, prices: Prices, reference: list[tuple[object, ...]]) -> Row:
    cost = p.serverless(outcome, prices) if outcome.executions else p.packed(outcome, prices)
    equal = sorted(map(tuple, outcome.told)) == reference
    return Row(outcome=outcome, cost=cost, alone=p.alone(outcome, prices), equal=equal)


def figures(report: Report) -> Figures:
    """Flat, for JSON."""
    out: Figures = {}
    for row in report.rows:
        key = row.name.replace("-", "_").replace(", ", "_").replace(" ", "_")
        out[f"usd_per_stream_hour_{key}"] = row.usd
        out[f"usd_per_stream_hour_alone_{key}"] = p.total(row.alone)
        out[f"cpu_s_per_stream_s_{key}"] = row.outcome.cpu_share
        out[f"latency_p50_ms_{key}"] = percentile(row.outcome.latency_s, 0.5) * 1e3
        out[f"latency_p99_ms_{key}"] = percentile(row.outcome.latency_s, 0.99) * 1e3
        out[f"requests_per_stream_s_{key}"] = sum(row.outcome.requests.values()) / row.outcome.stream_s
        out[f"mb_per_stream_s_{key}"] = sum(row.outcome.moved_bytes.values()) / row.outcome.stream_s / 1e6
        out[f"streams_per_machine_{key}"] = p.streams_a_machine(row.outcome, report.prices)
        if row.outcome.executions:
            reckoned_s = case.latency_s(row.outcome, report.prices, report.prices.assumptions.trip_s, 0.99)
            out[f"latency_p99_ms_reckoned_{key}"] = reckoned_s * 1e3
            out[f"transitions_per_stream_s_{key}"] = row.outcome.transitions / row.outcome.stream_s
    cheapest, monolith, serverless = report.favourable, report.row("monolith"), report.row("serverless")
    out["usd_per_stream_hour_serverless_favourable"] = cheapest.usd
    out["saving_monolith_vs_serverless"] = 1 - monolith.usd / serverless.usd
    out["saving_monolith_vs_serverless_favourable"] = 1 - monolith.usd / cheapest.usd
    out["hand_over_ratio_serverless"] = p.hand_over_ratio(serverless.cost)
    out["cpu_ratio_ray_actor"] = statistics.median(report.row("ray-actor").outcome.over_monolith)
    out["incident_cpu_ms_ray_actor"] = report.row("ray-actor").outcome.incident_s * 1e3
    out["hand_over_share_ray_stages"] = report.row("ray-stages").outcome.hand_over_share
    out["hand_over_share_serverless"] = serverless.outcome.hand_over_share
    out["incidents_equal"] = int(report.equal)
    return out


def show(report: Report, console: Console) -> None:
    """All tables."""
    _measured(report, console)
    _requests(report, console)
    _priced(report, console)
    _stages(report.rows, console)
    _latencies(report, console)
    for line in break_even(report):
        console.print(line)
    console.print()
    _case(report, console)
    _verdicts(report, console)


def _measured(report: Report, console: Console) -> None:
    machine = report.prices.assumptions.node
    shown = table(
        f"Measured, {report.clip}: of a second of one stream; streams: on a {machine}, by CPU; p50, p99: ms from a "
        "decoded frame to its reading, here; hand-over: its share of the CPU; steps: state transitions",
        "architecture", "CPU s", "hand-over", "streams", "wall s", "p50", "p99", "requests", "steps", "MB", "found",
    )  # fmt: skip
    for row in report.rows:
        o = row.outcome
        moved = sum(o.moved_bytes.values()) / o.stream_s / 1e6
        shown.add_row(
            row.name, f"{o.cpu_share:.3f}", f"{o.hand_over_share:.0%}",
            f"{p.streams_a_machine(o, report.prices):,}", f"{o.wall_s / o.stream_s:.2f}",
            *(f"{percentile(o.latency_s, share) * 1e3:.1f}" for share in (0.5, 0.99)),
            f"{sum(o.requests.values()) / o.stream_s:.0f}", f"{o.transitions / o.stream_s:.0f}", f"{moved:.1f}",
            f"{len(o.told)}, {'same' if row.equal else 'others'}",
        )  # fmt: skip
    console.print(shown)


def _requests(report: Report, console: Console) -> None:
    shown = table("Requests a second of stream, by kind", "architecture", "requests")
    shown.columns[-1].justify = "left"
    for row in report.rows:
        if row.outcome.requests:
            kinds = sorted(row.outcome.requests.items(), key=lambda pair: -pair[1])
            shown.add_row(row.name, "  ".join(f"{kind} {n / row.outcome.stream_s:.1f}" for kind, n in kinds))
    console.print(shown)


def _priced(report: Report, console: Console) -> None:
    rows = [*report.rows, report.favourable]
    for title, costs in (("1,000 streams", [r.cost for r in rows]), ("a single stream", [r.alone for r in rows])):
        shown = table(
            f"US dollars a stream-hour of {title}, {report.prices.region}, list prices of {report.prices.dates}",
            "architecture", "in all", *(name for name, _ in PARTS),
        )  # fmt: skip
        for row, cost in zip(rows, costs, strict=True):
            shown.add_row(row.name, f"{p.total(cost):.5f}", *parts(cost))
    console.print(shown)
    console.print(
        "hand-over: its CPU, where a bill tells it apart; ready: what stands ready for any number of streams, and\n"
        "what a single one, watched around the clock, leaves unused of its containers\n", style="dim",
    )  # fmt: skip


def parts(cost: Cost) -> list[str]:
    """Dollars by the columns of PARTS; empty where there is no such component."""
    out = []
    for _, names in PARTS:
        found = [cost[name] for name in names if name in cost]
        out.append(f"{sum(found):.5f}" if found else "")
    return out


def _stages(rows: Iterable[Row], console: Console) -> None:
    shown = table("Where the time of a second goes: ms of each stage, its waits included", "architecture", "stages")
    shown.columns[-1].justify = "left"
    for row in rows:
        parts = trace.by_stage(row.outcome)
        shown.add_row(row.name, "  ".join(f"{name} {s / row.outcome.stream_s * 1e3:.0f}" for name, s in parts.items()))
    console.print(shown)


def _latencies(report: Report, console: Console) -> None:
    shown = table("Serverless, reckoned: its latency by stage", "stage", "rounds of requests", "at 25 ms", "at 100 ms")
    for line in case.stages(report.row("serverless").outcome, report.prices):
        shown.add_row(*line)
    console.print(shown)
    console.print(
        "Its latencies above hold what the emulator takes, on the cores where all else runs; these do not.\n",
        style="dim",
    )


def break_even(report: Report) -> list[str]:
    """Where serverless is right, in sentences."""
    monolith = report.row("monolith")
    ready = p.total(monolith.alone)
    out = [f"A container of the monolith for one stream, always on, costs {ready:.4f} $/h."]
    for row in (report.row("serverless"), report.favourable):
        usd = p.total(row.alone)
        hours = p.break_even_hours_a_day(usd, ready)
        out.append(
            f"{row.name} of one stream costs {usd:.4f} $ an hour, so it is cheaper than that for one that is watched "
            + (f"less than {hours * 60:.0f} minutes a day." if hours < 24 else "at any hours: always, for one stream.")
        )
    served, cheapest = (p.total(row.alone) / 60 for row in (report.row("serverless"), report.favourable))
    out.append(
        f"A minute a day: {served:.5f} $ by the request, {cheapest:.5f} $ in the cheapest way, {ready * 24:.2f} $ for "
        f"a container that stands ready, {ready / 60:.5f} $ for one that is started for that minute and may take half "
        "a minute to start."
    )
    rate = frame_rate(report)
    out.append(
        "By the frame rate, with all else as it is: the cheapest serverless way costs as much as the monolith of 1,000 "
        "streams at "
        + (f"{rate:.2f} analysed frames a second." if rate > 0 else "none, since its fixed costs alone are higher.")
    )
    second, ten = (p.one_function(monolith.outcome.cpu_share, report.prices, s) for s in (1.0, 10.0))
    word = "less" if ten < ready else "more"
    out.append(
        "Reckoned, not measured: a single function that decodes a segment and runs all detectors, so that no frame is "
        f"handed over, costs {second:.4f} $ a stream-hour by the second and {ten:.4f} $ by ten seconds, found ten "
        f"seconds later: {ten / monolith.usd:.1f} times the monolith of 1,000 streams, and {word} than a container for "
        "one. What costs is not the function but the hand-over of frames."
    )
    return out


def frame_rate(report: Report) -> float:
    """Analysed frames a second at which the most favourable way costs what the monolith does at the clip's rate: its
    computing goes with the frames, all else with the seconds. Negative if there is none."""
    row = report.favourable
    computing = sum(usd for name, usd in row.cost.items() if name in p.COMPUTE)
    fixed = row.usd - computing
    fps = row.outcome.frames / row.outcome.stream_s
    return (report.row("monolith").usd - fixed) / computing * fps


def _case(report: Report, console: Console) -> None:
    served, monolith = report.row("serverless"), report.row("monolith")
    shown = table("The published case, and this one", "figure", "theirs", "ours", "with what assumptions")
    shown.columns[-1].justify = "left"
    for line in case.lines(served.outcome, served.cost, monolith.cost, report.prices):
        shown.add_row(line.figure, line.theirs, line.ours, line.assumptions)
    console.print(shown)


def _verdicts(report: Report, console: Console) -> None:
    found = figures(report)
    monolith = report.row("monolith")
    saving, ratio = found["saving_monolith_vs_serverless"], found["cpu_ratio_ray_actor"]
    cheap = found["saving_monolith_vs_serverless_favourable"]
    assert saving is not None
    assert cheap is not None
    console.print(f"monolith against serverless: {case.percent(saving)} less, {verdict(saving, SAVING)}")
    word = "less" if cheap >= 0 else "more"
    console.print(f"monolith against the most favourable serverless: {abs(cheap):.1%} {word}")
    actor = report.row("ray-actor").outcome
    turns = ", ".join(f"{one:.3f}" for one in actor.over_monolith)
    console.print(
        f"ray-actor over monolith, CPU of a stream: {ratio:.3f} (pairs: {turns}), {verdict(ratio, ACTOR)}; an incident "
        f"takes about {max(0.0, actor.incident_s) * 1e3:.0f} ms more, for its journal and its alert"
    )
    stages = report.row("ray-stages").outcome
    console.print(
        f"ray-stages: {stages.hand_over_share:.0%} of its CPU is hand-over; it takes "
        f"{stages.cpu_share / monolith.outcome.cpu_share:.1f} times the CPU of the monolith"
    )
    console.print(f"incidents of the four: {'the same' if report.equal else '[red]not the same[/]'}\n")
