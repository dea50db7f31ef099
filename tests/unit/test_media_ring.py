"""The ring of compressed packets."""

from av.packet import Packet
from hypothesis import given
from hypothesis import strategies as st

from vqa_ray.media.ring import ENTRY_BYTES, PacketRing


def add(ring: PacketRing, kind: str, size: int, key: bool, at_s: float) -> None:
    packet = Packet(bytes(size))
    packet.pts = round(at_s * 1000)
    ring.add(kind, packet, size, key, at_s)


@given(
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=120),
    gop=st.integers(1, 20),
    limit=st.integers(4000, 60_000),
)
def test_it_is_never_over_its_bytes_and_starts_with_a_key_frame(sizes, gop, limit):
    ring = PacketRing(limit)
    for n, size in enumerate(sizes):
        add(ring, "video", size, n % gop == 0, n * 0.04)
        add(ring, "audio", size // 10, True, n * 0.04)
        held = ring.packets()
        assert ring.size_bytes == sum(len(packet.data) + ENTRY_BYTES for packet in held) <= limit
        assert not held or (held[0].kind == "video" and held[0].key)


def test_it_holds_the_newest_gops_that_reach_back_far_enough_and_no_more():
    ring = PacketRing(1 << 20, 2.0)
    for n in range(100):
        add(ring, "video", 100, n % 10 == 0, n * 0.1)
    held = ring.packets()
    assert held[-1].at_s == 99 * 0.1
    assert held[0].at_s == 70 * 0.1


def test_a_gop_larger_than_the_ring_empties_it_until_the_next_key_frame():
    ring = PacketRing(4000)
    add(ring, "video", 1000, True, 0.0)
    add(ring, "video", 3900, False, 0.04)
    assert len(ring) == 0
    add(ring, "video", 10, False, 0.08)
    assert len(ring) == 0
    add(ring, "video", 10, True, 0.12)
    assert len(ring) == 1


def test_without_video_any_packet_starts_it():
    ring = PacketRing(5000, video=False)
    for n in range(100):
        add(ring, "audio", 200, True, n * 0.02)
    assert 0 < ring.size_bytes <= 5000
    assert ring.packets()[-1].pts == 1980


def test_packets_keep_what_a_muxer_needs():
    ring = PacketRing(5000)
    packet = Packet(b"abc")
    packet.pts, packet.dts, packet.duration = 7, 5, 2
    ring.add("video", packet, 3, True, 1.0)
    held = ring.packets()[0]
    assert (held.pts, held.dts, held.duration, held.key, held.data) == (7, 5, 2, True, b"abc")


def test_a_ring_of_no_bytes_holds_nothing():
    ring = PacketRing(0)
    add(ring, "video", 10, True, 0.0)
    assert len(ring) == 0


def test_without_room_nothing_is_held():
    ring = PacketRing(0)
    for n in range(10):
        add(ring, "video", 100, n % 5 == 0, n * 0.04)
        add(ring, "audio", 10, True, n * 0.04)
    assert (len(ring), ring.size_bytes, ring.entries()) == (0, 0, ())
