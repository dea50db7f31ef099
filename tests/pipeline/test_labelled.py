"""Generated labelled files: what the labels say is in the file, to the frame, and the same seed gives the same file."""

import itertools
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from vqa_ray.cli.main import cli
from vqa_ray.core.labels import LabelledFile
from vqa_ray.errors import SourceError
from vqa_ray.media.continuity import ContinuityCheck
from vqa_ray.media.labelled import CLASSES, Job, clean_job, inject, jobs, make
from vqa_ray.media.labelled.material import Clip, closed
from vqa_ray.media.synthetic import Fault, FaultKind, Programme, write_file
from vqa_ray.pipeline.evaluate import evaluate, read_manifest

FPS = 25
BLACK = 24.0  # mean luma of a black picture, with what a codec adds


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    """A small clean clip: cheap to encode again."""
    path = tmp_path_factory.mktemp("clip") / "clean.mp4"
    return str(write_file(path, 14.0, Programme(width=160, height=96, fps=FPS, seed=3)))


def made(folder: Path, kind: str, index: int, clip: str, seed: int = 1) -> LabelledFile:
    return make(Job(kind, index, seed, events=2, clip=clip), folder)


def frames(path: Path) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Seconds from the first picture, luma and U of every decoded picture."""
    with av.open(str(path)) as container:
        found = [(frame.time, frame.to_ndarray(format="yuv420p")) for frame in container.decode(video=0)]
    height = found[0][1].shape[0] * 2 // 3
    return [
        (at - found[0][0], picture[:height].astype(np.int16), picture[height : height * 5 // 4].astype(np.int16))
        for at, picture in found
    ]


def inside(file: LabelledFile, kind: str, at_s: float) -> bool:
    return any(one.kind == kind and one.start - 0.01 <= at_s < one.end - 0.01 for one in file.labels)


def sound(path: Path) -> tuple[np.ndarray, float]:
    """Samples of the left channel at 48 kHz, and when they begin, from the first picture."""
    with av.open(str(path)) as container:
        first_s = next(container.decode(video=0)).time
    resampler = av.AudioResampler("fltp", "stereo", 48_000)
    with av.open(str(path)) as container:
        decoded = list(container.decode(audio=0))
        samples = [part.to_ndarray()[0] for frame in decoded for part in resampler.resample(frame)]
    return np.concatenate(samples), decoded[0].time - first_s


@pytest.mark.parametrize("kind", CLASSES)
def test_the_same_seed_gives_the_same_file_and_labels(kind, clip, tmp_path):
    events = 1
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = (make(Job(kind, 0, 1, events, clip=clip), folder) for folder in folders)
    assert one == two
    assert one.labels
    assert (folders[0] / one.file).read_bytes() == (folders[1] / two.file).read_bytes()
    assert [path.name for path in folders[0].iterdir()] == [one.file]  # nothing is left of the work


def test_another_seed_gives_another_file(clip, tmp_path):
    one, two = (made(tmp_path, "black", 0, clip, seed=seed).labels for seed in (1, 2))
    assert one != two


@pytest.mark.parametrize("index", range(4))
def test_black_pictures_are_those_of_the_label(index, clip, tmp_path):
    file = made(tmp_path, "black", index, clip)
    shown = frames(tmp_path / file.file)
    assert len(shown) == round(file.seconds * FPS)
    assert {one.kind for one in file.labels} <= {"black", "silence"}
    for at_s, luma, _ in shown:
        assert (luma.mean() < BLACK) == inside(file, "black", at_s), (file.tags, at_s)


@pytest.mark.parametrize("index", range(5))
def test_frozen_pictures_are_those_of_the_label(index, clip, tmp_path):
    file = made(tmp_path, "freeze", index, clip)
    shown = [luma for _, luma, _ in frames(tmp_path / file.file)]

    def differs(n: int, from_n: int) -> float:
        return float(np.abs(shown[n] - shown[from_n]).mean())

    for one in file.labels:
        first, last = round(one.start * FPS), round(one.end * FPS)
        held = max(differs(n, first + 1) for n in range(first, last))
        assert held < 4.0, (file.tags, one)
        assert differs(last, last - 1) > 2 * held, (file.tags, one)
        assert differs(first - 8, first) > 2 * differs(first, first + 1), (file.tags, one)


@pytest.mark.parametrize("index", range(4))
def test_green_pictures_are_those_of_the_label(index, clip, tmp_path):
    file = made(tmp_path, "green", index, clip)
    forms = {one.sub: one for one in file.labels}
    for at_s, _, u in frames(tmp_path / file.file):
        least = np.sort(u.ravel())[: u.size // 50].mean()  # of the 2 % of the picture with the least blue
        assert (least < 45) == inside(file, "green", at_s), (file.tags, forms, at_s)


@pytest.mark.parametrize("kind", ["bars", "signal_loss"])
def test_replaced_pictures_are_those_of_the_label(kind, clip, tmp_path):
    file = made(tmp_path, kind, 0, clip)
    shown = frames(tmp_path / file.file)
    starts = [
        n
        for n, (at_s, _, _) in enumerate(shown)
        if n and inside(file, kind, at_s) != inside(file, kind, shown[n - 1][0])
    ]
    assert len(starts) == 2 * sum(one.kind == kind for one in file.labels)
    for n in starts:
        assert np.abs(shown[n][1] - shown[n - 1][1]).mean() > 12, (file.labels, shown[n][0])


@pytest.mark.parametrize("kind", ["silence", "audio_dropout"])
def test_what_is_silent_is_what_the_label_says(kind, clip, tmp_path):
    file = made(tmp_path, kind, 0, clip)
    samples, begins_s = sound(tmp_path / file.file)

    def level(from_s: float, to_s: float) -> float:
        part = samples[round((from_s - begins_s) * 48_000) : round((to_s - begins_s) * 48_000)]
        return float(20 * np.log10(np.sqrt(np.mean(part**2)) + 1e-9))

    for one in file.labels:
        middle = (one.start + one.end) / 2
        assert level(middle - 0.005, middle + 0.005) < -55
        assert level(one.start - 0.1, one.start) > -45
        assert level(one.end, one.end + 0.1) > -50


def test_sound_that_is_clipped_has_flat_tops_where_the_label_says(clip, tmp_path):
    file = made(tmp_path, "clipping", 0, clip)
    samples, begins_s = sound(tmp_path / file.file)
    for one in file.labels:
        first, last = (round((moment - begins_s) * 48_000) for moment in (one.start, one.end))
        inside_it, before = np.abs(samples[first:last]), np.abs(samples[first - 48_000 : first])
        near_top = [(part > 0.9 * np.quantile(part, 0.999)).mean() for part in (inside_it, before)]
        assert near_top[0] > 0.005
        assert inside_it.max() > before.max()


def test_loudness_changes_where_the_label_says(clip, tmp_path):
    file = make(Job("loudness", 0, 1, events=1, clip=clip), tmp_path)
    samples, begins_s = sound(tmp_path / file.file)
    (one,) = file.labels
    at = [round((moment - begins_s) * 48_000) for moment in (one.start - 2, one.start, one.start + 2)]
    before, within = (20 * np.log10(np.sqrt(np.mean(samples[a:b] ** 2))) for a, b in zip(at, at[1:], strict=False))
    assert (within > before + 6) if one.sub == "jump_up" else (within < before - 6)


def test_timestamps_gap_as_the_label_says(clip, tmp_path):
    file = made(tmp_path, "pts_gap", 0, clip)
    times = [at_s for at_s, _, _ in frames(tmp_path / file.file)]
    gaps = [(a + 1 / FPS, b) for a, b in zip(times, times[1:], strict=False) if b - a > 1.5 / FPS]
    labels = [(one.start, one.end) for one in file.labels if one.kind == "pts_gap"]
    assert np.allclose(gaps, labels, atol=0.002)
    assert len(times) == round(file.seconds * FPS)


@pytest.mark.parametrize("index", range(4))
def test_timestamps_jump_as_the_label_says(index, clip, tmp_path):
    file = make(Job("pts_jump", index, 1, events=1, clip=clip), tmp_path)
    (one,) = file.labels
    for streams in ({"video": 0}, {"audio": 0}):
        with av.open(str(tmp_path / file.file)) as container:
            packets = [p for p in container.demux(**streams) if p.pts is not None]
            times = [float(p.pts * p.time_base) for p in packets]
        steps = [(b - a, a - times[0]) for a, b in zip(times, times[1:], strict=False)]
        jumped, at_s = max(steps, key=lambda step: abs(step[0]))
        usual = float(np.median([step for step, _ in steps]))
        assert jumped - usual == pytest.approx(one.value, abs=0.02)
        if "video" in streams:
            assert at_s + usual == pytest.approx(one.start, abs=0.002)


def test_counters_break_where_the_label_says(clip, tmp_path):
    for index in range(3):
        file = made(tmp_path, "cc_error", index, clip)
        check = ContinuityCheck()
        check.feed((tmp_path / file.file).read_bytes())
        labels = [one for one in file.labels if one.kind == "cc_error"]
        assert len(labels) == 2
        assert len(check.breaks) >= 2
        assert {found.pid for found in check.breaks} == {257 if labels[0].sub == "audio_pid" else 256}


@pytest.mark.parametrize("index", range(4))
def test_damage_is_labelled_where_pictures_differ(index, clip, tmp_path):
    file = made(tmp_path, "corruption", index, clip)
    labels = [one for one in file.labels if one.kind == "corruption"]
    assert labels
    assert all(0 < one.start < one.end <= file.seconds for one in labels)
    assert all(one.value is not None and one.value > 0.002 for one in labels)


def test_corruption_comes_in_every_form(clip, tmp_path):
    forms = {
        one.sub for index in range(8, 18) for one in make(Job("corruption", index, 1, 1, clip=clip), tmp_path).labels
    }
    assert {"packet_loss", "bitflip", "slice_loss", "baked"} <= forms


def test_what_the_clip_has_by_itself_counts_neither_way(tmp_path):
    faults = [Fault(FaultKind.BLACK, 3.0, 2.0), Fault(FaultKind.SILENCE, 8.0, 2.0)]
    path = write_file(tmp_path / "own.mp4", 12.0, Programme(width=160, height=96, fps=FPS), faults)
    file = make(clean_job(0, 1, 24.0, [path]), tmp_path)
    assert not file.labels
    assert {"black", "freeze", "silence"} <= {soft.kind for soft in file.soft}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [json.loads(_json(file))]}))
    done = evaluate(tmp_path / "manifest.json")
    assert not done.unreadable
    assert not {"black", "silence"} & set(done.score.clean_alarms)


def test_a_clean_file_several_times_over_has_no_seam(tmp_path):
    path = write_file(tmp_path / "own.ts", 8.0, Programme(width=160, height=96, fps=FPS))
    file = make(clean_job(2, 3, 4.0, [path], times=3), tmp_path)
    assert file.seconds == pytest.approx(12.0)
    with av.open(str(tmp_path / file.file)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        shown, heard = [], []
        for frame in container.decode(video, audio):
            (shown if isinstance(frame, av.VideoFrame) else heard).append(frame)
    steps = np.diff([float(frame.pts * frame.time_base) for frame in shown])
    assert len(shown) == round(12.0 * Fraction(file.fps))
    assert steps == pytest.approx(steps[0], abs=1e-3)
    holes = [float((b.pts - a.pts) * a.time_base) - a.samples / a.sample_rate for a, b in itertools.pairwise(heard)]
    assert holes == pytest.approx([0.0] * len(holes), abs=1e-3)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [json.loads(_json(file))]}))
    assert not evaluate(tmp_path / "manifest.json").score.clean_alarms


def test_a_clip_whose_average_rate_is_odd_is_taken_at_the_usual_one(tmp_path):
    path = write_file(tmp_path / "own.mp4", 2.0, Programme(width=160, height=96, fps=30))
    odd = tmp_path / "odd.mp4"
    with av.open(str(path)) as source, av.open(str(odd), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                packet.pts, packet.dts = packet.pts * 9998 // 10000, packet.dts * 9998 // 10000
                target.mux(packet)
    with av.open(str(odd)) as container:
        assert container.streams.video[0].average_rate != 30
    assert Clip(odd).fps == 30


def test_sound_that_a_coder_faded_goes_on_from_the_end_of_a_clip_to_its_beginning():
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000) * np.ones((2, 1))
    tone[:, :960] *= np.linspace(0, 1, 960) ** 4
    tone[:, -960:] *= np.linspace(1, 0, 960) ** 4
    made = closed(tone.astype(np.float32))
    seam = np.abs(np.concatenate([made[0, -2400:], made[0, :2400]])).reshape(-1, 240).max(axis=1)  # of each 5 ms
    assert seam.min() > 0.25


def _json(file: LabelledFile) -> bytes:
    import msgspec

    return msgspec.json.encode(file)


def test_at_least_so_many_events_of_each_class_are_planned():
    planned = list(jobs(CLASSES, 7, 0))
    for kind in CLASSES:
        assert sum(job.events for job in planned if job.kind == kind) == 7
    assert len({job.stem for job in planned}) == len(planned)


def test_a_set_is_made_and_evaluated_from_the_command_line(clip, tmp_path):
    folder = tmp_path / "set"
    arguments = ["inject", str(folder), clip, "--classes", "black,silence", "--events", "3", "--clean", "10"]
    result = CliRunner().invoke(cli, arguments, prog_name="vqa")
    assert result.exit_code == 0, result.output
    manifest = read_manifest(folder / "manifest.json")
    assert sum(one.kind == "black" for file in manifest.files for one in file.labels) >= 3
    assert sum(file.seconds for file in manifest.files if not file.labels) == pytest.approx(10.0)
    result = CliRunner().invoke(cli, ["evaluate", str(folder / "manifest.json"), "--errors"], prog_name="vqa")
    assert result.exit_code in (0, 1), result.output
    assert "black" in result.output
    assert "3/3" in result.output


def test_a_synthetic_programme_stands_in_for_clips(tmp_path):
    path = inject(tmp_path / "set", classes=["black"], events=1, clean_seconds=0.0, seed=4)
    (file,) = read_manifest(path).files
    assert file.source.startswith("synthetic programme")
    assert evaluate(path).score.of("black").recall == 1.0


def test_a_clip_that_is_no_video_is_refused(tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    with pytest.raises(SourceError, match=r"notes\.mp4"):
        make(Job("black", 0, 1, events=1, clip=str(text)), tmp_path)
