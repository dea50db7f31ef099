"""What the README says of fleets, detectors and commands is so."""

import re
from pathlib import Path

import pytest

from vqa_ray.cli.main import COMMANDS
from vqa_ray.config import LIVE, QC, parse_fleet

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_fleets_in_the_readme_are_fine(block):
    parse_fleet(block)


def test_the_table_of_detectors_has_the_holds_of_the_shipped_profiles():
    said = re.findall(r"^\| `(\w+)` \| ([\d.]+) s \| ([\d.]+) s \|", README, re.MULTILINE)
    held = [
        (spec.id, f"{spec.raise_after_s:g}", f"{getattr(QC.detectors, spec.id).raise_after_s:g}") for spec in LIVE.specs
    ]
    assert sorted(said) == sorted(held)


def test_commands_in_the_readme_are_there():
    assert set(re.findall(r"^vqa (\w+)", README, re.MULTILINE)) <= set(COMMANDS)
