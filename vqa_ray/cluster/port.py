"""Every call to Ray, behind small functions: supervisor, analyzer and client are tested without it.

Ray's errors become three: `Gone` (it says that the actor is dead), `Away` (it says that it will come back) and
`NoAnswer` (it says nothing in time). A VqaError that a method raises comes through, anything else as ClusterError.
"""

import asyncio
import contextlib
import enum
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    NodeDiedError,
    RayActorError,
    RayTaskError,
)

from vqa_ray.cluster.messages import NAMESPACE
from vqa_ray.errors import ClusterError, VqaError

Handle = Any  # of an actor

_ON_HEAD = {"node:__internal_head__": 0.001}
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

    async def start_analyzer(self, kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float) -> Handle:
        """A new detached actor, perhaps not running yet; ClusterError if Ray refuses (the name is still taken)."""

    async def analyzers(self) -> dict[str, Handle]:
        """The analyzers that Ray knows to live, or to be starting, by name."""

    async def call(self, handle: Handle, method: str, *arguments: Any, timeout_s: float | None) -> Any:
        """The result of the method. Raises Gone, NoAnswer (after `timeout_s`), or what the method raised."""

    async def kill(self, handle: Handle) -> None:
        """Ends the actor's process at once, for good."""

    async def cores(self) -> float:
        """CPUs of the whole cluster, now."""


class RayPort:
    """The Port to the Ray cluster that this process is part of. See Port for what the methods do."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="ray-port")  # these calls wait for Ray's head

    async def start_analyzer(  # noqa: D102
        self, kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float
    ) -> Handle:
        return await self._in_pool(_start_analyzer, kind, name, arguments, cores)

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

    async def _in_pool(self, function: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        except (ray.exceptions.RayError, ValueError, ConnectionError) as error:
            raise _ours(error, getattr(function, "__name__", "ray")) from error


async def _awaitable(answer: Any) -> Any:
    return await answer


def _start_analyzer(kind: type[Any], name: str, arguments: tuple[Any, ...], cores: float) -> Handle:
    actor = ray.remote(concurrency_groups={"control": 8, "watch": 1})(kind)
    return actor.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        num_cpus=cores,
        max_restarts=0,  # the supervisor starts a new one, and knows at once: with restarts Ray tells after 1-2 s
        runtime_env=_environment(),
        enable_task_events=False,
    ).remote(*arguments)


def _environment() -> dict[str, Any] | None:
    """Not nice, by an environment of the actor's own where the cluster's is not so: that costs 1-3 s at each start."""
    return None if os.environ.get(NICENESS) == "0" else {"env_vars": {NICENESS: "0"}}


def start_supervisor(kind: type[Any], name: str, arguments: tuple[Any, ...]) -> Handle:
    """The supervisor of that name, started on the head if there is none."""
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
    except Exception as error:
        raise _ours(error, method) from error


def kill(handle: Handle) -> None:
    """Ends the actor's process at once, for good; nothing if it is dead already."""
    try:
        ray.kill(handle, no_restart=True)
    except (RayActorError, ValueError):
        return


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


def node_id() -> str:
    """The Ray node this process runs on; empty outside Ray."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def _ours(error: Exception, method: str) -> Exception:
    """The error as the callers know it."""
    if isinstance(error, ActorDiedError | NodeDiedError):
        lost_node = isinstance(error, NodeDiedError) or "node has died" in str(error)
        return Gone(_first_line(error), Death.NODE if lost_node else Death.PROCESS)
    if isinstance(error, ActorUnavailableError):
        return Away(_first_line(error))
    if isinstance(error, GetTimeoutError):
        return NoAnswer(f"{method}: no answer in time")
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
