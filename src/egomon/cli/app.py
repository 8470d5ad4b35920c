"""All verbs of the command."""

from __future__ import annotations

from typing import Annotated

import typer

import egomon.cli.inspect_verbs
import egomon.cli.listen_verb
import egomon.cli.run_verbs
import egomon.cli.store_verbs
import egomon.cli.train_verbs

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


egomon.cli.run_verbs.register(app)
egomon.cli.listen_verb.register(app)
egomon.cli.inspect_verbs.register(app)
egomon.cli.store_verbs.register(app)
egomon.cli.train_verbs.register(app)
