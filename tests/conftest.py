"""What all tests share: how a test says that it needs a program of the machine."""

import os
import shutil
import signal

import pytest

pytest.register_assert_rewrite("tests.story")


def require(available: bool, what: str) -> None:
    """Skip when `what` is absent on a user's machine; in CI everything must be there, and absence is a failure."""
    if available:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and in CI every server test must run")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def require_program():
    """`require_program("nginx")` gives the program's path, or skips (fails in CI)."""

    def find(name: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        require(path is not None, name)
        return str(path)

    return find


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore these; the commands under test must not inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # a handler, unlike that, is not inherited


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In CI what runs real processes against the wall clock gets a second try, which the summary names and counts.

    A stall of a shared machine is no finding. What fails twice is one; so is a single failure of the rest.
    """
    if os.environ.get("CI") and config.pluginmanager.hasplugin("rerunfailures"):
        for item in items:
            if item.path.parent.name in ("cluster", "pipeline"):
                item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test fails the run: everything that a test may need is there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
