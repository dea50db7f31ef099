"""What the operator declares: streams, profiles, channels, the store. The only module that reads its YAML.

A fleet is parsed once, strictly; after that only these frozen structs travel. URLs keep their `${ENV}`: they are
resolved where the input is opened, and nowhere stored.
"""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, get_type_hints

import msgspec
import yaml
from msgspec import UNSET, Meta, UnsetType

from vqa_ray.core import refusal
from vqa_ray.core.evidence import EvidenceOptions
from vqa_ray.core.exposure import MetricsOptions
from vqa_ray.core.halves import Half
from vqa_ray.core.noise import NoiseOptions
from vqa_ray.core.source import ReconnectOptions
from vqa_ray.core.span import TraceOptions
from vqa_ray.core.spreading import Spreading
from vqa_ray.core.urls import is_live, redact
from vqa_ray.detectors.base import DetectorSpec
from vqa_ray.detectors.profiles import LIVE as LIVE_OPTIONS
from vqa_ray.detectors.profiles import QC as QC_OPTIONS
from vqa_ray.detectors.registry import SPECS
from vqa_ray.errors import ConfigError, SourceError
from vqa_ray.media.options import SourceOptions
from vqa_ray.media.schemes import row_of
from vqa_ray.sinks.channel import PageUrl
from vqa_ray.sinks.registry import AnyChannelSpec as ChannelSpec
from vqa_ray.sinks.secret import SecretText, dec_hook

_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where it is there: 8 times as fast
_STRICT: dict[str, Any] = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True, "module": __name__}


def _partial(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A struct with the fields of `kind`, of which any may be left out."""
    hints = get_type_hints(kind, include_extras=True)
    fields = [(name, hints[name] | UnsetType, UNSET) for name in kind.__struct_fields__]
    made = msgspec.defstruct(f"{kind.__name__}Changes", fields, **_STRICT)
    made.__doc__ = kind.__doc__
    globals()[made.__name__] = made  # pickle finds it by name
    return made


if TYPE_CHECKING:
    DetectorChanges: TypeAlias = Any
    SourceChanges: TypeAlias = Any
    ReconnectChanges: TypeAlias = Any
    SpreadingChanges: TypeAlias = Any
    DetectorSet: TypeAlias = Any
else:
    SourceChanges = _partial(SourceOptions)
    ReconnectChanges = _partial(ReconnectOptions)
    SpreadingChanges = _partial(Spreading)
    DetectorChanges = msgspec.defstruct(
        "DetectorChanges",
        [(spec.id, bool | _partial(spec) | None | UnsetType, UNSET) for spec in SPECS],
        **_STRICT,
    )
    DetectorSet = msgspec.defstruct("DetectorSet", [(spec.id, spec | None, None) for spec in SPECS], **_STRICT)

BESIDES = ("not_analysed", "parked")  # incidents that no detector finds
APART = "apart"  # label of streams that must not share a machine, such as the two legs of a channel
_Spreading = TypeVar("_Spreading", bound=Spreading)

NAME_RULE = "letters, digits and . _ - after a letter or a digit"
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description=NAME_RULE)]
"""Of streams and profiles: it becomes part of file names, URLs and metric labels."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with a stream, complete: each detector with all its options (None: off), how to open and reopen.

    half: which half of it this is, of a stream that is watched in two; its detectors are those that the half needs.
    """

    name: str
    live: bool  # extends the shipped `live`: made for inputs without end, never opens a local file
    detectors: DetectorSet
    source: SourceOptions = SourceOptions()
    reconnect: ReconnectOptions = ReconnectOptions()
    half: Half | None = None

    @property
    def specs(self) -> tuple[DetectorSpec, ...]:
        """The detectors that are on, in the order of the registry."""
        every = (getattr(self.detectors, spec.id) for spec in SPECS)
        return tuple(spec for spec in every if spec is not None)

    def only(self, ids: tuple[str, ...]) -> "Profile":
        """The same with no detectors but these, which are switched on; ConfigError on an unknown id."""
        known = {spec.id: spec for spec in SPECS}
        for name in ids:
            if name not in known:
                raise ConfigError(f"detector {name!r}: there is no such name{refusal.suggest(name, known)}")
        chosen = {name: getattr(self.detectors, name) or known[name]() for name in ids}
        return msgspec.structs.replace(self, detectors=DetectorSet(**chosen))


class ProfileSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile as it is written: what it changes of the one that it extends."""

    extends: str = "live"
    detectors: DetectorChanges = DetectorChanges()
    source: SourceChanges = SourceChanges()
    reconnect: ReconnectChanges = ReconnectChanges()


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input to watch; `detectors`, `source` and `reconnect` change its profile for this stream alone.

    url: a file or any live input; `${NAME}` in it is taken from the environment when it is opened.
    profile: None takes the fleet's, or else `live` for a live input and `qc` for a file.
    labels: copied into incidents and alerts; streams with the same label `apart` are watched on different machines.
    priority: the higher is placed first when room is short, and loses frames last when time is.
    paused: it stays declared, but nobody watches it.
    """

    id: Name
    url: Annotated[str, Meta(min_length=1)]
    profile: str | None = None
    labels: dict[str, str] = {}
    detectors: DetectorChanges = DetectorChanges()
    source: SourceChanges = SourceChanges()
    reconnect: ReconnectChanges = ReconnectChanges()
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    paused: bool = False


class FleetSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is wanted: the streams, how each is watched, whom to tell, and where results go.

    profile: of the streams that name none. store: URI of a folder (path, `s3://`, `gs://` …), None keeps no results.
    page_url: address at which people reach the operator's page (`vqa web`), for links in alerts.
    traces: where OpenTelemetry traces go. noise: what is not told, or told together, or again.
    cluster: what is left out there is as the supervisor was started. evidence: stills and clips of incidents, kept in
    the store. metrics: what Prometheus gets.
    """

    streams: tuple[StreamSpec, ...] = ()
    profile: str | None = None
    profiles: dict[Name, ProfileSpec] = {}
    channels: tuple[ChannelSpec, ...] = ()
    store: Annotated[str, Meta(min_length=1)] | None = None
    cluster: SpreadingChanges = SpreadingChanges()
    evidence: EvidenceOptions = EvidenceOptions()
    metrics: MetricsOptions = MetricsOptions()
    page_url: PageUrl | None = None
    traces: TraceOptions = TraceOptions()
    noise: NoiseOptions = NoiseOptions()

    @property
    def outlets(self) -> tuple[ChannelSpec, ...]:
        """The channels as they are built: with the fleet's `page_url` where they have none."""
        return tuple(
            channel if channel.page_url else msgspec.structs.replace(channel, page_url=self.page_url)
            for channel in self.channels
        )


def load_fleet(path: str | Path) -> FleetSpec:
    """The fleet in a YAML (or JSON) file; ConfigError names file, line, path and value of the first thing wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text in UTF-8") from None
    return parse_fleet(text, name=str(path))


def parse_fleet(text: str, *, name: str = "fleet") -> FleetSpec:
    """The fleet in a YAML (or JSON) text that is called `name` in errors."""
    try:
        data = yaml.load(text, _Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}{_mark(error)}: is no YAML: {_problem(error)}") from None
    try:
        fleet = msgspec.convert({} if data is None else data, FleetSpec, dec_hook=dec_hook)
        check_fleet(fleet)
    except msgspec.ValidationError as error:
        wrong = refusal.explain(error, data, FleetSpec)
    except _PlacedError as error:
        wrong = refusal.Refusal(error.path, error.why)
    else:
        return fleet
    where = f"{name}:{_line(text, wrong.path)}"
    raise ConfigError(redact(": ".join(filter(None, [where, refusal.dotted(wrong.path), wrong.why]))))


class _PlacedError(ConfigError):
    """Something at `path` in a fleet is refused."""

    def __init__(self, path: refusal.Path, why: str) -> None:
        super().__init__(f"{refusal.dotted(path)}: {why}")
        self.path = path
        self.why = why


def check_fleet(fleet: FleetSpec) -> None:
    """ConfigError for what no single value shows: repeated ids, unknown profiles, circles, profiles that do not fit."""
    if fleet.profile is not None:
        resolve_profile(fleet, fleet.profile, at=("profile",))
    for name in fleet.profiles:
        if name in _SHIPPED:
            raise _PlacedError(
                ("profiles", name), "the name is taken by a shipped profile; choose another and extend it"
            )
        resolve_profile(fleet, name, at=("profiles", name, "extends"))
    _no_twins("streams", "id", [stream.id for stream in fleet.streams])
    _no_twins("channels", "name", [channel.label for channel in fleet.channels])
    for index, stream in enumerate(fleet.streams):
        _profile(fleet, stream, ("streams", index))
    if _given(fleet.cluster):
        spread(fleet, Spreading())
    known = [*(spec.id for spec in SPECS), *BESIDES]
    for index, window in enumerate(fleet.noise.windows):
        for number, detector in enumerate(window.detectors):
            if detector not in known:
                why = f"there is no detector {detector!r}{refusal.suggest(detector, known)}"
                raise _PlacedError(("noise", "windows", index, "detectors", number), why)


def spread(fleet: FleetSpec, options: _Spreading) -> _Spreading:
    """`options` as the fleet's section `cluster` changes them; ConfigError if they do not go together."""
    changed = msgspec.structs.replace(options, **_given(fleet.cluster))
    least, most = changed.analyzers_min, changed.analyzers_max
    if most is not None and most < least:
        raise _PlacedError(("cluster",), f"analyzers_min, {least}, is more than analyzers_max, {most}")
    return changed


def _no_twins(section: str, field: str, names: list[str]) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if (before := first.setdefault(name, index)) != index:
            raise _PlacedError((section, index, field), f"{name!r} is the {field} of {section}[{before}] already")


def profile_for(fleet: FleetSpec, stream: StreamSpec) -> Profile:
    """How `stream` is watched: its profile, with its own changes applied. ConfigError if that does not work out."""
    return _profile(fleet, stream, ("streams", stream.id))


def _profile(fleet: FleetSpec, stream: StreamSpec, at: refusal.Path) -> Profile:
    if stream.url.startswith("${"):
        raise _PlacedError((*at, "url"), "write the scheme out; only what follows it may come from the environment")
    live = is_live(stream.url)
    name = stream.profile or fleet.profile or ("live" if live else "qc")
    profile = _changed(resolve_profile(fleet, name, at=(*at, "profile")), stream, at)
    if profile.live and not live:
        raise _PlacedError((*at, "url"), f"profile {name!r} opens no local file; take `qc` or one that extends it")
    try:
        row_of(stream.url, profile.source, live=live)
    except SourceError as error:
        raise _PlacedError((*at, "url"), str(error)) from None
    return profile


def resolve_profile(fleet: FleetSpec, name: str, *, at: refusal.Path = ("profile",)) -> Profile:
    """The shipped profile or the fleet's own of that name, complete. ConfigError if there is none, or a circle."""
    chain: list[str] = []
    while name not in _SHIPPED:
        if name in chain:
            raise _PlacedError(at, f"goes in a circle: {' → '.join([*chain, name])}")
        if name not in fleet.profiles:
            raise _PlacedError(at, f"there is no profile {name!r}{refusal.suggest(name, [*_SHIPPED, *fleet.profiles])}")
        chain.append(name)
        name = fleet.profiles[name].extends
        at = ("profiles", chain[-1], "extends")
    profile = _SHIPPED[name]
    for name in reversed(chain):
        profile = _changed(profile, fleet.profiles[name], ("profiles", name))
    return msgspec.structs.replace(profile, name=name)


def _changed(profile: Profile, changes: ProfileSpec | StreamSpec, at: refusal.Path) -> Profile:
    """`profile` with the options applied that `changes` holds."""
    wanted = _given(changes.detectors)
    detectors = {
        kind.id: _detector(kind, getattr(profile.detectors, kind.id), wanted[kind.id], at)
        for kind in SPECS
        if kind.id in wanted
    }
    source = _section(profile.source, changes.source, (*at, "source"))
    if profile.live and "file" in (source.protocols or ()):
        raise _PlacedError((*at, "source", "protocols"), "a live profile never opens 'file'; extend `qc` instead")
    return msgspec.structs.replace(
        profile,
        detectors=msgspec.structs.replace(profile.detectors, **detectors),
        source=source,
        reconnect=_section(profile.reconnect, changes.reconnect, (*at, "reconnect")),
    )


def _section(now: Any, changes: Any, at: refusal.Path) -> Any:
    given = _given(changes)
    return _made(type(now), msgspec.structs.asdict(now) | given, at) if given else now


def _detector(kind: type[DetectorSpec], now: DetectorSpec | None, change: Any, at: refusal.Path) -> DetectorSpec | None:
    """`now` (None: it is off) after a change: options, or on, or off."""
    if change is None or change is False:
        return None
    if change is True:
        return now or kind()
    made: DetectorSpec = _section(now or kind(), change, (*at, "detectors", kind.id))
    return made


def _made(kind: type[Any], options: Mapping[str, Any], at: refusal.Path) -> Any:
    """A `kind` of the options; its own checks across options speak with the path."""
    try:
        plain = msgspec.to_builtins(kind(**options))
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        wrong = refusal.explain(error, plain, kind)
        raise _PlacedError((*at, *wrong.path), wrong.why) from None
    except (ValueError, TypeError) as error:
        raise _PlacedError(at, str(error)) from None


def _given(changes: Any) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}


def _shipped(name: str, options: Mapping[str, Mapping[str, Any]]) -> Profile:
    chosen = {spec.id: msgspec.convert(options[spec.id], spec) for spec in SPECS if spec.id in options}
    return Profile(name=name, live=name == "live", detectors=DetectorSet(**chosen))


LIVE = _shipped("live", LIVE_OPTIONS)
QC = _shipped("qc", QC_OPTIONS)
_SHIPPED: dict[str, Profile] = {"live": LIVE, "qc": QC}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a fleet file, for editors and checks elsewhere."""
    schema = msgspec.json.schema(FleetSpec, schema_hook=_secret_schema)
    for kind in schema["$defs"].values():
        kind["description"] = inspect.cleandoc(kind.get("description", kind["title"]))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "vqa_ray fleet", **schema}


def _secret_schema(kind: type) -> dict[str, Any]:
    if kind is SecretText:
        return {"type": "string", "writeOnly": True}
    raise NotImplementedError(kind.__name__)


class _Loader(_SafeLoader):  # type: ignore[misc, valid-type]
    """YAML without surprises: keys are text as written (`null:` is a detector), and none may come twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a name must be plain text", key.start_mark)
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands there twice", key.start_mark)
            seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def _line(text: str, path: refusal.Path) -> int:
    """The line (from 1) of the deepest node of `path` that is there."""
    node = yaml.compose(text, Loader=_SafeLoader)
    line = node.start_mark.line if node is not None else 0
    for step in path:
        key_value = next(((k, v) for k, v in _items(node) if k == step), None)
        if key_value is None:
            break
        node = key_value[1]
        line = node.start_mark.line
    return int(line) + 1


def _items(node: yaml.Node | None) -> Iterator[tuple[str | int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)


def _mark(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


def _problem(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error).splitlines()[0]
