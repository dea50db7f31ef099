"""A ConfigMap as the fleet: read, watched, and each change applied; a wrong one is refused, and the old one goes on.

`Follower` knows Kubernetes and a function that applies a fleet; `FollowerActor` is the Ray actor around it, on the
head. Neither is needed for what is watched to go on.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from vqa_ray.cluster import port, process
from vqa_ray.cluster.kube.api import Api, KubeError, Object, connect, core, default_namespace
from vqa_ray.cluster.messages import FOLLOWER, SUPERVISOR, ApplyResult
from vqa_ray.config import FleetSpec, parse_fleet
from vqa_ray.core.urls import redact
from vqa_ray.errors import ClusterError, ClusterUnreachable, ConfigError, StoreError

log = logging.getLogger(__name__)

KEY = "fleet.yaml"
WATCH_S = 240.0  # the server ends a watch after that, and it is begun again: a dead connection is noticed by then
QUICK_S = 0.5  # a watch that ends sooner is not begun again at once
APPLY_S = 60.0
ASK_S = 30.0
_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 30.0
_MESSAGE = 1000  # characters of an event; Kubernetes takes 1024 bytes


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands. refused: why the ConfigMap as it is now is not what runs; trouble: why it cannot be read."""

    namespace: str
    configmap: str
    version: str = ""  # resourceVersion of what was looked at last
    applied: str = ""  # of what runs
    applied_utc: datetime | None = None
    refused: str = ""
    trouble: str = ""


class Follower:
    """Follows one ConfigMap, for ever, on the thread that calls `run`.

    apply: makes a fleet what is wanted; ConfigError refuses it, StoreError does until it works, ClusterError is tried
    again.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        apply: Callable[[FleetSpec], ApplyResult],
        *,
        watch_s: float = WATCH_S,
        first_delay_s: float = _FIRST_DELAY_S,
    ) -> None:
        self.state = Following(namespace=namespace, configmap=name)
        self._api = api
        self._apply = apply
        self._watch_s = watch_s
        self._first_delay_s = first_delay_s
        self._settled: str | None = None  # the text that was applied or refused last
        self._refused: tuple[str | None, str] | None = None
        self._path = core(namespace, "configmaps")
        self._only = {"fieldSelector": f"metadata.name={name}"}

    def run(self, stop: threading.Event) -> None:
        """Until `stop`, which is noticed when the watch under way ends."""
        delay_s = self._first_delay_s
        while not stop.is_set():
            try:
                version = self._look()
                self._note(trouble="")
                while not stop.is_set():
                    began_s = time.monotonic()
                    version = self._watch(version)
                    if time.monotonic() - began_s > QUICK_S:
                        delay_s = self._first_delay_s
                    else:  # it is accepted, and ended at once
                        stop.wait(delay_s)
                        delay_s = min(_MAX_DELAY_S, delay_s * 2)
            except ClusterError as error:
                expired = isinstance(error, KubeError) and error.status == 410  # usual after a long silence: look anew
                if not expired:
                    self._note(trouble=redact(str(error)))
                    log.warning("ConfigMap %s is not followed, next try in %.1f s: %s", self._name, delay_s, error)
                stop.wait(delay_s)
                delay_s = min(_MAX_DELAY_S, delay_s * 2)

    @property
    def _name(self) -> str:
        return self.state.configmap

    def _look(self) -> str:
        """The ConfigMap as it is; the version from which to watch."""
        answer = self._api.get(self._path, self._only)
        found = [item for item in answer.get("items") or () if item["metadata"]["name"] == self._name]
        if found:
            self._consider(found[0])
        else:
            self._missing()
        return str((answer.get("metadata") or {}).get("resourceVersion") or "")

    def _watch(self, version: str) -> str:
        """Changes since that version, until the server ends the watch; the version after the last one."""
        query = {**self._only, "resourceVersion": version}
        for event in self._api.watch(self._path, query, self._watch_s):
            item: Object = event.get("object") or {}
            version = str((item.get("metadata") or {}).get("resourceVersion") or version)
            if event.get("type") in ("ADDED", "MODIFIED"):
                self._consider(item)
            elif event.get("type") == "DELETED":
                self._missing()
        return version

    def _consider(self, item: Object) -> None:
        """Applies what it says, if that is new. ClusterError: it could not be applied now."""
        self._note(version=str(item["metadata"].get("resourceVersion") or ""))
        text = (item.get("data") or {}).get(KEY)
        if text is not None and text == self._settled:
            return
        try:
            fleet = _fleet(text, self._name)
            result = self._apply(fleet)
        except ConfigError as error:
            self._refuse(item, text, str(error))
        except StoreError as error:  # it may be away: tried again, but told once
            self._refuse(item, text, str(error))
            raise ClusterError(str(error)) from None
        else:
            self._note(applied=self.state.version, applied_utc=datetime.now(UTC), refused="")
            count = len(fleet.streams)
            words = f"{count} stream{'' if count == 1 else 's'} wanted, {_words(result)}"
            log.info("ConfigMap %s: %s", self._name, words)
            self._tell(item, "FleetApplied", words)
        self._settled = text

    def _refuse(self, item: Object, text: str | None, why: str) -> None:
        why = redact(why)
        self._note(refused=why)
        if self._refused == (text, why):
            return
        self._refused = (text, why)
        log.error("the fleet in ConfigMap %s is refused, the one before goes on: %s", self._name, why)
        self._tell(item, "FleetRefused", f"{why} (what was wanted before goes on)", warning=True)

    def _missing(self) -> None:
        """What runs goes on: a fleet is ended by an empty list of streams, not by chance."""
        self._settled = None
        self._note(refused=f"there is no ConfigMap {self._name}")
        log.error("there is no ConfigMap %s; what was wanted before goes on", self._name)

    def _tell(self, item: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """An event at the ConfigMap; what is followed does not depend on it."""
        metadata, now = item["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{self._name}.", "namespace": self.state.namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", **about},
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message.encode()[:_MESSAGE].decode(errors="ignore"),
            "source": {"component": "vqa-follower"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._api.create(core(self.state.namespace, "events"), event)
        except ClusterError as error:
            log.warning("no event could be written: %s", error)

    def _note(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)


def _fleet(text: object, name: str) -> FleetSpec:
    """The fleet of a text; ConfigError also where there is none, which must not end everything that runs."""
    if not isinstance(text, str):
        raise ConfigError(f"ConfigMap {name}: has no {KEY}")
    if not text.strip():
        raise ConfigError(f"ConfigMap {name}: {KEY} is empty; write `streams: []` to watch nothing")
    return parse_fleet(text, name=f"{name}/{KEY}")


def _words(result: ApplyResult) -> str:
    counts = [("added", result.added), ("changed", result.changed), ("removed", result.removed)]
    return ", ".join(f"{len(ids)} {word}" for word, ids in counts if ids) or "nothing changed"


class FollowerActor:
    """Named, detached, on the head. Its one thread is a daemon; should it end by an error, the process does too."""

    def __init__(self, namespace: str, configmap: str) -> None:
        process.log_to_stderr(FOLLOWER)
        self._follower = Follower(connect(), namespace, configmap, _apply_by_supervisor)
        threading.Thread(target=self._run, name="follow", daemon=True).start()

    def __repr__(self) -> str:
        return f"Follower({self._follower.state.configmap})"

    async def state(self) -> Following:
        """How it stands."""
        return self._follower.state

    async def pid(self) -> int:
        """Of this process."""
        return os.getpid()

    def _run(self) -> None:
        """Fence: Ray starts a process anew that ends."""
        try:
            self._follower.run(threading.Event())
        except Exception:
            log.exception("the follower failed")
        os._exit(1)


def start(configmap: str, namespace: str | None = None) -> Following:
    """The follower of that ConfigMap on this Ray's head, instead of any other. ClusterError if it cannot be read."""
    where = namespace or default_namespace()
    connect().get(core(where, "configmaps"), {"fieldSelector": f"metadata.name={configmap}"})
    handle = port.find(FOLLOWER)
    if handle is not None:
        state: Following = port.call(handle, "state", timeout_s=ASK_S)
        if (state.namespace, state.configmap) == (where, configmap):
            return state
        port.kill(handle)
    handle = port.start_on_head(FollowerActor, FOLLOWER, (where, configmap))
    started: Following = port.call(handle, "state", timeout_s=ASK_S)
    return started


def _apply_by_supervisor(fleet: FleetSpec) -> ApplyResult:
    handle = port.find(SUPERVISOR)
    if handle is None:
        raise ClusterUnreachable("there is no supervisor")
    result: ApplyResult = port.call(handle, "apply", fleet, timeout_s=APPLY_S)
    return result
