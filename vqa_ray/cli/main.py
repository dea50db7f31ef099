"""`vqa`: the commands, each imported when it is called, and what becomes of errors."""

import importlib
import logging
import os
import sys
from typing import Any

import click

from vqa_ray.errors import VqaError

log = logging.getLogger(__name__)

COMMANDS: dict[str, tuple[str, str]] = {
    "analyze": ("vqa_ray.cli.analyze:analyze", "Find what is broken in a file or a live input, without a cluster."),
    "probe": ("vqa_ray.cli.probe:probe", "Open an input and say what it holds."),
    "sync": ("vqa_ray.cli.sync:sync", "Measure how early or late the sound of an output is against its reference."),
    "detectors": ("vqa_ray.cli.detectors:detectors", "List the detectors, or show the options of some."),
    "evaluate": ("vqa_ray.cli.evaluate:evaluate", "Compare what is found in a labelled set with its labels."),
    "inject": ("vqa_ray.cli.evaluate:inject", "Make a labelled set: put defects into clean clips."),
    "cost": ("vqa_ray.cli.sizing:cost", "Measure one stream on this machine, and say what many of them take."),
    "check": ("vqa_ray.cli.declare:check", "Check a fleet file without starting anything."),
    "channels": ("vqa_ray.cli.channels:channels", "Send a test message to the alert channels of a fleet file."),
    "schema": ("vqa_ray.cli.declare:schema", "Print the JSON Schema of a fleet file."),
    "run": ("vqa_ray.cli.run:run", "Watch a fleet on Ray and show it live."),
    "apply": ("vqa_ray.cli.fleet:apply", "Make the running fleet what a file says."),
    "add": ("vqa_ray.cli.streams:add", "Watch more streams."),
    "remove": ("vqa_ray.cli.streams:remove", "Watch streams no longer."),
    "pause": ("vqa_ray.cli.streams:pause", "Leave streams declared, but unwatched for now."),
    "resume": ("vqa_ray.cli.streams:resume", "Watch paused streams again."),
    "move": ("vqa_ray.cli.streams:move", "Have another analyzer take a stream."),
    "status": ("vqa_ray.cli.fleet:status", "Show the streams of the running fleet."),
    "top": ("vqa_ray.cli.top.command:top", "Show the streams of the running fleet live, as htop does processes."),
    "incidents": ("vqa_ray.cli.fleet:incidents", "Show the latest incidents of the running fleet."),
    "ack": ("vqa_ray.cli.hush:ack", "Say that you are on an incident."),
    "mute": ("vqa_ray.cli.hush:mute", "Tell nobody of some streams or detectors for a while."),
    "unmute": ("vqa_ray.cli.hush:unmute", "End a mute."),
    "mutes": ("vqa_ray.cli.hush:mutes", "List the mutes that last, and the fleet's windows."),
    "report": ("vqa_ray.cli.day.command:report", "Write what a day was like, from the result store, as a page."),
    "replay": ("vqa_ray.cli.replay:replay", "Say which incidents other holds would have raised of what is stored."),
    "drain": ("vqa_ray.cli.fleet:drain", "Move all streams off a machine, before it goes."),
    "unpark": ("vqa_ray.cli.fleet:unpark", "Watch a parked stream again."),
    "web": ("vqa_ray.cli.web:web", "Serve the operator's page of the running fleet."),
    "stop": ("vqa_ray.cli.fleet:stop", "Stop the running fleet."),
    "k8s": ("vqa_ray.cli.k8s:k8s", "Run on Kubernetes: render, apply, status."),
    "demo": ("vqa_ray.cli.demo:demo", "Watch live streams with scripted faults, made on this machine."),
}
OK, PROBLEMS, WRONG = 0, 1, 2
INTERRUPTED = 130
DEBUG = "VQA_DEBUG"  # environment variable: errors of our own are shown with their traceback


class _LazyGroup(click.Group):
    """Imports a command when it is needed: help must not wait for OpenCV, nor `probe` for Ray."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, with a guess at what a wrong name may have meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from vqa_ray.core.refusal import suggest

            ctx.fail(f"there is no command {args[0]!r}{suggest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Errors that are meant for a person become one line on stderr; SIGTERM ends a command as Ctrl-C does."""
        from vqa_ray.cli.signals import as_ctrl_c

        try:
            with as_ctrl_c():
                return super().invoke(ctx)
        except VqaError as error:
            fail(str(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click's own
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            log.debug("internal error", exc_info=True)
            fail(f"internal error: {type(error).__name__}: {error} ({DEBUG}=1 shows where; please report it)")


def fail(message: str) -> None:
    """End with exit code 2 and one line without secrets."""
    from vqa_ray.core.urls import redact

    click.echo(f"vqa: {redact(' '.join(message.split()))}", err=True)
    sys.exit(WRONG)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"vqa {version('vqa-ray')}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 fine, 1 problems found, 2 used wrongly or cannot be done.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
def cli() -> None:
    """Watch live audio and video, find what is broken, and tell the people who run the channel."""


class _OneLine(logging.Formatter):
    """A warning for a person: no traceback, no secrets."""

    def format(self, record: logging.LogRecord) -> str:
        from vqa_ray.core.urls import redact

        return redact(record.getMessage())


def main() -> None:
    """Entry point of `vqa`."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # the terminal is ours
    if logging.lastResort is not None and not os.environ.get(DEBUG):
        logging.lastResort.setFormatter(_OneLine())
    cli(prog_name="vqa")
