"""Detectors against a labelled set: every file is analysed as `vqa analyze` does it, and what is found is judged."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from vqa_ray.config import Profile
from vqa_ray.core.labels import Event, LabelledFile, Manifest
from vqa_ray.core.notice import Incident
from vqa_ray.core.scoring import Score
from vqa_ray.errors import ConfigError, SourceError
from vqa_ray.pipeline.local import analyze


class Evaluation(msgspec.Struct):
    """What was found of a labelled set. unreadable: files that could not be opened, and why."""

    score: Score
    detections: dict[str, list[Event]]
    unreadable: dict[str, str]


OnFile = Callable[[LabelledFile, int, int], None]


def evaluate(
    manifest: str | Path,
    *,
    profile: Profile | str = "qc",
    on_file: OnFile | None = None,
    workers: int | None = None,
) -> Evaluation:
    """Analyse all files of a manifest (JSON, see `vqa_ray.core.labels`) and judge what is found.

    The files lie beside it. on_file is called after each, with how many are done and how many there are. workers: files
    at a time, by default one a core. Raises ConfigError when the manifest cannot be used.
    """
    path = Path(manifest)
    files = read_manifest(path).files
    done = Evaluation(Score(), {}, {})
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = pool.map(lambda file: detect(path.parent / file.file, profile), files)
        for number, (file, result) in enumerate(zip(files, found, strict=True), 1):
            events = [] if isinstance(result, str) else result
            if isinstance(result, str):
                done.unreadable[file.file] = result
            done.detections[file.file] = events
            done.score.add(file, events)
            if on_file is not None:
                on_file(file, number, len(files))
    return done


def read_manifest(path: Path) -> Manifest:
    """The labelled set that a file describes; ConfigError names what is wrong with it."""
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: no manifest of labelled files: {error}") from None
    for file in manifest.files:
        if Path(file.file).is_absolute() or ".." in Path(file.file).parts:
            raise ConfigError(f"{path}: {file.file!r} is refused: files lie beside their manifest, or below it")
    return manifest


def detect(path: Path, profile: Profile | str) -> list[Event] | str:
    """The incidents of a file as they are when it ends; in words what kept it from being read."""
    try:
        return list(events(analyze(str(path), profile=profile)))
    except SourceError as error:
        return str(error)


def events(items: Iterable[object]) -> Iterator[Event]:
    """Each incident among the items once, as it was told last; one that lasts is as long as it was when it began."""
    last: dict[str, Incident] = {}
    for item in items:
        if isinstance(item, Incident):
            last[item.incident_id] = item
    for i in last.values():
        yield Event(i.detector, i.start_s, i.start_s if i.end_s is None else i.end_s, i.value, i.reason)
