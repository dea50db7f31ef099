"""A measured run in a process of its own: `python -m benchmarks.child MODULE:FUNCTION '{"argument": …}'`."""

import importlib
import json
import sys


def main() -> None:
    """Call the function and print what it returns as the last line."""
    module, _, name = sys.argv[1].partition(":")
    print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))), flush=True)


if __name__ == "__main__":
    main()
