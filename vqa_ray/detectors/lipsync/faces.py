"""The largest face in a picture and its landmarks, by MediaPipe's BlazeFace and FaceMesh on OpenCV's own engine.

The two networks are the unchanged files of mediapipe 0.10.14 (Apache-2.0, see `models/`). A landmark pass takes 2.5 ms
on one core, a search 2.5 ms for each square that is looked at. Face: Bazarevsky et al., "BlazeFace", 2019; landmarks:
Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019.
"""

import math
from importlib import resources
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vqa_ray.core.picture import Picture, Plane

F32 = NDArray[np.float32]
SEARCH_SIDE, MESH_SIDE = 128, 192  # pixels that the networks take
ROOM = 1.5  # of the square that is cut out, over the face in it: as FaceMesh was trained
SURE = 0.5  # probability of a face, of either network
SMALLEST = 24.0  # pixels between the outer corners of the eyes below which lips are a smear
LEFT_EYE, RIGHT_EYE = 33, 263  # outer corners, in FaceMesh's numbering


class Square(NamedTuple):
    """Part of a picture: center and side in pixels of the luma, turned by `angle` (radians, clockwise as seen)."""

    x: float
    y: float
    side: float
    angle: float = 0.0


class FaceNets:
    """Finds and follows one face. Not for several threads at once."""

    def __init__(self) -> None:
        self._search = _network("face_detection_short_range.tflite")
        self._mesh = _network("face_landmark.tflite")
        self._anchors = anchors()

    def find(self, picture: Picture) -> Square | None:
        """Where the largest face is; the whole picture is looked at, then squares of its height, side by side."""
        for view in views(*picture.luma.shape):
            face = self._find_in(picture, view)
            if face is not None:
                return face
        return None

    def landmarks(self, picture: Picture, face: Square) -> F32 | None:
        """The 468 points of the face as (468, 2) float32 in pixels of the luma; None if there is no face."""
        pixels = rgb(picture, face, MESH_SIDE).astype(np.float32) / np.float32(255.0)
        points, flag = _run(self._mesh, pixels, ("conv2d_21", "conv2d_31"))
        if sigmoid(float(flag.ravel()[0])) < SURE:
            return None
        found: F32 = outward(points.reshape(-1, 3)[:, :2] / np.float32(MESH_SIDE), face)
        return found if np.isfinite(found).all() and eye_width(found) >= SMALLEST else None

    def _find_in(self, picture: Picture, view: Square) -> Square | None:
        pixels = rgb(picture, view, SEARCH_SIDE).astype(np.float32) / np.float32(127.5) - np.float32(1.0)
        boxes, scores = _run(self._search, pixels, ("regressors", "classificators"))
        chance = scores.reshape(-1)
        if not (chance > 0.0).any():  # sigmoid(0) = SURE
            return None
        boxes = boxes.reshape(-1, 16) / np.float32(SEARCH_SIDE)
        size = np.where(chance > 0.0, boxes[:, 2], 0.0)
        large = size > 0.8 * size.max()
        best = int(np.argmax(np.where(large, chance, -np.inf)))
        places: F32 = boxes[best].reshape(8, 2) + self._anchors[best]
        eyes = outward(places[2:4], view)
        center = outward(places[:1], view)[0]
        return Square(float(center[0]), float(center[1]), ROOM * float(boxes[best, 2]) * view.side, tilt(*eyes))


def around(points: F32) -> Square:
    """The square in which to look for the same face in the next picture."""
    angle = tilt(points[LEFT_EYE], points[RIGHT_EYE])
    turned = points @ _rotation(angle)
    low, high = turned.min(0), turned.max(0)
    center = _rotation(angle) @ ((low + high) / 2)
    return Square(float(center[0]), float(center[1]), ROOM * float((high - low).max()), angle)


def views(height: int, width: int) -> list[Square]:
    """Squares in which to search: the whole picture, and where it is wide or high three that are its short side."""
    short, long = min(height, width), max(height, width)
    whole = Square(width / 2, height / 2, long)
    if long < 1.2 * short:
        return [whole]
    places = [short / 2, long / 2, long - short / 2]
    return [whole, *(Square(p, height / 2, short) if width > height else Square(width / 2, p, short) for p in places)]


def eye_width(points: F32) -> float:
    """Pixels between the outer corners of the eyes."""
    return float(np.linalg.norm(points[LEFT_EYE] - points[RIGHT_EYE]))


def tilt(left: F32, right: F32) -> float:
    """Angle of the line from one eye to the other."""
    return math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))


def outward(places: F32, square: Square) -> F32:
    """Places in a square (0 to 1) as pixels of the luma, (n, 2)."""
    turned = (places - np.float32(0.5)) * np.float32(square.side) @ _rotation(square.angle).T
    return np.asarray(turned + np.array([square.x, square.y]), np.float32)


def rgb(picture: Picture, square: Square, side: int) -> Plane:
    """The square as (side, side, 3) uint8 RGB; black where it reaches beyond the picture, grey without colour."""
    luma = cut(picture.luma, square, side, 1.0, 1.0, picture.bit_depth, border=picture.black_level)
    if not picture.full_range:
        luma = cv2.convertScaleAbs(cv2.max(luma, 16), alpha=255.0 / 219.0, beta=-16.0 * 255.0 / 219.0)
    chroma = picture.chroma
    if chroma is None:
        return np.asarray(cv2.merge([luma, luma, luma]))
    height, width = picture.luma.shape
    blue, red = (
        cut(c, square, side, c.shape[1] / width, c.shape[0] / height, picture.bit_depth, border=128) for c in chroma
    )
    return np.asarray(cv2.cvtColor(cv2.merge([luma, red, blue]), cv2.COLOR_YCrCb2RGB))


def cut(plane: Plane, square: Square, side: int, sx: float, sy: float, bit_depth: int, *, border: int) -> Plane:
    """The square out of a plane that is (sx, sy) times the luma's size, (side, side) uint8, averaged when shrunk."""
    height, width = plane.shape
    reach = 0.75 * square.side  # half the diagonal, and a little
    x0, x1 = (int(min(max(v, 0), width)) for v in ((square.x - reach) * sx, (square.x + reach) * sx + 1))
    y0, y1 = (int(min(max(v, 0), height)) for v in ((square.y - reach) * sy, (square.y + reach) * sy + 1))
    if x1 - x0 < 2 or y1 - y0 < 2:
        return np.full((side, side), border, np.uint8)
    part = plane[y0:y1, x0:x1]
    fx, fy = (max(1, min(int(square.side * s / side), n // 2)) for s, n in ((sx, x1 - x0), (sy, y1 - y0)))
    if fx > 1 or fy > 1:
        part = part[: (y1 - y0) // fy * fy, : (x1 - x0) // fx * fx]
        part = cv2.resize(part, (part.shape[1] // fx, part.shape[0] // fy), interpolation=cv2.INTER_AREA)
    if bit_depth > 8:
        part = (part >> (bit_depth - 8)).astype(np.uint8)
    corners = outward(np.array([[0, 0], [1, 0], [0, 1]], np.float32), square)
    inside = (corners * [sx, sy] - [x0, y0]) / [fx, fy] - 0.5
    target = np.array([[0, 0], [side, 0], [0, side]], np.float32) - np.float32(0.5)
    turn = cv2.getAffineTransform(inside.astype(np.float32), target)
    return np.asarray(cv2.warpAffine(np.ascontiguousarray(part), turn, (side, side), borderValue=border))


def anchors() -> F32:
    """Centers of BlazeFace's 896 anchors, (896, 1, 2), 0 to 1: two a cell of 16x16, six a cell of 8x8."""
    grids = []
    for cells, each in ((16, 2), (8, 6)):
        middle = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), each, 0))
    return np.asarray(np.concatenate(grids)[:, None, :], np.float32)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, x))))


def _rotation(angle: float) -> F32:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]], np.float32)


def _network(name: str) -> Any:
    # The classic engine gives both outputs of a pass; OpenCV 5.0's new one takes one output to be all. A network read
    # from memory always gets the new one.
    with resources.as_file(resources.files("vqa_ray.detectors.lipsync") / "models" / name) as path:
        return cv2.dnn.readNetFromTFLite(str(path), cv2.dnn.ENGINE_CLASSIC)


def _run(network: Any, pixels: F32, outputs: tuple[str, str]) -> tuple[F32, F32]:
    network.setInput(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None])
    first, second = network.forward(outputs)
    return first, second
