"""A running fleet with a scripted fault, as the operator sees it in a real browser."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.cluster.conftest import eventually
from tests.pipeline.test_web_page import browser as browser
from vqa_ray.cluster.client import Fleet
from vqa_ray.cluster.messages import ClusterOptions
from vqa_ray.config import FleetSpec, StreamSpec
from vqa_ray.media.synthetic import Fault, FaultKind, Source, serve
from vqa_ray.web.access import Role, Tokens
from vqa_ray.web.desk import FleetDesk
from vqa_ray.web.server import Served

pytestmark = [pytest.mark.ray, pytest.mark.server, pytest.mark.timeout(300)]

NAME, TOKEN = "north-one", "an-operator-of-the-channel"
LONG_MS = 60_000


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    made = serve("http")
    made.wait()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fleet(ray_env: Path, source: Source) -> Iterator[Fleet]:
    options = ClusterOptions(analyzers_min=1, analyzers_max=1)
    made = Fleet.start(
        options=options, state_dir=ray_env / "state", cores=2, temp_dir=str(ray_env / "r"), dashboard=False
    )
    made.apply(FleetSpec(streams=(StreamSpec(id=NAME, url=source.url),), store=str(ray_env / "store")))
    yield made
    made.stop()


def page_server(fleet: Fleet, port: int = 0) -> Served:
    return Served(FleetDesk(fleet), "127.0.0.1", port, Tokens([(Role.OPERATOR, TOKEN)]))


def test_a_fault_is_on_the_wall_its_clip_plays_and_what_is_said_of_it_survives(
    browser: Browser, fleet: Fleet, source: Source
):
    served = page_server(fleet)
    other = page_server(fleet)  # as behind a load balancer
    try:
        page = _enter(browser, served)
        eventually(lambda: any(one.fps > 0 for one in fleet.status().streams), 60.0)
        source.schedule([Fault(FaultKind.BLACK, source.now_s + 3.0, 8.0)])
        eventually(lambda: any(one.detector == "black" for one in fleet.incidents(open_only=True)), 60.0)
        opened_s = time.monotonic()
        page.locator(".tile", has_text="black").first.wait_for(timeout=LONG_MS)
        took_s = time.monotonic() - opened_s
        print(f"\non the wall {took_s:.1f} s after the supervisor had it")
        assert took_s < 4.0  # 2 s on a machine that has time
        (found,) = [one for one in fleet.incidents() if one.detector == "black"]
        page.goto(f"{served.url}incidents/{found.incident_id}")
        page.locator("video").first.wait_for(timeout=LONG_MS)
        _plays(page)
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Note").fill("the encoder is being restarted")
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.get_by_text("the encoder is being restarted").first).to_be_visible(timeout=LONG_MS)
        elsewhere = _enter(browser, other)
        elsewhere.goto(f"{other.url}incidents/{found.incident_id}")
        expect(elsewhere.get_by_text("the encoder is being restarted").first).to_be_visible(timeout=LONG_MS)
        os.kill(fleet.status().supervisor_pid, signal.SIGKILL)
        port = int(served.url.rstrip("/").rpartition(":")[2])
        served.stop()
        expect(page.get_by_text("Not connected")).to_be_visible(timeout=LONG_MS)
        served = page_server(fleet, port)
        expect(page.get_by_text("Not connected")).to_have_count(0, timeout=LONG_MS)
        page.reload()
        expect(page.get_by_text("the encoder is being restarted").first).to_be_visible(timeout=LONG_MS)
    finally:
        served.stop()
        other.stop()


def _enter(browser: Browser, served: Served) -> Any:
    page = browser.new_context().new_page()
    page.goto(served.url)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Open").click()
    page.wait_for_selector(".tile", timeout=LONG_MS)
    return page


def _plays(page: Any) -> None:
    video = page.locator("video").first
    video.evaluate("node => { node.loop = true; return node.play(); }")
    began_s = video.evaluate("node => node.currentTime")
    eventually(lambda: video.evaluate("node => node.currentTime") != began_s, 60.0)
    assert video.evaluate("node => node.videoWidth") > 0
