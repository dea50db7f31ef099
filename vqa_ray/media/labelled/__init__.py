"""Labelled material: defects of every class put into clean pictures and sound, each exact to the frame, from a seed."""

from vqa_ray.media.labelled.make import CLASSES, DEFAULT_CLASSES, Job, clean_job, inject, jobs, make

__all__ = ["CLASSES", "DEFAULT_CLASSES", "Job", "clean_job", "inject", "jobs", "make"]
