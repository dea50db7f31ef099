"""Files of each class whose defect is in picture or sound: how long, how strong and in which form, at random."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from vqa_ray.core.labels import Label, LabelledFile, Soft
from vqa_ray.media.labelled.coding import as_transport, encode, recoded
from vqa_ray.media.labelled.defect import Defect, placed, severity_of
from vqa_ray.media.labelled.looped import loop
from vqa_ray.media.labelled.natural import SILENT_DBFS, SLOT_S, jump_at, stands_still
from vqa_ray.media.labelled.pictures import BARS, defective
from vqa_ray.media.labelled.shoot import Shoot, seconds_of
from vqa_ray.media.labelled.sounds import best_heard, late, level_db
from vqa_ray.media.labelled.starved import until_seen
from vqa_ray.media.synthetic.speech import RATE_HZ

HIGH_RATE = (3.0, 8.0)  # Mb/s: what the last encoder adds must not be what is looked for
COARSE = (  # form, finest and coarsest quantizer, and the one from which on it is critical
    ("mpeg2_half", 10, 28, 20),
    ("mpeg2_full", 20, 31, 27),
    ("mpeg4_full", 22, 31, 28),
    ("x264_nodeblock", 43, 50, 47),
)
LOUDNESS_S = {"lead_s": (4.0, 6.0), "gap_s": (4.0, 5.0), "tail_s": (3.0, 4.0)}
OFFSETS_MS = (-500, -400, -320, -240, -160, 160, 240, 320, 400, 500)


def clean(shoot: Shoot, seconds: float, times: int = 1) -> LabelledFile:
    """Nothing wrong with it; one in three with slow fades to a third of the light and back.

    times: so often one after the other, as a transport stream of the same packets.
    """
    count = round(seconds * shoot.fps)
    coding = shoot.coding(megabits=(0.4, 6.0))
    if times > 1:
        coding = as_transport(coding)
    sound = shoot.sound(count)
    soft = shoot.natural(sound)
    if times > 1:  # and from its end to its beginning
        soft += jump_at(float(count / shoot.fps), sound[:, -RATE_HZ:], sound[:, :RATE_HZ])
    pictures = shoot.pictures(count)
    if shoot.rng.random() < 1 / 3:
        pictures = _fading(pictures, int(5 * shoot.fps))
    path = encode(shoot.path(coding.suffix), pictures, sound, shoot.fps, coding)
    loop(path, times, count / shoot.fps)
    made = shoot.labelled(path, [], count, coding, soft)
    return made if times == 1 else _repeated(made, times)


def _repeated(file: LabelledFile, times: int) -> LabelledFile:
    length_s = file.media_seconds or 0.0
    soft = tuple(
        msgspec.structs.replace(one, start=one.start + turn * length_s, end=one.end + turn * length_s)
        for turn in range(times)
        for one in file.soft
    )
    seconds = round(length_s * times, 6)
    return msgspec.structs.replace(file, soft=soft, duration=seconds, media_seconds=seconds)


def _fading(pictures: Iterator[np.ndarray], period: int) -> Iterator[np.ndarray]:
    for n, picture in enumerate(pictures):
        light = 0.65 + 0.35 * np.cos(2 * np.pi * n / period)
        luma = picture[: picture.shape[0] * 2 // 3]
        luma[:] = np.clip(16 + (luma.astype(np.float32) - 16) * light, 0, 255)
        yield picture


def black(shoot: Shoot, events: int) -> LabelledFile:
    """Level 16 to 18, without and with noise; one in three with silence."""

    def drawn(first: int, last: int) -> Sequence[Defect]:
        length_s = seconds_of(last - first, shoot.fps)
        made = Defect(
            kind="black",
            sub="injected",
            first=first,
            last=last,
            severity=severity_of(length_s, 0.8, 2.5),
            level=shoot.pick(0, 0, 1, 2),
            noise=shoot.pick(0.0, 0.0, 0.8, 1.5),
        )
        quiet = shoot.rng.random() < 1 / 3 and length_s >= 0.6
        return (made, _silence(shoot, first, last)) if quiet else (made,)

    return _film(shoot, _lengths(shoot, events, (0.2, 0.8), (0.8, 2.5), (2.5, 4.0)), drawn)


def freeze(shoot: Shoot, events: int) -> LabelledFile:
    """Held before encoding at 0.3 to 6 Mb/s, exactly or under noise; or held after encoding, and encoded again well.

    Fewer than `events` are labelled where the clip stands still itself: those count neither way.
    """
    lengths = _lengths(shoot, events, (0.7, 1.2), (1.2, 3.0), (3.0, 5.0))
    spans, count = placed(shoot.rng, lengths, shoot.fps)
    after = shoot.rng.random() < 0.3
    noise = 0.0 if after else shoot.pick(0.0, 0.0, 0.5, 0.8)
    sub = "after_coding" if after else "noisy" if noise else "exact"
    defects = [
        Defect(
            kind="freeze",
            sub=sub,
            first=first,
            last=last,
            severity=severity_of(seconds_of(last - first, shoot.fps), 1.2, 3.0),
            noise=noise,
        )
        for first, last in spans
    ]
    still = [one.label(shoot.fps) for one in defects if stands_still(shoot.stretch(one.first, one.last))]
    made = (
        _frozen_after_coding(shoot, defects, count)
        if after
        else shoot.film(defects, count, shoot.coding(megabits=(0.3, 6.0)))
    )
    return uncounted(made, still, "so in the clip itself")


def _frozen_after_coding(shoot: Shoot, defects: Sequence[Defect], count: int) -> LabelledFile:
    before = shoot.coding(megabits=(0.3, 6.0), codec=shoot.pick("libx264", "mpeg2video"))
    coded = recoded(shoot.pictures(count), shoot.fps, before)
    coding = shoot.coding(megabits=HIGH_RATE)
    sound = shoot.sound(count)
    soft = shoot.natural(sound)
    pictures = defective(coded, defects, shoot.fps, shoot.rng)
    path = encode(shoot.path(coding.suffix), pictures, sound, shoot.fps, coding)
    return shoot.labelled(path, [defect.label(shoot.fps) for defect in defects], count, coding, soft)


def green(shoot: Shoot, events: int) -> LabelledFile:
    """The whole picture, its colour alone, its lower half, or 3 to 30 % of its macroblocks."""

    def drawn(first: int, last: int) -> Sequence[Defect]:
        sub = shoot.pick("full", "chroma_zero", "bottom_half", "missing_mb")
        level = float(shoot.rng.uniform(0.03, 0.3)) if sub == "missing_mb" else 1.0
        severity = "critical" if sub == "full" else "minor" if level < 0.08 else "major"
        return (Defect(kind="green", sub=sub, first=first, last=last, severity=severity, level=level),)

    return _film(shoot, _lengths(shoot, events, (0.2, 0.5), (0.5, 1.0), (1.0, 2.0)), drawn)


def bars(shoot: Shoot, events: int) -> LabelledFile:
    """SMPTE and EBU colour bars, without and with noise, with the programme's sound or a tone."""

    def drawn(first: int, last: int) -> Sequence[Defect]:
        sub, noise = shoot.pick(*BARS), shoot.pick(0.0, 0.0, 1.0)
        made = Defect(kind="bars", sub=sub, first=first, last=last, severity="major", noise=noise)
        tone = Defect(kind="line_up_tone", sub="", first=first, last=last, severity="")
        return (made, tone) if shoot.rng.random() < 0.5 else (made,)

    return _film(shoot, _lengths(shoot, events, (1.0, 1.5), (1.5, 3.0), (3.0, 4.0)), drawn)


def signal_loss(shoot: Shoot, events: int) -> LabelledFile:
    """Blue, grey or snow; two in three with silence. Packets that stay away are in the files of `pts_gap`."""

    def drawn(first: int, last: int) -> Sequence[Defect]:
        sub = shoot.pick("blue", "grey", "snow")
        level = float(shoot.rng.uniform(20, 60)) if sub == "snow" else float(shoot.rng.uniform(90, 150))
        noise = shoot.pick(0.0, 0.0, 0.8)
        made = Defect(
            kind="signal_loss", sub=sub, first=first, last=last, severity="critical", level=level, noise=noise
        )
        quiet = shoot.rng.random() < 2 / 3
        return (made, _silence(shoot, first, last)) if quiet else (made,)

    return _film(shoot, _lengths(shoot, events, (1.2, 2.0), (2.0, 3.0), (3.0, 4.0)), drawn)


def blockiness(shoot: Shoot, events: int) -> LabelledFile:
    """A stretch coded far too low (MPEG-2, also at half the size, MPEG-4, H.264), then all encoded well.

    Fewer than `events` are labelled where the blocks could not be seen: those count neither way.
    """

    def drawn(first: int, last: int) -> Defect:
        sub, low, high, bad = shoot.pick(*COARSE)
        level = int(shoot.rng.integers(low, high + 1))
        severity = "critical" if level >= bad else "major"
        return Defect(kind="blockiness", sub=sub, first=first, last=last, severity=severity, level=level)

    lengths = _lengths(shoot, events, (1.5, 2.0), (2.0, 3.0), (3.0, 4.0))
    spans, count = placed(shoot.rng, lengths, shoot.fps, lead_s=(2.0, 3.0), gap_s=(2.0, 3.0))
    wanted = [drawn(*span) for span in spans]
    seen = [until_seen(list(shoot.stretch(one.first, one.last)), one, shoot.fps) for one in wanted]
    made = shoot.film(
        [best or one for best, one in zip(seen, wanted, strict=True)], count, shoot.coding(megabits=HIGH_RATE)
    )
    hidden = [one.label(shoot.fps) for best, one in zip(seen, wanted, strict=True) if best is None]
    return uncounted(made, hidden, "blocks that are hardly seen")


def silence(shoot: Shoot, events: int) -> LabelledFile:
    """Digital, or a noise floor at -80 to -70 dBFS."""
    lengths = _lengths(shoot, events, (0.45, 1.0), (1.0, 3.0), (3.0, 5.0))
    return _film(shoot, lengths, lambda first, last: (_silence(shoot, first, last),))


def audio_dropout(shoot: Shoot, events: int) -> LabelledFile:
    """40 to 290 ms of nothing, where sound breaks off and comes back: in a pause nobody hears a hole.

    Fewer than `events` are labelled where a hole adjoins a silence of the clip's own: that is only longer by it.
    """
    fps = shoot.fps
    least = max(1, int(np.ceil(0.04 * fps)))
    lengths = [max(least, shoot.frames(*shoot.pick((0.04, 0.09), (0.09, 0.2), (0.2, 0.27)))) for _ in range(events)]
    spans, count = placed(shoot.rng, lengths, fps, gap_s=(1.6, 2.5))
    sound = shoot.sound(count)
    defects = []
    for first, last in spans:
        length = last - first
        at = best_heard(sound, range(first - round(0.4 * fps), first + round(0.4 * fps)), length, fps)
        severity = severity_of(seconds_of(length, fps), 0.09, 1.0)
        defects.append(
            Defect(
                kind="audio_dropout", sub="zeros", first=at, last=at + length, severity=severity, stream="audio"
            )
        )  # fmt: skip
    return heard(shoot.film(defects, count, shoot.coding(), sound))


def heard(file: LabelledFile) -> LabelledFile:
    """The same with holes in its sound that adjoin a silence of the clip's own counted neither way."""
    silences = [one for one in file.soft if one.kind == "audio_dropout"]

    def adjoins(label: Label) -> bool:
        return any(one.start - SLOT_S <= label.end and label.start <= one.end + SLOT_S for one in silences)

    unheard = [one for one in file.labels if one.kind == "audio_dropout" and adjoins(one)]
    return uncounted(file, unheard, "a silence of the clip's own is longer")


def uncounted(file: LabelledFile, labels: Sequence[Label], why: str) -> LabelledFile:
    """The same with these of its labels counted neither way."""
    soft = [Soft(one.kind, one.start, one.end, why=why) for one in labels]
    kept = tuple(one for one in file.labels if one not in labels)
    return msgspec.structs.replace(file, labels=kept, soft=(*file.soft, *soft))


def clipping(shoot: Shoot, events: int) -> LabelledFile:
    """20 to 70 % of the samples cut, at a ceiling of -6 to 0 dBFS; of less a lossy codec leaves too little."""

    def drawn(first: int, last: int) -> Sequence[Defect]:
        share = float(np.exp(shoot.rng.uniform(np.log(0.2), np.log(0.7))))
        ceiling = shoot.pick(1.0, 1.0, 0.9, 0.7, 0.5)
        made = Defect(
            kind="clipping", sub="hard_clip", first=first, last=last, severity="major", level=share, ceiling=ceiling,
            stream="audio",
        )  # fmt: skip
        return (made,)

    return _film(shoot, _lengths(shoot, events, (1.0, 1.5), (1.5, 2.5), (2.5, 3.5)), drawn)


def loudness(shoot: Shoot, events: int) -> LabelledFile:
    """12 to 20 dB up or down, for 3 s and more; always up where less would be silence, which is another class."""
    lengths = _lengths(shoot, events, (3.0, 3.5), (3.5, 4.5), (4.5, 5.5))
    spans, count = placed(shoot.rng, lengths, shoot.fps, **LOUDNESS_S)
    sound = shoot.sound(count)

    def drawn(first: int, last: int) -> Defect:
        level = float(shoot.rng.uniform(12, 20)) * (1 if shoot.rng.random() < 0.5 else -1)
        span = sound[:, slice(*(round(n / shoot.fps * RATE_HZ) for n in (first, last)))]
        level = abs(level) if level_db(span) + level < SILENT_DBFS else level
        sub = "jump_up" if level > 0 else "jump_down"
        return Defect(kind="loudness", sub=sub, first=first, last=last, severity="major", level=level, stream="audio")

    return shoot.film([drawn(*span) for span in spans], count, shoot.coding(), sound)


def av_sync(shoot: Shoot, events: int) -> LabelledFile:
    """The sound late or early by 160 to 500 ms, in the whole file or from its middle on; needs people who speak."""
    count, offset_ms = round(16.0 * shoot.fps), shoot.pick(*OFFSETS_MS)
    step = shoot.rng.random() < 0.3
    from_s = seconds_of(count // 2, shoot.fps) if step else 0.0
    coding, end_s = shoot.coding(), round(seconds_of(count, shoot.fps), 6)
    sound = late(shoot.sound(count), offset_ms / 1000, from_s)
    path = encode(shoot.path(coding.suffix), shoot.pictures(count), sound, shoot.fps, coding)
    severity = severity_of(abs(offset_ms), 240, 400)
    sub = "audio_late" if offset_ms > 0 else "audio_early"
    label = Label("av_sync", from_s, end_s, sub=sub, severity=severity, stream="av", offset_ms=offset_ms)
    return shoot.labelled(path, [label], count, coding)


def _silence(shoot: Shoot, first: int, last: int) -> Defect:
    sub = shoot.pick("digital", "digital", "noise_floor")
    severity = severity_of(seconds_of(last - first, shoot.fps), 1.0, 3.0)
    level = float(shoot.rng.uniform(-80, -70))
    return Defect(kind="silence", sub=sub, first=first, last=last, severity=severity, level=level, stream="audio")


def _lengths(shoot: Shoot, events: int, *tiers: tuple[float, float]) -> list[int]:
    return [shoot.frames(*shoot.pick(*tiers)) for _ in range(events)]


def _film(shoot: Shoot, lengths: Sequence[int], drawn: Callable[[int, int], Sequence[Defect]]) -> LabelledFile:
    spans, count = placed(shoot.rng, lengths, shoot.fps)
    return shoot.film([defect for span in spans for defect in drawn(*span)], count, shoot.coding())
