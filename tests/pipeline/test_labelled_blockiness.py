"""Generated blockiness: what is labelled could be seen."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from vqa_ray.media.labelled import Job, make
from vqa_ray.media.labelled.defect import Defect
from vqa_ray.media.labelled.starved import SEEN, edge_step, starved, until_seen
from vqa_ray.media.labelled.variation import joined
from vqa_ray.media.synthetic import Programme, write_file

FPS = Fraction(25)
GREY = np.full((80, 120), 128, np.uint8)


def moving(contrast: float) -> list[np.ndarray]:
    """A soft scene that moves by a fraction of a pixel from picture to picture, so that a coder interpolates it."""
    scene = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 1, (160, 300)), (0, 0), 3).astype(np.float32)
    scene = 110 + contrast * scene / scene.std()
    shifts = (np.float32([[1, 0, -0.7 * n], [0, 1, -0.4 * n]]) for n in range(24))
    lumas = (cv2.warpAffine(scene, shift, (240, 160), borderMode=cv2.BORDER_REFLECT) for shift in shifts)
    return [joined(np.clip(luma, 16, 235).astype(np.uint8), GREY, GREY) for luma in lumas]


def coarse(sub: str, level: int) -> Defect:
    return Defect(kind="blockiness", sub=sub, first=0, last=24, severity="critical", level=level)


def median_step(pictures: list[np.ndarray], defect: Defect) -> float:
    shown = starved(pictures, defect, FPS)
    return float(np.median([edge_step(clean, coded, 8) for clean, coded in zip(pictures, shown, strict=True)]))


def test_edges_of_blocks_are_measured_above_what_the_picture_has_there_by_itself():
    clean = moving(30)[0]
    blocks = clean.copy()
    blocks[:160] = np.kron(cv2.resize(clean[:160], (30, 20), interpolation=cv2.INTER_AREA), np.ones((8, 8), np.uint8))
    assert edge_step(clean, clean, 8) == 0.0
    assert edge_step(clean, blocks, 8) > 4.0
    assert edge_step(blocks, blocks, 8) == 0.0


def test_what_shows_as_drawn_is_left_as_it_is():
    drawn = coarse("x264_nodeblock", 48)
    assert until_seen(moving(30), drawn, FPS) == drawn


def test_where_only_key_frames_show_it_all_pictures_are_key_frames():
    pictures, drawn = moving(30), coarse("mpeg2_full", 24)
    assert median_step(pictures, drawn) < SEEN
    found = until_seen(pictures, drawn, FPS)
    assert found is not None
    assert (found.key_every, found.sub, found.level) == (1, "mpeg2_full", 24)
    assert median_step(pictures, found) >= SEEN


def test_what_is_not_seen_on_a_flat_picture_is_no_defect():
    assert until_seen(moving(0.5), coarse("mpeg4_full", 31), FPS) is None


@pytest.mark.parametrize("seen", [True, False])
def test_hidden_blocks_count_neither_way(seen, tmp_path, monkeypatch):
    if not seen:
        monkeypatch.setattr("vqa_ray.media.labelled.content.until_seen", lambda *_: None)
    clip = write_file(tmp_path / "clean.mp4", 6.0, Programme(width=240, height=160, fps=25, seed=3))
    file = make(Job("blockiness", 0, 1, 1, clip=str(clip)), tmp_path)
    assert len(file.labels) == seen
    assert [one.kind for one in file.soft].count("blockiness") == (not seen)
