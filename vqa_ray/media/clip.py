"""From packets that are held to a clip and to single frames: remuxed as they came, never encoded again."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import av
import av.error
import msgspec
from av.bitstream import BitStreamFilterContext
from av.codec.context import CodecContext

from vqa_ray.core.picture import Picture
from vqa_ray.core.still import Still, still_of
from vqa_ray.media.pictures import PictureMaker
from vqa_ray.media.ring import Entry
from vqa_ray.media.tape import Footage, Form, copy_of

IN_BROWSERS = {  # what MP4 holds and browsers play, as far as the machine decodes it
    "video": frozenset({"h264", "hevc", "av1", "vp9"}),
    "audio": frozenset({"aac", "mp3", "opus", "flac", "ac3", "eac3"}),
}
IN_TRANSPORT = {  # what libav's transport stream muxer writes so that others understand it
    "video": frozenset({"h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4", "vc1"}),
    "audio": frozenset({"aac", "aac_latm", "mp2", "mp3", "ac3", "eac3", "opus", "dts"}),
}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov"}
EXACT_PIXELS = 960 * 540
MOST_DECODED = 600  # packets of video from a key frame to the frame that is wanted
FOLLOWING_S = 0.1  # so much later nothing is decoded that is shown by then
NEAR_S = 1e-4  # timestamps on the timeline are the same within rounding


class Container(msgspec.Struct, frozen=True):
    """A file format for clips."""

    name: str
    suffix: str
    media_type: str
    options: dict[str, str] = {}


MP4 = Container("mp4", ".mp4", "video/mp4", FRAGMENTED)
TRANSPORT = Container("mpegts", ".ts", "video/mp2t")
MATROSKA = Container("matroska", ".mkv", "video/x-matroska")


class Clip(msgspec.Struct, frozen=True):
    """A file's data. from_s, until_s: decode time of its first and last packet on the timeline; 0 in it is from_s."""

    data: bytes
    container: Container
    packets: int
    from_s: float
    until_s: float


class Excerpt(msgspec.Struct, frozen=True):
    """Footage of a moment. whole: it begins with a key frame at or before the moment, and no size limit cut it."""

    footage: Footage
    whole: bool


def cut(footage: Footage, at_s: float, *, before_s: float, after_s: float, max_bytes: int) -> Excerpt | None:
    """From the key frame at `at_s - before_s`, or the earliest held, to `at_s + after_s`, in at most `max_bytes`.

    What would be too large begins with a later key frame, no later than the moment, and then ends earlier. Without
    video any packet is a key frame. None where nothing fits or nothing is held.
    """
    keys = _keys(footage)
    if not keys:
        return None
    early = [k for k, shown_s in keys if shown_s <= at_s - before_s + NEAR_S]
    starts = [k for k, shown_s in keys if k >= (early[-1] if early else keys[0][0]) and shown_s <= at_s + NEAR_S]
    covered = bool(starts)
    end = _end(footage.entries, at_s + after_s)
    for start in starts or [keys[0][0]]:
        kept = _within(footage.entries[start:end], max_bytes)
        if len(kept) == max(0, end - start) or start == (starts or [keys[0][0]])[-1]:
            whole = covered and len(kept) == end - start and start == (starts or [keys[0][0]])[0]
            return Excerpt(Footage(kept, footage.forms), whole) if kept else None
    return None


def _keys(footage: Footage) -> list[tuple[int, float]]:
    """Where a clip may begin: index and time shown."""
    kind = "video" if footage.forms.video is not None else "audio"
    times = [(k, footage.shown_s(entry)) for k, entry in enumerate(footage.entries) if entry[0] == kind and entry[2]]
    return [(k, shown_s) for k, shown_s in times if shown_s is not None]


def _end(entries: Sequence[Entry], until_s: float) -> int:
    """Behind the last packet that is decoded by then."""
    for k in range(len(entries) - 1, -1, -1):
        at_s = entries[k][3]
        if at_s is not None and at_s <= until_s:
            return k + 1
    return 0


def _within(entries: tuple[Entry, ...], max_bytes: int) -> tuple[Entry, ...]:
    """As many from the first on as fit."""
    size = 0
    for k, (_, packet, _, _) in enumerate(entries):
        size += packet.size
        if size > max_bytes:
            return entries[:k]
    return entries


def mux(footage: Footage) -> Clip | None:
    """The packets as a file: fragmented MP4 where browsers may play it, else MPEG-TS, else Matroska; None if none fits.

    Timestamps are those of the timeline, so that a jump of the time base is none in the clip; the data is the same.
    """
    for container in containers(footage):
        try:
            if (clip := _mux(footage, container)) is not None:
                return clip
        except (av.error.FFmpegError, ValueError):
            continue  # this codec, or these packets, do not go into it
    return None


def containers(footage: Footage) -> list[Container]:
    """Those to try, the best first.

    HEVC as transport streams carry it stays in one: MP4 and Matroska want its parameter sets in a form of their own,
    and libav's writer of that form (FFmpeg 8.1) runs for ever on some damaged ones.
    """
    video, audio = footage.forms.video, footage.forms.audio
    if video is not None and video.codec == "hevc" and not _is_boxed(video):
        return [TRANSPORT]

    def fits(known: dict[str, frozenset[str]]) -> bool:
        return all(form is None or form.codec in known[kind] for kind, form in (("video", video), ("audio", audio)))

    fitting = [one for one, known in ((MP4, IN_BROWSERS), (TRANSPORT, IN_TRANSPORT)) if fits(known)]
    return [*fitting, MATROSKA]


def _is_boxed(form: Form) -> bool:
    """Whether the parameter sets are as MP4 has them (ISO/IEC 14496-15), where a version, 1, comes first."""
    return bool((form.template.codec_context.extradata or b"").startswith(b"\x01"))


def _mux(footage: Footage, container: Container) -> Clip | None:
    buffer, count = io.BytesIO(), 0
    placed = list(timed(footage))
    times_s = [at_s for _, _, _, _, at_s in placed]
    if not placed:
        return None
    zero_s = min(times_s)
    with av.open(buffer, "w", format=container.name, options=container.options) as out:
        streams: dict[str, Any] = {}
        filters: dict[str, Any] = {}
        for kind in ("video", "audio"):
            form = footage.forms.of(kind)
            if form is not None and any(entry[0] == kind for entry, *_ in placed):
                streams[kind] = out.add_stream_from_template(form.template, opaque=True)
                if kind == "audio" and form.codec == "aac" and container is not TRANSPORT:
                    filters[kind] = BitStreamFilterContext("aac_adtstoasc", form.template, streams[kind])
        for (kind, packet, _, _), base_s, pts, dts, _ in placed:
            zero = round(zero_s / base_s)
            made = copy_of(packet, streams[kind], pts - zero, dts - zero)
            for one in filters[kind].filter(made) if kind in filters else (made,):
                one.stream = streams[kind]
                out.mux_one(one)
            count += 1
    return Clip(buffer.getvalue(), container, count, zero_s, max(times_s))


def timed(footage: Footage) -> Iterator[tuple[Entry, float, int, int, float]]:
    """Each packet that has a time, with its time base, PTS and DTS on the timeline, in that base, and decode time.

    DTS grow strictly within a track. Where the input gives none they are made of the PTS, which are out of order.
    """
    last: dict[str, int] = {}
    invented = {kind: _decode_times(footage, kind) for kind in ("video", "audio")}
    for index, entry in enumerate(footage.entries):
        kind, packet, _, at_s = entry
        form = footage.forms.of(kind)
        if at_s is None or form is None:
            continue
        here = round(at_s / form.base_s)
        if packet.dts is None or kind == "audio":
            pts = here
            dts = invented[kind].get(index, here)
        else:
            dts = here
            pts = here + (packet.pts - packet.dts if packet.pts is not None else 0)
        dts = max(dts, last[kind] + 1) if kind in last else dts
        last[kind] = dts
        yield entry, form.base_s, max(pts, dts), dts, dts * form.base_s


def _decode_times(footage: Footage, kind: str) -> dict[int, int]:
    """Decode times of packets that have presentation times only, by index: the same times in order, early enough."""
    form = footage.forms.of(kind)
    if form is None or kind == "audio":
        return {}
    shown = {
        k: round(at_s / form.base_s)
        for k, (of, packet, _, at_s) in enumerate(footage.entries)
        if of == kind and packet.dts is None and at_s is not None
    }
    ordered = sorted(shown.values())
    late = max((dts - pts for dts, pts in zip(ordered, shown.values(), strict=True)), default=0)
    return {k: dts - late for k, dts in zip(shown, ordered, strict=True)}


def frames_around(footage: Footage, at_s: float) -> list[Still]:
    """The frame shown at `at_s` and the one before it, decoded from the key frame before; fewer if that fails.

    They are as they were received: damage shows. `at_s` of each is that of its packet on the timeline.
    """
    form = footage.forms.video
    if form is None:
        return []
    packets = _up_to(footage, at_s)
    if not packets:
        return []
    shown = {packet.pts: shown_s for packet, shown_s in packets if packet.pts is not None}
    wanted = min((shown_s for shown_s in shown.values() if shown_s >= at_s - NEAR_S), default=None)
    if wanted is None:  # nothing is shown any more: the last frame is what there is to see
        wanted = max(shown.values())
    context = CodecContext.create(form.codec, "r")
    context.thread_count = 1
    context.thread_type = "NONE"
    context.extradata = form.template.codec_context.extradata
    return _decode(context, packets, shown, wanted)


def _up_to(footage: Footage, at_s: float) -> list[tuple[Any, float]]:
    """Packets of video, with the time each is shown, from the last key frame before `at_s` to some shown after it."""
    found = _keys(footage)
    keys = [k for k, shown_s in found if shown_s < at_s - NEAR_S] or [
        k for k, shown_s in found if shown_s <= at_s + NEAR_S
    ]
    if not keys:
        return []
    out: list[tuple[Any, float]] = []
    for entry in footage.entries[keys[-1] :]:
        kind, packet, _, decoded_s = entry
        shown_s = footage.shown_s(entry)
        if kind != "video" or shown_s is None or decoded_s is None:
            continue
        if decoded_s > at_s + FOLLOWING_S and any(shown >= at_s - NEAR_S for _, shown in out):
            break
        out.append((packet, shown_s))
    return out if len(out) <= MOST_DECODED else []


def _decode(context: Any, packets: list[tuple[Any, float]], shown: dict[int, float], wanted_s: float) -> list[Still]:
    maker, last, step_s = PictureMaker(), None, 0.0

    def still(frame: Any) -> Still:
        time_s = shown[frame.pts]
        maker.release()
        picture: Picture = maker.make(frame, time_s, time_s + step_s, damaged=False)
        return still_of(picture, EXACT_PIXELS, exact=True)

    for packet in [*(packet for packet, _ in packets), None]:
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if frame.pts not in shown:
                continue
            if shown[frame.pts] >= wanted_s - NEAR_S:
                return [still(one) for one in (last, frame) if one is not None]
            last = frame
    return [] if last is None else [still(last)]
