"""All verbs of the command."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command_name

from egomon.cli.verbs.dcr import register as register_dcr_verb
from egomon.cli.verbs.extract import register as register_extract_verb
from egomon.cli.verbs.fleet import register as register_fleet_verb
from egomon.cli.verbs.inspect import register as register_inspect_verbs
from egomon.cli.verbs.listen import register as register_listen_verb
from egomon.cli.verbs.play import register as register_play_verb
from egomon.cli.verbs.run import register as register_run_verbs
from egomon.cli.verbs.serve_large import register as register_serve_large_verb
from egomon.cli.verbs.store import register as register_store_verbs
from egomon.cli.verbs.teach import register as register_teach_verb
from egomon.cli.verbs.train import register as register_train_verbs

app = typer.Typer(
    name="egomon",
    help="Watches hands-on work from a first-person camera and raises an alert when a step looks "
    "wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from egomon import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


register_run_verbs(app)
register_listen_verb(app)
register_play_verb(app)
register_fleet_verb(app)
register_inspect_verbs(app)
register_store_verbs(app)
register_extract_verb(app)
register_train_verbs(app)
register_teach_verb(app)
register_dcr_verb(app)
register_serve_large_verb(app)


def called_verb(arguments: Sequence[str]) -> str | None:
    """The verb among the arguments of the command; None where help or an option comes first."""
    return arguments[0] if arguments and not arguments[0].startswith("-") else None


def with_only(verb: str | None) -> typer.Typer:
    """The command with this verb alone: the parameters of all others cost 40 ms to build.

    A verb that is not known, or that has verbs of its own, gives the whole command.
    """
    called = [
        each
        for each in app.registered_commands
        if each.callback is not None
        and (each.name or get_command_name(each.callback.__name__)) == verb
    ]
    if not called:
        return app
    smaller = copy.copy(app)
    smaller.registered_commands, smaller.registered_groups = called, []
    return smaller
