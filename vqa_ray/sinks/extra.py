"""Libraries that only some channels need: imported when such a channel is built."""

import importlib
from typing import Any

from vqa_ray.errors import ConfigError


def needed(module: str, extra: str, what: str) -> Any:
    """The module; ConfigError that says how to install it. what: who needs it, for a person."""
    try:
        return importlib.import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        raise ConfigError(f"{what} needs the library {library}: pip install 'vqa-ray[{extra}]'") from None
