"""How far one supervisor goes: planning for thousands of streams, and the beats of hundreds of analyzers."""

from benchmarks.scale.command import command

__all__ = ["command"]
