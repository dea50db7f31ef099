"""`vqa` itself: help, version, wrong use, errors, and how fast it is there."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from vqa_ray.cli.main import COMMANDS, cli
from vqa_ray.errors import ConfigError


def vqa(*arguments):
    return CliRunner().invoke(cli, arguments, prog_name="vqa")


def test_help_lists_every_command_and_the_exit_codes():
    result = vqa("--help")
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.output for name in COMMANDS)
    assert "Exit codes: 0 fine, 1 problems found, 2 used wrongly" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_whose_first_words_are_those_of_the_list(name):
    result = vqa(name, "--help")
    assert result.exit_code == 0, result.output
    assert f"Usage: vqa {name}" in result.output


def test_help_imports_nothing_heavy():
    code = "import sys; from vqa_ray.cli.main import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"av", "cv2", "numpy", "ray", "pyarrow", "rich", "yaml"}.isdisjoint(loaded)


def test_ray_is_not_imported_by_commands_that_need_none():
    code = (
        "import sys; from vqa_ray.cli.main import cli, COMMANDS\n"
        "for name in ('analyze', 'probe', 'detectors', 'check', 'schema'): cli.get_command(None, name)\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"ray", "pyarrow"}.isdisjoint(loaded)


def test_version():
    result = vqa("--version")
    assert result.exit_code == 0
    assert result.output.startswith("vqa ")


def test_a_wrong_command_is_refused_with_a_guess():
    result = vqa("analyse", "x.mp4")
    assert result.exit_code == 2
    assert "there is no command 'analyse'; did you mean 'analyze'?" in result.stderr


def test_a_wrong_option_is_refused():
    result = vqa("analyze", "--profil", "qc", "x.mp4")
    assert result.exit_code == 2
    assert "--profile" in result.stderr


def test_an_error_is_one_line_without_secrets(monkeypatch):
    def refuse(path):
        raise ConfigError(f"{path}:\n rtsp://me:hunter2@host/ is wrong")

    monkeypatch.setattr("vqa_ray.config.load_fleet", refuse)
    result = vqa("check", "f.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "vqa: f.yaml: rtsp://me:***@host/ is wrong\n"


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), PermissionError(13, "Permission denied", "x")])
def test_an_error_of_our_own_is_one_line_too(monkeypatch, error):
    def fail(path):
        raise error

    monkeypatch.setattr("vqa_ray.config.load_fleet", fail)
    result = vqa("check", "rtsp://me:hunter2@host/")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"vqa: internal error: {type(error).__name__}: ")
    assert result.stderr.count("\n") == 1
    monkeypatch.setenv("VQA_DEBUG", "1")
    assert vqa("check", "x").exception is error


def test_ctrl_c_is_no_traceback(monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("vqa_ray.config.load_fleet", interrupt)
    result = vqa("check", "f.yaml")
    assert (result.exit_code, result.output) == (130, "")
