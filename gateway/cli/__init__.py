"""The command `voxgate`: one module per command, imported only when it is asked for.

Knows nothing about what the commands do. Every expected failure is one clear line on stderr and status 1.
"""

from __future__ import annotations

import errno
import importlib
from importlib.util import find_spec
from typing import Any

import click

from engines.errors import SpeechError
from gateway.configuration.problems import ConfigError

#: module of this package -> what it does, said here so that `--help` imports none of them
COMMANDS = {
    "serve": "Serve speech over HTTP.",
    "say": "Speak a text into a file, without a server.",
    "init": "Copy the shipped configuration out, ready to edit.",
    "check": "Check every configuration file and tell all errors at once.",
    "explain": "Show the plan for a text, with the reason for each step and skip.",
    "simulate": "Replay recorded requests against other policies and show what changes.",
    "models": "Fetch models, make bundles of them, list, verify and remove them.",
    "voices": "List voices, make one of a recording, verify and remove it.",
    "keys": "Make, list and revoke API keys.",
    "doctor": "Look at machine, installation and configuration.",
    "engines": "List engines, write a plugin package, run the conformance kit, record a server.",
}


class Commands(click.Group):
    """The commands above, each the `command` of its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"{__name__}.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what was expected to fail is told in a line, without a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            message = str(error)  # a line for each problem
        except SpeechError as error:
            message = f"voxgate: {_for_operators(error)}"
        except OSError as error:
            if error.errno == errno.EPIPE:  # `voxgate … | head`: click ends quietly
                raise
            named = f"{error.filename}: " if error.filename else ""
            message = f"voxgate: {named}{error.strerror or error}"
        click.echo(message, err=True)
        raise click.exceptions.Exit(1)


def _for_operators(error: SpeechError) -> str:
    """Whoever is at the command line may know what engines lack."""
    from gateway.no_engine import for_operators
    from gateway.refusals import NoEngine

    advice = for_operators(error.plan) if isinstance(error, NoEngine) else ""
    return f"{error.message} ({advice})" if advice else error.message


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="voxgate", prog_name="voxgate")
def voxgate() -> None:
    """A text-to-speech gateway: one endpoint in front of many engines."""


def main() -> None:
    """The command line; ends the process with 0 on success, 1 on a failure, 2 on wrong usage."""
    voxgate(prog_name="voxgate")
