"""The published case's own figures (Prime Video, 2023), from the same arithmetic: with what assumptions they come out.

The case: orchestration and hand-over 5.67 times the computing; one process cost 90 % less; the limit came at about
5 % of the expected load; a frame was written and read three to four times at 25 to 100 ms a trip.
"""

import msgspec

from benchmarks.architectures import prices as p
from benchmarks.architectures.outcome import Outcome
from benchmarks.architectures.prices import Cost, Prices
from benchmarks.measure import percentile

RATIO, SAVING, LOAD_SHARE = 5.67, 0.90, 0.05
TRIPS, TRIP_S = (3, 4), (0.025, 0.100)


class Line(msgspec.Struct, frozen=True):
    """One figure of the case: theirs, ours, and what both rest on."""

    figure: str
    theirs: str
    ours: str
    assumptions: str


def saving_at(ratio: float, prices: Prices) -> float:
    """The share that is saved when hand-over is `ratio` times the computing: all of it goes, and the computing moves
    from functions to machines of which `fill` is used."""
    a = prices.assumptions
    function_usd = a.lambda_gb_a_vcpu * prices.usd("lambda_gb_s") * p.HOUR_S
    return 1.0 - prices.node.vcpu_usd_hour / a.fill / function_usd / (1.0 + ratio)


def transitions_at(ratio: float, cost: Cost, prices: Prices) -> float:
    """State transitions a second of stream at which hand-over is `ratio` times the computing, all else as in `cost`."""
    computing = sum(usd for name, usd in cost.items() if name in p.COMPUTE)
    others = p.total(cost) - computing - cost["state transitions"]
    return (ratio * computing - others) / p.HOUR_S / prices.usd("transition")


def heavier_at(ratio: float, cost: Cost) -> float:
    """How many times our computing a step has to take for hand-over to be `ratio` times it, all else as in `cost`."""
    return p.hand_over_ratio(cost) / ratio


def streams_at_limits(outcome: Outcome, prices: Prices) -> dict[str, float]:
    """Streams that each default quota of an account carries: of state transitions and starts a second, and of
    functions that run at the same time, as long as they would with the list's time for a trip."""
    a, gb = prices.assumptions, p.function_gb(outcome, prices)
    busy_s = sum(p.duration_s(call.cpu_s, call.trips, gb, a.lambda_gb_a_vcpu, a.trip_s) for call in outcome.calls)
    each = {
        "state transitions a second": ("transitions_per_s", outcome.transitions / outcome.stream_s),
        "starts of executions a second": ("starts_per_s", outcome.executions / outcome.stream_s),
        "functions at the same time": ("functions_at_once", busy_s / outcome.stream_s),
    }
    return {name: prices.limits[limit].value / rate for name, (limit, rate) in each.items() if rate > 0}


def rounds(outcome: Outcome) -> dict[str, int]:
    """Rounds of requests, one after the other, that a batch waits for in each stage; of functions the one with most."""
    slowest = max(outcome.calls, key=lambda call: call.trips)
    return {"write": outcome.write_rounds, "start": 1, **slowest.rounds, "receive": 1}


def latency_s(outcome: Outcome, prices: Prices, trip_s: float, share: float) -> float:
    """From a decoded frame to its reading, reckoned: `share` of frames are not later. A batch has to fill; then its
    rounds of requests take `trip_s` each, and the slowest function computes on its part of a vCPU."""
    before_and_after = outcome.write_rounds + 2
    slowest = percentile(p.slowest_s(outcome, prices, trip_s), share)
    return share * outcome.batch_s + before_and_after * trip_s + slowest


def stages(outcome: Outcome, prices: Prices) -> list[tuple[str, str, str, str]]:
    """The latency of `serverless` stage by stage: stage, rounds of requests, milliseconds at 25 and at 100 ms each."""
    rows = [(name, str(n), *(f"{n * s * 1e3:,.0f}" for s in TRIP_S)) for name, n in rounds(outcome).items()]
    for share in (0.5, 0.99):
        totals = (f"{latency_s(outcome, prices, trip_s, share) * 1e3:,.0f}" for trip_s in TRIP_S)
        rows.append((f"in all, p{share * 100:.0f}, with the wait for a batch and computing", "", *totals))
    return [(name, count, low, high) for name, count, low, high in rows]


def percent(share: float) -> str:
    """A share that is near to all of it with the digits that tell."""
    return f"{share:.1%}" if share < 0.995 else f"{share:.2%}"


def lines(outcome: Outcome, cost: Cost, monolith: Cost, prices: Prices) -> list[Line]:
    """Their figures beside ours. outcome, cost: of `serverless`."""
    a_second = outcome.transitions / outcome.stream_s
    ratio = p.hand_over_ratio(cost)
    needed = transitions_at(RATIO, cost, prices)
    fewer = f", or with {needed:.1f} transitions a second instead of {a_second:.0f}" if needed > 0 else ""
    limits = streams_at_limits(outcome, prices)
    limit = min(limits.values())
    others = ", ".join(f"{name} carry {streams:.0f}" for name, streams in limits.items())
    trips = sum(rounds(outcome).values())
    return [
        Line(
            "orchestration and hand-over over computing",
            f"{RATIO:.2f}",
            f"{ratio:.1f}",
            f"theirs comes out with computing {heavier_at(RATIO, cost):.1f} times as heavy as ours{fewer}; everything "
            "that a bill shows besides computing counts, waiting for storage too; what functions compute to fetch and "
            f"send, {outcome.hand_over_share:.0%} of our CPU, counts as computing, or ours were higher still",
        ),
        Line(
            "saved by one process",
            f"{SAVING:.0%}",
            percent(1 - p.total(monolith) / p.total(cost)),
            f"at their ratio the same prices give {saving_at(RATIO, prices):.0%}: hand-over goes, and a vCPU-second "
            f"of a machine used to {prices.assumptions.fill:.0%} is cheaper than a function's",
        ),
        Line(
            "limit, share of the expected load",
            f"{LOAD_SHARE:.0%}",
            f"{limit:.0f} streams",
            f"default quotas of an account: {others}. The least of them is 5 % of {limit / LOAD_SHARE:,.0f} streams; "
            "their load is not published, but thousands of streams were meant",
        ),
        Line(
            "latency of hand-over",
            f"{TRIPS[0] * TRIP_S[0] * 1e3:.0f}–{TRIPS[1] * TRIP_S[1] * 1e3:.0f} ms",
            f"{trips * TRIP_S[0] * 1e3:.0f}–{trips * TRIP_S[1] * 1e3:.0f} ms",
            f"{TRIPS[0]}–{TRIPS[1]} trips of 25–100 ms there; ours makes {trips} rounds one after the other (state, "
            "results and the queue too), eight objects at a time",
        ),
    ]
