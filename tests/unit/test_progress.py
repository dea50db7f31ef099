"""How far a stream is, and when it is time to look how late it is."""

from vqa_ray.pipeline.progress import Progress

TICK_S = Progress.TICK_S


def test_it_is_as_far_as_the_start_of_its_newest_media_since_an_end_may_be_a_guess():
    progress = Progress(0.0)
    progress.reached(10.0, 10.04)
    progress.reached(10.04, 16.0)  # a key frame that is shown until the next one
    assert (progress.reached_s, progress.until_s, progress.seen_s) == (10.04, 16.0, 10.04 - 10.0)


def test_just_after_a_silence_nothing_is_measured():
    progress = Progress(0.0)
    progress.connected(0.0, segmented=False)
    progress.packet(0.1)
    assert progress.due(TICK_S)
    progress.packet(6.0)
    assert not progress.due(6.0)
    assert not progress.due(6.0 + 0.9 * TICK_S)
    progress.packet(6.1)
    assert progress.due(6.0 + TICK_S)


def test_between_the_bursts_of_segmented_media_there_is_no_silence():
    progress = Progress(0.0)
    progress.connected(0.0, segmented=True)
    progress.packet(0.1)
    progress.packet(6.0)
    assert progress.due(6.0)
