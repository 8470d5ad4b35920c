"""What makes the command start sooner: nothing is built or looked at that is not called."""

from __future__ import annotations

import copy
import gc
from collections.abc import Sequence

import typer
from typer.main import get_command_name

LONG_RUNNING = ("live", "replay")
"""Verbs that call `collect_from_now`."""


def called_verb(arguments: Sequence[str]) -> str | None:
    """The verb among the arguments of the command; None where help or an option comes first."""
    return arguments[0] if arguments and not arguments[0].startswith("-") else None


def with_only(app: typer.Typer, verb: str | None) -> typer.Typer:
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


def collect_later() -> None:
    """Leave garbage until `collect_from_now`: what a start makes is modules, and stays."""
    gc.disable()


def collect_from_now() -> None:
    """Collect garbage, but never again look through what `collect_later` has left.

    A full collection would go through all modules, which holds up every thread for 30 to 60 ms.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
