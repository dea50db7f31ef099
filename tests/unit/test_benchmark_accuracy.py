"""How the accuracy benchmark shares its files among processes."""

from functools import partial

import pytest

from benchmarks import accuracy


def test_more_files_than_a_process_may_take_are_all_examined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "TASKS_A_CHILD", 2)
    monkeypatch.setattr(accuracy.os, "cpu_count", lambda: 2)
    names = [f"file-{n}" for n in range(11)]
    assert list(accuracy.in_processes(partial(str.upper), names)) == [name.upper() for name in names]
