"""The same detectors on the same streams four times: in one process, on Ray in two ways, and as serverless steps."""

from typing import Any


def __getattr__(name: str) -> Any:
    """The command, imported when it is asked for: a function's process needs none of it."""
    if name == "command":
        from benchmarks.architectures.bench import command

        return command
    raise AttributeError(name)
