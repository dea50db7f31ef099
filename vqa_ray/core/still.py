"""Small pictures of a stream in colour: kept as planes, which costs 0.1 ms, made an image only when one is wanted."""

import cv2
import msgspec
import numpy as np

from vqa_ray.core.picture import Picture, Plane, shrink

PIXELS = 320 * 180
HD_LINES = 720  # from here on colours are those of ITU-R BT.709, below of BT.601
BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)  # Kr, Kb
JPEG_QUALITY = 80


class Still(msgspec.Struct, frozen=True, gc=False):
    """A picture made small. luma: (h, w) uint8; chroma: both (h / 2, w / 2) uint8, None of a grey picture."""

    at_s: float
    luma: Plane
    chroma: tuple[Plane, Plane] | None
    full_range: bool
    hd: bool
    exact: bool = False  # decoded again from the packets for this

    @property
    def size_bytes(self) -> int:
        """What it takes."""
        return int(self.luma.nbytes * (1.5 if self.chroma is not None else 1.0))


def still_of(picture: Picture, pixels: int = PIXELS, *, exact: bool = False) -> Still:
    """A copy of the picture with at most `pixels`, in its own shape; the picture's derived images are left alone."""
    height, width = picture.luma.shape
    scale = min(1.0, (pixels / (height * width)) ** 0.5)
    depth = picture.bit_depth
    w, h = (max(2, int(side * scale + 1e-6) // 2 * 2) for side in (width, height))
    if scale <= 0.5 and pixels <= PIXELS:  # near that size already by halving, which costs a quarter
        luma = _fit(shrink(picture.luma, depth), w, h, 8, cv2.INTER_LINEAR)
    else:
        luma = _fit(picture.luma, w, h, depth, cv2.INTER_AREA)
    chroma = None
    if (planes := picture.chroma) is not None:
        u, v = (_fit(plane, w // 2, h // 2, depth, cv2.INTER_LINEAR) for plane in planes)
        chroma = u, v
    return Still(picture.at_s, luma, chroma, picture.full_range, height >= HD_LINES, exact)


def _fit(plane: Plane, width: int, height: int, bit_depth: int, how: int) -> Plane:
    """A copy of that size, as uint8."""
    sized = plane.copy() if plane.shape == (height, width) else cv2.resize(plane, (width, height), interpolation=how)
    return (sized >> (bit_depth - 8)).astype(np.uint8) if sized.dtype != np.uint8 else sized


def image(still: Still) -> Plane:
    """As (h, w, 3) uint8, blue first."""
    height, width = still.luma.shape
    if still.chroma is None:
        planes = [still.luma, *[np.full_like(still.luma, 128)] * 2]
    else:
        planes = [still.luma, *(cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in still.chroma)]
    rgb: Plane = cv2.transform(cv2.merge(planes), to_bgr(full_range=still.full_range, hd=still.hd))
    return rgb


def to_bgr(*, full_range: bool, hd: bool) -> Plane:
    """The 3x4 matrix from Y, U, V (0 to 255, chroma around 128) to B, G, R (ITU-R BT.601, BT.709)."""
    kr, kb = BT709 if hd else BT601
    kg = 1.0 - kr - kb
    black, y, c = (0.0, 1.0, 1.0) if full_range else (16.0, 255.0 / 219.0, 255.0 / 224.0)
    b_u, r_v = 2.0 * (1.0 - kb) * c, 2.0 * (1.0 - kr) * c
    g_u, g_v = -kb / kg * b_u, -kr / kg * r_v
    rows = [(y, b_u, 0.0), (y, g_u, g_v), (y, 0.0, r_v)]
    return np.array([[*row, -row[0] * black - 128.0 * (row[1] + row[2])] for row in rows])


def jpeg(pixels: Plane, quality: int = JPEG_QUALITY) -> bytes:
    """The image (h, w, 3) as JPEG."""
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()
