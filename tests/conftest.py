"""What all tests share: how a test says that it needs a program of the machine."""

import os
import shutil

import pytest


def require(available: bool, what: str) -> None:
    """Skip when `what` is absent on a user's machine; in CI everything must be there, and absence is a failure."""
    if available:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and in CI every server test must run")
    pytest.skip(f"needs {what}")


@pytest.fixture
def require_program():
    """`require_program("nginx")` gives the program's path, or skips (fails in CI)."""

    def find(name: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        require(path is not None, name)
        return str(path)

    return find
