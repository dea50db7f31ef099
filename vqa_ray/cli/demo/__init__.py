"""`vqa demo`: live streams with scripted faults, watched on a Ray of its own, and what was found against the script."""

from vqa_ray.cli.demo.command import demo

__all__ = ["demo"]
