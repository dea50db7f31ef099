"""`Fleet`: what a program or the command line does with a running fleet."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from vqa_ray.cluster import port, raylocal
from vqa_ray.cluster.messages import (
    FOLLOWER,
    MEMORY_BYTES,
    PAGE,
    SUPERVISOR,
    ApplyResult,
    ClusterOptions,
    FleetStatus,
    StreamStatus,
)
from vqa_ray.cluster.port import Away, Gone, Handle, NoAnswer
from vqa_ray.cluster.raylocal import Tie
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.core.halves import second
from vqa_ray.core.notice import Incident
from vqa_ray.core.quiet import Mute, Quiet
from vqa_ray.core.remark import Remark, RemarkKind
from vqa_ray.core.stay import Stay
from vqa_ray.core.urls import scheme
from vqa_ray.errors import ClusterError, ClusterUnreachable, ConfigError
from vqa_ray.pipeline.about import About
from vqa_ray.sinks.jsonl import STDOUT, JsonLinesSpec
from vqa_ray.sinks.kafka import KafkaSpec
from vqa_ray.sinks.mail import EmailSpec
from vqa_ray.sinks.registry import AnyChannelSpec
from vqa_ray.sinks.syslog import SyslogSpec

log = logging.getLogger(__name__)

START_S = 90.0
ASK_S = 30.0  # a supervisor that was just killed is back in some seconds
STOP_S = 90.0
STILL_S = 3.0
LOOK_S = 0.5


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

    def apply(self, fleet: FleetSpec, *, dry_run: bool = False) -> ApplyResult:
        """Makes `fleet` what is wanted; dry_run only says what would change. Paths in it are relative to here.

        ConfigError, StoreError (its result store cannot be used): nothing has changed.
        """
        result: ApplyResult = self._ask("apply", _absolute(fleet), dry_run)
        return result

    def add(self, streams: Sequence[StreamSpec]) -> ApplyResult:
        """Watches these too. ConfigError (an id is taken, say): nothing has changed."""
        result: ApplyResult = self._ask("add", _absolute(FleetSpec(streams=tuple(streams))).streams)
        return result

    def remove(self, stream_ids: Sequence[str]) -> ApplyResult:
        """Watches these no longer. ConfigError (there is none of an id): nothing has changed."""
        result: ApplyResult = self._ask("remove", tuple(stream_ids))
        return result

    def pause(self, stream_ids: Sequence[str], *, paused: bool = True) -> ApplyResult:
        """Leaves these declared but unwatched, or watches them again; as if the fleet had been applied so."""
        result: ApplyResult = self._ask("pause", tuple(stream_ids), paused)
        return result

    def move(self, stream_id: str, analyzer: str | None = None, *, within_s: float = 60.0) -> str:
        """Has another analyzer (the best, or the one named) take a stream; its name, once it has it.

        A supervisor that is restarted on the way is asked again. ClusterError: it cannot be moved, or not in time.
        """
        deadline_s = time.monotonic() + within_s
        target: str | None = analyzer
        while time.monotonic() < deadline_s:
            target = self._ask("move", stream_id, target)
            if any(_at(one, stream_id) == target for one in self.status().streams):
                return str(target)
            time.sleep(LOOK_S)
        raise ClusterError(f"stream {stream_id} is not at {target} after {within_s:.0f} s; `vqa status` shows why")

    def status(self) -> FleetStatus:
        """How everything is now."""
        result: FleetStatus = self._ask("status")
        return result

    def incidents(self, *, limit: int = 100, open_only: bool = False) -> list[Incident]:
        """The latest incidents of the control journal, newest start first."""
        result: list[Incident] = self._ask("incidents", limit, open_only)
        return result

    def incident(self, incident_id: str) -> Incident | None:
        """One incident of the control journal; None if it is not remembered."""
        result: Incident | None = self._ask("incident", incident_id)
        return result

    def remark(self, remark: Remark) -> bool:
        """Keeps what someone says of an incident, through restarts; False if there is none of that id."""
        result: bool = self._ask("remark", remark)
        return result

    def retract(self, incident_id: str, kind: RemarkKind) -> None:
        """Forgets what was said of that kind."""
        self._ask("retract", incident_id, kind)

    def remarks(self) -> list[Remark]:
        """All that was said of incidents that are remembered."""
        result: list[Remark] = self._ask("remarks")
        return result

    def mute(self, mute: Mute) -> None:
        """Has nothing told of what the mute fits until it ends; incidents are found and kept all the same."""
        self._ask("mute", mute)

    def unmute(self, mute_id: str) -> bool:
        """Ends a mute; whether it lasted."""
        result: bool = self._ask("unmute", mute_id)
        return result

    def quiet(self) -> Quiet:
        """The mutes that last, and the fleet's windows."""
        result: Quiet = self._ask("quiet")
        return result

    def store(self) -> str | None:
        """URI of the result store, None without one. It may hold credentials: not for showing."""
        result: str | None = self._ask("store")
        return result

    def declared(self) -> FleetSpec:
        """The fleet that is wanted, without its channels. URLs in it may hold credentials: not for showing."""
        result: FleetSpec = self._ask("declared")
        return result

    def still(self, stream_id: str, analyzer: str) -> bytes | None:
        """The newest small picture of a stream as JPEG, from the analyzer that has it; None where there is none."""
        handle = port.find(analyzer)
        result: bytes | None = _ask(handle, "still", stream_id, timeout_s=STILL_S) if handle is not None else None
        return result

    def about(self, stream_id: str, analyzer: str) -> About:
        """What the analyzer that has the stream knows of its source: codecs, size, rates, layout, GOP."""
        handle = port.find(analyzer)
        known: About = _ask(handle, "about", stream_id, timeout_s=STILL_S) if handle is not None else About()
        return known

    def stays(self, stream_id: str) -> list[Stay]:
        """Where the stream was and why it went there, the latest first, since the supervisor's start."""
        known: list[Stay] = self._ask("stays", stream_id)
        return known

    def source(self, stream_id: str) -> str | None:
        """The URL of a wanted stream without its secrets, None if it is not wanted."""
        result: str | None = self._ask("source", stream_id)
        return result

    def drain(self, node: str | None, within_s: float) -> bool:
        """Has others take all streams of a node of Ray's (None: of this one), and its analyzers end; whether in time.

        Nothing new starts there any more. node: id, address or host name. ClusterError if there is no such node.
        """
        deadline_s = time.monotonic() + within_s
        node_id = port.node_id() if node is None else port.node_named(node)
        port.close_node(node_id, "emptied by vqa drain", within_s)
        while (left := self._ask("drain", node_id)) and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)
        return not left

    def unpark(self, stream_id: str) -> bool:
        """Gives a stream that was given up another chance; whether it was. ConfigError if there is no such stream."""
        result: bool = self._ask("unpark", stream_id)
        return result

    def follow(self, configmap: str, namespace: str | None = None) -> None:
        """From now on what that ConfigMap (of this pod's namespace) says is wanted; it is watched from Ray's head.

        ClusterError if it cannot be read.
        """
        from vqa_ray.cluster.kube import follow  # most fleets are not on Kubernetes

        follow.start(configmap, namespace)

    def serve(self, kind: type[Any], *arguments: Any) -> str:
        """Has an actor on Ray's head serve the operator's page, instead of any that does; its address there.

        kind: `vqa_ray.web.actor.PageActor`, with its arguments. ConfigError if it cannot be served.
        """
        port.kill_named(PAGE)
        handle = port.start_on_head(kind, PAGE, arguments)
        try:
            url: str = port.call(handle, "url", timeout_s=START_S)
        except (ConfigError, ClusterError):
            port.kill(handle)
            raise
        return url

    def stop(self) -> None:
        """Releases all streams, delivers what waits, ends analyzers and supervisor, and Ray if it was started here.

        Fine if the fleet was ended meanwhile by another.
        """
        try:
            port.kill_named(FOLLOWER)  # it would want its fleet again
            port.kill_named(PAGE)
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
    here = raylocal.running_here(folder)
    if where := address or os.environ.get("RAY_ADDRESS"):
        return raylocal.join(where, auth=here.auth if here and here.address == where else None)
    return raylocal.join(here.address, auth=here.auth) if here else None


def _supervisor(state_dir: str | None, options: ClusterOptions, folder: Path, tie: Tie) -> Handle:
    from vqa_ray.cluster.supervisor import Supervisor  # the whole pipeline: only who starts one pays for it

    # On another machine the default folder is its own user's, not ours.
    where = state_dir if tie is Tie.JOINED and state_dir is None else str(folder)
    handle = port.start_on_head(Supervisor, SUPERVISOR, (where, options))
    _ask(handle, "status", timeout_s=START_S)
    return handle


def _ask(handle: Handle, method: str, *arguments: Any, timeout_s: float) -> Any:
    try:
        return port.call(handle, method, *arguments, timeout_s=timeout_s)
    except (Gone, Away, NoAnswer) as error:
        raise ClusterUnreachable(f"the supervisor does not answer: {error}") from error


def _one_a_core(cores: int | None) -> ClusterOptions:
    """On a machine of our own: as much memory as there is, if less than is asked for else."""
    count = cores or port.cores() or 1
    memory_bytes = min(MEMORY_BYTES, port.memory_bytes() // (count + 1))
    return ClusterOptions(analyzers_min=count, analyzers_max=count, memory_bytes=memory_bytes)


def _absolute(fleet: FleetSpec) -> FleetSpec:
    """The same, with local paths as they are from here: actors have another working directory."""
    channels = [_absolute_channel(channel) for channel in fleet.channels]
    streams = [msgspec.structs.replace(s, url=_path(s.url)) for s in fleet.streams]
    store = _path(fleet.store) if fleet.store else None
    return msgspec.structs.replace(fleet, channels=tuple(channels), streams=tuple(streams), store=store)


def _absolute_channel(channel: AnyChannelSpec) -> AnyChannelSpec:
    if isinstance(channel, JsonLinesSpec) and channel.path != STDOUT:
        return msgspec.structs.replace(channel, path=_path(channel.path))
    if isinstance(channel, EmailSpec | SyslogSpec | KafkaSpec) and channel.ca_file:
        return msgspec.structs.replace(channel, ca_file=_path(channel.ca_file))
    return channel


def _path(text: str) -> str:
    """A plain relative path made absolute; a URL, or what is only known with the environment, as it is."""
    if scheme(text) != "file" or text.startswith(("file:", "${", "~")):
        return text
    return str(Path(text).absolute())


def _at(row: StreamStatus, name: str) -> str | None:
    """Where the stream of that row is, or its second half if that is meant."""
    if row.stream_id == name:
        return row.analyzer
    return row.second if second(row.stream_id) == name else None
