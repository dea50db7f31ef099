"""A stream in two halves on real media: the same incidents as the whole, and each detector's windows once."""

import time
from pathlib import Path

import av
import numpy as np
import pytest

from tests.pictures import texture
from vqa_ray.cluster.halving import halved
from vqa_ray.config import QC, Profile, StreamSpec
from vqa_ray.core.halves import PART, Half, second
from vqa_ray.core.notice import NoticeKind
from vqa_ray.core.window import HEALTH, WindowRow
from vqa_ray.pipeline.analysis import NOT_ANALYSED
from vqa_ray.pipeline.handover import together
from vqa_ray.pipeline.worker import Told, Worker

FPS, RATE = 25, 48_000
BLACK, FROZEN, SILENT, LOST = (2.0, 4.0), (6.0, 9.0), (6.5, 9.0), (11.0, 13.0)
SECONDS = 15


def within(at_s: float, span: tuple[float, float]) -> bool:
    return span[0] <= at_s < span[1]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Black, then a picture that stands still while its sound is gone, then blue."""
    path = tmp_path_factory.mktemp("halves") / "clip.mp4"
    moving = texture(640, 96, seed=3)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "25"})
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        audio = out.add_stream("aac", rate=RATE)
        noise = np.random.default_rng(1).normal(0, 0.1, SECONDS * RATE).astype(np.float32)
        for i in range(SECONDS * FPS):
            at_s = i / FPS
            shown = int(FROZEN[0] * FPS) if within(at_s, FROZEN) else i
            luma = moving[:, (shown * 3) % 480 :][:, :160]
            luma = np.full_like(luma, 16) if within(at_s, BLACK) else luma
            blue = within(at_s, LOST)
            planes = [np.full_like(luma, 41) if blue else luma]
            planes += [
                np.full((48, 80), 240 if blue else 128, np.uint8),
                np.full((48, 80), 110 if blue else 128, np.uint8),
            ]
            frame = av.VideoFrame.from_ndarray(np.concatenate([p.reshape(-1, 160) for p in planes]), "yuv420p")
            frame.pts = i
            out.mux(video.encode(frame))
        for i in range(0, len(noise), 1024):
            block = np.zeros(1024, np.float32)
            part = noise[i : i + 1024]
            block[: len(part)] = 0.0 if within(i / RATE, SILENT) or within(i / RATE, LOST) else part
            sound = av.AudioFrame.from_ndarray(np.stack([block, block]), "fltp", "stereo")
            sound.sample_rate, sound.pts = RATE, i
            out.mux(audio.encode(sound))
        for stream in (video, audio):
            out.mux(stream.encode(None))
    return path


class Watched:
    """What a worker said of one stream (or half), read to its end."""

    def __init__(self, clip: Path, name: str, profile: Profile) -> None:
        self.told: list[Told] = []
        self.rows: list[WindowRow] = []
        worker = Worker("w", tell=self.told.append, windows=self.rows.extend)
        try:
            worker.assign(StreamSpec(id=name, url=str(clip)), profile, 1)
            deadline_s = time.monotonic() + 60
            while worker.reports()[0].state != "ended" and time.monotonic() < deadline_s:
                time.sleep(0.05)
        finally:
            worker.stop(2.0)

    @property
    def incidents(self) -> list[tuple[object, ...]]:
        """What is the same whenever it was watched: the wall clock is not."""
        found = [(t.notice.kind, t.notice.incident) for t in self.told]
        return [
            (kind.value, i.stream_id, i.detector, i.part, i.severity.value, i.start_s, i.end_s, i.reason)
            for kind, i in found
        ]


@pytest.fixture(scope="module")
def whole(clip: Path) -> Watched:
    return Watched(clip, "a", QC)


@pytest.fixture(scope="module", params=[("silence", "black"), ("freeze", "signal_loss"), ("clipping",)])
def halves(clip: Path, request: pytest.FixtureRequest) -> tuple[Watched, Watched]:
    first, other = (Half(moved=request.param, second=place) for place in (False, True))
    return Watched(clip, "a", halved(QC, first)), Watched(clip, second("a"), halved(QC, other))


def test_both_halves_together_tell_what_the_whole_tells(whole: Watched, halves: tuple[Watched, Watched]) -> None:
    assert {one[2] for one in whole.incidents} >= {"black", "freeze", "silence", "signal_loss"}
    both = [one for half in halves for one in half.incidents]
    assert sorted(both, key=str) == sorted(whole.incidents, key=str)


def test_each_detectors_windows_are_written_by_one_half(whole: Watched, halves: tuple[Watched, Watched]) -> None:
    def counted(rows: list[WindowRow]) -> list[tuple[object, ...]]:
        kept = [row for row in rows if row.detector != HEALTH]
        return sorted((r.stream_id, r.detector, r.part, r.start_s, r.count, r.bad_share) for r in kept)

    assert counted([row for half in halves for row in half.rows]) == counted(whole.rows)


def test_what_a_half_says_is_of_the_stream_under_the_halfs_own_name(halves: tuple[Watched, Watched]) -> None:
    for half, name in zip(halves, ("a", second("a")), strict=True):
        assert {told.assigned for told in half.told} <= {name}
        assert {told.notice.incident.stream_id for told in half.told} <= {"a"}


def test_a_half_that_nobody_had_for_a_while_says_that_of_itself(clip: Path) -> None:
    rows: list[WindowRow] = []
    worker = Worker("w", tell=lambda told: None, windows=rows.extend)
    try:
        profile = halved(QC, Half(moved=("silence",), second=True))
        worker.assign(StreamSpec(id=second("a"), url=str(clip)), profile, 1)
        run = worker._runs[second("a")]
        run.analysis.missed(20.0, 23.0)
    finally:
        worker.stop(2.0)
    assert {(row.detector, row.part) for row in rows if row.coverage == 0.0} == {(NOT_ANALYSED, PART)}


def test_the_whole_goes_on_from_what_both_halves_had_open(clip: Path) -> None:
    moved = ("silence",)
    state = {}
    for place in (False, True):
        half = Half(moved=moved, second=place)
        name = second("a") if place else "a"
        told: list[Told] = []
        worker = Worker("w", tell=told.append)
        worker.assign(StreamSpec(id=name, url=str(clip)), halved(QC, half), 1)
        deadline_s = time.monotonic() + 60
        wanted = "silence" if place else "freeze"
        while time.monotonic() < deadline_s and not any(
            t.notice.incident.detector == wanted and t.notice.kind is NoticeKind.OPENED for t in told
        ):
            time.sleep(0.001)
        opened = [t for t in told if t.notice.incident.detector == wanted and t.notice.kind is NoticeKind.OPENED]
        state[place] = opened[0].notice.incident, opened[0].snapshot
        worker.stop(2.0)
    merged = together(state[False][1], state[True][1], moved)
    text = merged.decode()
    assert state[False][0].incident_id in text and state[True][0].incident_id in text
