"""Evidence of real media: what the stills show, what the clips hold, and that no store can hold a stream up."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from tests.media_factory import Audio, Video, luma_of, make
from tests.pipeline.test_worker import Sender, clip, port, profile, stream, until  # noqa: F401  (fixtures among them)
from vqa_ray.cli.main import cli
from vqa_ray.config import DetectorSet
from vqa_ray.core.evidence import EvidenceOptions, Record, base
from vqa_ray.core.notice import Incident
from vqa_ray.detectors.registry import by_id
from vqa_ray.errors import StoreError
from vqa_ray.pipeline.evidence import Desk
from vqa_ray.pipeline.local import analyze
from vqa_ray.pipeline.worker import Told, Worker
from vqa_ray.sinks.evidence import EvidenceStore
from vqa_ray.sinks.store import read_incidents

FPS, GOP = 25, 50
DARK = (152, 227)  # pictures: 6.08 s to 9.08 s, not at a key frame


def dark(n: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width), 16, np.uint8) if DARK[0] <= n < DARK[1] else luma_of(n, width, height)


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    """16 s of H.264 with B frames and AAC in a transport stream; black for three of them."""
    path = tmp_path_factory.mktemp("media") / "broken.ts"
    video = Video(size=(320, 180), gop=GOP, bframes=2, luma=dark)
    make(path, seconds=16.0, video=video, audio=Audio(), offset_s=100.0)
    return path


def proved(path: Path, folder: Path, *, name: str = "cam", **options: Any) -> list[Incident]:
    """The incidents of a file, black alone, with their evidence below `folder`."""
    chosen = EvidenceOptions(**options)
    desk = Desk(EvidenceStore(str(folder)), chosen, base=base(str(folder), chosen), wait=True)
    live = msgspec.structs.replace(profile(black=2.0), live=False)
    found = {one.incident_id: one for one in analyze(str(path), profile=live, stream_id=name, keeper=desk)}
    assert desk.close(30.0), desk.stats()
    return [one for one in found.values() if isinstance(one, Incident)]


def record_of(incident: Incident, moment: str = "start") -> Record:
    return msgspec.json.decode((Path(incident.evidence) / f"{moment}.json").read_bytes(), type=Record)


def video_of(data: bytes) -> list[Any]:
    with av.open(io.BytesIO(data)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def test_the_clip_begins_with_a_key_frame_before_the_start_and_shows_it(broken, tmp_path):
    (incident,) = proved(broken, tmp_path)
    told = record_of(incident).clip
    assert told is not None
    assert (told.whole, told.media_type) == (True, "video/mp4")
    assert told.from_s <= 4.0 + 0.001  # the key frame two seconds before, or more
    with av.open(str(Path(incident.evidence) / told.file)) as container:
        kinds = [one.type for one in container.streams]
        frames = [
            (frame.time, frame.key_frame, float(frame.to_ndarray()[:180].mean())) for frame in container.decode(video=0)
        ]
    assert kinds == ["video", "audio"]
    assert frames[0][1]
    first_dark_s = next(time_s for time_s, _, mean in frames if mean < 20)
    assert first_dark_s == pytest.approx(told.moment_s, abs=1e-3)
    assert any(time_s < first_dark_s for time_s, _, _ in frames)
    assert frames[-1][0] == pytest.approx(told.moment_s + 4.0, abs=0.2)


def test_the_packets_of_the_clip_are_those_of_the_source_bit_by_bit(tmp_path):
    make(tmp_path / "a.mp4", seconds=16.0, video=Video(size=(320, 180), gop=GOP, bframes=2, luma=dark), audio=Audio())
    source = [bytes(packet) for packet in video_of((tmp_path / "a.mp4").read_bytes())]
    (incident,) = proved(tmp_path / "a.mp4", tmp_path)
    told = record_of(incident).clip
    assert told is not None
    data = (Path(incident.evidence) / told.file).read_bytes()
    kept = [bytes(packet) for packet in video_of(data)]
    assert b"moof" in data[:20_000]  # fragmented: it plays while it is loaded
    first = source.index(kept[0])
    assert kept == source[first : first + len(kept)]
    assert first % GOP == 0 and first <= DARK[0] - 2 * FPS


def test_stills_are_from_before_at_and_after_and_the_first_bad_frame_is_exact(broken, tmp_path):
    (incident,) = proved(broken, tmp_path)
    record = record_of(incident)
    exact = [still.at_s for still in record.stills if still.exact]
    assert exact == pytest.approx([(DARK[0] - 1) / FPS, DARK[0] / FPS])
    assert record.at_s == pytest.approx(DARK[0] / FPS)
    others = [still.at_s for still in record.stills if not still.exact]
    assert sum(at_s < record.at_s for at_s in others) == 2
    assert sum(at_s > record.at_s for at_s in others) == 3
    assert max(others) <= record.at_s + 5.0
    first = cv2.imread(str(Path(incident.evidence) / "first.jpg"))
    assert first.shape == (180, 320, 3)
    assert first.mean() < 3
    strip = cv2.imread(str(Path(incident.evidence) / "start.jpg"))
    assert strip.shape[1] > 7 * 250


def test_the_values_go_from_good_to_bad_at_the_start(broken, tmp_path):
    (incident,) = proved(broken, tmp_path)
    record = record_of(incident)
    before = [point.mean for point in record.curve if point.at_s < record.at_s - 1.0]
    after = [point for point in record.curve if record.at_s <= point.at_s < record.at_s + 2.9]
    assert before and max(before) < 0.9
    assert len(after) > 60
    assert min(point.mean for point in after) > 0.95
    assert after[0].at_s == pytest.approx(record.at_s)


def test_a_long_incident_has_evidence_of_its_end_too(broken, tmp_path):
    (incident,) = proved(broken, tmp_path, before_s=1.0, after_s=1.0)
    end = record_of(incident, "end")
    assert end.at_s == pytest.approx(DARK[1] / FPS)
    assert [still.at_s for still in end.stills if still.exact] == pytest.approx([(DARK[1] - 1) / FPS, DARK[1] / FPS])
    assert end.clip is not None and end.clip.whole
    assert (Path(incident.evidence) / end.clip.file).stat().st_size == end.clip.size_bytes
    assert end.first is None


def test_bytes_of_a_clip_and_of_a_day_are_kept(broken, tmp_path):
    (small,) = proved(broken, tmp_path / "small", max_bytes=60_000)
    told = record_of(small).clip
    assert told is not None
    assert not told.whole
    assert told.size_bytes == (Path(small.evidence) / told.file).stat().st_size <= 60_000
    assert told.moment_s < 2.0  # it begins later, and still before the moment
    (poor,) = proved(broken, tmp_path / "poor", per_day_bytes=150_000)
    assert record_of(poor).clip is None
    assert sum(path.stat().st_size for path in (tmp_path / "poor").rglob("*") if path.is_file()) <= 150_000
    (none,) = proved(broken, tmp_path / "none", max_bytes=0)
    assert record_of(none).clip is None


@pytest.mark.parametrize("name", ["../x", "<script>alert(1)</script>", "/etc", "..", "a b\\c"])
def test_no_stream_id_leads_out_of_the_folder(name, broken, tmp_path):
    (incident,) = proved(broken, tmp_path / "store", name=name)
    assert incident.stream_id == name
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    inside = (tmp_path / "store" / "evidence").resolve()
    assert Path(incident.evidence).resolve().is_relative_to(inside)
    assert len(Path(incident.evidence).relative_to(tmp_path / "store" / "evidence").parts) == 3
    assert record_of(incident).incident.stream_id == name


def test_sound_alone_has_a_clip_and_a_curve(tmp_path):
    make(tmp_path / "a.mp3", seconds=12.0, audio=Audio("libmp3lame"))
    chosen = EvidenceOptions()
    desk = Desk(EvidenceStore(str(tmp_path)), chosen, base=base(str(tmp_path), chosen), wait=True)
    quiet = by_id["silence"](raise_after_s=0.5, enter_dbfs=-5.0, exit_dbfs=-4.0)  # the tone is at -20
    loud = msgspec.structs.replace(profile(black=1.0), live=False, detectors=DetectorSet(silence=quiet))
    found = [one for one in analyze(str(tmp_path / "a.mp3"), profile=loud, keeper=desk) if isinstance(one, Incident)]
    assert desk.close(30.0)
    record = record_of(found[0])
    assert record.clip is not None and record.stills == () and record.curve


def test_the_command_keeps_it_and_links_it_in_every_output(broken, tmp_path):
    arguments = ["analyze", broken, "--profile", "live", "--detectors", "black", "--json", "--store", tmp_path,
                 "--evidence", tmp_path]  # fmt: skip
    result = CliRunner().invoke(cli, list(map(str, arguments)), prog_name="vqa")
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert line["evidence"].startswith(f"{tmp_path}/evidence/date=")
    assert f"evidence: 1 moments, 1 clips in {tmp_path}/evidence" in result.stderr
    assert [one.evidence for one in read_incidents(str(tmp_path))] == [line["evidence"]]
    assert EvidenceStore(str(tmp_path)).names(line["evidence"].removeprefix(f"{tmp_path}/evidence/")) == [
        "first.jpg", "start.jpg", "start.json", "start.mp4",
    ]  # fmt: skip


class Slow:
    """A store that answers when it is let, and then fails."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def write(self, path: str, data: bytes) -> None:
        self.gate.wait(60.0)
        raise StoreError("store s3://x: it is gone")

    def used_bytes(self, day: str, stream_id: str) -> int:
        return 0


def test_a_live_stream_is_proved_and_shows_its_newest_picture(clip, port, tmp_path):  # noqa: F811
    told: list[Told] = []
    options = EvidenceOptions(after_s=1.0)
    desk = Desk(EvidenceStore(str(tmp_path)), options, base=base(str(tmp_path), options))
    worker = Worker("w", tell=told.append, keeper=desk)
    try:
        worker.assign(stream(port), profile(black=0.3), epoch=1)
        with Sender(clip, port):
            until(lambda: len(told) >= 2, 20)
            still = worker.still("one")
            assert still is not None and still.luma.shape == (96, 160)
            until(lambda: desk.stats().made >= 2, 20)
    finally:
        worker.stop(2.0)
        desk.close()
    opened, closed = (one.notice.incident for one in told[:2])
    assert opened.evidence == closed.evidence != ""
    assert b'"evidence":"' in told[0].snapshot  # it goes with the stream to the next owner
    for moment in ("start", "end"):
        record = record_of(closed, moment)
        assert record.clip is not None
        assert [still.exact for still in record.stills].count(True) == 2
        assert video_of((Path(closed.evidence) / record.clip.file).read_bytes())[0].is_keyframe
    assert worker.still("none") is None


def test_the_next_owner_has_the_end_although_it_did_not_see_the_start(clip, port, tmp_path):  # noqa: F811
    told: list[Told] = []
    options = EvidenceOptions(after_s=0.5)
    desk = Desk(EvidenceStore(str(tmp_path)), options, base=base(str(tmp_path), options))
    worker, other = (Worker(name, tell=told.append, keeper=desk) for name in "ab")
    try:
        worker.assign(stream(port), profile(black=0.3), epoch=1)
        with Sender(clip, port):
            until(lambda: len(told) == 1, 20)
            other.assign(stream(port), profile(black=0.3), epoch=2, snapshot=worker.release("one", 1))
            until(lambda: len(told) == 2, 20)
            until(lambda: desk.stats().made == 2, 20)
    finally:
        worker.stop(2.0)
        other.stop(2.0)
        desk.close()
    folder = Path(told[1].notice.incident.evidence)
    assert told[0].notice.incident.evidence == str(folder)
    assert {"start.json", "end.json", "end.jpg"} <= {path.name for path in folder.iterdir()}


def test_a_store_that_hangs_and_fails_costs_no_frame(clip, port):  # noqa: F811
    told: list[Told] = []
    seconds: dict[float, int] = {}

    def rows(found) -> None:
        seconds.update({row.start_s: row.count for row in found if row.detector == "black"})

    files = Slow()
    desk = Desk(files, EvidenceOptions(after_s=0.5), base="nowhere", cases=1)
    worker = Worker("w", tell=told.append, windows=rows, keeper=desk)
    try:
        worker.assign(stream(port), profile(black=0.3), epoch=1)
        with Sender(clip, port):
            until(lambda: len(told) >= 2, 20)
            until(lambda: desk.stats().dropped >= 1, 20)
            files.gate.set()
            until(lambda: desk.stats().failed >= 1, 20)
            report = worker.reports()[0]
    finally:
        files.gate.set()
        worker.stop(2.0)
        desk.close()
    assert (report.coverage, report.tier, report.faults) == (1.0, "all", 0)
    whole = sorted(seconds)[1:-1]
    assert len(whole) >= 3
    assert all(seconds[second] == FPS for second in whole)
