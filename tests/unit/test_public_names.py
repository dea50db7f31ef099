"""What `import vqa_ray` gives, and what it must not cost."""

import subprocess
import sys

import pytest

import vqa_ray

PUBLIC = [
    "ConfigError",
    "Evaluation",
    "Fleet",
    "FleetSpec",
    "Incident",
    "LIVE",
    "Measured",
    "Notice",
    "Profile",
    "QC",
    "Reading",
    "Severity",
    "SourceError",
    "StreamSpec",
    "Sync",
    "VqaError",
    "__version__",
    "analyze",
    "errors",
    "evaluate",
    "load_fleet",
    "parse_fleet",
    "profile_for",
    "read_incidents",
    "read_windows",
    "sync",
]


def test_the_public_names_are_frozen():
    assert sorted(vqa_ray.__all__) == PUBLIC
    assert dir(vqa_ray) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there(name):
    assert getattr(vqa_ray, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'analyse'"):
        _ = vqa_ray.analyse


def test_importing_loads_nothing_heavy():
    code = "import sys, vqa_ray; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"av", "cv2", "numpy", "ray", "pyarrow", "msgspec", "yaml"}.isdisjoint(loaded)
