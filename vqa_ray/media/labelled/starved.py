"""Pictures as an encoder with far too few bits leaves them, and how high the edges of its blocks stand out in them."""

from collections.abc import Sequence
from fractions import Fraction

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from vqa_ray.media.labelled.coding import Coding, recoded
from vqa_ray.media.labelled.defect import Defect
from vqa_ray.media.labelled.material import U8
from vqa_ray.media.labelled.variation import joined, planes

CODERS = {"mpeg2": "mpeg2video", "mpeg4": "mpeg4", "x264": "libx264"}
BLOCK = 8  # pixels of the coded picture
SEEN = 1.0  # grey levels: a code value of BT.1886 is 1-2 % of the light, about the least contrast of an edge one sees

MASKED = 1.5  # times the steps within blocks: lower ones are hidden by the detail around them (Muijs and Kirenko 2005)


def starved(pictures: Sequence[U8], defect: Defect, fps: Fraction) -> list[U8]:
    """Coded with `level` as the quantizer by the coder of form `sub`; half: at half the size in both directions."""
    codec, _, form = defect.sub.partition("_")
    coding = Coding(
        codec=CODERS[codec], crf=int(defect.level), key_every=defect.key_every, deblock=form != "nodeblock"
    )  # fmt: skip
    if form != "half":
        return list(recoded(pictures, fps, coding))
    width, height = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3
    small = (_scaled(picture, width // 4 * 2, height // 4 * 2) for picture in pictures)
    return [_scaled(picture, width, height) for picture in recoded(small, fps, coding)]


def until_seen(pictures: Sequence[U8], defect: Defect, fps: Fraction) -> Defect | None:
    """The defect as drawn if half of the pictures show it, or coded in key frames only if then they do; else None.

    What MPEG-2 and MPEG-4 predict by halves of a pixel is blurred, at their coarsest quantizer too: of a face that
    speaks, key frames have edges of 2.2 grey levels, the others 0.4. On a dark or flat picture nothing shows.
    """
    pitch = BLOCK * (2 if defect.sub.endswith("half") else 1)
    for tried in (defect, msgspec.structs.replace(defect, key_every=1)):
        coded = starved(pictures, tried, fps)
        if np.median([edge_step(*both, pitch) for both in zip(pictures, coded, strict=True)]) >= SEEN:
            return tried
    return None


def edge_step(clean: U8, coded: U8, pitch: int) -> float:
    """How much higher the luma's steps across edges of blocks are than those within them, grey levels.

    0 where they are not half as high again, since detail masks them. Of it goes what `clean` has there. The lower of
    both directions; blocks are `pitch` pixels wide and begin at pixel 0.
    """
    before, after = (planes(picture)[0].astype(np.int16) for picture in (clean, coded))
    return min(_excess(after, pitch) - _excess(before, pitch), _excess(after.T, pitch) - _excess(before.T, pitch))


def _excess(luma: NDArray[np.int16], pitch: int) -> float:
    """Of the edges between columns: the mean step over two pixels, less that in the middle of the blocks."""
    edges = np.arange(pitch, luma.shape[1] - pitch, pitch)
    on, off = (float(np.abs(luma[:, at] - luma[:, at - 1]).mean()) for at in (edges, edges + pitch // 2))
    return on - off if on >= MASKED * off else 0.0


def _scaled(picture: U8, width: int, height: int) -> U8:
    luma, u, v = planes(picture)
    half = width // 2, height // 2
    return joined(
        np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8),
        np.asarray(cv2.resize(u, half), np.uint8),
        np.asarray(cv2.resize(v, half), np.uint8),
    )
