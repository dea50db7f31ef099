"""What a strict parser refused, in words for the person who wrote it: where, what stood there, what is allowed."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect as types

Path = tuple[str | int, ...]

_AT = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|\[(?P<any>\.\.\.)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`$")
_OF_PARSER = ("Expected `", "Invalid enum value", "Invalid value")
_CONFIDENTIAL = re.compile(r"secret|passw|token|authorization|headers|credential", re.IGNORECASE)
_SHOWN_CHARS = 60


class Refusal(msgspec.Struct, frozen=True):
    """One thing that is wrong: its path in the document, and a sentence without secrets."""

    path: Path
    why: str


def explain(error: msgspec.ValidationError, data: object, kind: object) -> Refusal:
    """What msgspec refused when it made a `kind` of `data`."""
    text = str(error)
    root = types.type_info(kind)
    path: Path = ()
    if at := _AT.search(text):
        text = text[: at.start()]
        path = _resolve(at["path"], data, root)
    here = _candidates(root, path, data)
    if unknown := _UNKNOWN.match(text):
        fitting = _tagged(here, _at(data, path))
        names = [field.encode_name for one in fitting if isinstance(one, types.StructType) for field in one.fields]
        return Refusal((*path, unknown["name"]), f"there is no such name{suggest(unknown['name'], names)}")
    if missing := _MISSING.match(text):
        path = (*path, missing["name"])
        return Refusal(path, f"is missing: give {_allowed(_candidates(root, path, data))}")
    if not text.startswith(_OF_PARSER):
        return Refusal(path, text)
    value = _at(data, path)
    return Refusal(path, f"{_shown(value, path)} is refused: give {_allowed(here)}{_hint(value, here)}")


def dotted(path: Iterable[str | int]) -> str:
    """The path as a person writes it: `streams[3].detectors.black`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


LISTED = 40  # names that are told in one sentence; more help nobody


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: what it may have meant, or all there is."""
    names = sorted(set(known))
    if near := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(names)}" if 0 < len(names) <= LISTED else ""


def _resolve(text: str, data: object, kind: types.Type) -> Path:
    """msgspec's path as steps; its `[...]` (some value of a mapping) becomes the key of the first bad value."""
    path: Path = ()
    for step in _STEP.finditer(text):
        if step["any"]:
            path = (*path, _culprit(_at(data, path), _candidates(kind, path, data)))
        else:
            path = (*path, step["name"] or int(step["index"]))
    return path


def _culprit(mapping: object, here: list[types.Type]) -> str:
    items = mapping.items() if isinstance(mapping, Mapping) else ()
    wanted = next((one.value_type for one in here if isinstance(one, types.DictType)), types.AnyType())
    for key, value in items:
        if isinstance(wanted, types.StrType) and not isinstance(value, str):
            return str(key)
        if isinstance(wanted, types.StructType) and not _converts(value, wanted.cls):
            return str(key)
    return "..."


def _converts(value: object, kind: type) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _at(data: Any, path: Path) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _candidates(kind: types.Type, path: Path, data: object) -> list[types.Type]:
    """The types that the value at `path` may have; of a tagged union only the one that the tag names."""
    here = _flat(kind)
    for depth, step in enumerate(path):
        here = [inner for one in _tagged(here, _at(data, path[:depth]), step) for inner in _flat(_child(one, step))]
    return here


def _flat(kind: types.Type | None) -> list[types.Type]:
    if kind is None:
        return []
    if isinstance(kind, types.Metadata):
        words = (kind.extra_json_schema or {}).get("description")
        if words and isinstance(kind.type, types.StrType) and kind.type.pattern:
            return [msgspec.structs.replace(kind.type, pattern=words)]  # say it in words rather than as an expression
        return _flat(kind.type)
    if isinstance(kind, types.UnionType):
        return [inner for one in kind.types for inner in _flat(one)]
    return [kind]


def _tagged(here: list[types.Type], value: object, step: str | int = "") -> list[types.Type]:
    tag = next((one.tag_field for one in here if isinstance(one, types.StructType) and one.tag_field), None)
    if tag is None or step == tag or not isinstance(value, Mapping):
        return here
    return [one for one in here if not isinstance(one, types.StructType) or one.tag == value.get(tag)]


def _child(kind: types.Type, step: str | int) -> types.Type | None:
    if isinstance(kind, types.StructType):
        if step == kind.tag_field:
            return types.LiteralType((kind.tag,)) if isinstance(kind.tag, str) else None
        return next((field.type for field in kind.fields if field.encode_name == step), None)
    if isinstance(kind, types.DictType):
        return kind.value_type
    if isinstance(kind, types.ListType | types.VarTupleType):
        return kind.item_type
    return None


def _allowed(here: list[types.Type]) -> str:
    words = dict.fromkeys(filter(None, map(_words, here)))
    choices = [choice for one in here for choice in _choices(one)]
    if choices:
        words[f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]] = None
    return " or ".join(words) or "something else"


def _choices(kind: types.Type) -> list[str]:
    if isinstance(kind, types.EnumType):
        return [str(member.value) for member in kind.cls]
    if isinstance(kind, types.LiteralType):
        return [str(value) for value in kind.values]
    return []


def _words(kind: types.Type) -> str:
    match kind:
        case types.FloatType() | types.IntType():
            return f"a {'whole ' if isinstance(kind, types.IntType) else ''}number{_range(kind)}"
        case types.StrType():
            return _text(kind)
        case types.BoolType():
            return "on or off"
        case types.StructType() | types.DictType():
            return "a section of `name: value`"
        case types.ListType() | types.VarTupleType():
            return "a list"
        case types.CustomType():
            return "text"
    return ""


def _range(kind: types.FloatType | types.IntType) -> str:
    limits = {"from": kind.ge, "above": kind.gt, "to": kind.le, "below": kind.lt}
    return "".join(f" {word} {limit:g}" for word, limit in limits.items() if limit is not None)


def _text(kind: types.StrType) -> str:
    limits = [
        "not empty" if kind.min_length else "",
        f"at most {kind.max_length} characters" if kind.max_length else "",
        kind.pattern if kind.pattern else "",
    ]
    return ", ".join(["text", *filter(None, limits)])


def _shown(value: object, path: Path) -> str:
    if any(isinstance(step, str) and _CONFIDENTIAL.search(step) for step in path):
        return "***"
    text = {True: "on", False: "off"}[value] if isinstance(value, bool) else "nothing" if value is None else repr(value)
    if isinstance(value, Mapping):
        text = "a section"
    elif isinstance(value, list | tuple):
        text = "a list"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _hint(value: object, here: list[types.Type]) -> str:
    choices = [choice for one in here for choice in _choices(one)]
    if isinstance(value, str) and (near := difflib.get_close_matches(value, choices, n=1)):
        return f"; did you mean {near[0]!r}?"
    if isinstance(value, int | float) and any(isinstance(one, types.StrType) for one in here):
        return " (in quotes)"
    return ""
