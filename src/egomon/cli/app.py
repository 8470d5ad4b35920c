"""All verbs of the command."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import click

from egomon.cli.options import Group

VERBS = {
    "live": "run",
    "replay": "run",
    "listen": "listen",
    "play": "play",
    "fleet": "fleet",
    "models": "inspect",
    "devices": "inspect",
    "doctor": "inspect",
    "alerts": "store",
    "config": "store",
    "report": "store",
    "keygen": "store",
    "extract": "extract",
    "simulate": "train",
    "train": "train",
    "evaluate": "train",
    "challenge": "train",
    "teach": "teach",
    "cache": "teach",
    "dcr": "dcr",
    "serve-large": "serve_large",
}
"""Verb to the module that holds it, in the order of `--help`."""


class _Verbs(Group):
    """Imports the module of a verb when it is called: all of them are slower than a start."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """One of them.

        Raises:
            NoSuchCommand: it is none, with those that look like it.
        """
        if cmd_name not in VERBS:
            raise click.NoSuchCommand(cmd_name, possibilities=VERBS, ctx=ctx)
        module = importlib.import_module(f"egomon.cli.verbs.{VERBS[cmd_name]}")
        verb = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(verb, click.Command)
        return verb


def _version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from egomon import __version__

        click.echo(__version__)
        context.exit()


@click.group(
    cls=_Verbs,
    name="egomon",
    no_args_is_help=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version.",
)
def app() -> None:
    """Watch hands-on work from a first-person camera and raise an alert when a step looks wrong."""


def called_verb(arguments: Sequence[str]) -> str | None:
    """The verb among the arguments of the command; None where help or an option comes first."""
    return arguments[0] if arguments and not arguments[0].startswith("-") else None
