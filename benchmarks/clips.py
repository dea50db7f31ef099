"""Clips to measure with: content at a broadcast bit rate, made with PyAV and kept in a cache."""

import getpass
import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from vqa_ray.media.synthetic.broadcast import ClipSpec, encode

__all__ = ["ClipSpec", "cache", "digest", "hd", "make", "sd"]

VERSION = 6  # of what is drawn and how it is encoded: a new one makes cached clips void


def hd(seconds: float) -> ClipSpec:
    """1080p30 at 6 Mb/s."""
    return ClipSpec(name="1080p30", width=1920, height=1080, fps=30, bit_rate=6_000_000, seconds=seconds)


def sd(seconds: float) -> ClipSpec:
    """360p25 at 1 Mb/s."""
    return ClipSpec(name="360p25", width=640, height=360, fps=25, bit_rate=1_000_000, seconds=seconds)


def cache() -> Path:
    """Where clips are kept between runs."""
    folder = Path(tempfile.gettempdir()) / f"vqa_ray-benchmarks-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def digest(spec: object) -> str:
    """Twelve hexadecimal digits that say what is in a cached file; `spec` is all that it was made from."""
    return hashlib.sha256(msgspec.json.encode((VERSION, spec))).hexdigest()[:12]


def make(spec: ClipSpec) -> Path:
    """The clip's file, from the cache or made now; a file in the cache is always whole."""
    path = cache() / f"{spec.name}-{spec.seconds:g}s-{digest(spec)}{spec.suffix}"
    if not path.exists():
        partial = path.with_name(f"{os.getpid()}-{path.name}")
        encode(spec, partial)
        partial.replace(path)
    return path
