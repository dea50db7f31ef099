"""The report as one page that needs nothing else: tables, and pictures drawn as SVG."""

import math
from collections.abc import Mapping, Sequence
from html import escape

import msgspec

from benchmarks.architectures import case, drawing, report, trace
from benchmarks.architectures import prices as p
from benchmarks.architectures.drawing import Bar, Part
from benchmarks.architectures.outcome import Outcome, Span
from benchmarks.architectures.report import FAVOURABLE, MAIN, Report, Row
from benchmarks.measure import percentile

COMPONENTS: Mapping[str, tuple[str, int]] = {  # component of a cost: its name here, its colour
    "state transitions": ("orchestration", 0),
    "objects": ("frames in S3", 1),
    "state": ("state in DynamoDB", 2),
    "messages": ("SQS and SNS", 3),
    "functions, waiting": ("functions waiting", 4),
    "functions, requests": ("computing", 5),
    "functions, computing": ("computing", 5),
    "converter": ("computing", 5),
    "aggregator": ("computing", 5),
    "pipeline": ("computing", 5),
    "handing over": ("CPU of handing over", 6),
    "standing ready": ("Ray at rest", 7),
}
STAGES = ("decode", "write", "hand over", "state", "read", "detect", "results", "judge")
COUNTS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
HOURS = (1 / 60, 0.1, 0.3, 1, 3, 8, 24)  # a day
READY = "ready: what stands ready for any number of streams, and what a single one leaves unused of its containers."
SECOND = 2  # of the stream, shown as a timeline


def render(reports: Sequence[Report]) -> str:
    """The page."""
    body = "".join(_section(one) for one in reports)
    first = reports[0].prices
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>One process against serverless steps</title><style>{drawing.STYLE}</style><main>"
        "<h1>The same detectors, four architectures</h1>"
        "<p>Each watches the same stream with the same detectors of vqa_ray: <b>monolith</b>, one process; "
        "<b>ray-actor</b>, as shipped, a supervisor and an analyzer; <b>ray-stages</b>, an actor a detector, frames "
        "through Ray's object store; <b>serverless</b>, frames in S3, a state machine a second, a function a detector. "
        "<b>Serverless, cheapest</b> is the variant of serverless that costs least, with every choice of the price "
        "list in its favour. CPU, requests, bytes and transitions are measured on one machine, where an emulator "
        "stands in for the cloud's services; dollars are reckoned from them by the list below.</p>"
        f"{body}<h2>Prices</h2>{_price_table(first)}</main></html>"
    )


def picture(one: Report) -> str:
    """What a stream-hour costs, as an SVG file."""
    return drawing.alone(_cost_bars([*(one.row(name) for name in MAIN), one.favourable]))


def _section(one: Report) -> str:
    found = report.figures(one)
    saving, cheap = found["saving_monolith_vs_serverless"], found["saving_monolith_vs_serverless_favourable"]
    assert saving is not None
    assert cheap is not None
    rows = [*(one.row(name) for name in MAIN), one.favourable]
    everything = [*one.rows, one.favourable]
    same = "All four find the same incidents." if one.equal else "<b>They do not find the same incidents.</b>"
    headline = (
        f"One process costs <b>{case.percent(saving)} less</b> than serverless steps, and {case.percent(abs(cheap))} "
        f"{'less' if cheap >= 0 else 'more'} than the cheapest of their variants. {same}"
    )
    parts = [
        f"<h2>{escape(one.clip)}</h2>",
        f"<p class=headline>{headline}</p>",
        _figure("What a stream-hour costs, and for what", _cost_bars(rows), "US dollars, each of 1,000 streams."),
        _figure(
            "What it is spent on",
            _share_bars(rows),
            "Share of each architecture's cost; on the right everything else over computing.",
        ),
        _figure(
            "Where a second of the stream goes, stage by stage",
            _stage_bars(one),
            "Milliseconds of work a second of stream, all processes together, waits for storage included: here, where "
            "the emulator shares the cores with all else.",
        ),
        _figure(
            "The profile of serverless, and of one process",
            drawing.flame(trace.by_process(one.row("serverless").outcome), _stage_colours())
            + drawing.flame(trace.by_process(one.row("monolith").outcome), _stage_colours()),
            "All time of the run: below an architecture its processes, below each its stages. Each as wide as the "
            "page; point at a piece for its milliseconds.",
        ),
        _figure(
            "A second of the stream as a timeline",
            _timelines(one),
            "Above: serverless, a row a process. Below: one process. Same scale.",
        ),
        _figure(
            "From a decoded frame to its reading",
            _latency_bars(one),
            "Milliseconds, p50 and p99, on a logarithmic scale. Measured here; of serverless also reckoned with "
            f"{one.prices.assumptions.trip_s * 1e3:.0f} ms for a round of requests, without the emulator.",
        ),
        "<h3>Latency of serverless by stage, reckoned</h3>",
        drawing.table(
            ("stage", "rounds of requests", "ms at 25 ms a round", "ms at 100 ms"),
            case.stages(one.row("serverless").outcome, one.prices),
        ),
        _figure(
            "Cost against the number of streams",
            _growth(one),
            "US dollars an hour, both axes logarithmic; Ray on whole machines. The line of serverless ends where the "
            "first default quota of an account does.",
        ),
        _figure(
            "Cost of one stream against the hours that it is watched",
            _hours(one),
            "US dollars a day, both axes logarithmic. One function: reckoned, ten seconds at a time, no frame handed "
            "over.",
        ),
        "<h3>Where serverless is right</h3>",
        "".join(f"<p>{escape(line)}</p>" for line in report.break_even(one)),
        "<h3>Dollars a stream-hour, of 1,000 streams</h3>",
        _cost_table(everything, [row.cost for row in everything]),
        "<h3>Dollars a stream-hour, of a single stream around the clock</h3>",
        _cost_table(everything, [row.alone for row in everything]),
        f"<p class=note>{READY}</p>",
        "<h3>The published case, and this one</h3>",
        _case_table(one),
        "<h3>Measured</h3>",
        _measured_table(one),
        "<h3>Requests a second of stream</h3>",
        _request_table(one),
    ]
    return "".join(parts)


def _figure(title: str, picture: str, words: str) -> str:
    return f"<figure><h3>{escape(title)}</h3>{picture}<figcaption>{escape(words)}</figcaption></figure>"


def composed(row: Row) -> dict[str, float]:
    """Dollars a stream-hour by what the pictures name."""
    out: dict[str, float] = {}
    for name, usd in row.cost.items():
        label = COMPONENTS[name][0]
        out[label] = out.get(label, 0.0) + usd
    return out


def _colour(label: str) -> int:
    return next(colour for name, colour in COMPONENTS.values() if name == label)


def _cost_bars(rows: Sequence[Row]) -> str:
    bars = [
        Bar(row.name, [Part(n, v, _colour(n)) for n, v in composed(row).items()], f"${row.usd:.4g}") for row in rows
    ]
    return drawing.bars(bars)


def _share_bars(rows: Sequence[Row]) -> str:
    bars = [
        Bar(
            row.name,
            [Part(n, v / row.usd, _colour(n)) for n, v in composed(row).items()],
            f"{p.hand_over_ratio(row.cost):.2f} : 1",
        )
        for row in rows
    ]
    return drawing.bars(bars)


def _stage_bars(one: Report) -> str:
    bars = []
    for name in MAIN:
        outcome = one.row(name).outcome
        found = trace.by_stage(outcome)
        parts = [Part(s, found[s] / outcome.stream_s * 1e3, STAGES.index(s)) for s in STAGES if s in found]
        bars.append(Bar(name, parts, f"{sum(part.value for part in parts):,.0f} ms"))
    return drawing.bars(bars)


def _latency_bars(one: Report) -> str:
    found: dict[str, tuple[float, float]] = {}
    for row in one.rows:
        o, trip_s = row.outcome, one.prices.assumptions.trip_s
        found[row.name] = (percentile(o.latency_s, 0.5), percentile(o.latency_s, 0.99))
        if o.executions:
            low, high = (case.latency_s(o, one.prices, trip_s, share) for share in (0.5, 0.99))
            found[f"{row.name}, reckoned"] = (low, high)
    return drawing.ranges({name: (low * 1e3, high * 1e3) for name, (low, high) in found.items()}, "ms")


def _timelines(one: Report) -> str:
    served = [s for s in one.row("serverless").outcome.spans if s.batch == SECOND and s.stage in STAGES]
    alone = _first_second(one.row("monolith").outcome)
    width_s = max(s.at_s + s.seconds for s in served) - min(s.at_s for s in served)
    colours = _stage_colours()
    return drawing.timeline(served, colours, width_s) + drawing.timeline(alone, colours, width_s)


def _stage_colours() -> dict[str, int]:
    return {stage: number for number, stage in enumerate(STAGES)}


def _first_second(outcome: Outcome) -> list[Span]:
    began_s = min(span.at_s for span in outcome.spans)
    share = 1.0 / outcome.stream_s
    count = max(1, round(len(outcome.spans) * share))
    return [span for span in sorted(outcome.spans, key=lambda s: s.at_s)[:count] if span.at_s >= began_s]


def _growth(one: Report) -> str:
    monolith, prices = one.row("monolith"), one.prices
    limit = min(case.streams_at_limits(one.row("serverless").outcome, prices).values())
    lines: dict[str, Sequence[tuple[float, float]]] = {
        "serverless": [(n, n * one.row("serverless").usd) for n in (*(n for n in COUNTS if n < limit), limit)],
        FAVOURABLE: [(n, n * one.favourable.usd) for n in COUNTS],
        "ray-stages": [(n, _nodes(one.row("ray-stages"), one, n)) for n in COUNTS],
        "ray-actor": [(n, _nodes(one.row("ray-actor"), one, n)) for n in COUNTS],
        "monolith": [(n, min(n * p.total(monolith.alone), _nodes(monolith, one, n))) for n in COUNTS],
    }
    return drawing.lines(lines, "streams", "$ an hour")


def _hours(one: Report) -> str:
    ready = p.total(one.row("monolith").alone)
    rates = {row.name: p.total(row.alone) for row in (one.row("serverless"), one.favourable)}
    rates["one function"] = p.one_function(one.row("monolith").outcome.cpu_share, one.prices, 10.0)
    lines: dict[str, Sequence[tuple[float, float]]] = {
        name: [(hours, hours * usd) for hours in HOURS] for name, usd in rates.items()
    }
    lines["container, always on"] = [(hours, 24 * ready) for hours in HOURS]
    lines["container, started for it"] = [(hours, hours * ready) for hours in HOURS]
    return drawing.lines(lines, "hours a day", "$ a day")


def _nodes(row: Row, one: Report, streams: int) -> float:
    """Dollars an hour of whole machines for so many streams."""
    node, fill = one.prices.node, one.prices.assumptions.fill
    small = one.prices.nodes["c7i.large"]
    used = streams * row.outcome.cpu_share
    needed = (used + p.standing(row.outcome, used / fill, one.prices)) / fill
    return min(math.ceil(needed / kind.vcpus) * kind.usd_hour for kind in (node, small))


def _case_table(one: Report) -> str:
    served, monolith = one.row("serverless"), one.row("monolith")
    found = case.lines(served.outcome, served.cost, monolith.cost, one.prices)
    return drawing.table(
        ("figure", "theirs", "ours", "with what assumptions"),
        [(c.figure, c.theirs, c.ours, c.assumptions) for c in found],
    )


def _measured_table(one: Report) -> str:
    rows = []
    for row in one.rows:
        o = row.outcome
        rows.append(
            (
                row.name, f"{o.cpu_share:.3f}", f"{o.hand_over_share:.0%}",
                f"{p.streams_a_machine(o, one.prices):,}", f"{o.wall_s / o.stream_s:.2f}",
                f"{percentile(o.latency_s, 0.5) * 1e3:.1f}", f"{percentile(o.latency_s, 0.99) * 1e3:.1f}",
                f"{o.transitions / o.stream_s:.1f}", f"{sum(o.moved_bytes.values()) / o.stream_s / 1e6:.1f}",
                "the same" if row.equal else "others",
            )
        )  # fmt: skip
    heads = (
        "architecture", "CPU s a stream-s", "of it handing over", f"streams a {one.prices.assumptions.node}",
        "wall s a stream-s", "p50 ms", "p99 ms", "transitions a s", "MB a s", "incidents",
    )  # fmt: skip
    return drawing.table(heads, rows)


def _cost_table(rows: Sequence[Row], costs: Sequence[p.Cost]) -> str:
    heads = ("architecture", "in all", *(name for name, _ in report.PARTS))
    found = [(row.name, f"{p.total(cost):.5f}", *report.parts(cost)) for row, cost in zip(rows, costs, strict=True)]
    return drawing.table(heads, found)


def _request_table(one: Report) -> str:
    shown = [row for row in one.rows if row.outcome.requests]
    kinds = dict.fromkeys(kind for row in shown for kind in row.outcome.requests)
    rows = []
    for kind in kinds:
        each = [row.outcome.requests.get(kind, 0) / row.outcome.stream_s for row in shown]
        rows.append((kind, *(f"{rate:.1f}" if rate else "" for rate in each)))
    return drawing.table(("request", *(row.name for row in shown)), rows)


def _price_table(prices: p.Prices) -> str:
    units, nodes, limits = prices.units.values(), prices.nodes.items(), prices.limits.items()
    rows = [(u.unit, f"{u.usd:.10f}".rstrip("0"), _month(u.date), u.source) for u in units]
    rows += [
        (f"{name}, {node.vcpus} vCPUs, {node.gb:g} GB, an hour", f"{node.usd_hour:g}", _month(node.date), node.source)
        for name, node in nodes
    ]
    rows += [(f"quota: {name}", f"{limit.value:g}", _month(limit.date), limit.source) for name, limit in limits]
    words = f"<p>List prices of {escape(prices.region)} in US dollars, {escape(prices.dates)}; default quotas.</p>"
    assumed = [(name, str(value)) for name, value in msgspec.structs.asdict(prices.assumptions).items()]
    return (
        words
        + drawing.table(("unit", "price", "as of", "source"), rows)
        + "<h3>Assumptions</h3>"
        + drawing.table(("name", "value"), assumed)
    )


def _month(date: str) -> str:
    return date.replace("-", "\u2011")  # a hyphen at which no line breaks
