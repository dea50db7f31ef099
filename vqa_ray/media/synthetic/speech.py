"""Sound like somebody speaking in a room, over a bed of music or none: syllables, pauses, breath; never silent."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
RATE_HZ = 48_000
VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""Formants of vowels of men (Peterson & Barney 1952)."""
BANDWIDTH_HZ = 110.0
HIGHEST_HZ = 4200.0
ROOM = 0.004  # -48 dBFS: what a microphone hears when nobody speaks
SPEECH = 0.09  # root mean square of a syllable, about -21 dBFS
EDGE_S = 0.02  # a syllable swells and fades within


def speech(seed: int, seconds: float) -> F32:
    """(2, n) float32 at 48 kHz, full scale = 1, peaks below 0.8; the same for the same seed."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE_HZ)
    voice = np.zeros(count, np.float32)
    pitch_hz, at = float(rng.uniform(95, 210)), int(rng.integers(0, RATE_HZ // 5))
    left = int(rng.integers(4, 12))  # syllables of the phrase
    while at < count:
        made = _syllable(rng, pitch_hz * float(rng.uniform(0.85, 1.2)))[: count - at]
        voice[at : at + made.size] += made
        left -= 1
        at += made.size + int(RATE_HZ * (rng.uniform(0.0, 0.05) if left else rng.uniform(0.15, 0.6)))
        left = left or int(rng.integers(4, 12))
    mixed = np.stack([voice, voice]) + ROOM * rng.standard_normal((2, count)).astype(np.float32)
    mixed += _music(rng, count) if rng.random() < 0.5 else np.float32(0)
    return np.clip(mixed, -0.8, 0.8).astype(np.float32)


def _syllable(rng: np.random.Generator, pitch_hz: float) -> F32:
    """Noise of a consonant, then a vowel: harmonics of a falling pitch under three formants."""
    count = int(RATE_HZ * rng.uniform(0.1, 0.26))
    t = np.arange(count, dtype=np.float32) / RATE_HZ
    phase = 2 * np.pi * pitch_hz * (t - 0.25 * t * t)
    formants = VOWELS_HZ[int(rng.integers(len(VOWELS_HZ)))]
    vowel = np.zeros(count, np.float32)
    for k in range(1, int(HIGHEST_HZ / pitch_hz)):
        vowel += _gain(k * pitch_hz, formants) / k**0.5 * np.sin(k * phase).astype(np.float32)
    edge = np.minimum(1.0, np.minimum(t, t[::-1]) / EDGE_S).astype(np.float32)
    vowel *= edge * SPEECH * np.float32(rng.uniform(0.5, 1.3)) / max(1e-6, float(np.sqrt(np.mean(vowel**2))))
    consonant = int(RATE_HZ * rng.uniform(0.02, 0.07))
    hiss = np.diff(rng.standard_normal(consonant + 1)).astype(np.float32) * np.hanning(consonant).astype(np.float32)
    vowel[:consonant] += 0.3 * SPEECH * hiss[:count]
    return vowel


def _gain(frequency_hz: float, formants: tuple[int, ...]) -> float:
    return sum(1.0 / (1.0 + ((frequency_hz - f) / BANDWIDTH_HZ) ** 2) / n for n, f in enumerate(formants, 1))


def _music(rng: np.random.Generator, count: int) -> F32:
    """Chords that change each second or so, about 12 dB below the voice, wider than it."""
    t = np.arange(count, dtype=np.float32) / RATE_HZ
    chord_s, root_hz = float(rng.uniform(0.8, 1.6)), float(rng.uniform(110, 220))
    steps = rng.choice([0, 3, 5, 7, 10, 12], int(count / RATE_HZ / chord_s) + 1)
    step = (t / chord_s).astype(np.int32)
    swell = (1.0 - 0.6 * (t / chord_s - step)).astype(np.float32)
    phase = np.cumsum(root_hz * 2.0 ** (steps[step] / 12.0)) * (2 * np.pi / RATE_HZ)
    tones = [np.sin(phase * ratio).astype(np.float32) * swell for ratio in (1.0, 1.5, 2.0)]
    mixed: F32 = np.float32(0.018) * np.stack([tones[0] + tones[1], tones[0] + tones[2]])
    return mixed
