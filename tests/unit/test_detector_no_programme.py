"""What is on air instead of a programme: green garbage, test patterns, slates, the screens of lost signals."""

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from tests.pictures import film, incidents, panned, picture, readings, texture
from vqa_ray.core.picture import Picture
from vqa_ray.core.reading import Continuity, PacketInfo, Reading
from vqa_ray.detectors.bars import BarsSpec
from vqa_ray.detectors.flat import flat_colour
from vqa_ray.detectors.green import GreenSpec
from vqa_ray.detectors.signal_loss import SignalLossSpec
from vqa_ray.detectors.slate import SlateSpec, perceptual_hash
from vqa_ray.detectors.spans import Spans

HEIGHT, WIDTH = 360, 640
Frame = tuple[np.ndarray, np.ndarray, np.ndarray]
GREEN = GreenSpec(raise_after_s=0.0, clear_after_s=0.0)
BARS = BarsSpec(raise_after_s=0.3, clear_after_s=0.0)
LOSS = SignalLossSpec(raise_after_s=0.8, clear_after_s=0.0)
PRIMARIES = ((1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1))  # yellow to blue


def yuv(rgb: np.ndarray, red: float = 0.2126, blue: float = 0.0722) -> Frame:
    """(h, w, 3) of 0 to 1 as limited range 4:2:0, BT.709 unless said otherwise."""
    luma = rgb @ (red, 1 - red - blue, blue)
    u, v = (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)
    planes = 16 + 219 * luma, 128 + 224 * u[::2, ::2], 128 + 224 * v[::2, ::2]
    return tuple(plane.round().astype(np.uint8) for plane in planes)  # type: ignore[return-value]


def scene(number: int = 0) -> Frame:
    """Frame of a moving picture with shapes, in pale colours."""
    chroma = cv2.resize(texture(seed=5), (WIDTH // 2, HEIGHT // 2)) // 4 + 100
    shapes = cv2.resize(texture(64, 36, seed=7), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return panned(number) // 2 + shapes // 2, chroma, chroma[::-1].copy()


def plain(y: int, u: int, v: int) -> Frame:
    return (
        np.full((HEIGHT, WIDTH), y, np.uint8),
        np.full((HEIGHT // 2, WIDTH // 2), u, np.uint8),
        np.full((HEIGHT // 2, WIDTH // 2), v, np.uint8),
    )


def bars(level: float = 0.75, *, rows: float = 1.0, **matrix: float) -> Frame:
    """White, six bars and black over `rows` of the height; black below."""
    rgb = np.zeros((HEIGHT, WIDTH, 3))
    colours = np.array([(1, 1, 1), *PRIMARIES, (0, 0, 0)]) * level
    rgb[: int(HEIGHT * rows)] = np.repeat(colours, WIDTH // 8, axis=0)
    return yuv(rgb, **matrix)


def shown(frames: Iterable[Frame], **kwargs: Any) -> list[Picture]:
    frames = list(frames)
    pictures = film((frame[0] for frame in frames), **kwargs)
    for shot, (_, u, v) in zip(pictures, frames, strict=True):
        shot._chroma = lambda u=u, v=v: (u, v)
    return pictures


def during(defect: Frame, first: int = 26, last: int = 61, total: int = 90) -> list[Picture]:
    """A moving scene, but the defect in the frames from `first` to before `last`."""
    return shown(defect if first <= n < last else scene(n) for n in range(total))


def zeroed(frame: Frame, rows: slice, columns: slice = slice(None)) -> Frame:
    y, u, v = (plane.copy() for plane in frame)
    for plane, step in ((y, 1), (u, 2), (v, 2)):
        plane[
            slice(*(s // step for s in rows.indices(HEIGHT)[:2])),
            slice(*(s // step for s in columns.indices(WIDTH)[:2])),
        ] = 0
    return y, u, v


def worst(spec: GreenSpec | BarsSpec, frame: Frame, **kwargs: Any) -> float:
    y, u, v = frame
    return max(r.value for r in readings(spec.build(), [picture(y, chroma=lambda: (u, v), **kwargs)]))


# green


@pytest.mark.parametrize(
    "damaged", [zeroed(scene(), slice(None)), zeroed(scene(), slice(180, 360)), zeroed(scene(), slice(96, 128))]
)
def test_missing_data_is_green_from_its_first_frame_to_its_last(damaged: Frame) -> None:
    assert incidents(GREEN, during(damaged)) == [(1.04, 2.44)]


@pytest.mark.parametrize("level", [3, 252])
def test_lost_chroma_is_found_within_a_frame_though_luma_goes_on(level: int) -> None:
    lost = plain(0, level, level)
    frames = shown((scene(n)[0], *lost[1:]) if 25 <= n < 60 else scene(n) for n in range(90))
    ((start_s, end_s),) = incidents(GREEN, frames)
    assert start_s == pytest.approx(1.0, abs=0.041)
    assert end_s == pytest.approx(2.4, abs=0.001)


def test_scattered_missing_macroblocks_are_green() -> None:
    damaged = scene()
    for number in range(0, 880, 30):  # 3 % of 40x22
        y, x = number // 40 * 16, number % 40 * 16
        damaged = zeroed(damaged, slice(y, y + 16), slice(x, x + 16))
    assert worst(GREEN, damaged) >= 0.02


def test_greens_that_exist_are_no_defect() -> None:
    lawn, studio, purest = (
        np.full((HEIGHT, WIDTH, 3), c) for c in ((0.24, 0.45, 0.12), (0.0, 0.7, 0.25), (0.0, 1.0, 0.0))
    )
    for colour in (lawn, studio, purest):
        assert worst(GREEN, yuv(colour)) == 0.0
        assert worst(GREEN, yuv(colour, red=0.299, blue=0.114)) == 0.0
    assert worst(GREEN, bars(1.0)) == 0.0


def test_the_purest_green_of_full_range_is_no_defect_and_ten_bit_zero_is() -> None:
    assert worst(GREEN, plain(182, 30, 12), full_range=True) == 0.0
    zero = np.zeros((HEIGHT, WIDTH), np.uint16)
    (reading,) = readings(GREEN.build(), [picture(zero, bit_depth=10, chroma=lambda: (zero[::2, ::2], zero[::2, ::2]))])
    assert reading.bad


# bars


@pytest.mark.parametrize("level", [0.75, 1.0])
@pytest.mark.parametrize("matrix", [{}, {"red": 0.299, "blue": 0.114}], ids=["BT.709", "BT.601"])
def test_colour_bars_are_found_to_the_frame(level: float, matrix: dict[str, float]) -> None:
    assert incidents(BARS, during(bars(level, **matrix))) == [(1.04, 2.44)]


def test_bars_over_a_part_of_the_height_with_a_box_and_in_a_pillarbox_are_bars() -> None:
    boxed = bars()
    boxed[0][120:220, 160:480] = 16
    boxed[1][60:110, 80:240] = boxed[2][60:110, 80:240] = 128
    assert worst(BARS, boxed) > 0.5
    assert worst(BARS, bars(rows=0.3)) > 0.25
    pillars = plain(16, 128, 128)
    for plane, part in zip(pillars, bars(), strict=True):
        side = plane.shape[1] // 8
        plane[:, side:-side] = cv2.resize(
            part, (plane.shape[1] - 2 * side, plane.shape[0]), interpolation=cv2.INTER_AREA
        )
    assert worst(BARS, pillars) > 0.9


def test_a_pattern_of_all_primaries_in_another_order_is_bars() -> None:
    rgb = np.repeat(np.array([[(n >> 2) & 1, (n >> 1) & 1, n & 1] for n in range(8)], float), WIDTH // 8, axis=0)
    assert worst(BARS, yuv(np.broadcast_to(rgb, (HEIGHT, WIDTH, 3)))) > 0.9


def test_colourful_pictures_are_no_bars() -> None:
    hue = np.tile(np.linspace(0, 179, WIDTH).astype(np.uint8), (HEIGHT, 1))
    full = np.full_like(hue, 255)
    rainbow = cv2.cvtColor(np.dstack([hue, full, full]), cv2.COLOR_HSV2RGB) / 255.0
    assert worst(BARS, yuv(rainbow)) == 0.0
    assert worst(BARS, scene()) == 0.0
    monitor = scene()
    for plane, part in zip(monitor, bars(), strict=True):  # in the background of a studio
        height, width = plane.shape[0] // 4, plane.shape[1] // 4
        plane[:height, :width] = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    assert worst(BARS, monitor) == 0.0


# slate


def test_a_known_slate_is_found_however_it_is_scaled_and_encoded() -> None:
    slate = texture(seed=9)
    known = perceptual_hash(picture(slate).small)
    assert known is not None
    again = cv2.resize(slate, (480, 270)) // 8 * 8 + 12
    spec = SlateSpec(hashes=(known,), raise_after_s=0.3, clear_after_s=0.0)
    frames = film([again if 25 <= n < 60 else cv2.resize(panned(n), (480, 270)) for n in range(90)])
    assert incidents(spec, frames) == [(1.0, 2.4)]


def test_hashes_are_checked_and_a_plain_picture_has_none() -> None:
    assert perceptual_hash(np.full((180, 320), 90, np.uint8)) is None
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"hashes": ["black"]}, SlateSpec)


# signal_loss, in the picture


@pytest.mark.parametrize(
    "colour", [(41, 240, 110), (57, 198, 104), (126, 128, 128), (60, 127, 129), (81, 90, 240)],
    ids=["blue", "pale blue", "grey", "dark grey", "red"],
)  # fmt: skip
def test_a_flat_colour_is_loss_of_signal_to_the_frame(colour: tuple[int, int, int]) -> None:
    assert incidents(LOSS, during(plain(*colour)), "picture") == [(1.04, 2.44)]


def test_a_message_borders_and_noise_do_not_hide_it() -> None:
    blue = plain(57, 198, 104)
    cv2.putText(blue[0], "NO SIGNAL", (220, 190), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 235, 3)
    for plane, black in zip(blue, (16, 128, 128), strict=True):
        plane[:, : plane.shape[1] // 8] = plane[:, -plane.shape[1] // 8 :] = black
    assert incidents(LOSS, during(blue), "picture") == [(1.04, 2.44)]
    noise = np.random.default_rng(0).normal(0, 1.5, (HEIGHT, WIDTH)).round().astype(np.int8)
    assert incidents(LOSS, during(((blue[0] + noise).astype(np.uint8), *blue[1:])), "picture") == [(1.04, 2.44)]


@pytest.mark.parametrize(
    "colour", [(16, 128, 128), (225, 128, 128), (150, 145, 110), (0, 0, 0)], ids=["black", "white", "sky", "green"]
)
def test_black_white_skies_and_missing_data_are_no_loss_of_signal(colour: tuple[int, int, int]) -> None:
    assert flat_colour(shown([plain(*colour)])[0]) is None


@pytest.mark.parametrize(
    "words", [["The End"], ["Directed by", "A. N. Other"]], ids=["a title", "credits in two lines"]
)
@pytest.mark.parametrize("colour", [(41, 240, 110), (57, 198, 104), (81, 90, 240)], ids=["blue", "pale blue", "red"])
def test_a_title_card_on_a_flat_colour_is_no_loss_of_signal(words: list[str], colour: tuple[int, int, int]) -> None:
    card = plain(*colour)
    for line, text in enumerate(words):
        scale = 3.4 if len(words) == 1 else 1.2
        cv2.putText(card[0], text, (160, 170 + 60 * line), cv2.FONT_HERSHEY_SIMPLEX, scale, 235, 3)
    assert incidents(LOSS, during(card), "picture") == []


def test_a_page_of_text_and_a_fade_through_grey_are_no_loss_of_signal() -> None:
    page = plain(126, 128, 128)
    for line in range(6):
        cv2.putText(page[0], "Directed by A. N. Other", (60, 60 + 50 * line), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 230, 3)
    assert incidents(LOSS, during(page), "picture") == []
    fade = shown(plain(40 + 2 * n, 128, 128) for n in range(80))
    assert incidents(LOSS, fade, "picture") == []


def snow(seed: int, deviation: float = 55.0) -> Frame:
    noise = np.random.default_rng(seed).normal(126, deviation, (HEIGHT, WIDTH)).clip(0, 255).astype(np.uint8)
    return noise, *plain(0, 128, 128)[1:]


@pytest.mark.parametrize(
    ("held", "deviation"), [(1, 55.0), (2, 55.0), (1, 14.0)], ids=["each frame", "each second frame", "faint"]
)
def test_snow_is_loss_of_signal_to_the_frame(held: int, deviation: float) -> None:
    frames = shown(snow(n // held, deviation) if 26 <= n < 61 else scene(n) for n in range(90))
    assert incidents(LOSS, frames, "picture") == [(1.04, 2.44)]


def test_snow_of_which_an_encoder_smears_single_pictures_is_one_loss() -> None:
    def received(n: int) -> Frame:
        luma, u, v = snow(n)
        return (cv2.GaussianBlur(luma, (0, 0), 6) if n % 8 == 7 else luma), u, v

    frames = shown(received(n) if 26 <= n < 76 else scene(n) for n in range(100))
    assert incidents(LOSS, frames, "picture") == [(1.04, 3.04)]


@pytest.mark.parametrize("step", [3, 16])
def test_a_fine_texture_that_moves_is_no_snow(step: int) -> None:
    gravel = snow(1, 40.0)[0]
    frames = shown((np.roll(gravel, -step * n, axis=1), *plain(0, 128, 128)[1:]) for n in range(60))
    assert incidents(LOSS, frames, "picture") == []


# signal_loss, in the media


def packet(kind: str, at_s: float) -> PacketInfo:
    stream, length_s = (0, 0.04) if kind == "video" else (1, 0.02)
    return PacketInfo(kind, stream, at_s, length_s, at_s + 1.4, 500, True, False, Continuity.STEADY, 0.0, 0.0)


def media(holes: dict[str, tuple[float, float]], seconds: float = 10.0) -> list[PacketInfo | Picture]:
    """Packets of both tracks and the pictures, without those in the holes."""
    items: list[PacketInfo | Picture] = []
    for number in range(int(seconds * 50)):
        at_s = number / 50
        for kind in ("video", "audio") if number % 2 == 0 else ("audio",):
            from_s, to_s = holes.get(kind, (0.0, 0.0))
            if not from_s - 1e-6 <= at_s < to_s - 1e-6:
                items.append(packet(kind, at_s))
                if kind == "video":
                    items.append(picture(np.full((36, 64), number % 200, np.uint8), number // 2))
    return items


def lost(items: Sequence[PacketInfo | Picture]) -> list[tuple[float, float]]:
    return incidents(SignalLossSpec(raise_after_s=1.0, clear_after_s=0.0), items, "media")


def test_a_hole_in_all_tracks_is_loss_of_signal() -> None:
    assert lost(media({"video": (4.0, 6.0), "audio": (4.0, 6.0)})) == [(4.0, 6.0)]


def test_a_hole_in_one_track_or_a_short_one_is_not() -> None:
    assert lost(media({"video": (4.0, 6.0)})) == []
    assert lost(media({"video": (4.0, 5.0), "audio": (4.0, 5.0)})) == []


def test_sound_alone_dates_a_hole_where_there_are_no_pictures() -> None:
    items = [item for item in media({"audio": (4.0, 6.5)}) if isinstance(item, PacketInfo) and item.kind == "audio"]
    assert lost(items) == [(4.0, 6.5)]


def test_a_hole_that_was_waited_for_is_a_stall_of_the_source_which_is_told_by_itself() -> None:
    items = media({"video": (4.0, 6.0), "audio": (4.0, 6.0)})
    live = [msgspec.structs.replace(i, arrived_s=i.at_s or 0.0) if isinstance(i, PacketInfo) else i for i in items]
    assert lost(live) == []


def test_what_a_demuxer_held_back_until_the_stall_was_over_does_not_make_it_a_hole() -> None:
    items = media({"video": (4.0, 6.0), "audio": (4.0, 6.0)})
    live = [
        msgspec.structs.replace(i, arrived_s=6.0 if 3.95 < (i.at_s or 0.0) < 4.0 else i.at_s or 0.0)
        if isinstance(i, PacketInfo)
        else i
        for i in items
    ]
    assert [i for i in live if isinstance(i, PacketInfo) and i.arrived_s == 6.0 and (i.at_s or 0.0) < 4.0]
    assert lost(live) == []


def test_another_time_base_is_no_hole() -> None:
    before = [item for item in media({}, 3.0) if isinstance(item, PacketInfo)]
    after = [msgspec.structs.replace(p, at_s=(p.at_s or 0.0) + 33.0, continuity=Continuity.JUMP) for p in before]
    assert lost([*before, after[0]]) == []


# how verdicts become readings


def test_a_verdict_holds_until_the_next_look_and_not_across_a_hole() -> None:
    spans = Spans("x")
    luma = np.zeros((9, 9), np.uint8)
    told: list[Reading] = []
    for number in range(20):
        told += (
            spans.pass_by(picture(luma, number)) if number % 4 else spans.turn(picture(luma, number), 0.0, number == 8)
        )
    told += spans.turn(picture(luma, 100), 0.0, False)
    told += spans.finish()
    assert all(reading.part == "x" for reading in told)
    spoken = [(round(r.at_s * 25), round(r.until_s * 25), r.bad) for r in told]
    assert spoken == [(0, 8, False), *((n, n + 1, True) for n in range(8, 12)), (12, 20, False), (100, 101, False)]
