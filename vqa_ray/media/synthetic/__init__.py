"""Synthetic media: a moving test programme with sound and scripted faults, as files and as real live streams."""

from vqa_ray.media.synthetic.files import write_file
from vqa_ray.media.synthetic.programme import Programme
from vqa_ray.media.synthetic.script import Fault, FaultKind, ScriptedFault
from vqa_ray.media.synthetic.source import Kind, Source, serve

__all__ = ["Fault", "FaultKind", "Kind", "Programme", "ScriptedFault", "Source", "serve", "write_file"]
