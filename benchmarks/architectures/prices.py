"""Dollars: the price list, and what a run of each architecture costs by it. Pure arithmetic."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from benchmarks.architectures.outcome import A_MACHINE, A_PROCESS, Outcome

LIST = Path(__file__).with_name("prices.yaml")
HOUR_S = 3600.0
EXPRESS_GB, EXPRESS_STEP_S = 64 / 1024, 0.1
COMPUTE = ("functions, computing", "functions, requests", "converter", "aggregator", "pipeline")
CONTAINERS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # vCPUs of Fargate's sizes; memory twice to eight times that, in GB


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one unit costs."""

    usd: float
    unit: str
    source: str
    date: str


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine by the hour."""

    vcpus: int
    gb: float
    usd_hour: float
    source: str
    date: str

    @property
    def vcpu_usd_hour(self) -> float:
        """Of one of its vCPUs, memory included."""
        return self.usd_hour / self.vcpus


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A default quota of an account."""

    value: float
    source: str
    date: str


class Assumptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the price list does not say; see prices.yaml."""

    node: str
    fill: float
    lambda_gb: float
    lambda_gb_a_vcpu: float
    trip_s: float
    express_trip_s: float
    stage_gb: float


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The price list."""

    region: str
    units: dict[str, Unit]
    nodes: dict[str, Node]
    limits: dict[str, Limit]
    assumptions: Assumptions

    def usd(self, unit: str) -> float:
        """Of one unit."""
        return self.units[unit].usd

    @property
    def dates(self) -> str:
        """From when the list is: the earliest and the latest month in it."""
        found = sorted({one.date for part in (self.units, self.nodes, self.limits) for one in part.values()})
        return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"

    @property
    def node(self) -> Node:
        """What streams are packed on."""
        return self.nodes[self.assumptions.node]


def load(own: Path | None = None) -> Prices:
    """The shipped list, with the entries of `own` in the place of its; raises msgspec.ValidationError."""
    data = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    if own is not None:
        data = _over(data, yaml.safe_load(own.read_text(encoding="utf-8")) or {})
    return msgspec.convert(data, Prices)


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for name, value in own.items():
        before = out.get(name)
        out[name] = _over(before, value) if isinstance(value, Mapping) and isinstance(before, Mapping) else value
    return out


Cost = dict[str, float]  # dollars a stream-hour by component


def packed(outcome: Outcome, prices: Prices, streams: int = 1000) -> Cost:
    """On machines that are packed with streams: CPU by the vCPU-hour, and a share of what stands ready for all."""
    vcpu_usd = prices.node.vcpu_usd_hour / prices.assumptions.fill
    handing = outcome.hand_over_share
    cost = {"pipeline": outcome.cpu_share * (1 - handing) * vcpu_usd}
    if handing:
        cost["handing over"] = outcome.cpu_share * handing * vcpu_usd
    if outcome.standing:
        cores = streams * outcome.cpu_share / prices.assumptions.fill
        cost["standing ready"] = standing(outcome, cores, prices) / streams * vcpu_usd
    return cost


def standing(outcome: Outcome, cores: float, prices: Prices) -> float:
    """CPU seconds a second of what runs whatever is watched, on so many cores: once a machine, and once a process."""
    machines, processes = math.ceil(cores / prices.node.vcpus), max(outcome.processes, math.ceil(cores))
    return outcome.standing.get(A_MACHINE, 0.0) * machines + outcome.standing.get(A_PROCESS, 0.0) * processes


def container_usd_hour(vcpus: float, gb: float, prices: Prices) -> float:
    """Fargate's smallest container that has so much."""
    size = next(size for size in CONTAINERS if size >= vcpus and 8 * size >= gb)
    held_gb = 0.5 if size == CONTAINERS[0] and gb <= 0.5 else max(2 * size, math.ceil(gb), 1)
    return size * prices.usd("fargate_vcpu_hour") + held_gb * prices.usd("fargate_gb_hour")


def streams_a_machine(outcome: Outcome, prices: Prices) -> int:
    """Streams that the CPU of one of the list's machines carries, after what stands ready on it."""
    vcpus = prices.node.vcpus
    free = vcpus * prices.assumptions.fill - standing(outcome, vcpus, prices)
    return max(0, math.floor(free / outcome.cpu_share))


def alone(outcome: Outcome, prices: Prices, *, express: bool = False) -> Cost:
    """Of a single stream, watched around the clock: its converter and aggregator, or all of it, in containers."""
    fill = prices.assumptions.fill
    if outcome.executions:
        cost = serverless(outcome, prices, express=express)
        for stage in ("converter", "aggregator"):
            used = outcome.cpu_s[stage] / outcome.stream_s / fill
            cost[stage] = container_usd_hour(used, prices.assumptions.stage_gb, prices)
        return cost
    ready = standing(outcome, 1.0, prices)
    vcpus, gb = (outcome.cpu_share + ready) / fill, outcome.memory_bytes / 1e9
    vcpu_usd, handing = prices.usd("fargate_vcpu_hour") / fill, outcome.hand_over_share
    cost = {"pipeline": outcome.cpu_share * (1 - handing) * vcpu_usd}
    if handing:
        cost["handing over"] = outcome.cpu_share * handing * vcpu_usd
    if ready:
        cost["standing ready"] = ready * vcpu_usd
    cost["unused"] = container_usd_hour(vcpus, gb, prices) - total(cost)
    return cost


def duration_s(cpu_s: float, trips: int, gb: float, gb_a_vcpu: float, trip_s: float) -> float:
    """How long a function runs: its CPU seconds on its share of a vCPU, and a wait for each round of requests."""
    return cpu_s * max(1.0, gb_a_vcpu / gb) + trips * trip_s


def serverless(outcome: Outcome, prices: Prices, *, express: bool = False) -> Cost:
    """By the request. express: express workflows, S3 Express One Zone where it is cheaper, functions on ARM."""
    a, hours = prices.assumptions, outcome.stream_s / HOUR_S
    trip_s = a.express_trip_s if express else a.trip_s
    gb_s_usd = prices.usd("lambda_arm_gb_s" if express else "lambda_gb_s")
    computing = waiting = 0.0
    gb = function_gb(outcome, prices)
    for call in outcome.calls:
        busy_s = duration_s(call.cpu_s, 0, gb, a.lambda_gb_a_vcpu, trip_s)
        whole_s = math.ceil((busy_s + call.trips * trip_s) * 1000) / 1000
        computing += busy_s * gb * gb_s_usd
        waiting += (whole_s - busy_s) * gb * gb_s_usd
    if express:
        steps = express_steps(slowest_s(outcome, prices, trip_s), prices)
    else:
        steps = outcome.transitions * prices.usd("transition")
    count = outcome.requests
    sqs = sum(n for kind, n in count.items() if kind.startswith("sqs "))
    cost = {
        "state transitions": steps,
        "objects": objects(outcome, prices, express=express),
        "state": sum(call.write_units for call in outcome.calls) * prices.usd("dynamodb_write")
        + sum(call.read_units for call in outcome.calls) * prices.usd("dynamodb_read"),
        "messages": sqs * prices.usd("sqs_request") + count.get("sns Publish", 0) * prices.usd("sns_publish"),
        "functions, requests": len(outcome.calls) * prices.usd("lambda_request"),
        "functions, waiting": waiting,
        "functions, computing": computing,
    }
    per_hour = {name: usd / hours for name, usd in cost.items()}
    for stage in ("converter", "aggregator"):
        share = outcome.cpu_s[stage] / outcome.stream_s / a.fill
        per_hour[stage] = share * prices.usd("fargate_vcpu_hour") + a.stage_gb * prices.usd("fargate_gb_hour")
    return per_hour


def function_gb(outcome: Outcome, prices: Prices) -> float:
    """Memory of its functions: as assumed, or more where one needed more, in steps of 64 MB."""
    return max(prices.assumptions.lambda_gb, math.ceil(outcome.memory_bytes / 1e9 / EXPRESS_GB) * EXPRESS_GB)


def slowest_s(outcome: Outcome, prices: Prices, trip_s: float) -> list[float]:
    """How long the slowest function of each execution runs; executions run one after the other."""
    a, gb = prices.assumptions, function_gb(outcome, prices)
    longest = [0.0] * outcome.executions
    for index, call in enumerate(outcome.calls):
        batch = index * outcome.executions // len(outcome.calls)
        longest[batch] = max(longest[batch], duration_s(call.cpu_s, call.trips, gb, a.lambda_gb_a_vcpu, trip_s))
    return longest


def express_steps(durations_s: list[float], prices: Prices) -> float:
    """Dollars of express executions of so many seconds, at the smallest memory that is billed."""
    billed_s = sum(math.ceil(round(s / EXPRESS_STEP_S, 6)) * EXPRESS_STEP_S for s in durations_s)
    return len(durations_s) * prices.usd("express_request") + billed_s * EXPRESS_GB * prices.usd("express_gb_s")


def objects(outcome: Outcome, prices: Prices, *, express: bool = False) -> float:
    """Dollars of a run's requests to S3; express: pictures and others each by the class that is cheaper for them."""
    return sum(_objects(outcome, prices, what, express) for what in ("pictures", "others"))


def _objects(outcome: Outcome, prices: Prices, what: str, express: bool) -> float:
    put, get = f"s3 PUT {what}", f"s3 GET {what}"
    puts, gets = outcome.requests.get(put, 0), outcome.requests.get(get, 0)
    standard = puts * prices.usd("s3_put") + gets * prices.usd("s3_get")
    if not express:
        return standard
    written_gb, read_gb = (outcome.moved_bytes.get(kind, 0) / 1e9 for kind in (f"{put} in", f"{get} out"))
    one_zone = puts * prices.usd("s3_express_put") + gets * prices.usd("s3_express_get")
    one_zone += written_gb * prices.usd("s3_express_put_gb") + read_gb * prices.usd("s3_express_get_gb")
    return min(standard, one_zone)


def total(cost: Cost) -> float:
    """Dollars a stream-hour."""
    return sum(cost.values())


def hand_over_ratio(cost: Cost) -> float:
    """Everything that is no computing, over computing: orchestration, objects, state, messages, waiting for them."""
    computing = sum(usd for name, usd in cost.items() if name in COMPUTE)
    return (total(cost) - computing) / computing


def one_function(cpu_share: float, prices: Prices, batch_s: float) -> float:
    """Dollars a stream-hour, reckoned: one function takes `batch_s` of coded media from S3, decodes it and runs all
    detectors. No frame is handed over: a segment and the state are written and read, in the cheapest ways there are.

    cpu_share: CPU seconds a second of stream, of the monolith. What a decoder's start takes again is left out.
    """
    a, gb_s_usd = prices.assumptions, prices.usd("lambda_arm_gb_s")
    busy_s = duration_s(cpu_share * batch_s, 3, a.lambda_gb, a.lambda_gb_a_vcpu, a.express_trip_s)
    call = busy_s * a.lambda_gb * gb_s_usd + prices.usd("lambda_request")
    stored = 2 * (prices.usd("s3_express_put") + prices.usd("s3_express_get"))
    return (call + stored) * HOUR_S / batch_s


def break_even_hours_a_day(serverless_usd_hour: float, always_on_usd_hour: float) -> float:
    """Below so many hours a day (at most 24) paying by the request is cheaper than what always stands ready."""
    return min(24.0, 24.0 * always_on_usd_hour / serverless_usd_hour)
