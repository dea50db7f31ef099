"""Several machines on this one: a Ray of a head and some nodes (raylets), live streams, and ways to break it.

The head analyses nothing; each node has one core by Ray's book-keeping, so one analyzer. Every process is ended by its
id, never by a name, and everything lives in a folder that goes with it.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from benchmarks.witness import LABEL, WORKER, Mark, marks
from vqa_ray.cli.demo.receiver import Receiver
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import AnalyzerStatus, ClusterOptions, FleetStatus
from vqa_ray.config import FleetSpec, ReconnectChanges, StreamSpec
from vqa_ray.core.source import State
from vqa_ray.errors import ClusterError
from vqa_ray.media.synthetic.source import SMALL, Kind, Source, serve
from vqa_ray.sinks.webhook import WebhookSpec

SIX = {
    "hls": Kind.HLS,
    "http-1": Kind.HTTP,
    "http-2": Kind.HTTP,
    "multicast": Kind.MULTICAST,
    "rtmp": Kind.RTMP,
    "rtsp": Kind.RTSP,
}  # streams of the full forms

STORE_BYTES = 100 << 20
UP_S = 120.0  # a loaded machine starts processes slowly
LOOK_S = 0.1
ADD_TRIES = 3
RETRY_S = 2.0  # ceiling of the back-off, as in the demo


class Late(click.ClickException):
    """Something did not happen in a time that no machine needs."""


class Machines:
    """A fleet under a witness, on several nodes. Made by `machines`."""

    def __init__(
        self, cluster: Any, fleet: Fleet, sources: Mapping[str, Source], receiver: Receiver, folder: Path, size: int
    ) -> None:
        self.fleet = fleet
        self.sources = sources
        self.receiver = receiver
        self._cluster = cluster
        self._folder = folder
        self._size = size
        self._nodes: list[Any] = []
        for _ in range(size):
            self.add_node()

    # ---- what there is

    def status(self) -> FleetStatus:
        """How everything is now; waits while the supervisor is restarted."""
        deadline_s = time.monotonic() + UP_S
        while True:
            try:
                return self.fleet.status()
            except ClusterError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(LOOK_S)

    def marks(self, stream_id: str, since_s: float = 0.0) -> list[Mark]:
        """See `witness.marks`."""
        return marks(self._folder, stream_id, since_s)

    def settled(self) -> FleetStatus:
        """Waits until each node has its analyzer and every stream is analysed."""
        until = time.monotonic() + UP_S
        while True:
            status = self.status()
            if self._is_settled(status):
                return status
            if time.monotonic() > until:
                raise Late(f"the fleet did not settle within {UP_S:.0f} s: {status}")
            time.sleep(LOOK_S)

    def _is_settled(self, status: FleetStatus) -> bool:
        ready = [one for one in status.analyzers if one.phase == "ready"]
        live = [one for one in status.streams if one.state == State.LIVE and one.fps > 0]
        alive = len(ready) == len(status.analyzers) == self._size
        return alive and len(live) == len(self.sources) == len(status.streams)

    def back(self, lost: Mapping[str, int], since_s: float, limit_s: float = 60.0) -> dict[str, float]:
        """Waits until the streams are analysed under newer epochs than these; after how many seconds each one was."""
        while True:
            now = {name: self._first(name, epoch, since_s) for name, epoch in lost.items()}
            found = {name: at_s - since_s for name, at_s in now.items() if at_s is not None}
            if len(found) == len(lost):
                return found
            if time.monotonic() - since_s > limit_s:
                raise Late(f"not analysed again within {limit_s:.0f} s: {self._told_of(lost.keys() - found.keys())}")
            time.sleep(LOOK_S / 2)

    def _told_of(self, streams: Collection[str]) -> str:
        rows = [one for one in self.status().streams if one.stream_id in streams]
        return "; ".join(
            f"{one.stream_id} at {one.analyzer}, epoch {one.epoch}, {one.state} {one.reason}, lag {one.lag_s:.1f} s"
            for one in rows
        )

    def _first(self, stream_id: str, epoch: int, since_s: float) -> float | None:
        return next((mark.mono_s for mark in self.marks(stream_id, since_s) if mark.epoch > epoch), None)

    # ---- what is done to it

    def add_node(self) -> None:
        """One more machine; tried again where this one is too busy to start a raylet within Ray's 30 s."""
        for attempt in range(ADD_TRIES):
            try:
                self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES))
            except Exception as error:  # Ray raises just that
                if attempt == ADD_TRIES - 1:
                    raise Late(f"a node does not start: {error}") from error
            else:
                return

    def kill_analyzer(self, victim: AnalyzerStatus) -> float:
        """SIGKILL; when."""
        return _signal([_pid(victim)], signal.SIGKILL)

    def kill_supervisor(self, status: FleetStatus) -> float:
        """SIGKILL; when."""
        return _signal([status.supervisor_pid], signal.SIGKILL)

    def kill_node(self, victim: AnalyzerStatus, status: FleetStatus) -> float:
        """SIGKILL to the analyzer's raylet and everything on that node; when."""
        node = self._node_of(victim)
        at_s = _signal(self._pids(node, status), signal.SIGKILL)
        self._nodes.remove(node)
        return at_s

    def bury(self) -> None:
        """Has Ray forget the nodes that were killed, and the processes beside their raylets end."""
        for node in self._cluster.list_all_nodes():
            if node not in self._nodes and not node.is_head():
                self._cluster.remove_node(node, allow_graceful=False)

    def freeze_node(self, victim: AnalyzerStatus, status: FleetStatus) -> tuple[float, Callable[[], None]]:
        """SIGSTOP to them, as a machine that is cut off and sleeps; when, and what wakes it."""
        pids = self._pids(self._node_of(victim), status)
        return _signal(pids, signal.SIGSTOP), lambda: _wake(pids)

    def _node_of(self, victim: AnalyzerStatus) -> Any:
        return next(node for node in self._nodes if node.node_id == victim.node_id)

    def _pids(self, node: Any, status: FleetStatus) -> list[int]:
        raylets = [info.process.pid for info in node.all_processes["raylet"]]
        return raylets + [_pid(one) for one in status.analyzers if one.node_id == node.node_id and one.pid]


def _wake(pids: Sequence[int]) -> None:
    _signal(pids, signal.SIGCONT)


def victims(status: FleetStatus) -> list[AnalyzerStatus]:
    """The analyzers that watch streams, those with the most first."""
    busy = [one for one in status.analyzers if one.pid is not None and one.streams]
    return sorted(busy, key=lambda one: (-one.streams, one.name))


def epochs(status: FleetStatus, analyzer: str) -> dict[str, int]:
    """The streams of the analyzer, with their epochs."""
    return {one.stream_id: one.epoch for one in status.streams if one.analyzer == analyzer}


def _pid(analyzer: AnalyzerStatus) -> int:
    assert analyzer.pid is not None
    return analyzer.pid


def _signal(pids: Sequence[int], number: signal.Signals) -> float:
    at_s = time.monotonic()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return at_s


@contextlib.contextmanager
def machines(nodes: int, kinds: Mapping[str, Kind]) -> Iterator[Machines]:
    """So many nodes, and a live stream of each kind, by name; all of it ends with the block."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        stack.enter_context(environment(folder))
        receiver = stack.enter_context(Receiver())
        sources = sources_of(kinds, stack)
        made = _start(stack, folder, nodes, sources, receiver)
        for source in sources.values():
            source.wait(UP_S)
        made.fleet.apply(wanted(sources, receiver.url, folder / "notes"))
        yield made


def _start(
    stack: contextlib.ExitStack, folder: Path, nodes: int, sources: Mapping[str, Source], receiver: Receiver
) -> Machines:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    stack.callback(cluster.shutdown)
    options = ClusterOptions(
        analyzers_min=nodes,
        analyzers_max=nodes,
        memory_bytes=STORE_BYTES,
        worker=WORKER,
        park_after=None,  # it is us who kill
    )
    fleet = Fleet.start(address=cluster.address, options=options, state_dir=folder / "state")
    stack.callback(fleet.stop)
    return Machines(cluster, fleet, sources, receiver, folder / "notes", nodes)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A short one (Ray keeps Unix sockets below it), for what a run leaves; gone afterwards, with who works in it."""
    folder = Path(tempfile.mkdtemp(prefix="vqa", dir="/tmp"))
    for name in ("ray", "notes"):  # Ray writes into the first before it makes it
        (folder / name).mkdir()
    try:
        yield folder
    finally:
        _signal(_naming(folder), signal.SIGKILL)  # machines of Ray's fake provider leave their log monitors
        shutil.rmtree(folder, ignore_errors=True)


def _naming(folder: Path) -> list[int]:
    """Processes whose command line names this folder; none where there is no /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if os.fsencode(folder) in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def sources_of(kinds: Mapping[str, Kind], stack: contextlib.ExitStack) -> dict[str, Source]:
    """A live stream of each kind, by name; perhaps not playable yet."""
    made = {name: serve(kind, programme=msgspec.structs.replace(SMALL, name=name)) for name, kind in kinds.items()}
    for source in made.values():
        stack.callback(source.stop)
    return made


@contextlib.contextmanager
def environment(folder: Path) -> Iterator[None]:
    """What the processes of a Ray of our own inherit."""
    ours = {
        "HOME": str(folder),
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "disabled",  # on loopback, in a cluster that lives for minutes
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])),
    }
    before = {name: os.environ.get(name) for name in (*ours, "RAY_ADDRESS")}
    os.environ.update(ours)
    os.environ.pop("RAY_ADDRESS", None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def wanted(sources: Mapping[str, Source], webhook: str | None, notes: Path) -> FleetSpec:
    """The fleet of these streams, under a witness."""
    soon = ReconnectChanges(max_delay_s=RETRY_S)
    streams = tuple(
        StreamSpec(id=name, url=source.url, reconnect=soon, labels={LABEL: str(notes)})
        for name, source in sources.items()
    )
    return FleetSpec(streams=streams, channels=(WebhookSpec(url=webhook),) if webhook else ())
