"""Proof of incidents: a witness a stream that gathers, and one desk a process that makes files of it and keeps them."""

from vqa_ray.pipeline.evidence.case import Case, Keeper
from vqa_ray.pipeline.evidence.desk import Desk, DeskStats
from vqa_ray.pipeline.evidence.witness import Witness

__all__ = ["Case", "Desk", "DeskStats", "Keeper", "Witness"]
