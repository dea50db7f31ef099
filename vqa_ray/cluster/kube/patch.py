"""The two kinds of patches that kustomize has, on plain values. Pure; what cannot be done is a ConfigError."""

import copy
from collections.abc import Sequence
from typing import Any

from vqa_ray.errors import ConfigError


def merged(old: Any, change: Any, *, lists: bool, at: str) -> Any:
    """`old` with the mappings of `change` merged in; None takes a key away.

    lists: whether a list of mappings is replaced; else it is refused, since it might have to be merged by a key.
    """
    if not isinstance(change, dict) or not isinstance(old, dict):
        if isinstance(change, list) and not lists and any(isinstance(item, dict) for item in change):
            raise ConfigError(f"{at}: merging a list of objects is not supported here; write a JSON 6902 patch")
        return copy.deepcopy(change)
    made = dict(old)
    for key, value in change.items():
        if str(key).startswith("$"):
            raise ConfigError(f"{at}: {key} is not supported here; write a JSON 6902 patch")
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key, {}), value, lists=lists, at=f"{at}.{key}".lstrip("."))
    return made


def json6902(document: Any, operations: Sequence[Any]) -> Any:
    """A changed copy (RFC 6902: add, replace, remove, test)."""
    made = copy.deepcopy(document)
    for operation in operations:
        try:
            kind, pointer = operation["op"], operation["path"]
            value = None if kind == "remove" else operation["value"]
        except (KeyError, TypeError):
            raise ConfigError(f"{operation!r}: an operation needs op, path and value") from None
        if kind not in ("add", "replace", "remove", "test"):
            raise ConfigError(f"{pointer}: operation {kind!r} is not supported here")
        _carry_out(made, kind, pointer, value)
    return made


def _carry_out(document: Any, kind: str, pointer: str, value: Any) -> None:
    *way, last = _steps(pointer)
    node = document
    for step in way:
        node = node[_key(node, step, pointer)]
    key = _key(node, last, pointer, new=kind == "add")
    if kind == "test":
        if node[key] != value:
            raise ConfigError(f"{pointer}: is {node[key]!r}, expected {value!r}")
    elif kind == "remove":
        del node[key]
    elif kind == "add" and isinstance(node, list):
        node.insert(key, copy.deepcopy(value))
    else:
        node[key] = copy.deepcopy(value)


def _steps(pointer: str) -> list[str]:
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise ConfigError(f"{pointer!r}: a path begins with /")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _key(node: Any, step: str, pointer: str, *, new: bool = False) -> Any:
    """The key or index of `step` in `node`; with `new` one that need not be there yet."""
    if isinstance(node, dict) and (new or step in node):
        return step
    if isinstance(node, list):
        if new and step == "-":
            return len(node)
        if step.isdigit() and int(step) < len(node) + new:
            return int(step)
    raise ConfigError(f"{pointer}: there is no {step!r}")
