"""What one stream takes of this machine's core, measured: the whole pipeline on a file, at each rung of the ladder."""

import time
from contextlib import closing
from datetime import UTC, datetime

from vqa_ray.config import Profile
from vqa_ray.core.ladder import Tier
from vqa_ray.core.timeline import Timeline
from vqa_ray.core.window import WINDOW_S
from vqa_ray.media.source import EndOfMedia, open_source
from vqa_ray.pipeline.analysis import Analysis


def cpu_share(path: str, profile: Profile, tier: Tier) -> float:
    """CPU seconds of this thread (it demuxes, decodes, analyses) a second of the media; SourceError if it has none."""
    timeline = Timeline()
    timeline.connect(0.0)
    analysis = Analysis("sizing", profile.specs, origin_utc=datetime.now(UTC), on_rows=lambda _: None)
    until_s = 0.0
    with closing(open_source(path, profile.source, timeline, live=False)) as connection:
        connection.tier = tier
        began_s = time.thread_time()
        while True:
            try:
                items = connection.read()
            except EndOfMedia:
                break
            for item in items:
                analysis.feed(item)
                until_s = max(until_s, getattr(item, "until_s", 0.0))
        analysis.finish()
        used_s = time.thread_time() - began_s
    return used_s / max(until_s, WINDOW_S)
