"""Every call to Ray, behind small functions: supervisor, analyzer and client are tested without it.

Ray's errors become three: `Gone` (it says that the actor is dead), `Away` (it says that it will come back) and
`NoAnswer` (it says nothing in time). A VqaError that a method raises comes through, anything else as ClusterError.
"""

import asyncio
import contextlib
import enum
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import ray
import ray.util.metrics
from ray.core.generated import gcs_pb2
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    NodeDiedError,
    RayActorError,
    RayTaskError,
)

from vqa_ray.cluster.messages import NAMESPACE
from vqa_ray.cluster.metrics import HISTOGRAMS, MEANING, Gauge, Observation
from vqa_ray.errors import ClusterError, VqaError

Handle = Any  # of an actor

_RESTARTING = gcs_pb2.ActorTableData.ActorState.RESTARTING

_HEAD = "node:__internal_head__"
_ON_HEAD = {_HEAD: 0.001}
NICENESS = "RAY_worker_niceness"  # Ray's default is 15, and a decoder must not wait for others


Method = TypeVar("Method", bound=Callable[..., Any])


def in_group(name: str) -> Callable[[Method], Method]:
    """For a method that runs in threads of its own, so that no other method keeps it waiting."""
    mark: Callable[[Method], Method] = ray.method(concurrency_group=name)
    return mark


def never_repeated(method: Method) -> Method:
    """For a method whose caller shall hear at once that the actor is away."""
    mark: Callable[[Method], Method] = ray.method(max_task_retries=0)
    return mark(method)


class Death(enum.StrEnum):
    """What Ray says died."""

    PROCESS = "process"  # it is really over
    NODE = "node"  # Ray lost sight of the machine: the process may go on working there


class Gone(ClusterError):
    """The actor is dead and will not come back."""

    def __init__(self, text: str, death: Death = Death.PROCESS) -> None:
        super().__init__(text)
        self.death = death


class Away(ClusterError):
    """The actor's process is not there now; Ray starts it again."""


class NoAnswer(ClusterError):
    """Nothing came in time: the actor may be slow, starting, or cut off."""


class Port(Protocol):
    """What the supervisor asks of Ray. Nothing here blocks the event loop."""

    async def start_analyzer(
        self, kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float, memory_bytes: int
    ) -> Handle:
        """A new detached actor, perhaps not running yet; ClusterError if Ray refuses (the name is still taken)."""

    async def analyzers(self) -> dict[str, Handle]:
        """The analyzers that Ray knows to live, or to be starting, by name."""

    async def call(self, handle: Handle, method: str, *arguments: Any, timeout_s: float | None) -> Any:
        """The result of the method. Raises Gone, NoAnswer (after `timeout_s`), or what the method raised."""

    async def kill(self, handle: Handle) -> None:
        """Ends the actor's process at once, for good."""

    async def cores(self) -> float:
        """CPUs of the whole cluster, now."""

    async def draining(self) -> frozenset[str]:
        """The nodes that Ray is about to take away, but for its head."""

    async def publish(self, samples: Sequence[Gauge | Observation]) -> None:
        """Sets (or observes) them at the metrics port of this node."""


class RayPort:
    """The Port to the Ray cluster that this process is part of. See Port for what the methods do."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="ray-port")  # these calls wait for Ray's head
        self._gauges: dict[str, ray.util.metrics.Gauge] = {}
        self._histograms: dict[str, ray.util.metrics.Histogram] = {}

    async def start_analyzer(  # noqa: D102
        self, kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float, memory_bytes: int
    ) -> Handle:
        return await self._in_pool(_start_analyzer, kind, name, arguments, cores, memory_bytes)

    async def analyzers(self) -> dict[str, Handle]:  # noqa: D102
        found: dict[str, Handle] = await self._in_pool(living_analyzers)
        return found

    async def call(self, handle: Handle, method: str, *arguments: Any, timeout_s: float | None) -> Any:  # noqa: D102
        try:
            answer = getattr(handle, method).remote(*arguments)
            return await asyncio.wait_for(_awaitable(answer), timeout_s)
        except TimeoutError:
            raise NoAnswer(f"{method}: no answer within {timeout_s} s") from None
        except Exception as error:
            raise _ours(error, method) from error

    async def kill(self, handle: Handle) -> None:  # noqa: D102
        await self._in_pool(kill, handle)

    async def cores(self) -> float:  # noqa: D102
        resources: Mapping[str, float] = await self._in_pool(ray.cluster_resources)
        return resources.get("CPU", 0.0)

    async def draining(self) -> frozenset[str]:  # noqa: D102
        found: frozenset[str] = await self._in_pool(draining_nodes)
        return found

    async def publish(self, samples: Sequence[Gauge | Observation]) -> None:  # noqa: D102
        await self._in_pool(self._publish, samples)

    def _publish(self, samples: Sequence[Gauge | Observation]) -> None:
        for sample in samples:
            if isinstance(sample, Observation):
                self._histogram(sample).observe(sample.value, dict(sample.labels))
            else:
                self._gauge(sample).set(sample.value, dict(sample.labels))

    def _gauge(self, sample: Gauge) -> ray.util.metrics.Gauge:
        made = self._gauges.get(sample.name)
        if made is None:
            made = ray.util.metrics.Gauge(sample.name, MEANING[sample.name], tuple(sample.labels))
            self._gauges[sample.name] = made
        return made

    def _histogram(self, sample: Observation) -> ray.util.metrics.Histogram:
        made = self._histograms.get(sample.name)
        if made is None:
            meaning, bounds = HISTOGRAMS[sample.name]
            made = ray.util.metrics.Histogram(sample.name, meaning, list(bounds), tuple(sample.labels))
            self._histograms[sample.name] = made
        return made

    async def _in_pool(self, function: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        except (ray.exceptions.RayError, ValueError, ConnectionError) as error:
            raise _ours(error, getattr(function, "__name__", "ray")) from error


async def _awaitable(answer: Any) -> Any:
    return await answer


def _start_analyzer(kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float, memory_bytes: int) -> Handle:
    actor = ray.remote(concurrency_groups={"control": 8, "watch": 1})(kind)
    return actor.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        num_cpus=cores,
        memory=memory_bytes or None,
        max_restarts=0,  # the supervisor starts a new one, and knows at once: with restarts Ray tells after 1-2 s
        runtime_env=_environment(),
        enable_task_events=False,
    ).remote(*arguments)


def _environment() -> dict[str, Any] | None:
    """Not nice, by an environment of the actor's own where the cluster's is not so: that costs 1-3 s at each start."""
    return None if os.environ.get(NICENESS) == "0" else {"env_vars": {NICENESS: "0"}}


def start_on_head(kind: type[Any], name: str, arguments: tuple[Any, ...]) -> Handle:
    """The actor of that name (its methods are async), started on the head if there is none; Ray restarts it."""
    return (
        ray.remote(kind)
        .options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            resources=_ON_HEAD,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=1000,
            enable_task_events=False,
        )
        .remote(*arguments)
    )


def find(name: str) -> Handle | None:
    """The living actor of that name, or None."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def living_analyzers() -> dict[str, Handle]:
    """The analyzers that Ray knows, by name."""
    names = [n["name"] for n in ray.util.list_named_actors(all_namespaces=True) if n["namespace"] == NAMESPACE]
    found = {name: find(name) for name in names if name.startswith("analyzer-")}
    return {name: handle for name, handle in found.items() if handle is not None}


def call(handle: Handle, method: str, *arguments: Any, timeout_s: float) -> Any:
    """The method's result, for threads. Raises Gone, Away, NoAnswer, or what the method raised."""
    try:
        return ray.get(getattr(handle, method).remote(*arguments), timeout=timeout_s)
    except GetTimeoutError as error:
        if handle._get_local_state() == _RESTARTING:  # a call made meanwhile waits, and fails only in the end
            raise Away(f"{method}: the actor is being restarted") from error
        raise NoAnswer(f"{method}: no answer in time") from error
    except Exception as error:
        raise _ours(error, method) from error


def kill(handle: Handle) -> None:
    """Ends the actor's process at once, for good; nothing if it is dead already."""
    try:
        ray.kill(handle, no_restart=True)
    except (RayActorError, ValueError):
        return


def close_node(node_id: str, why: str, within_s: float) -> None:
    """Has Ray start no more actors there. What runs goes on: Ray itself only waits. ClusterError if it refuses.

    Ray has no public function for it; this is what its hidden command `ray drain-node` does.
    """
    from ray.core.generated import autoscaler_pb2

    if any(_HEAD in node["Resources"] for node in ray.nodes() if node["NodeID"] == node_id):
        raise ClusterError(f"node {node_id} is Ray's head: the supervisor stays there, and it is not drained")
    deadline_ms = int((time.time() + within_s) * 1000)
    client = ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    try:
        taken, refusal = client.drain_node(node_id, reason, why, deadline_ms)
    except (ray.exceptions.RayError, ValueError) as error:
        raise ClusterError(f"node {node_id} cannot be drained: {_first_line(error)}") from error
    if not taken:
        raise ClusterError(f"node {node_id} cannot be drained: {refusal}")


def draining_nodes() -> frozenset[str]:
    """The nodes that Ray was told to drain: by its autoscaler, by SIGTERM to `ray start`, by `close_node`."""
    client = ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    nodes = client.get_draining_nodes()
    return frozenset(node if isinstance(node, str) else node.hex() for node in nodes)


def node_named(text: str) -> str:
    """The id of the living node of that id, its beginning, address or host name; ClusterError if not just one is."""
    found = [
        str(node["NodeID"])
        for node in ray.nodes()
        if node["Alive"] and (node["NodeID"].startswith(text) or text in (node["NodeManagerAddress"], _host(node)))
    ]
    if len(found) != 1:
        raise ClusterError(f"{text!r} names {len(found)} living nodes of Ray; `ray list nodes` shows them")
    return found[0]


def _host(node: Mapping[str, Any]) -> str:
    return str(node.get("NodeManagerHostname") or "")


def kill_named(name: str) -> None:
    """Ends the actor of that name, if there is one."""
    with contextlib.suppress(ray.exceptions.RayError, ConnectionError, RuntimeError):
        if handle := find(name):
            kill(handle)


def kill_all(supervisor: Handle) -> None:
    """Ends the supervisor, then all analyzers; fine if they, or Ray, are gone already."""
    with contextlib.suppress(ray.exceptions.RayError, ConnectionError, RuntimeError):
        kill(supervisor)
        for handle in living_analyzers().values():
            kill(handle)


def connected() -> bool:
    """Whether this process is part of a Ray cluster."""
    return bool(ray.is_initialized())


def cores() -> int:
    """CPUs of the whole cluster, now."""
    return int(ray.cluster_resources().get("CPU", 0))


def memory_bytes() -> int:
    """Memory that the whole cluster offers to actors, now."""
    return int(ray.cluster_resources().get("memory", 0))


def node_id() -> str:
    """The Ray node this process runs on; empty outside Ray."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def entitle(text: str) -> None:
    """What `ps` and Ray's dashboard call this process; Ray itself changes that at each call of a method."""
    if ray.is_initialized():
        ray._raylet.setproctitle(f"ray::{text}")  # its dashboard looks for that beginning


def _ours(error: Exception, method: str) -> Exception:
    """The error as the callers know it."""
    if isinstance(error, ActorDiedError | NodeDiedError):
        lost_node = isinstance(error, NodeDiedError) or "node has died" in str(error)
        return Gone(_first_line(error), Death.NODE if lost_node else Death.PROCESS)
    if isinstance(error, ActorUnavailableError):
        return Away(_first_line(error))
    if isinstance(error, RayTaskError):
        cause = error.cause
        return cause if isinstance(cause, VqaError) else ClusterError(f"{method} failed: {cause!r}")
    if isinstance(error, ray.exceptions.RayError | ValueError | ConnectionError):
        return ClusterError(f"{method}: {_first_line(error)}")
    return error


def _first_line(error: Exception) -> str:
    """Ray's texts are long; the line that says what died comes last but for the hints."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "creation task" in str(error):  # what its __init__ raised comes last
        return (lines or [""])[-1][:300]
    telling = [line for line in lines if "died" in line or "dead" in line or "unavailable" in line]
    return (telling or lines or [type(error).__name__])[-1].partition(" Some common causes")[0][:200]
