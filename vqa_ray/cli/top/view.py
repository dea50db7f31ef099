"""What `vqa top` shows, as a value: keys change it, a status and the room of the terminal become rows. Pure."""

import enum
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from vqa_ray.cli.show import FINE
from vqa_ray.cluster.messages import StreamStatus

ENTER, ESCAPE, ERASE = "enter", "escape", "erase"
UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "page up", "page down", "home", "end"
UNKNOWN_HEALTH = 101.0  # after all that is known


class Sort(enum.StrEnum):
    """By what; the worst comes first, of names the first."""

    HEALTH = "health"
    CPU = "cpu"
    NAME = "name"
    OPEN = "open"


SORTS = {"h": Sort.HEALTH, "c": Sort.CPU, "n": Sort.NAME, "o": Sort.OPEN}
ORDERS: dict[Sort, Callable[[StreamStatus], tuple[Any, ...]]] = {
    Sort.HEALTH: lambda one: (one.state in FINE, _health(one), -one.open_incidents),
    Sort.CPU: lambda one: (-one.cpu_share,),
    Sort.NAME: lambda one: (),
    Sort.OPEN: lambda one: (-one.open_incidents, _health(one)),
}


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How it is looked at. text: what rows must hold; typing: keys are letters of it; first: row at the top."""

    sort: Sort = Sort.HEALTH
    backwards: bool = False
    text: str = ""
    typing: bool = False
    first: int = 0
    over: bool = False


def pressed(view: View, key: str, *, rows: int, room: int) -> View:
    """The view after a key. rows: how many streams match; room: how many of them fit."""
    change = msgspec.structs.replace
    if view.typing:
        return _typed(view, key)
    if key in SORTS:
        same = SORTS[key] is view.sort
        return change(view, sort=SORTS[key], backwards=same and not view.backwards, first=0)
    if key == "/":
        return change(view, typing=True)
    if key == ESCAPE:
        return change(view, text="", first=0)
    if key == "q":
        return change(view, over=True)
    steps = {UP: -1, "k": -1, DOWN: 1, "j": 1, PAGE_UP: -room, PAGE_DOWN: room, HOME: -rows, END: rows}
    return change(view, first=max(0, min(view.first + steps.get(key, 0), rows - room)))


def _typed(view: View, key: str) -> View:
    change = msgspec.structs.replace
    if key == ENTER:
        return change(view, typing=False)
    if key == ESCAPE:
        return change(view, typing=False, text="", first=0)
    if key == ERASE:
        return change(view, text=view.text[:-1], first=0)
    return change(view, text=view.text + key, first=0) if len(key) == 1 and key.isprintable() else view


def matching(streams: Sequence[StreamStatus], view: View) -> list[StreamStatus]:
    """The streams in which each word of the text occurs (name, state, analyzer, labels), in order."""
    words = view.text.lower().split()
    kept = [one for one in streams if all(word in _all_of(one) for word in words)]
    order = ORDERS[view.sort]
    return sorted(kept, key=lambda one: (*order(one), one.stream_id), reverse=view.backwards)


def _all_of(one: StreamStatus) -> str:
    labels = (f"{key}:{value}" for key, value in one.labels.items())
    return " ".join((one.stream_id, one.state.replace("_", " "), one.where, *labels)).lower()


def _health(one: StreamStatus) -> float:
    return UNKNOWN_HEALTH if one.health is None else one.health
