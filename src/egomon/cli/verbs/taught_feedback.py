"""Verdicts on alerts change the taught bundle that raised them, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from egomon.branches.bundle.locate import read_card
from egomon.branches.taught.corrections import (
    Correction,
    MistakeName,
    as_kind,
    kind_of,
    read_corrections,
    with_row,
    without_alert,
    without_last_missed,
    write_corrections,
)
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs
from egomon.errors import UsageError

if TYPE_CHECKING:
    from egomon.fusion.messages.types import AlertData


def is_taught(model: str | Path) -> bool:
    """Return whether this is the folder of a taught bundle."""
    return (Path(model) / WORKFLOW_FILE).is_file()


def apply_verdict(folder: Path, alert: AlertData, verdict: str) -> str:
    """Let the bundle learn from a verdict: `true`, `false`, or `unsure`, which undoes it.

    Returns:
        One sentence for the person who gave it.

    Raises:
        UsageError: not a taught bundle, or the alert is of another one or not about the workflow.
        BundleError: its file of verdicts cannot be read or written.
    """
    name = _name(folder)
    if alert.model.partition("@")[0] != name:
        raise UsageError(
            f"alert {alert.alert_id} was raised by {alert.model}, not by {name}; give the folder "
            "of that bundle"
        )
    rows = read_corrections(folder)
    if verdict == "unsure":
        write_corrections(folder, without_alert(rows, alert.alert_id))
        return f"{name}: what was said of {alert.alert_id} is undone"
    kind = kind_of(alert.explanation)
    if kind is None:
        raise UsageError(
            f"alert {alert.alert_id} is not about the order of the work ({alert.explanation!r}), "
            "so the bundle can learn nothing from a verdict on it"
        )
    row = Correction(
        said="right" if verdict == "true" else "wrong",
        kind=kind,
        step="" if alert.step is None or kind == "foreign" else alert.step.id,
        alert=alert.alert_id,
    )
    write_corrections(folder, with_row(rows, row))
    how = "as before, whatever else is said" if verdict == "true" else "less easily now"
    return f"{name}: this kind of mistake ({kind}) is told {how}, at this step most of all"


def apply_missed(folder: Path, kind: str, step: str | None, *, undo: bool) -> str:
    """Let the bundle learn that it said nothing of a mistake.

    Args:
        folder: of the bundle.
        kind: missing, repeated, stopped, foreign or long.
        step: id or name of the step at which it should have been told; None = any.
        undo: take the newest such word back.

    Raises:
        UsageError: not a taught bundle, an unknown kind or step, or nothing to undo.
        BundleError: its file of verdicts cannot be read or written.
    """
    name, known = _name(folder), as_kind(kind)
    if known is None:
        raise UsageError(f"{kind!r} is not one of: {', '.join(get_args(MistakeName))}")
    steps = [s for graph in read_graphs(folder / WORKFLOW_FILE) for s in graph.steps]
    found = next((s.id for s in steps if step in (s.id, s.name)), None)
    if step is not None and found is None:
        listed = ", ".join(s.name for s in steps)
        raise UsageError(f"{name} has no step {step!r}; it has {listed}")
    rows, id_ = read_corrections(folder), found or ""
    if undo:
        left = without_last_missed(rows, known, id_)
        if len(left) == len(rows):
            raise UsageError(f"{name}: nothing was said of such a mistake, so nothing is undone")
        write_corrections(folder, left)
        return f"{name}: undone"
    write_corrections(folder, (*rows, Correction(said="missed", kind=known, step=id_)))
    return f"{name}: this kind of mistake ({kind}) is told more easily now"


def _name(folder: Path) -> str:
    if not is_taught(folder):
        raise UsageError(f"{folder} is no taught bundle; `egomon teach` makes one")
    return read_card(folder).name
