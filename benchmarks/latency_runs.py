"""What `latency` runs in a process of its own: an analyzer that watches live streams and posts its alerts."""

import json
import sys
from typing import Any

import msgspec

from vqa_ray.config import FleetSpec, StreamSpec, profile_for
from vqa_ray.pipeline.worker import Told, Worker
from vqa_ray.sinks.outbox import Outbox
from vqa_ray.sinks.webhook import WebhookSpec


def watch(urls: dict[str, str], webhook: str, raise_after_s: dict[str, float]) -> dict[str, Any]:
    """Watch the streams until stdin ends; how complete that was."""
    outbox = Outbox([WebhookSpec(url=webhook).build()])
    outbox.start()

    def tell(told: Told) -> None:
        outbox.put(told.notice)

    worker = Worker("latency", tell=tell)
    changes = {name: {"raise_after_s": seconds} for name, seconds in raise_after_s.items()}
    for name, url in urls.items():
        stream = msgspec.convert({"id": name, "url": url, "detectors": changes}, StreamSpec)
        worker.assign(stream, profile_for(FleetSpec(), stream), 0)
    print(json.dumps({"streams": len(urls)}), flush=True)
    sys.stdin.read()
    reports = worker.reports()
    worker.stop()
    outbox.stop()
    return {
        "coverage": min(report.coverage for report in reports),
        "reconnects": sum(report.reconnects for report in reports),
    }
