"""Who of a process's streams works now."""

import threading
import time

import pytest

from vqa_ray.media import slots as module
from vqa_ray.media.slots import Slot, Slots


def at_work(cores: float, streams: int = 6) -> int:
    """The most streams that worked at a time."""
    slots, working, most, lock = Slots(cores), 0, 0, threading.Lock()

    def watch() -> None:
        nonlocal working, most
        mine = Slot(slots)
        for _ in range(5):
            mine.take()
            with lock:
                working += 1
                most = max(most, working)
            time.sleep(0.005)
            with lock:
                working -= 1
            mine.give()

    threads = [threading.Thread(target=watch) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


@pytest.mark.parametrize(("cores", "streams"), [(1.0, 1), (0.5, 1), (2.0, 2), (2.5, 3)])
def test_as_many_streams_work_at_a_time_as_there_are_cores(cores, streams):
    assert at_work(cores) == streams


def test_taking_twice_and_giving_twice_changes_nothing():
    slots = Slots()
    one, other = Slot(slots), Slot(slots)
    one.take()
    one.take()
    one.give()
    one.give()
    other.take()
    other.give()


def test_alone_it_may_always_work():
    alone = Slot()
    alone.take()
    alone.give()


def test_who_hangs_holds_the_others_up_once_and_not_again(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    slots = Slots()
    hanging, one, other = Slot(slots), Slot(slots), Slot(slots)
    hanging.take()
    one.take()
    one.give()
    began_s = time.monotonic()
    other.take()
    assert time.monotonic() - began_s < 0.1
    hanging.give()  # after all: nobody may work because of that
    third = threading.Thread(target=Slot(slots).take, daemon=True)
    third.start()
    third.join(0.05)
    assert third.is_alive()
    other.give()
    third.join(5.0)
    assert not third.is_alive()
