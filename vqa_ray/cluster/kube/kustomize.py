"""Manifests from a kustomize folder, without the kustomize program: a small part of it, and the rest refused.

Supported: `resources` (files, folders), `patches` (strategic merge, JSON 6902), `configMapGenerator` (with names that
stay), `images`, `namespace`. What is built equals `kubectl kustomize`, but for the order of the objects.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import yaml

from vqa_ray.cluster.kube.patch import json6902, merged
from vqa_ray.errors import ConfigError

Manifest: TypeAlias = dict[str, Any]
_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_STRICT: dict[str, Any] = {"frozen": True, "kw_only": True, "forbid_unknown_fields": True}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CLUSTER_WIDE = frozenset(
    {"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "StorageClass",
     "PriorityClass", "IngressClass", "RuntimeClass"}
)  # fmt: skip


class _Target(msgspec.Struct, **_STRICT):
    """Which objects a patch is for; what is None fits any. Names are plain, no patterns."""

    group: str | None = None
    version: str | None = None
    kind: str | None = None
    name: str | None = None


class _Patch(msgspec.Struct, **_STRICT):
    path: str | None = None
    patch: str | None = None
    target: _Target | None = None


class _Options(msgspec.Struct, **_STRICT):
    disableNameSuffixHash: bool = False  # noqa: N815
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Generator(msgspec.Struct, **_STRICT):
    name: str
    behavior: Literal["create", "replace", "merge"] = "create"
    files: list[str] = []
    literals: list[str] = []
    options: _Options = _Options()


class _Image(msgspec.Struct, **_STRICT):
    name: str
    newName: str | None = None  # noqa: N815
    newTag: str | None = None  # noqa: N815
    digest: str | None = None


class _Kustomization(msgspec.Struct, **_STRICT):
    apiVersion: Literal["kustomize.config.k8s.io/v1beta1"] = "kustomize.config.k8s.io/v1beta1"  # noqa: N815
    kind: Literal["Kustomization"] = "Kustomization"
    namespace: str | None = None
    resources: list[str] = []
    patches: list[_Patch] = []
    configMapGenerator: list[_Generator] = []  # noqa: N815
    images: list[_Image] = []


def build(folder: str | Path) -> list[Manifest]:
    """The objects that the folder's kustomization describes. ConfigError names the file and what is wrong in it."""
    return _build(Path(folder).resolve(), ())


def name_of(manifest: Mapping[str, Any]) -> str:
    """`RayCluster vqa`."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def to_yaml(manifests: list[Manifest]) -> str:
    """The objects as YAML documents, for `kubectl apply` and for people."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _build(folder: Path, above: tuple[Path, ...]) -> list[Manifest]:
    if folder in above:
        raise ConfigError(f"{folder}: is a resource of itself")
    file, wanted = _kustomization(folder)
    built: list[Manifest] = []
    for entry in wanted.resources:
        built += _resource(file, folder, entry, (*above, folder))
    for generator in wanted.configMapGenerator:
        _generate(file, folder, generator, built)
    _no_twins(file, built)
    for patch in wanted.patches:
        _patch(file, folder, patch, built)
    if wanted.namespace is not None:
        _move(built, wanted.namespace)
    for manifest in built:
        _use_images(manifest, wanted.images)
    return built


def _kustomization(folder: Path) -> tuple[Path, _Kustomization]:
    found = [folder / name for name in _FILES if (folder / name).is_file()]
    if len(found) != 1:
        why = "holds no kustomization.yaml" if not found else "holds more than one kustomization"
        raise ConfigError(f"{folder}: {why}")
    documents = _documents(found[0])
    if len(documents) != 1:
        raise ConfigError(f"{found[0]}: must be one document")
    try:
        return found[0], msgspec.convert(documents[0], _Kustomization)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{found[0]}: {error} (only a part of kustomize is supported here)") from None


def _resource(file: Path, folder: Path, entry: str, above: tuple[Path, ...]) -> list[Manifest]:
    if "://" in entry or entry.startswith(("github.com/", "git@")):
        raise ConfigError(f"{file}: resources: {entry}: only files and folders are supported, nothing remote")
    path = (folder / entry).resolve()
    if path.is_dir():
        return _build(path, above)
    path = _inside(file, folder, entry)
    manifests = _documents(path)
    for manifest in manifests:
        metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
        if not isinstance(metadata, dict) or not all((metadata.get("name"), manifest.get("kind"))):
            raise ConfigError(f"{path}: an object needs apiVersion, kind and metadata.name")
        if not isinstance(manifest.get("apiVersion"), str):
            raise ConfigError(f"{path}: {name_of(manifest)}: apiVersion is missing")
    return manifests


def _inside(file: Path, folder: Path, entry: str) -> Path:
    """A file of the folder, or below it: kustomize reads no others either."""
    path = (folder / entry).resolve()
    if not path.is_relative_to(folder):
        raise ConfigError(f"{file}: {entry}: lies outside of {folder}")
    if not path.is_file():
        raise ConfigError(f"{file}: {entry}: there is no such file")
    return path


def _documents(path: Path) -> list[Any]:
    return _parse(path, _text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _parse(path: Path, text: str) -> list[Any]:
    try:
        return [_plain(document) for document in yaml.load_all(text, _NoTwins) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: is no YAML: {getattr(error, 'problem', error)}") from None


def _plain(value: Any) -> Any:
    """A copy in which nothing is shared: YAML's anchors give the same object twice, and a patch is for one place."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


# ---- generators


def _generate(file: Path, folder: Path, generator: _Generator, built: list[Manifest]) -> None:
    if not generator.options.disableNameSuffixHash:
        raise ConfigError(
            f"{file}: configMapGenerator {generator.name}: needs options.disableNameSuffixHash: true (hashed names"
            " are not supported)"
        )
    data = dict(_entries(file, folder, generator))
    there = [m for m in built if m["kind"] == "ConfigMap" and m["metadata"]["name"] == generator.name]
    if (generator.behavior == "create") == bool(there):
        why = "there is one of that name already" if there else f"there is none to {generator.behavior}"
        raise ConfigError(f"{file}: configMapGenerator {generator.name}: {why}")
    metadata: dict[str, Any] = {"name": generator.name}
    if generator.options.labels:
        metadata["labels"] = dict(generator.options.labels)
    if generator.options.annotations:
        metadata["annotations"] = dict(generator.options.annotations)
    if not there:
        built.append({"apiVersion": "v1", "data": data, "kind": "ConfigMap", "metadata": metadata})
        return
    old = there[0]
    old["data"] = data if generator.behavior == "replace" else old.get("data", {}) | data
    old["metadata"] = merged(old["metadata"], metadata, lists=False, at="metadata")


def _entries(file: Path, folder: Path, generator: _Generator) -> Iterator[tuple[str, str]]:
    for entry in generator.files:
        key, equals, path = entry.partition("=")
        found = _inside(file, folder, path if equals else entry)
        yield (key if equals else found.name), _text(found)
    for entry in generator.literals:
        key, equals, value = entry.partition("=")
        if not equals:
            raise ConfigError(f"{file}: configMapGenerator {generator.name}: {entry!r} is no NAME=VALUE")
        yield key, value


# ---- transformers


def _patch(file: Path, folder: Path, patch: _Patch, built: list[Manifest]) -> None:
    if (patch.path is None) == (patch.patch is None):
        raise ConfigError(f"{file}: patches: give either `path` or `patch`")
    source = file if patch.path is None else _inside(file, folder, patch.path)
    for change in _parse(source, patch.patch if patch.patch is not None else _text(source)):
        operations = isinstance(change, list)
        target = patch.target or (_own_target(source, change) if not operations else None)
        if target is None:
            raise ConfigError(f"{source}: a JSON 6902 patch needs a target")
        hit = [index for index, manifest in enumerate(built) if _fits(target, manifest)]
        if not hit:
            raise ConfigError(f"{source}: no object fits the patch's target {msgspec.to_builtins(target)}")
        for index in hit:
            try:
                if operations:
                    built[index] = json6902(built[index], change)
                else:
                    built[index] = _strategic(built[index], change)
            except ConfigError as error:
                raise ConfigError(f"{source}: {name_of(built[index])}: {error}") from None


def _own_target(source: Path, change: Any) -> _Target:
    try:
        group, version = _group_version(change["apiVersion"])
        return _Target(group=group, version=version, kind=change["kind"], name=change["metadata"]["name"])
    except (KeyError, TypeError):
        raise ConfigError(f"{source}: a patch without target needs apiVersion, kind and metadata.name") from None


def _strategic(manifest: Manifest, change: Manifest) -> Manifest:
    """Kustomize knows which lists of Kubernetes' own kinds merge, and by which key; of others lists are replaced."""
    group, _ = _group_version(manifest["apiVersion"])
    own = "." not in group or group.endswith(".k8s.io")
    change = {key: value for key, value in change.items() if key not in ("apiVersion", "kind")}
    made: Manifest = merged(manifest, change, lists=not own, at="")
    return made


def _fits(target: _Target, manifest: Manifest) -> bool:
    group, version = _group_version(manifest["apiVersion"])
    has = {"group": group, "version": version, "kind": manifest["kind"], "name": manifest["metadata"]["name"]}
    return all(value is None or value == has[key] for key, value in msgspec.structs.asdict(target).items())


def _group_version(text: str) -> tuple[str, str]:
    group, slash, version = text.partition("/")
    return (group, version) if slash else ("", text)


def _move(built: list[Manifest], namespace: str) -> None:
    """All objects into the namespace, and what refers to accounts among them."""
    accounts = {m["metadata"]["name"] for m in built if m["kind"] == "ServiceAccount"}
    for manifest in built:
        if manifest["kind"] == "Namespace":
            manifest["metadata"]["name"] = namespace
        elif manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = namespace
        for subject in manifest.get("subjects") or ():
            if subject.get("kind") == "ServiceAccount" and subject.get("name") in accounts:
                subject["namespace"] = namespace


def _use_images(node: Any, images: list[_Image]) -> None:
    """In all containers, however deep they are: a RayCluster holds pod templates."""
    if isinstance(node, list):
        for item in node:
            _use_images(item, images)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in ("containers", "initContainers") and isinstance(value, list):
            for container in value:
                if isinstance(container, dict) and isinstance(container.get("image"), str):
                    container["image"] = _image(container["image"], images)
        _use_images(value, images)


def _image(text: str, images: list[_Image]) -> str:
    parts = re.fullmatch(r"(?P<name>[^@]+?)(?P<tag>:[^:/@]+)?(?P<digest>@.+)?", text)
    if parts is None:
        return text
    for image in images:
        if image.name == parts["name"]:
            name = image.newName or image.name
            if image.digest is not None:
                return f"{name}@{image.digest}" if image.newTag is None else f"{name}:{image.newTag}@{image.digest}"
            if image.newTag is not None:
                return f"{name}:{image.newTag}"
            return f"{name}{parts['tag'] or ''}{parts['digest'] or ''}"
    return text


def _no_twins(file: Path, built: list[Manifest]) -> None:
    seen: set[tuple[str, str, str]] = set()
    for manifest in built:
        group, _ = _group_version(manifest["apiVersion"])
        key = (group, manifest["kind"], manifest["metadata"]["name"])
        if key in seen:
            raise ConfigError(f"{file}: {name_of(manifest)} is there twice")
        seen.add(key)


class _NoTwins(_Loader):  # type: ignore[misc, valid-type]
    """YAML in which no key may come twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands there twice", key.start_mark)
            seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


class _Dumper(yaml.SafeDumper):
    """Text of several lines as a block, as one writes it."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
