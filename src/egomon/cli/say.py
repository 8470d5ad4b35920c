"""Lines for people on stdout and stderr."""

from __future__ import annotations

import typer

from egomon.text import printable


def say(text: str, *, err: bool = False) -> None:
    """Print a text that may hold words of others."""
    typer.echo(printable(text), err=err)
