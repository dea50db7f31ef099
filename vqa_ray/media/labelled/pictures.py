"""Defects of the picture, put in before it is encoded for the last time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import islice

import av
import numpy as np

from vqa_ray.media.labelled.coding import picture_of
from vqa_ray.media.labelled.defect import Defect
from vqa_ray.media.labelled.material import U8
from vqa_ray.media.labelled.starved import starved
from vqa_ray.media.labelled.variation import BLACK_Y, GREY, planes

BLUE = (41, 240, 110)  # Y, U, V of what receivers show without a signal
BARS = ("smptebars", "smptehdbars", "pal75bars", "pal100bars")
MACROBLOCK = 16
NOISES = 16

Draw = Callable[[U8, Defect, np.random.Generator], U8]


def defective(
    pictures: Iterator[U8], defects: Sequence[Defect], fps: Fraction, rng: np.random.Generator
) -> Iterator[U8]:
    """The pictures with all defects in them; those of a kind that is no defect of the picture are left alone."""
    n = 0
    for defect in sorted((d for d in defects if d.kind in SEGMENTS or d.kind in DRAWN), key=lambda d: d.first):
        yield from islice(pictures, defect.first - n)
        count = defect.last - defect.first
        if defect.kind in DRAWN:
            draw = DRAWN[defect.kind]
            yield from (draw(picture, defect, rng) for picture in islice(pictures, count))
        else:
            yield from SEGMENTS[defect.kind](list(islice(pictures, count)), defect, fps, rng)
        n = defect.last
    yield from pictures


def _black(picture: U8, defect: Defect, rng: np.random.Generator) -> U8:
    luma, u, v = planes(picture)
    luma[:], u[:], v[:] = BLACK_Y + int(defect.level), GREY, GREY
    return _noisy(picture, defect.noise, rng)


def _green(picture: U8, defect: Defect, rng: np.random.Generator) -> U8:
    """What is left of a buffer that was never written to: zeros in all planes, or in those of colour."""
    luma, u, v = planes(picture)
    if defect.sub == "missing_mb":
        return _without_macroblocks(picture, defect)
    top = luma.shape[0] // 2 // 2 * 2 if defect.sub == "bottom_half" else 0
    if defect.sub != "chroma_zero":
        luma[top:] = 0
    u[top // 2 :], v[top // 2 :] = 0, 0
    return picture


def _without_macroblocks(picture: U8, defect: Defect) -> U8:
    """The same share `level` of all macroblocks missing as long as the defect lasts, in runs as slices have them."""
    luma, u, v = planes(picture)
    rows, columns = luma.shape[0] // MACROBLOCK, luma.shape[1] // MACROBLOCK
    lost = np.zeros(rows * columns, np.bool_)
    chosen = np.random.default_rng(defect.first)
    while lost.mean() < defect.level:
        start = int(chosen.integers(0, lost.size))
        lost[start : start + int(chosen.integers(3, 3 + columns // 2))] = True
    mask = lost.reshape(rows, columns)
    for plane, size in ((luma, MACROBLOCK), (u, MACROBLOCK // 2), (v, MACROBLOCK // 2)):
        big = np.kron(mask, np.ones((size, size), np.bool_))
        plane[: big.shape[0], : big.shape[1]][big] = 0
    return picture


def _bars(picture: U8, defect: Defect, rng: np.random.Generator) -> U8:
    picture[:] = bars(defect.sub, picture.shape[1], picture.shape[0] * 2 // 3)
    return _noisy(picture, defect.noise, rng)


def _signal_loss(picture: U8, defect: Defect, rng: np.random.Generator) -> U8:
    luma, u, v = planes(picture)
    if defect.sub == "snow":
        luma[:] = np.clip(rng.normal(110, defect.level, luma.shape), 16, 235)
        u[:], v[:] = GREY, GREY
        return picture
    luma[:], u[:], v[:] = BLUE if defect.sub == "blue" else (int(defect.level), GREY, GREY)
    return _noisy(picture, defect.noise, rng)


def _blockiness(pictures: list[U8], defect: Defect, fps: Fraction, rng: np.random.Generator) -> Iterable[U8]:
    """Coded far too low by another encoder."""
    return starved(pictures, defect, fps)


def _freeze(pictures: list[U8], defect: Defect, fps: Fraction, rng: np.random.Generator) -> Iterable[U8]:
    """The first picture held; noisy: with noise that is new in each, as behind an analogue link."""
    for _ in pictures:
        yield _noisy(pictures[0].copy(), defect.noise, rng)


DRAWN: dict[str, Draw] = {"black": _black, "green": _green, "bars": _bars, "signal_loss": _signal_loss}
SEGMENTS: dict[str, Callable[[list[U8], Defect, Fraction, np.random.Generator], Iterable[U8]]] = {
    "freeze": _freeze,
    "blockiness": _blockiness,
}


@lru_cache(8)
def bars(name: str, width: int, height: int) -> U8:
    """A colour bar pattern as libavfilter draws it (SMPTE EG 1, SMPTE RP 219, EBU Tech 3237)."""
    graph = av.filter.Graph()
    source = graph.add(name, f"size={width}x{height}:rate=1")
    sink = graph.add("buffersink")
    convert = graph.add("format", "yuv420p")
    source.link_to(convert)
    convert.link_to(sink)
    graph.configure()
    made = picture_of(graph.pull())
    made.flags.writeable = False
    return made


def _noisy(picture: U8, sigma: float, rng: np.random.Generator) -> U8:
    """Gaussian noise on the luma, in place."""
    if sigma > 0:
        luma = planes(picture)[0]
        noise = _noise(luma.shape, sigma)[int(rng.integers(NOISES))]
        luma[:] = np.clip(luma + noise, 0, 255)
    return picture


@lru_cache(4)
def _noise(shape: tuple[int, int], sigma: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    """Some pictures' worth of noise, whole grey levels."""
    return np.random.default_rng(1).normal(0, sigma, (NOISES, *shape)).round().astype(np.int16)
