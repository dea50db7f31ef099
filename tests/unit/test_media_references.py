import io

import av
import numpy as np
import pytest
from av.packet import Packet

from vqa_ray.media.references import References, units

START = b"\0\0\0\1"


def packed(bits: str) -> bytes:
    return int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8)


def sequence(gaps: int = 0) -> bytes:
    """An SPS of the baseline profile, frame_num of 4 bits."""
    return b"\x67" + bytes([66, 0, 30]) + packed("1" + "1" + "011" + "010" + str(gaps) + "1")


def picture(number: int, *, reference: bool = True, idr: bool = False, first: bool = True) -> bytes:
    head = (0x60 if reference else 0) | (5 if idr else 1)
    return bytes([head]) + packed(("1" if first else "010") + "1" + "1" + f"{number:04b}" + "1" * 16)


def losses(pictures: list[bytes], sps: bytes | None = None) -> list[int]:
    """At which of the pictures one is missing before it; the first is a key frame."""
    followed = References(START + (sps or sequence()))
    return [n for n, unit in enumerate(pictures) if followed.lost(Packet(START + unit), n == 0)]


def test_numbers_in_a_row_and_their_wrap_lose_nothing() -> None:
    assert losses([picture(n % 16, idr=n == 0) for n in range(40)]) == []


def test_a_missing_number_is_told_once() -> None:
    numbers = [n % 16 for n in range(40) if n != 21]
    assert losses([picture(number) for number in numbers]) == [21]


def test_pictures_that_nothing_refers_to_may_be_missing() -> None:
    shown = [picture(0), picture(1), picture(2, reference=False), picture(2, reference=False), picture(2), picture(3)]
    assert losses(shown) == []
    assert losses([*shown[:3], *shown[4:]]) == []
    assert losses([picture(0), picture(3, reference=False), picture(3), picture(4)]) == [1]


def test_sequences_that_allow_for_gaps_lose_nothing() -> None:
    assert losses([picture(0), picture(5)], sequence(gaps=1)) == []


def test_later_slices_fields_and_key_frames_lose_nothing() -> None:
    assert losses([picture(0), picture(1), picture(1), picture(9, first=False), picture(5)]) == []
    followed = References(START + sequence())
    assert [followed.lost(Packet(START + picture(n)), key) for n, key in ((3, True), (9, True), (10, False))] == [
        False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "extradata", [None, b"", b"\1", b"\1" * 20, b"\0\0\1", START + b"\x67", b"\1\0\0\0\3\1\xff\xff"]
)
def test_damaged_headers_are_no_error(extradata: bytes | None) -> None:
    followed = References(extradata)
    rng = np.random.default_rng(0)
    for size in (0, 1, 3, 4, 5, 40, 5000):
        for data in (bytes(size), rng.bytes(size), START + rng.bytes(size), START + picture(1)[:2]):
            followed.lost(Packet(data), False)
    assert list(units(b"\0\0\0\7\1\2", 4)) == [b"\1\2"]


def test_of_an_encoded_file_a_dropped_picture_is_told_and_the_rest_is_not() -> None:
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "30", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(60):
            luma = np.roll(np.arange(64 * 72, dtype=np.uint32) % 251, number).astype(np.uint8).reshape(72, 64)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(luma, format="yuv420p")))
        container.mux(stream.encode())
    made.seek(0)
    with av.open(made) as container:
        extradata = container.streams.video[0].codec_context.extradata
        packets = [packet for packet in container.demux(video=0) if packet.size]
    whole, holed = References(extradata), References(extradata)
    assert not any(whole.lost(packet, packet.is_keyframe) for packet in packets)
    dropped = next(n for n, packet in enumerate(packets) if n > 5 and bytes(packet)[4] >> 5)
    told = [n for n, packet in enumerate(packets) if n != dropped and holed.lost(packet, packet.is_keyframe)]
    assert told == [dropped + 1]
