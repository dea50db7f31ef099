"""Where evidence lies, and the pictures it consists of."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import grey, picture, texture
from tests.unit.cli_fakes import incident
from vqa_ray.config import parse_fleet
from vqa_ray.core import strip
from vqa_ray.core.evidence import EvidenceOptions, Point, base, place, safe_name
from vqa_ray.core.still import PIXELS, image, jpeg, still_of, to_bgr
from vqa_ray.errors import ConfigError


@given(st.text())
def test_any_stream_id_is_one_harmless_part_of_a_path(text):
    name = safe_name(text)
    assert name
    assert quote(name, safe="~") == name
    assert not name.startswith(".")
    assert len(name) <= 100


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "/etc/passwd", "<script>", "a/b", "a\\b", "a\0b", "x" * 200])
def test_a_name_that_is_no_part_of_a_path_gets_a_digest_so_that_no_two_share_a_folder(name):
    made = safe_name(name)
    assert "~" in made
    assert made != safe_name(name + "x")
    assert not set(made) & set("/\\<>\0. ")


def test_a_plain_name_stays_as_it_is():
    assert safe_name("news-hd.1_b") == "news-hd.1_b"


def test_the_place_is_the_same_whoever_makes_it_and_stays_when_the_incident_closes():
    one = incident(end_s=None, incident_id="00ff")
    assert place(one) == "date=2026-03-01/stream=cam/00ff" == place(incident(incident_id="00ff"))
    late = incident(start_utc=datetime(2026, 3, 1, 23, 30, tzinfo=UTC), incident_id="../../x")
    assert place(late).startswith("date=2026-03-01/stream=cam/_x~")


def test_links_hold_no_password_and_local_ones_are_absolute():
    options = EvidenceOptions()
    assert base("s3://key:secret@bucket/vqa?token=abc", options) == "s3://key:***@bucket/vqa?token=***/evidence"
    assert base("results", options) == str(Path("results").absolute() / "evidence")
    assert base("results", EvidenceOptions(url="https://vqa.example.com/e/")) == "https://vqa.example.com/e"


def test_options_stand_in_the_fleet_and_wrong_ones_are_refused_with_their_path():
    text = "store: results\nevidence: {after_s: 8, per_day_bytes: 1000, keep_days: 2, enabled: false}\n"
    options = parse_fleet(text).evidence
    assert (options.after_s, options.per_day_bytes, options.keep_days, options.enabled) == (8.0, 1000, 2.0, False)
    assert parse_fleet("store: results").evidence.enabled
    with pytest.raises(ConfigError, match=r"fleet:1: evidence\.after_s: "):
        parse_fleet("evidence: {after_s: -1}")
    with pytest.raises(ConfigError, match=r"evidence\.befor_s"):
        parse_fleet("evidence: {befor_s: 1}")


@pytest.mark.parametrize("hd", [False, True])
@pytest.mark.parametrize("full_range", [False, True])
def test_the_colours_are_those_of_the_standard(hd, full_range):
    matrix = to_bgr(full_range=full_range, hd=hd)
    white, black = (255, 0) if full_range else (235, 16)
    assert matrix @ [white, 128, 128, 1] == pytest.approx([255] * 3, abs=0.01)
    assert matrix @ [black, 128, 128, 1] == pytest.approx([0] * 3, abs=0.01)
    kr, kb = (0.2126, 0.0722) if hd else (0.299, 0.114)
    red = np.array([255 * kr, 255 * -kr / (2 * (1 - kb)) + 128, 255 * 0.5 + 128])
    if not full_range:
        red = np.array([16, 128, 128]) + (red - [0, 128, 128]) * [219 / 255, 224 / 255, 224 / 255]
    assert matrix @ [*red, 1] == pytest.approx([0, 0, 255], abs=0.01)


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720), (640, 360), (720, 576), (360, 640), (61, 33)])
def test_a_still_is_small_in_the_shape_of_the_picture_and_looks_like_it(width, height):
    luma = texture(width, height)
    still = still_of(picture(luma, 50, chroma=grey(90, 160, ((height + 1) // 2, (width + 1) // 2))))
    h, w = still.luma.shape
    assert still.at_s == 2.0
    assert w * h <= PIXELS
    assert w / h == pytest.approx(width / height, rel=0.05)
    assert not np.shares_memory(still.luma, luma)
    wanted = cv2.resize(luma, (w, h), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(wanted - still.luma).mean() < 5
    assert still.chroma is not None
    assert [int(plane.mean()) for plane in still.chroma] == [90, 160]
    assert image(still).shape == (h, w, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 5), (17, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_of_odd_sizes_and_depths_make_stills(shape, dtype):
    depth = 10 if dtype == np.uint16 else 8
    half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    chroma = lambda: (np.full(half, 512 >> (10 - depth), dtype),) * 2  # noqa: E731
    still = still_of(picture(np.full(shape, 400 >> (10 - depth), dtype), bit_depth=depth, chroma=chroma))
    assert still.luma.dtype == np.uint8
    assert set(still.luma.ravel().tolist()) == {100}
    assert jpeg(image(still)).startswith(b"\xff\xd8")
    assert image(still_of(picture(np.full(shape, 100, np.uint8)))).shape[2] == 3  # grey, without chroma


def test_taking_a_still_leaves_the_picture_as_detectors_would_find_it():
    taken, left = picture(texture()), picture(texture())
    still_of(taken)
    assert taken._small is None
    assert left._small is None


def test_a_strip_shows_some_before_the_exact_frames_and_some_after():
    def still(at_s, exact=False):
        made = still_of(picture(np.full((36, 64), 90, np.uint8), round(at_s * 25)), exact=exact)
        assert made.at_s == pytest.approx(at_s)
        return made

    stills = [still(float(s)) for s in range(12)] + [still(5.96, True), still(6.0, True)]
    chosen = strip.choose(stills, 6.0)
    assert [s.at_s for s in chosen] == pytest.approx([4.0, 5.0, 5.96, 6.0, 7.0, 9.0, 11.0])
    assert [s.at_s for s in strip.choose(stills[:12], 6.0)] == pytest.approx([4.0, 5.0, 6.0, 8.0, 9.0, 11.0])
    assert strip.choose([], 6.0) == []


def test_the_strip_is_drawn_with_and_without_pictures_and_values():
    still = still_of(picture(np.full((36, 64), 90, np.uint8), 25))
    curve = [Point(0.0, 0.1, 0.2, 0.3), Point(1.0, 0.9, 0.9, 0.9), Point(1.04, 1.0, 1.0, 1.0)]
    whole = strip.draw("black on <ä>", [still], curve, 1.0, "share")
    assert whole.shape == (strip.HEAD + strip.TILE_HEIGHT + strip.FOOT + strip.CURVE, strip.LEAST_WIDTH, 3)
    assert (whole[strip.HEAD : strip.HEAD + 2, : strip.TILE_WIDTH] == strip.MARK).all()  # the frame around the moment
    plot = whole[strip.HEAD + strip.TILE_HEIGHT + strip.FOOT :]
    assert (plot == strip.BAND).all(axis=2).any()
    assert (plot == strip.MARK).all(axis=2).any()
    infinite = [Point(0.0, float("-inf"), float("nan"), 1.0)]
    assert strip.draw("silence", [], infinite, 1.0, "dBFS").shape[0] == strip.HEAD + strip.CURVE
    assert strip.draw("pts_gap", [], [Point(1.0, 2.0, 2.0, 2.0)], 1.0, "s").any()
