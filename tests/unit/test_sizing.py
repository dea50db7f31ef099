"""`vqa cost`: its arithmetic by hand, and a measurement on a real clip."""

import json

import pytest
from click.testing import CliRunner

from vqa_ray.cli.main import cli
from vqa_ray.cli.sizing import clip_of
from vqa_ray.core.sizing import Machine, need
from vqa_ray.errors import ConfigError

SIXTEEN = Machine(name="big", vcpus=16, usd_hour=0.714)


def test_streams_are_packed_by_the_core_and_machines_are_whole():
    # 0.85 of a core holds 2 streams of 0.36; 2000 streams are 1000 cores are 62.5 machines
    found = need(2000, 0.36, SIXTEEN, 0.85)
    assert (found.streams_a_core, found.vcpus, found.machines) == (2, 1000, 63)
    assert found.usd_month == pytest.approx(63 * 0.714 * 730)


def test_a_stream_that_fills_more_than_the_share_still_has_a_core_of_its_own():
    assert need(10, 0.95, SIXTEEN, 0.85).streams_a_core == 1
    assert need(10, 0.95, SIXTEEN, 0.85).machines == 1


def test_a_stream_that_is_too_much_for_a_core_is_not_priced():
    found = need(10, 1.2, SIXTEEN, 0.85)
    assert (found.streams_a_core, found.machines, found.usd_month) == (0, 0, 0.0)


def test_a_format_is_read_with_a_usual_bit_rate():
    assert (clip_of("1080p30").width, clip_of("1080p30").fps) == (1920, 30)
    assert clip_of("1080p30").bit_rate == 6_000_000
    assert clip_of("360p25").bit_rate == pytest.approx(1e6, rel=0.05)


@pytest.mark.parametrize("shape", ["1080", "1080i25", "p30", "20p25", "1080p0", "1080p240", "361p25"])
def test_what_is_no_format_is_refused(shape):
    with pytest.raises(ConfigError, match="give height and frame rate"):
        clip_of(shape)


def test_fewer_frames_cost_less():
    result = CliRunner().invoke(cli, ["cost", "--streams", "500", "--profile", "180p25", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    shares = {tier: one["cpu_share"] for tier, one in found["tiers"].items()}
    assert shares["key"] < shares["no_disposable"] < 2 * shares["all"]
    assert shares["key"] < shares["all"]
    assert found["tiers"]["all"]["usd_month"] == found["tiers"]["all"]["machines"] * 0.714 * 730
