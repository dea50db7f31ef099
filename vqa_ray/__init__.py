"""Watches live audio and video, finds what is broken, and tells the people who run the channel.

    import vqa_ray

    for incident in vqa_ray.analyze("programme.mp4"):
        print(incident.detector, incident.start_s, incident.end_s)

Public names are imported when they are first used; importing the package does nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqa_ray import errors as errors
    from vqa_ray.cluster.client import Fleet as Fleet
    from vqa_ray.config import LIVE as LIVE
    from vqa_ray.config import QC as QC
    from vqa_ray.config import FleetSpec as FleetSpec
    from vqa_ray.config import Profile as Profile
    from vqa_ray.config import StreamSpec as StreamSpec
    from vqa_ray.config import load_fleet as load_fleet
    from vqa_ray.config import parse_fleet as parse_fleet
    from vqa_ray.config import profile_for as profile_for
    from vqa_ray.core.notice import Incident as Incident
    from vqa_ray.core.notice import Notice as Notice
    from vqa_ray.core.reading import Reading as Reading
    from vqa_ray.core.reading import Severity as Severity
    from vqa_ray.errors import ConfigError as ConfigError
    from vqa_ray.errors import SourceError as SourceError
    from vqa_ray.errors import VqaError as VqaError
    from vqa_ray.pipeline.evaluate import Evaluation as Evaluation
    from vqa_ray.pipeline.evaluate import evaluate as evaluate
    from vqa_ray.pipeline.local import Measured as Measured
    from vqa_ray.pipeline.local import analyze as analyze
    from vqa_ray.pipeline.sync import Sync as Sync
    from vqa_ray.pipeline.sync import sync as sync
    from vqa_ray.sinks.store import read_incidents as read_incidents
    from vqa_ray.sinks.store import read_windows as read_windows

_MODULE_OF = {
    "ConfigError": "errors",
    "Evaluation": "pipeline.evaluate",
    "Fleet": "cluster.client",
    "FleetSpec": "config",
    "Incident": "core.notice",
    "LIVE": "config",
    "Measured": "pipeline.local",
    "Notice": "core.notice",
    "Profile": "config",
    "QC": "config",
    "Reading": "core.reading",
    "Severity": "core.reading",
    "SourceError": "errors",
    "StreamSpec": "config",
    "Sync": "pipeline.sync",
    "VqaError": "errors",
    "analyze": "pipeline.local",
    "evaluate": "pipeline.evaluate",
    "load_fleet": "config",
    "parse_fleet": "config",
    "profile_for": "config",
    "read_incidents": "sinks.store",
    "read_windows": "sinks.store",
    "sync": "pipeline.sync",
}

__all__ = [*_MODULE_OF, "__version__", "errors"]


def __getattr__(name: str) -> Any:
    """Import a public name now that it is used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("vqa-ray")
    if name == "errors":
        return importlib.import_module("vqa_ray.errors")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'vqa_ray' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vqa_ray.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
