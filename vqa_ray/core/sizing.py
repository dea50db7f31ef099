"""How many machines a fleet needs, from what one stream takes of a core. Pure arithmetic."""

import math
from typing import Annotated

import msgspec

MONTH_H = 730.0  # hours in a month, as cloud price lists reckon


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine and its price by the hour."""

    name: str
    vcpus: Annotated[int, msgspec.Meta(ge=1)]
    usd_hour: Annotated[float, msgspec.Meta(ge=0)]


# On demand, us-east-1, Linux, November 2025: https://aws.amazon.com/ec2/pricing/on-demand/
USUAL = Machine(name="c7i.4xlarge", vcpus=16, usd_hour=0.714)


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What some streams need. streams_a_core: 0 if one stream is too much for one core, and nothing helps then."""

    cpu_share: float
    streams_a_core: int
    vcpus: int
    machines: int
    usd_month: float


def need(streams: int, cpu_share: float, machine: Machine, fill: float) -> Need:
    """Machines for `streams` that take `cpu_share` of a core each; an analyzer has one, of which `fill` is used."""
    # A stream is one thread: it cannot be spread over cores, and may fill one of its own if it must.
    a_core = max(math.floor(fill / cpu_share + 1e-9), int(cpu_share <= 1.0))
    if not a_core:
        return Need(cpu_share=cpu_share, streams_a_core=0, vcpus=0, machines=0, usd_month=0.0)
    cores = math.ceil(streams / a_core)
    machines = math.ceil(cores / machine.vcpus)
    usd_month = machines * machine.usd_hour * MONTH_H
    return Need(cpu_share=cpu_share, streams_a_core=a_core, vcpus=cores, machines=machines, usd_month=usd_month)
