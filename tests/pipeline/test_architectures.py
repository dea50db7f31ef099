"""The pipeline cut into stages and handed over as bytes finds what one process finds; the emulator is really asked."""

import random

import numpy as np
import pytest

from benchmarks import clips
from benchmarks.architectures import converter, one_process, reel, stages
from benchmarks.architectures.wire import (
    JPEG,
    RAW,
    SMALL,
    Chain,
    pack_block,
    pack_picture,
    unpack_blocks,
    unpack_pictures,
)
from vqa_ray.core.audio import AudioBlock
from vqa_ray.core.picture import Picture


@pytest.fixture(scope="session")
def clip():
    return str(reel.make(clips.sd(reel.SHORTEST_S)))


def picture(bit_depth=8, shape=(90, 160)):
    rng = np.random.default_rng(1)
    high, dtype = 1 << bit_depth, np.uint8 if bit_depth == 8 else np.uint16
    planes = [rng.integers(0, high, size, dtype) for size in (shape, (45, 80), (45, 80))]
    strided = np.asfortranarray(planes[0])
    return Picture(
        strided, at_s=1.0, until_s=1.04, bit_depth=bit_depth, key=True, chroma=lambda: (planes[1], planes[2])
    )


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_a_raw_picture_comes_back_as_it_was(bit_depth):
    sent = picture(bit_depth)
    (shown,) = unpack_pictures(pack_picture(5, sent, 2.5, RAW))
    back = Chain().picture(shown)
    assert (shown.head.seq, shown.head.decoded_s) == (5, 2.5)
    assert (back.at_s, back.until_s, back.bit_depth, back.key, back.corrupt) == (1.0, 1.04, bit_depth, True, False)
    assert np.array_equal(back.luma, sent.luma)
    assert all(np.array_equal(a, b) for a, b in zip(back.chroma, sent.chroma, strict=True))


def test_a_small_picture_is_the_small_luma_of_the_sender():
    sent = picture(shape=(720, 1280))
    (shown,) = unpack_pictures(pack_picture(0, sent, 0.0, SMALL))
    assert np.array_equal(shown.planes[0], sent.small)


def test_a_jpeg_is_near_and_smaller():
    rows = np.add.outer(np.arange(90), np.arange(160)).astype(np.uint8)
    sent = Picture(rows, at_s=0.0, until_s=0.04)
    packed = pack_picture(0, sent, 0.0, JPEG)
    (shown,) = unpack_pictures(packed)
    assert len(packed) < rows.size // 2
    assert np.abs(shown.planes[0].astype(int) - rows).mean() < 3


def test_sound_comes_back_as_it_was():
    samples = np.random.default_rng(1).normal(size=(2, 4800)).astype(np.float32)
    block = AudioBlock(samples, at_s=0.5, until_s=0.6, rate_hz=48_000, channels=("FL", "FR"))
    ((seq, back),) = unpack_blocks(pack_block(3, block))
    assert seq == 3
    assert np.array_equal(back.samples, samples)
    assert back.channels == ("FL", "FR")


def staged(path, *, batch_s, shuffle=False):
    """What a detector a host finds, its state carried as bytes from batch to batch."""
    chosen = stages.profile()
    specs = stages.ranked(chosen.specs)
    hosts = {spec.id: stages.Host(specs, [spec.id]) for spec in specs}
    collector = stages.Collector("test", chosen, len(hosts))
    messages = []
    for batch in converter.convert(path, chosen, batch_s):
        for name, host in hosts.items():
            following = stages.Host(specs, [name])
            following.resume(host.state())
            hosts[name] = following
            said = following.feed(
                batch.pictures if "video" in following.wants else (),
                batch.sounds if "audio" in following.wants else None,
                stages.read_others(stages.write_others(batch.others)) if following.wants_others else (),
            )
            messages.append((batch.number, name, said))
    if shuffle:
        random.Random(1).shuffle(messages)
    for message in messages:
        collector.add(*message)
        collector.add(*message)  # at least once, as queues have it
    collector.finish([one for host in hosts.values() for one in host.finish()])
    return sorted(collector.told)


def test_stages_find_what_one_process_finds_whatever_the_batches_and_their_order(clip):
    alone, _, _ = one_process.timed(clip, stages.profile())
    assert {one.detector for one in alone} >= {"black", "silence", "freeze", "cc_error", "corruption"}
    assert staged(clip, batch_s=1.0, shuffle=True) == sorted(alone)
    assert staged(clip, batch_s=0.4) == sorted(alone)


def test_the_emulator_is_asked_for_every_object_state_and_message(clip):
    pytest.importorskip("moto")
    import msgspec

    from benchmarks.architectures import serverless
    from benchmarks.architectures.outcome import Outcome

    variant = serverless.Variant(name="grouped", together=True, grouped=True)
    done = msgspec.convert(serverless.run(clip, reel.SHORTEST_S, msgspec.to_builtins(variant)), Outcome)
    seconds, functions = 9, 3
    asked = done.requests
    assert asked["states StartExecution"] == seconds == done.executions
    assert done.transitions == seconds * (1 + functions)
    assert asked["dynamodb GetItem"] == asked["dynamodb PutItem"] == seconds * functions
    assert asked["sqs SendMessage"] == seconds * functions
    # a second's pictures are one object, which one function reads
    assert asked["s3 PUT pictures"] == asked["s3 GET pictures"] == seconds
    assert done.moved_bytes["s3 PUT pictures in"] > done.frames * 640 * 360 * 1.5
    # sound and packets of a second are written once, besides states that are too large for DynamoDB
    states = asked["s3 PUT others"] - 2 * seconds
    assert 0 < states <= seconds * functions
    # one function reads sound, two read packets, and each its state but of the last second
    assert 1 <= 3 * seconds + states - asked["s3 GET others"] <= functions
    alone, latency_s, _ = one_process.timed(clip, stages.profile())
    assert sorted(map(tuple, done.told)) == sorted(alone)
    assert asked["sns Publish"] == 2 * len(alone)  # opened, closed
    assert 0.0 < done.hand_over_share < 1.0
    assert all(sum(call.rounds.values()) == call.trips for call in done.calls)
    # the lost packets may be all there was of a picture
    assert len(done.latency_s) == done.frames == len(latency_s)
    assert 0.95 * reel.SHORTEST_S * 25 < done.frames <= reel.SHORTEST_S * 25
