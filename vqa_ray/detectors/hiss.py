"""An electronic noise floor, as opposed to a quiet room: even, white, and the sound before it was cut off."""

import numpy as np

from vqa_ray.core.audio import AudioBlock

EVEN = 2.2  # largest slot over the smallest in 0.1 s; noise as one hears it of two channels stays below 1.7
DARK = 0.88  # correlation of neighbouring samples; 0 is white, 0.6 after MPEG audio, and the rooms of ours 0.97
FALL = 5.0  # times (14 dB), from the sound to the floor,
FALL_SLOTS = 4  # within so many slots of 10 ms: a codec smears it over three, and no dry room is as fast
NEAR = 1.4  # times the floor: there


def is_hiss(block: AudioBlock) -> bool:
    """Whether the whole block is even, white noise."""
    levels = block.loudest
    if max(levels) > EVEN * min(levels):
        return False
    alike = sum(float(np.dot(channel[1:], channel[:-1])) for channel in block.samples)
    return alike < DARK * sum(block.energies)


def cut_off(before: list[float], levels: list[float], floor: float) -> bool:
    """Whether sound fell to the floor at once: `before` ends with it, `levels` begin with it; linear peaks of slots."""
    reached = next((n for n, level in enumerate(levels) if level <= NEAR * floor), len(levels))
    path = [*before[-FALL_SLOTS:], *levels[:reached]][-FALL_SLOTS:]
    return max(path, default=0.0) >= FALL * floor
