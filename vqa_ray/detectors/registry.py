"""The list of all detectors, and what docs, schema and tests read from it. A new detector is one line here."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from vqa_ray.detectors.av_drift import AvDriftSpec
from vqa_ray.detectors.base import DetectorSpec
from vqa_ray.detectors.black import BlackSpec
from vqa_ray.detectors.cc_error import CcErrorSpec
from vqa_ray.detectors.corruption import CorruptionSpec
from vqa_ray.detectors.freeze import FreezeSpec
from vqa_ray.detectors.null import NullSpec
from vqa_ray.detectors.pts_gap import PtsGapSpec
from vqa_ray.detectors.pts_jump import PtsJumpSpec
from vqa_ray.detectors.signal_loss import SignalLossSpec
from vqa_ray.detectors.silence import SilenceSpec
from vqa_ray.detectors.silent_channel import SilentChannelSpec

SPECS: tuple[type[DetectorSpec], ...] = (
    NullSpec,
    BlackSpec,
    FreezeSpec,
    SilenceSpec,
    SilentChannelSpec,
    CorruptionSpec,
    SignalLossSpec,
    PtsGapSpec,
    PtsJumpSpec,
    AvDriftSpec,
    CcErrorSpec,
)

by_id: Mapping[str, type[DetectorSpec]] = MappingProxyType({spec.id: spec for spec in SPECS})


class Option(msgspec.Struct, frozen=True):
    """One option of a detector as docs show it: its JSON type, default, allowed values ("" if any) and meaning."""

    name: str
    type: str
    default: object
    allowed: str
    description: str


def options(spec: type[DetectorSpec]) -> tuple[Option, ...]:
    """The options of a detector, its own last; from the same struct that parses them."""
    schema = msgspec.json.schema(spec)["$defs"]
    fields = schema[spec.__name__]["properties"]
    return tuple(_option(name, field, schema) for name, field in fields.items())


def summary(spec: type[DetectorSpec]) -> str:
    """What the detector finds, in one sentence or two: its spec's docstring on one line."""
    return " ".join((spec.__doc__ or "").split())


def _option(name: str, field: dict[str, object], schema: dict[str, dict[str, object]]) -> Option:
    target = _target(field, schema)
    low, high = target.get("minimum"), target.get("maximum")
    values = target.get("enum")
    allowed = ", ".join(map(str, values)) if isinstance(values, list) else ""
    if low is not None and high is not None:
        allowed = f"{low:g} to {high:g}" if isinstance(low, int | float) and isinstance(high, int | float) else ""
    kind = str(target.get("type", "string"))
    return Option(name, kind, field.get("default"), allowed, str(field.get("description", "")))


def _target(field: dict[str, object], schema: dict[str, dict[str, object]]) -> dict[str, object]:
    """The definition behind a reference, where there is one."""
    for part in (field, *(field.get("allOf") or field.get("anyOf") or ())):  # type: ignore[misc]
        if isinstance(part, dict) and "$ref" in part:
            return schema[str(part["$ref"]).rsplit("/", 1)[-1]]
    return field
