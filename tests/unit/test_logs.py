"""An actor's log: lines of text, or of JSON that say which stream they are of, never with a secret."""

import json
import logging
import sys
import threading
from typing import Any

import pytest

from vqa_ray.cluster import process
from vqa_ray.cluster.messages import SUPERVISOR
from vqa_ray.pipeline.marks import about, mark, marks


def line(who: str, message: str, *, failed: bool = False, **extra: Any) -> dict[str, Any]:
    try:
        raise ValueError("no rtsp://u:secret@host/x")
    except ValueError:
        caught = sys.exc_info() if failed else None
    record = logging.getLogger("vqa_ray.x").makeRecord("vqa_ray.x", 30, "f", 1, message, (), caught, extra=extra)
    text = process.JsonLines(who).format(record)
    assert "\n" not in text and "secret" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_says_who_which_stream_and_which_epoch():
    found = line("analyzer-3", 'no "rtsp://u:secret@host/x"', failed=True, **about("news", 7))
    assert found.pop("time").endswith("Z")
    assert "ValueError" in found.pop("traceback")
    assert found.pop("message").startswith('no "rtsp://')
    assert found == {
        "level": "warning",
        "actor": "analyzer-3",
        "analyzer": "analyzer-3",
        "stream": "news",
        "epoch": 7,
        "logger": "vqa_ray.x",
    }


def test_the_supervisor_says_which_analyzer_it_speaks_of():
    assert "analyzer" not in line(SUPERVISOR, "x")
    assert line(SUPERVISOR, "x", analyzer="analyzer-1", stream="a")["analyzer"] == "analyzer-1"


def test_what_a_streams_thread_logs_is_of_its_stream_and_of_its_present_epoch():
    epoch, found = [1], []

    def run() -> None:
        mark(lambda: ("news", epoch[0]))
        found.append(line("analyzer-0", "x"))
        epoch[0] = 2  # it was rehearsed, and took over
        found.append(line("analyzer-0", "x"))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert [(one["stream"], one["epoch"]) for one in found] == [("news", 1), ("news", 2)]
    assert marks() == {}


@pytest.mark.parametrize("wanted", ["json", "text", None])
def test_the_environment_chooses(wanted: str | None, monkeypatch: pytest.MonkeyPatch):
    made: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda *, level, handlers: made.extend(handlers))
    monkeypatch.delenv(process.FORMAT, raising=False)
    if wanted:
        monkeypatch.setenv(process.FORMAT, wanted)
    process.log_to_stderr("analyzer-0")
    assert isinstance(made[0].formatter, process.JsonLines) == (wanted == "json")
