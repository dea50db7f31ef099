"""One file in the making: where it goes, what it shows, the random numbers it is drawn from."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vqa_ray.core.labels import Label, LabelledFile, Soft
from vqa_ray.media.labelled import sounds
from vqa_ray.media.labelled.coding import Coding, encode
from vqa_ray.media.labelled.defect import Defect
from vqa_ray.media.labelled.material import F32, U8, USUAL_RATES, Material
from vqa_ray.media.labelled.natural import Watch, begins_again, natural_sound
from vqa_ray.media.labelled.pictures import defective

CODINGS = (
    Coding(suffix=".mp4", codec="libx264", audio="aac"),
    Coding(suffix=".ts", codec="libx264", audio="aac"),
    Coding(suffix=".ts", codec="libx264", audio="mp2"),
    Coding(suffix=".mkv", codec="libx264", audio="ac3"),
    Coding(suffix=".ts", codec="mpeg2video", audio="mp2"),
    Coding(suffix=".ts", codec="libx265", audio="aac"),
    Coding(suffix=".webm", codec="libvpx-vp9", audio="libopus"),
)
CODING_SHARES = (0.26, 0.2, 0.12, 0.12, 0.16, 0.08, 0.06)
LONGEST_START_S = 3600.0


class Shoot:
    """own: the material is a clip that somebody gave, in which there may be silence or a still by itself."""

    def __init__(self, folder: Path, stem: str, material: Material, rng: np.random.Generator, *, own: bool) -> None:
        self.folder, self.stem, self.material, self.rng, self._own = folder, stem, material, rng, own
        self.fps = material.fps
        self.start_s = float(rng.uniform(0.0, min(material.length_s, LONGEST_START_S)))
        self._watch = Watch(self.fps)

    def path(self, suffix: str) -> Path:
        """Where the file goes."""
        return self.folder / f"{self.stem}{suffix}"

    def frames(self, low_s: float, high_s: float) -> int:
        """A length between the two, in frames."""
        return max(1, round(float(self.rng.uniform(low_s, high_s)) * self.fps))

    def pick(self, *choices: Any) -> Any:
        """One of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def coding(self, *, megabits: tuple[float, float] = (0.8, 4.0), **fixed: Any) -> Coding:
        """A container, codecs, and a bit rate (log-uniform, for 640×360) at random; `fixed` overrides."""
        chosen = CODINGS[int(self.rng.choice(len(CODINGS), p=CODING_SHARES))]
        low, high = (np.log(limit) for limit in megabits)
        width, height = self.material.size
        scale = (width * height / (640 * 360)) ** 0.75
        values = {
            "bit_rate": int(np.exp(self.rng.uniform(low, high)) * 1e6 * scale),
            "key_every": max(12, int(self.fps * self.pick(1, 2, 2, 4))),
            "b_frames": self.pick(0, 2),
            "preset": self.pick("ultrafast", "veryfast"),
        }
        values |= fixed
        if values.get("codec", chosen.codec) == "mpeg2video" and self.fps not in USUAL_RATES:
            values["codec"] = "libx264"
        return _replaced(chosen, values)

    def sound(self, count: int) -> F32:
        """The clean sound of `count` frames, to be written to."""
        return self.material.sound(self.start_s, float(count / self.fps)).copy()

    def pictures(self, count: int) -> Iterator[U8]:
        """The clean pictures."""
        source = self.material.pictures(self.start_s)
        for _ in range(count):
            picture = next(source)
            if self._own:
                self._watch.see(picture)
            yield picture

    def stretch(self, first: int, last: int) -> Iterator[U8]:
        """The clean pictures from one frame to before another, to be looked at before they are taken."""
        return islice(self.material.pictures(self.start_s + float(first / self.fps)), last - first)

    def film(self, defects: Sequence[Defect], count: int, coding: Coding, sound: F32 | None = None) -> LabelledFile:
        """Encode `count` frames with the defects in them."""
        samples = self.sound(count) if sound is None else sound
        soft = self.natural(samples)
        sounds.apply(samples, defects, self.fps, self.rng)
        pictures = defective(self.pictures(count), defects, self.fps, self.rng)
        path = encode(self.path(coding.suffix), pictures, samples, self.fps, coding)
        made = [defect.label(self.fps) for defect in defects if defect.kind != "line_up_tone"]
        return self.labelled(path, made, count, coding, soft)

    def natural(self, samples: F32) -> list[Soft]:
        """Where the clip's own sound is silent, clipped or jumps, so that it counts neither way."""
        if not self._own:
            return []
        return [*natural_sound(samples), *begins_again(samples, self.material.length_s, self.start_s)]

    def labelled(
        self, path: Path, labels: Sequence[Label], count: int, coding: Coding, soft: Sequence[Soft] = ()
    ) -> LabelledFile:
        """The manifest's entry for a file."""
        seconds = round(float(count / self.fps), 6)
        return LabelledFile(
            path.name,
            tuple(sorted(labels, key=lambda label: label.start)),
            (*soft, *self._watch.soft()),
            duration=seconds,
            media_seconds=seconds,
            fps=str(self.fps),
            source=self.material.name,
            tags=(coding.name,),
        )


def _replaced(coding: Coding, values: dict[str, Any]) -> Coding:
    import msgspec

    return msgspec.structs.replace(coding, **values)


def seconds_of(frames: int, fps: Fraction) -> float:
    """Their length."""
    return float(frames / fps)
