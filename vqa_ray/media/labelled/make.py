"""Labelled files by class: how many, how each is drawn from the seed, and the manifest of them all."""

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from vqa_ray.core.labels import LabelledFile, Manifest
from vqa_ray.media.labelled import content, stream
from vqa_ray.media.labelled.material import Clip, Material, Synthetic
from vqa_ray.media.labelled.shoot import Shoot
from vqa_ray.media.labelled.variation import Varied, drawn

Maker = Callable[[Shoot, int], LabelledFile]
MAKERS: dict[str, Maker] = {
    "black": content.black,
    "freeze": content.freeze,
    "corruption": stream.corruption,
    "blockiness": content.blockiness,
    "green": content.green,
    "bars": content.bars,
    "signal_loss": content.signal_loss,
    "silence": content.silence,
    "audio_dropout": content.audio_dropout,
    "clipping": content.clipping,
    "loudness": content.loudness,
    "cc_error": stream.cc_error,
    "pts_gap": stream.pts_gap,
    "pts_jump": stream.pts_jump,
    "av_sync": content.av_sync,
}
CLASSES = tuple(MAKERS)
DEFAULT_CLASSES = tuple(kind for kind in CLASSES if kind != "av_sync")
"""Without av_sync: only where people are seen to speak can it be told from the content."""
EVENTS_A_FILE = {"pts_jump": 1, "av_sync": 1, "loudness": 1, "audio_dropout": 3, "black": 3, "silence": 3, "green": 3}
USUAL_EVENTS = 2
VARIED = 0.7  # of the files; the others show the material as it is


class Job(msgspec.Struct, frozen=True):
    """A file to make: the same job with the same material gives the same file.

    events: defects of class `kind` in it; kind "clean": `seconds` without any, `times` one after the other.
    """

    kind: str
    index: int
    seed: int
    events: int = 0
    seconds: float = 0.0
    times: int = 1
    clip: str = ""  # path; a synthetic programme where there is none

    @property
    def stem(self) -> str:
        """The file's name without suffix."""
        return f"{self.kind}-{self.index:04d}"


def jobs(classes: Sequence[str], events: int, seed: int, clips: Sequence[Path] = ()) -> Iterator[Job]:
    """What to make for at least `events` labels of each class; clips are taken in turn."""
    for kind in classes:
        each = EVENTS_A_FILE.get(kind, USUAL_EVENTS)
        for index in range(math.ceil(events / each)):
            clip = str(clips[index % len(clips)]) if clips else ""
            yield Job(kind, index, seed, events=min(each, events - index * each), clip=clip)


def clean_job(index: int, seed: int, seconds: float, clips: Sequence[Path] = (), times: int = 1) -> Job:
    """A file of `seconds` without any defect, so many times over."""
    clip = str(clips[index % len(clips)]) if clips else ""
    return Job("clean", index, seed, seconds=seconds, times=times, clip=clip)


def make(job: Job, folder: Path) -> LabelledFile:
    """Write the file of a job into `folder`; raises SourceError when its clip cannot be used."""
    rng = np.random.default_rng([job.seed, zlib.crc32(job.kind.encode()), job.index])
    material: Material = Clip(Path(job.clip)) if job.clip else Synthetic(int(rng.integers(1 << 30)))
    if job.kind == "clean" or rng.random() < VARIED:
        material = Varied(material, drawn(rng))
    shoot = Shoot(folder, job.stem, material, rng, own=bool(job.clip))
    if job.kind == "clean":
        return content.clean(shoot, job.seconds, job.times)
    return MAKERS[job.kind](shoot, job.events)


def inject(
    folder: Path,
    clips: Sequence[Path] = (),
    *,
    classes: Sequence[str] = DEFAULT_CLASSES,
    events: int = 6,
    clean_seconds: float = 60.0,
    seed: int = 0,
    on_file: Callable[[int, int], None] | None = None,
) -> Path:
    """Write files with at least `events` defects of each class, and `clean_seconds` without; the manifest's path.

    clips: clean material of one's own; without any, a synthetic programme. The same arguments give the same files.
    on_file is called after each with how many are made and how many there will be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(jobs(classes, events, seed, clips))
    whole = math.ceil(clean_seconds / CLEAN_FILE_S)
    wanted += [clean_job(index, seed, min(CLEAN_FILE_S, clean_seconds), clips) for index in range(whole)]
    made = []
    for number, job in enumerate(wanted, 1):
        made.append(make(job, folder))
        if on_file is not None:
            on_file(number, len(wanted))
    path = folder / "manifest.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(Manifest(tuple(made))), indent=1))
    return path


CLEAN_FILE_S = 30.0
