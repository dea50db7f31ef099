"""`vqa top`: keys, order, filter and what is drawn."""

import io
import os
import pty
import termios
import threading
import time

import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.live import Live

from tests.unit.cli_fakes import FakeFleet, status, stream
from vqa_ray.cli.main import cli
from vqa_ray.cli.top import command, keys
from vqa_ray.cli.top.view import DOWN, END, ENTER, ERASE, ESCAPE, PAGE_DOWN, UP, Sort, View, matching, pressed
from vqa_ray.errors import ClusterUnreachable

FLEET = (
    stream("good", health=100.0, cpu_share=0.3),
    stream("ill", health=40.0, cpu_share=0.1, open_incidents=1),
    stream("lost", state="backing_off", health=90.0, cpu_share=0.0, labels={"site": "North"}),
    stream("worse", health=6.0, cpu_share=0.2, open_incidents=3),
)


def order(view=View()) -> list[str]:  # noqa: B008 - frozen
    return [one.stream_id for one in matching(FLEET, view)]


def press(view, *pressed_keys, rows=4, room=2):
    for key in pressed_keys:
        view = pressed(view, key, rows=rows, room=room)
    return view


def test_the_worst_come_first():
    assert order() == ["lost", "worse", "ill", "good"]


@pytest.mark.parametrize(
    ("key", "first"), [("c", ["good", "worse"]), ("n", ["good", "ill"]), ("o", ["worse", "ill"]), ("h", ["good"])]
)
def test_keys_sort(key, first):
    assert order(press(View(), key))[: len(first)] == first  # h again: backwards


def test_the_same_key_turns_the_order_round_and_another_starts_it_anew():
    assert order(press(View(), "c", "c"))[-1] == "good"
    assert press(View(), "c", "c", "n") == View(sort=Sort.NAME)


def test_text_filters_by_name_state_and_label_and_letters_are_no_commands_in_it():
    view = press(View(), "/", *"qqnorth", ENTER)
    assert (view.text, view.typing, view.over) == ("qqnorth", False, False)
    assert order(press(View(), "/", *"NORTH")) == ["lost"]
    assert order(press(View(), "/", *"backing of")) == ["lost"]
    assert order(press(View(), "/", *"ix", ERASE, *"ll")) == ["ill"]
    assert order(press(View(), "/", *"x", ESCAPE)) == order()
    assert press(view, ESCAPE).text == ""


def test_scrolling_stays_within_the_rows():
    assert press(View(), DOWN, DOWN, DOWN).first == 2
    assert press(View(), PAGE_DOWN, UP).first == 1
    assert press(View(), END, UP, UP, UP).first == 0
    assert press(View(), END, rows=1).first == 0


def test_q_ends():
    assert press(View(), "q").over


def test_keys_are_parsed_whole_and_unknown_sequences_left_out():
    assert keys.parse(b"a\x1b[Bq") == ["a", DOWN, "q"]
    assert keys.parse(b"\x1b") == [ESCAPE]
    assert keys.parse(b"\x1b[15~\x1b[1;5Cx\x7f\r") == ["x", ERASE, ENTER]
    assert keys.parse("ü\xff".encode()) == ["ü", "ÿ"]


def drawn(view=View(), fleet=FLEET, trouble="", height=12, width=110) -> str:  # noqa: B008 - frozen
    out = Console(file=io.StringIO(), width=width, height=height)
    out.print(command.page(status(*fleet) if fleet is not None else None, view, trouble, height))
    return out.file.getvalue()


def test_the_screen_is_never_higher_than_the_terminal():
    many = tuple(stream(f"s{n:03}", health=100.0) for n in range(500))
    for height in (8, 12, 40):
        assert len(drawn(fleet=many, height=height).splitlines()) <= height
    assert len(drawn(fleet=many, width=30).splitlines()) <= 12
    assert "496-500 of 500" in drawn(View(first=10_000), fleet=many, height=12)


def test_what_is_wrong_is_said():
    assert "asking" in drawn(fleet=None)
    assert "no stream matches" in drawn(View(text="nothing"))
    assert "away; trying" in drawn(trouble="away; trying again")
    assert "/nor█" in drawn(View(text="nor", typing=True))


def test_without_a_terminal_it_says_what_to_do_instead():
    done = CliRunner().invoke(cli, ["top"])
    assert done.exit_code == 2
    assert "vqa status" in done.output


def test_a_session_in_a_terminal_ends_with_q_and_leaves_it_as_it_was():
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    screen = io.StringIO()
    out = Console(file=screen, width=110, height=20, force_terminal=True)
    fleet = FakeFleet(statuses=[ClusterUnreachable("away"), status(*FLEET)])

    def type_it():
        deadline_s = time.monotonic() + 60
        for awaited, typed in (("by health", b"n"), ("by name", b"/ill\r"), ("with “ill”", b"q")):
            while awaited not in screen.getvalue() and time.monotonic() < deadline_s:
                time.sleep(0.02)
            os.write(ours, typed)

    typist = threading.Thread(target=type_it, daemon=True)
    with command.Looks(fleet) as looks, keys.unbuffered(theirs):
        typist.start()
        with Live(console=out, auto_refresh=False) as live:
            command.watch(looks, out, live, theirs)
    typist.join(60)
    assert "1-1 of 1, by name, with “ill”" in screen.getvalue()
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
