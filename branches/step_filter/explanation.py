"""Puts a mistake into one sentence for a person."""

from __future__ import annotations

from collections.abc import Sequence

from egomon.branches.step_filter.moves import WorkflowMistake
from egomon.branches.taught.transitions import bits
from egomon.branches.taught.workflow_graph import WorkflowGraph

FOREIGN = "this does not look like any step of the workflow"


def explain(
    mistake: WorkflowMistake,
    ids: Sequence[str],
    graphs: Sequence[WorkflowGraph],
    *,
    began_seconds: float | None = None,
    lasted_seconds: float = 0.0,
    usual_seconds: tuple[float, float] = (0.0, 0.0),
) -> str:
    """What was expected, and what was seen instead.

    Args:
        mistake: what the filter believes.
        ids: of the model's steps.
        graphs: of the workflows, whose names and numbers are used.
        began_seconds: media time at which the step that shows it began; None = not known.
        lasted_seconds: how long that step goes on.
        usual_seconds: shortest and longest that it took in the recordings.
    """
    graph = graphs[mistake.workflow]
    if mistake.kind == "foreign":
        return FOREIGN
    label = graph.label(ids[mistake.step])
    if mistake.kind == "repeated":
        return f"{label} is done again, it has been seen before"
    if mistake.kind == "long":
        return f"{label} goes on for {lasted_seconds:.0f} s; {_took(*usual_seconds)}"
    when = "" if began_seconds is None else f" at {_clock(began_seconds)}"
    absent = _join([graph.label(ids[k]) for k in bits(mistake.absent)])
    verb = "has" if mistake.absent.bit_count() == 1 else "have"
    stopped = mistake.kind == "stopped"
    begun = f"the work begins again with {label}" if stopped else f"{label} began"
    return f"expected {absent}, which {verb} not been seen; {begun}{when}"


def _took(shortest: float, longest: float) -> str:
    if round(shortest) == round(longest):
        return f"in your recordings it took {longest:.0f} s"
    return f"in your recordings it took {shortest:.0f} to {longest:.0f} s"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _join(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    if len(parts) > 3:
        return f"{parts[0]} to {parts[-1]}"
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
