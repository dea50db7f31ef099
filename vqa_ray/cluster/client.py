"""`Fleet`: what a program or the command line does with a running fleet."""

import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from vqa_ray.cluster import port, raylocal
from vqa_ray.cluster.messages import SUPERVISOR, ApplyResult, ClusterOptions, FleetStatus
from vqa_ray.cluster.port import Away, Gone, Handle, NoAnswer
from vqa_ray.cluster.raylocal import Tie
from vqa_ray.config import FleetSpec
from vqa_ray.core.notice import Incident
from vqa_ray.core.urls import scheme
from vqa_ray.errors import ClusterError, ClusterUnreachable
from vqa_ray.sinks.jsonl import STDOUT, JsonLinesSpec

log = logging.getLogger(__name__)

START_S = 90.0
ASK_S = 30.0  # a supervisor that was just killed is back in some seconds
STOP_S = 90.0


class Fleet:
    """A connection to the supervisor. Made by `start` or `connect`; ended by `stop`, or `leave`."""

    def __init__(self, handle: Handle, tie: Tie, folder: Path) -> None:
        self._handle = handle
        self._tie = tie
        self._folder = folder

    @classmethod
    def start(
        cls,
        *,
        address: str | None = None,
        options: ClusterOptions | None = None,
        state_dir: str | Path | None = None,
        cores: int | None = None,
        temp_dir: str | None = None,
        dashboard: bool = True,
    ) -> "Fleet":
        """Joins Ray at `address` (or RAY_ADDRESS, or this machine's own), else starts one; then the supervisor.

        options: of a new supervisor; on a Ray of our own the default is an analyzer a core. state_dir: of control
        state, on the machine of Ray's head; the default is ~/.local/state/vqa. cores, temp_dir (short: it holds
        Unix sockets) and dashboard are for a Ray that is started here. Raises ClusterUnreachable or ClusterError.
        """
        folder = raylocal.state_folder(state_dir)
        tie = _join(address, folder)
        if tie is None:
            tie = raylocal.start(folder, cores=cores, temp_dir=temp_dir, dashboard=dashboard)
        try:
            given = options or (_one_a_core(cores) if tie is Tie.OWNED else ClusterOptions())
            return cls(_supervisor(str(state_dir or "") or None, given, folder, tie), tie, folder)
        except BaseException:
            raylocal.leave(tie, folder)
            raise

    @classmethod
    def connect(cls, *, address: str | None = None, state_dir: str | Path | None = None) -> "Fleet":
        """The supervisor that runs already; ClusterUnreachable if there is none."""
        folder = raylocal.state_folder(state_dir)
        tie = _join(address, folder)
        if tie is None:
            raise ClusterUnreachable("no fleet runs on this machine; start one with `vqa run`, or name an --address")
        handle = port.find(SUPERVISOR)
        if handle is None:
            raylocal.leave(tie, folder)
            raise ClusterUnreachable("Ray answers, but no fleet runs on it; start one with `vqa run`")
        return cls(handle, tie, folder)

    @property
    def owned(self) -> bool:
        """Whether its Ray was started here, and so ends with this process."""
        return self._tie is Tie.OWNED

    def apply(self, fleet: FleetSpec) -> ApplyResult:
        """Makes `fleet` what is wanted. Paths in it are relative to here.

        ConfigError, StoreError (its result store cannot be used): nothing has changed.
        """
        result: ApplyResult = self._ask("apply", _absolute(fleet))
        return result

    def status(self) -> FleetStatus:
        """How everything is now."""
        result: FleetStatus = self._ask("status")
        return result

    def incidents(self, *, limit: int = 100, open_only: bool = False) -> list[Incident]:
        """The latest incidents of the control journal, newest start first."""
        result: list[Incident] = self._ask("incidents", limit, open_only)
        return result

    def stop(self) -> None:
        """Releases all streams, delivers what waits, ends analyzers and supervisor, and Ray if it was started here.

        Fine if the fleet was ended meanwhile by another.
        """
        try:
            self._ask("stop", timeout_s=STOP_S)
        except ClusterError as error:
            log.info("the fleet did not stop by itself: %s", error)
        finally:
            try:
                port.kill_all(self._handle)
            finally:
                self.leave()

    def leave(self) -> None:
        """Lets go of the fleet. It goes on, but for one whose Ray was started here."""
        raylocal.leave(self._tie, self._folder)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ask(self, method: str, *arguments: Any, timeout_s: float = ASK_S) -> Any:
        return _ask(self._handle, method, *arguments, timeout_s=timeout_s)


def _join(address: str | None, folder: Path) -> Tie | None:
    """Joins the Ray that is meant: the one named, or this machine's own; None if there is none to join."""
    if port.connected():
        return Tie.BORROWED
    if where := address or os.environ.get("RAY_ADDRESS"):
        return raylocal.join(where)
    if here := raylocal.running_here(folder):
        return raylocal.join(here.address, auth=here.auth)
    return None


def _supervisor(state_dir: str | None, options: ClusterOptions, folder: Path, tie: Tie) -> Handle:
    from vqa_ray.cluster.supervisor import Supervisor  # the whole pipeline: only who starts one pays for it

    # On another machine the default folder is its own user's, not ours.
    where = state_dir if tie is Tie.JOINED and state_dir is None else str(folder)
    handle = port.start_supervisor(Supervisor, SUPERVISOR, (where, options))
    _ask(handle, "status", timeout_s=START_S)
    return handle


def _ask(handle: Handle, method: str, *arguments: Any, timeout_s: float) -> Any:
    try:
        return port.call(handle, method, *arguments, timeout_s=timeout_s)
    except (Gone, Away, NoAnswer) as error:
        raise ClusterUnreachable(f"the supervisor does not answer: {error}") from error


def _one_a_core(cores: int | None) -> ClusterOptions:
    count = cores or port.cores() or 1
    return ClusterOptions(analyzers_min=count, analyzers_max=count)


def _absolute(fleet: FleetSpec) -> FleetSpec:
    """The same, with local paths as they are from here: actors have another working directory."""
    channels = [
        msgspec.structs.replace(c, path=_path(c.path)) if isinstance(c, JsonLinesSpec) and c.path != STDOUT else c
        for c in fleet.channels
    ]
    streams = [msgspec.structs.replace(s, url=_path(s.url)) for s in fleet.streams]
    store = _path(fleet.store) if fleet.store else None
    return msgspec.structs.replace(fleet, channels=tuple(channels), streams=tuple(streams), store=store)


def _path(text: str) -> str:
    """A plain relative path made absolute; a URL, or what is only known with the environment, as it is."""
    if scheme(text) != "file" or text.startswith(("file:", "${", "~")):
        return text
    return str(Path(text).absolute())
