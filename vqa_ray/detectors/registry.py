"""The list of all detectors, and what docs, schema and tests read from it. A new detector is one line here."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from vqa_ray.detectors.audio_dropout import AudioDropoutSpec
from vqa_ray.detectors.av_drift import AvDriftSpec
from vqa_ray.detectors.av_marker import AvMarkerSpec
from vqa_ray.detectors.av_sync import AvSyncSpec
from vqa_ray.detectors.bars import BarsSpec
from vqa_ray.detectors.base import DetectorSpec
from vqa_ray.detectors.bit_rate import BitRateSpec
from vqa_ray.detectors.black import BlackSpec
from vqa_ray.detectors.black_logo import BlackLogoSpec
from vqa_ray.detectors.blockiness import BlockinessSpec
from vqa_ray.detectors.blur import BlurSpec
from vqa_ray.detectors.cc_error import CcErrorSpec
from vqa_ray.detectors.click import ClickSpec
from vqa_ray.detectors.clipping import ClippingSpec
from vqa_ray.detectors.corruption import CorruptionSpec
from vqa_ray.detectors.dual_mono import DualMonoSpec
from vqa_ray.detectors.field_order import FieldOrderSpec
from vqa_ray.detectors.flicker import FlickerSpec
from vqa_ray.detectors.format_change import FormatChangeSpec
from vqa_ray.detectors.freeze import FreezeSpec
from vqa_ray.detectors.green import GreenSpec
from vqa_ray.detectors.grey import GreySpec
from vqa_ray.detectors.hum import HumSpec
from vqa_ray.detectors.interlace import InterlaceSpec
from vqa_ray.detectors.letterbox import LetterboxSpec
from vqa_ray.detectors.loudness import LoudnessSpec
from vqa_ray.detectors.luma_range import LumaRangeSpec
from vqa_ray.detectors.missing_audio import MissingAudioSpec
from vqa_ray.detectors.missing_service import MissingServiceSpec
from vqa_ray.detectors.missing_track import MissingTrackSpec
from vqa_ray.detectors.null import NullSpec
from vqa_ray.detectors.over_compression import OverCompressionSpec
from vqa_ray.detectors.phase import PhaseSpec
from vqa_ray.detectors.playlist import PlaylistSpec
from vqa_ray.detectors.pts_gap import PtsGapSpec
from vqa_ray.detectors.pts_jump import PtsJumpSpec
from vqa_ray.detectors.signal_loss import SignalLossSpec
from vqa_ray.detectors.silence import SilenceSpec
from vqa_ray.detectors.silent_channel import SilentChannelSpec
from vqa_ray.detectors.slate import SlateSpec
from vqa_ray.detectors.stutter import StutterSpec
from vqa_ray.detectors.tr101290_p1 import Tr101290P1Spec
from vqa_ray.detectors.tr101290_p2 import Tr101290P2Spec

SPECS: tuple[type[DetectorSpec], ...] = (
    NullSpec,
    BlackSpec,
    BlackLogoSpec,
    FreezeSpec,
    SilenceSpec,
    SilentChannelSpec,
    AudioDropoutSpec,
    ClippingSpec,
    LoudnessSpec,
    PhaseSpec,
    DualMonoSpec,
    HumSpec,
    ClickSpec,
    MissingAudioSpec,
    CorruptionSpec,
    BlockinessSpec,
    OverCompressionSpec,
    BlurSpec,
    FormatChangeSpec,
    StutterSpec,
    InterlaceSpec,
    FieldOrderSpec,
    LetterboxSpec,
    FlickerSpec,
    LumaRangeSpec,
    SignalLossSpec,
    GreenSpec,
    GreySpec,
    BarsSpec,
    SlateSpec,
    PtsGapSpec,
    PtsJumpSpec,
    AvDriftSpec,
    AvSyncSpec,
    AvMarkerSpec,
    CcErrorSpec,
    Tr101290P1Spec,
    Tr101290P2Spec,
    BitRateSpec,
    MissingServiceSpec,
    MissingTrackSpec,
    PlaylistSpec,
)

by_id: Mapping[str, type[DetectorSpec]] = MappingProxyType({spec.id: spec for spec in SPECS})


class Option(msgspec.Struct, frozen=True):
    """One option of a detector as docs show it: its JSON type, default and meaning.

    allowed: a range, names, or a pattern; "" if any value is.
    """

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
    allowed = ", ".join(map(str, values)) if isinstance(values, list) else str(target.get("pattern", ""))
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
