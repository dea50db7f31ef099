"""`vqa sync`, and `--measure av_marker`, on real media: two versions of a programme, a test signal, a live source."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vqa_ray.cli.main import cli
from vqa_ray.media.labelled.coding import Coding
from vqa_ray.media.labelled.marker import Marker, write_marker
from vqa_ray.media.labelled.versions import Version, write_version
from vqa_ray.media.synthetic import Kind, Programme, serve
from vqa_ray.media.synthetic.files import write_file


def vqa(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)), prog_name="vqa")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("media") / "reference.ts", 1, Version(seconds=15.0))


def test_an_output_of_other_coding_size_rate_level_and_delay(reference: Path, tmp_path: Path) -> None:
    version = Version(
        seconds=15.0, delay_s=2.0, offset_s=-0.35, fps=Fraction(50), size=(256, 144), contrast=0.85, gain_db=-9,
        logo=True,
    )  # fmt: skip
    coding = Coding(suffix=".mp4", codec="mpeg4", bit_rate=400_000)
    result = vqa("sync", reference, write_version(tmp_path / "output.mp4", 1, version, coding), "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and found["sure"] and found["trust"] == "reference"
    assert found["offset_ms"] == pytest.approx(-350.0, abs=5.0) and found["delay_ms"] == pytest.approx(2000.0, abs=10.0)


def test_in_sync_is_0_another_programme_2_and_no_sound_2(reference: Path, tmp_path: Path) -> None:
    same = vqa("sync", reference, write_version(tmp_path / "same.mkv", 1, Version(seconds=12.0, delay_s=-1.0)))
    assert same.exit_code == 0 and same.stdout.startswith("sound 0 ms"), same.output
    other = vqa("sync", reference, write_version(tmp_path / "other.ts", 2, Version(seconds=12.0)))
    assert other.exit_code == 2 and other.stdout.startswith("nothing in common"), other.output
    mute = write_file(tmp_path / "mute.ts", 2.0, Programme(width=320, height=180, sound=False))
    refused = vqa("sync", reference, mute)
    assert refused.exit_code == 2 and "holds no sound" in refused.stderr
    assert vqa("sync", reference, tmp_path / "none.ts").exit_code == 2


def test_two_views_of_one_live_source_are_in_sync() -> None:
    with serve(Kind.HTTP, [], Programme(width=320, height=180)) as source:
        result = vqa("sync", source.url, source.url, "--duration", 9, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0 and abs(found["offset_ms"]) <= 2.0, result.output


def test_a_test_signal_is_measured_and_told(tmp_path: Path) -> None:
    path = write_marker(tmp_path / "marker.mp4", Marker(seconds=18.0, offset_s=1.234, fps=Fraction(30000, 1001)))
    found = json.loads(vqa("analyze", path, "--measure", "av_marker", "--json").stdout)
    assert found["sure"] and found["offset_ms"] == pytest.approx(1234.0, abs=2.0)
    (told,) = map(json.loads, vqa("analyze", path, "--detectors", "av_marker", "--json").stdout.splitlines())
    assert (told["detector"], told["part"]) == ("av_marker", "late")
    assert told["offset_ms"] == pytest.approx(1234.0, abs=2.0)
