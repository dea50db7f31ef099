"""Ray's own autoscaler (v2) answers a fleet: machines come for analyzers that wait, and go when they are drained.

The head has no core, and no node runs at first. Each wanted analyzer that finds no machine is a pending actor, which
is what the autoscaler looks at; it starts raylets on this machine through Ray's fake multi-node provider (Ray's own
`AutoscalingCluster` cannot be used: its example file is not in the wheel, and it ends every Ray of the machine). Then
nodes are drained one by one, as before maintenance: their streams move, and the idle node is taken away.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from benchmarks.machines import STORE_BYTES, UP_S, Late, environment, private_folder, sources_of, wanted
from benchmarks.measure import Figures, console, table, write
from benchmarks.witness import WORKER, longest_gap_s, marks, overlap_s
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions, FleetStatus
from vqa_ray.core.source import State
from vqa_ray.media.synthetic.source import Kind, Source

_HEAD_ID = "f" * 51 + "00000"  # by which the fake provider knows the head
INTERVAL_S = 1.0
IDLE_S = 8.0
DRAIN_S = 60.0
GONE_S = 120.0
DROPPED_S = 5.0  # a stream that is not analysed for so long on the way down was dropped


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done."""

    streams: int
    machines: int
    drains: int


FULL = Plan(streams=6, machines=3, drains=2)
SHORT = Plan(streams=2, machines=2, drains=1)


@click.command("autoscale")
@click.option("--short", is_flag=True, help="Two machines, one of them drained.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def command(short: bool, path: Path | None) -> None:
    """Machines come for analyzers that wait, and go when they are drained."""
    terminal = console()
    figures = run(SHORT if short else FULL, terminal)
    write(terminal, figures, path)
    if figures["streams_dropped"] or figures["overlap_s"]:
        raise SystemExit(1)


def run(plan: Plan, console: Console) -> Figures:
    """Do it, print, and give the figures."""
    figures: Figures = {}
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(console.status("starting Ray's head and the streams"))
        folder = stack.enter_context(private_folder())
        stack.enter_context(environment(folder))
        sources = sources_of({f"http-{k}": Kind.HTTP for k in range(plan.streams)}, stack)
        address = stack.enter_context(_head(folder, plan.machines))
        for source in sources.values():
            source.wait(UP_S)
        each = -(-plan.streams // plan.machines)
        options = ClusterOptions(
            analyzers_min=0,
            analyzers_max=plan.machines,
            memory_bytes=0,  # the fake provider cannot make machines that are known to have memory
            fill=min(1.0, 0.1 * each + 0.02),  # so many streams of which nothing is known yet
            worker=WORKER,
        )
        fleet = Fleet.start(address=address, options=options, state_dir=folder / "state")
        stack.callback(fleet.stop)
        said.update("waiting for machines")
        _up(plan, fleet, sources, folder, figures)
        said.update("draining")
        _down(plan, fleet, sources, folder, figures)
    _show(figures, console)
    return figures


def _up(plan: Plan, fleet: Fleet, sources: Mapping[str, Source], folder: Path, figures: Figures) -> None:
    began_s = time.monotonic()
    fleet.apply(wanted(sources, None, folder / "notes"))
    _until(lambda: len(_nodes()) >= 1, "no machine comes")
    figures["first_node_s"] = time.monotonic() - began_s
    _until(lambda: _watched(fleet.status(), plan.streams), "not all streams are analysed")
    figures["all_live_s"] = time.monotonic() - began_s
    figures["nodes_up"] = len(_nodes())


def _down(plan: Plan, fleet: Fleet, sources: Mapping[str, Source], folder: Path, figures: Figures) -> None:
    from_s = time.monotonic()
    moved, gone = [], []
    for _ in range(min(plan.drains, len(_nodes()) - 1)):
        before = _nodes()
        victim = next(one.node_id for one in fleet.status().analyzers if one.node_id in before)
        began_s = time.monotonic()
        if not fleet.drain(victim, DRAIN_S):
            raise Late(f"a node was not left by its streams within {DRAIN_S:.0f} s")
        moved.append(time.monotonic() - began_s)
        _until(lambda node=victim: node not in _nodes(), "the drained machine is not taken away", GONE_S)  # type: ignore[misc]
        gone.append(time.monotonic() - began_s)
    _until(lambda: _watched(fleet.status(), plan.streams), "not all streams are analysed after the way down")
    until_s = time.monotonic()
    found = {name: marks(folder / "notes", name) for name in sources}
    gaps = {name: longest_gap_s(some, from_s, until_s) for name, some in found.items()}
    figures["drained_s"] = max(moved, default=None)
    figures["node_gone_s"] = max(gone, default=None)
    figures["nodes_down"] = len(_nodes())
    figures["longest_gap_s"] = max(gaps.values())
    figures["streams_dropped"] = sum(gap_s > DROPPED_S for gap_s in gaps.values())
    figures["overlap_s"] = sum(overlap_s(some) for some in found.values())


def _watched(status: FleetStatus, count: int) -> bool:
    return sum(one.state == State.LIVE and one.fps > 0 for one in status.streams) == count


def _nodes() -> set[str]:
    """The living machines beside the head."""
    import ray

    return {str(node["NodeID"]) for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}


def _until(true: Callable[[], bool], what: str, limit_s: float = UP_S) -> None:
    deadline_s = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline_s:
            raise Late(f"{what}, within {limit_s:.0f} s")
        time.sleep(0.2)


@contextlib.contextmanager
def _head(folder: Path, machines: int) -> Iterator[str]:
    """`ray start --head` with the autoscaler; its address. It ends its own children, the fake machines among them."""
    from vqa_ray.media.synthetic.source import free_udp_port

    port = free_udp_port()
    address = f"127.0.0.1:{port}"
    config = folder / "autoscaling.json"
    config.write_text(json.dumps(_config(address, machines)))
    env = os.environ | {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": f"{INTERVAL_S:g}",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
    }
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--node-ip-address=127.0.0.1",
        f"--port={port}", "--num-cpus=0", f"--autoscaling-config={config}", f"--object-store-memory={STORE_BYTES}",
        "--dashboard-agent-listen-port=0",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _until(lambda: _listens(port) or process.poll() is not None, "Ray's head does not start")
            if process.poll() is not None:
                log.seek(0)
                raise Late(f"Ray's head ended: {log.read().decode(errors='replace')[-2000:]}")
            yield address
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _config(address: str, machines: int) -> dict[str, Any]:
    """A cluster of the fake provider: one core a machine."""
    commands = (
        "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
        "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter",
    )  # fmt: skip
    return {
        "cluster_name": "fake",
        "max_workers": machines,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_S / 60,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": address,
            "head_node_id": _HEAD_ID,
            "launch_multiple": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "analysis": {
                "resources": {"CPU": 1, "object_store_memory": STORE_BYTES},
                "node_config": {},
                "min_workers": 0,
                "max_workers": machines,
            },
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in commands},
    }


def _show(figures: Figures, console: Console) -> None:
    shown = table("Autoscaler v2 (looks each second; idle after 8 s), s", "step", "s")
    rows = {
        "analyzers wanted → first machine": "first_node_s",
        "→ every stream analysed": "all_live_s",
        "drain → streams elsewhere": "drained_s",
        "drain → machine gone": "node_gone_s",
        "longest time without a picture, on the way down": "longest_gap_s",
    }
    for words, name in rows.items():
        value = figures[name]
        shown.add_row(words, "-" if value is None else f"{value:.1f}")
    console.print(shown)
    console.print(
        f"machines: {figures['nodes_up']}, then {figures['nodes_down']}; streams dropped: {figures['streams_dropped']}"
    )
