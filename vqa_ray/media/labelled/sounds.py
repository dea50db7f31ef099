"""Defects of the sound, put in before it is encoded; each changes the samples of its span in place."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from vqa_ray.media.labelled.defect import Defect
from vqa_ray.media.labelled.material import F32
from vqa_ray.media.synthetic.speech import RATE_HZ

EDGE = RATE_HZ // 50  # samples beside a hole that tell whether it is heard
HEADROOM = 0.9  # the largest sample of what was made louder without clipping
LINE_UP_HZ, LINE_UP = 1000.0, 0.125  # the tone that goes with colour bars: -18 dBFS (EBU R 68)


def apply(sound: F32, defects: Sequence[Defect], fps: Fraction, rng: np.random.Generator) -> None:
    """Put all that are defects of the sound into (2, n) samples."""
    for defect in defects:
        if defect.kind in SPOILED:
            first, last = (round(n / fps * RATE_HZ) for n in (defect.first, defect.last))
            SPOILED[defect.kind](sound, slice(first, last), defect, rng)


def _silence(sound: F32, span: slice, defect: Defect, rng: np.random.Generator) -> None:
    """Nothing, or noise at `level` dBFS."""
    shape = sound[:, span].shape
    sound[:, span] = 10 ** (defect.level / 20) * rng.standard_normal(shape) if defect.sub == "noise_floor" else 0.0


def _clipping(sound: F32, span: slice, defect: Defect, rng: np.random.Generator) -> None:
    """So much louder that the share `level` of the samples lies at the ceiling, which is where the sound is cut."""
    part, ceiling = sound[:, span], defect.ceiling
    limit = max(1e-4, float(np.quantile(np.abs(part), 1.0 - defect.level)))
    sound[:, span] = np.clip(part * (ceiling / limit), -ceiling, ceiling)


def _loudness(sound: F32, span: slice, defect: Defect, rng: np.random.Generator) -> None:
    """Louder or softer by `level` dB; where there is no headroom, all the rest is softer instead."""
    gain = 10 ** (defect.level / 20)
    if gain > 1:
        peak = max(1e-4, float(np.abs(sound[:, span]).max()))
        sound *= min(1.0, HEADROOM / (peak * gain))
    sound[:, span] *= gain


def _tone(sound: F32, span: slice, defect: Defect, rng: np.random.Generator) -> None:
    t = np.arange(sound[:, span].shape[1]) / RATE_HZ
    sound[:, span] = LINE_UP * np.sin(2 * np.pi * LINE_UP_HZ * t)


SPOILED: dict[str, Callable[[F32, slice, Defect, np.random.Generator], None]] = {
    "silence": _silence,
    "audio_dropout": _silence,
    "clipping": _clipping,
    "loudness": _loudness,
    "line_up_tone": _tone,
}


def best_heard(sound: F32, frames: range, length: int, fps: Fraction) -> int:
    """The first frame, of those given, from which on `length` frames of nothing are heard best.

    A hole is heard where sound breaks off and comes back, not in a pause: the softer of both edges is loudest.
    """

    def edge(n: int) -> float:
        first, last = (round(k / fps * RATE_HZ) for k in (n, n + length))
        sides = sound[:, max(0, first - EDGE) : first], sound[:, last : last + EDGE]
        return min(float(np.square(side).mean()) if side.size else 0.0 for side in sides)

    return max(frames, key=edge)


def level_db(sound: F32) -> float:
    """Root mean square of the louder channel, dBFS."""
    return float(10.0 * np.log10(np.square(sound).mean(axis=1).max(initial=1e-12)))


def late(sound: F32, offset_s: float, from_s: float = 0.0) -> F32:
    """The sound that is late (+) or early (-) from a moment on; what is missing at an end is held from that end."""
    shift, first = round(offset_s * RATE_HZ), round(from_s * RATE_HZ)
    at = np.clip(np.arange(first, sound.shape[1]) - shift, 0, sound.shape[1] - 1)
    return np.concatenate([sound[:, :first], sound[:, at]], axis=1)
