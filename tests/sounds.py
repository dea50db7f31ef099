"""Sounds for the tests of detectors, made on the spot, (channels, n) float32 at 48 kHz."""

import numpy as np

RATE = 48_000


def speech(seconds: float, *, channels: int = 2, seed: int = 1, level: float = 0.1, pauses: bool = True) -> np.ndarray:
    """Like speech: a buzz in the colours of vowels, three syllables a second, pauses with room noise at -60 dBFS."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    at = np.arange(count) / RATE
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * at + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase + rng.uniform(0, 6)) / k**0.8 for k in range(1, 30))
    syllables = _slow(rng, count, 6.0)
    sentences = np.clip(12 * _slow(rng, count, 0.5) + (8 if pauses else 13), 0, 1)
    loud = np.clip(0.55 + 0.45 * syllables, 0.08, 1.0) * sentences
    hiss = rng.normal(0, 0.3, count) * np.clip(_slow(rng, count, 4.0), 0, 1)
    one = level * loud * (voice + hiss) / 1.5
    room = rng.normal(0, 0.001, (channels, count))
    return np.asarray(np.tile(one, (channels, 1)) + room, np.float32)


def music(seconds: float, *, channels: int = 2, seed: int = 1, level: float = 0.1) -> np.ndarray:
    """Like music: chords that change, decaying beats and a little noise, not the same in all channels."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    at = np.arange(count) / RATE
    out = rng.normal(0, 0.02, (channels, count))
    for bar in range(int(seconds * 2) + 1):
        span = slice(bar * RATE // 2, min(count, (bar + 1) * RATE // 2))
        if span.start >= count:
            break
        here = at[span] - at[span.start]
        root = 110 * 2 ** (rng.integers(0, 12) / 12)
        for note in (1.0, 1.26, 1.5, 2.0, 4.03):
            for channel in range(channels):
                out[channel, span] += np.sin(2 * np.pi * root * note * here + rng.uniform(0, 6)) * np.exp(-1.5 * here)
        out[:, span] += rng.normal(0, 1.2, (channels, len(here))) * np.exp(-40 * here)
    return np.asarray(out * level / 1.5, np.float32)


def _slow(rng: np.random.Generator, count: int, hz: float) -> np.ndarray:
    """A curve between about -1 and 1 that turns about `hz` times a second."""
    points = rng.uniform(-1, 1, int(count / RATE * 2 * hz) + 4)
    where = np.arange(count) / RATE * 2 * hz
    left = where.astype(int)
    share = (1 - np.cos(np.pi * (where - left))) / 2
    return np.asarray(points[left] * (1 - share) + points[left + 1] * share)
