"""The Ray that a client works on: one that runs, found or named, or one of its own on this machine."""

import enum
import logging
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import ray

from vqa_ray.cluster import process
from vqa_ray.cluster.messages import NAMESPACE
from vqa_ray.cluster.port import NICENESS
from vqa_ray.errors import ClusterUnreachable

log = logging.getLogger(__name__)

AUTH = "RAY_AUTH_MODE"
KNOCK_S = 5.0
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
    auth: str  # its RAY_AUTH_MODE; the token itself is in the user's home, where Ray keeps it


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
    os.environ.setdefault(NICENESS, "0")
    _init(
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
    auth = os.environ.get(AUTH, "disabled")  # Ray has set it, where it was unset
    note = LocalRay(address=ray.get_runtime_context().gcs_address, owner=process.incarnation(), auth=auth)
    _note(folder).write_bytes(msgspec.json.encode(note))
    return Tie.OWNED


def join(address: str, *, auth: str | None = None) -> Tie:
    """The Ray at `address` (`host:port` or `auto`); ClusterUnreachable, within seconds, if none answers there.

    auth: its RAY_AUTH_MODE where that is known; the environment goes before.
    """
    if ray.is_initialized():
        return Tie.BORROWED
    _knock(address)
    if auth is not None and AUTH not in os.environ:
        os.environ[AUTH] = auth
        ray._raylet.Config.initialize("")  # it has read the environment already
    try:
        _init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        hint = "" if AUTH in os.environ else f"; if it wants a token, set {AUTH}=token"
        raise ClusterUnreachable(f"no Ray cluster answers at {address}: {_short(error)}{hint}") from None
    _hush()
    return Tie.JOINED


def _init(**options: Any) -> None:
    """ray.init, which leaves the program's own handler of SIGTERM in place where it has one; Ray's calls sys.exit."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(**options)
    except SystemExit:
        if not callable(before):
            raise
        before(signal.SIGTERM, None)
    finally:
        if callable(before) or before is signal.SIG_IGN:
            signal.signal(signal.SIGTERM, before)


def running_here(folder: Path) -> LocalRay | None:
    """The Ray that another process of this machine started with this state folder, if it lives."""
    try:
        note = msgspec.json.decode(_note(folder).read_bytes(), type=LocalRay)
    except (OSError, msgspec.DecodeError):
        return None
    return None if process.surely_dead(note.owner) else note


def _knock(address: str) -> None:
    """Ray itself tries for minutes when nothing listens."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except OSError as error:
        raise ClusterUnreachable(f"no Ray cluster answers at {address}: {error.strerror or error}") from None


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
