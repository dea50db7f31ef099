"""The Ray that a client works on: one that runs, found or named, or one of its own on this machine."""

import enum
import logging
import os
from pathlib import Path

import msgspec
import ray

from vqa_ray.cluster import process
from vqa_ray.cluster.messages import NAMESPACE
from vqa_ray.errors import ClusterUnreachable

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 128 << 20  # nothing large ever travels


class Tie(enum.Enum):
    """How this process holds on to Ray, and so what it does when it lets go."""

    OWNED = "owned"  # started here: ends with us
    JOINED = "joined"
    BORROWED = "borrowed"  # the program had called ray.init before: left as it is


class LocalRay(msgspec.Struct, frozen=True, kw_only=True):
    """Where this machine's own Ray can be reached, for `vqa status` in another shell."""

    address: str
    owner: str  # incarnation of the process that started it


def state_folder(given: str | Path | None) -> Path:
    """Where this user keeps control state: as given, else by the XDG rules."""
    if given is not None:
        return Path(given).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "vqa"


def start(folder: Path, *, cores: int | None, temp_dir: str | None, dashboard: bool) -> Tie:
    """A Ray of our own, reachable from this machine only; noted in `folder` for other shells."""
    if ray.is_initialized():
        return Tie.BORROWED
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=cores,
        namespace=NAMESPACE,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=dashboard,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=temp_dir,
    )
    _hush()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    note = LocalRay(address=ray.get_runtime_context().gcs_address, owner=process.incarnation())
    _note(folder).write_bytes(msgspec.json.encode(note))
    return Tie.OWNED


def join(address: str) -> Tie:
    """The Ray at `address` (`host:port` or `auto`); ClusterUnreachable if none answers there."""
    if ray.is_initialized():
        return Tie.BORROWED
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterUnreachable(f"no Ray cluster answers at {address}: {_short(error)}") from None
    _hush()
    return Tie.JOINED


def running_here(folder: Path) -> str | None:
    """The address of the Ray that another process of this machine started with this state folder, if it lives."""
    try:
        note = msgspec.json.decode(_note(folder).read_bytes(), type=LocalRay)
    except (OSError, msgspec.DecodeError):
        return None
    return None if process.surely_dead(note.owner) else note.address


def leave(tie: Tie, folder: Path) -> None:
    """Lets go of Ray; ends it if it is ours. Never by `ray stop`, which ends everybody's."""
    if tie is Tie.BORROWED:
        return
    if tie is Tie.OWNED:
        _note(folder).unlink(missing_ok=True)
    ray.shutdown()


def _note(folder: Path) -> Path:
    return folder / "ray.json"


def _hush() -> None:
    """Ray prints a page for each process that dies, past its own switch for logs; we say it in a line ourselves."""
    worker = ray._private.worker
    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = False


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
