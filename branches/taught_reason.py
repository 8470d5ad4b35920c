"""Puts a taught model's evidence into one sentence for a person."""

from __future__ import annotations

import numpy as np

from egomon.branches.graph import WorkflowGraph
from egomon.branches.taught_model import Evidence, TaughtModel
from egomon.branches.taught_surprise import NOTABLE, TAIL_SHARE, Kind


def explain(evidence: Evidence, model: TaughtModel, graph: WorkflowGraph) -> str:
    """Why the segment looks wrong: the kind of evidence that weighs most, in words.

    Args:
        evidence: what `judge` measured.
        model: the taught model.
        graph: its graph, whose names and numbers are used.
    """
    step = model.ids[evidence.step]
    label = graph.label(step)
    kind = _told(evidence, model)
    if kind == "missing":
        seen = set(graph.ids) - set(evidence.missing) - {step}
        finding = graph.check(step, seen) if evidence.missing else None
        return finding.reason if finding else f"{label} started earlier than usual"
    if kind == "repeated":
        return f"{label} is done again, it has been seen before"
    if kind == "time":
        usual = float(np.exp(model.log_seconds[evidence.step][0]))
        return _about_time(label, evidence.run_seconds, usual)
    if kind == "handling":
        return f"{label} does not look properly done"
    if _far(evidence, model):
        return "this does not look like any step of the workflow"
    when = "later" if evidence.usual_place > evidence.place else "earlier"
    return f"this looks like {label}, which usually comes {when}"


def _told(evidence: Evidence, model: TaughtModel) -> Kind:
    """The main kind; but a known look at an odd place is told by what the graph says of it."""
    if evidence.main != "look" or _far(evidence, model):
        return evidence.main
    if evidence.missing and evidence.surprises["missing"] > NOTABLE:
        return "missing"
    return "repeated" if evidence.surprises["repeated"] > NOTABLE else "look"


def _far(evidence: Evidence, model: TaughtModel) -> bool:
    null = model.nulls["early" if evidence.early else "look"]
    return len(null) > 0 and evidence.distance > float(np.quantile(null, 1 - TAIL_SHARE))


def _about_time(label: str, seconds: float, usual: float) -> str:
    ratio = max(seconds, usual) / max(min(seconds, usual), 1e-3)
    times = f"{ratio:.0f}" if ratio >= 2.5 else f"{ratio:.1f}"
    how = "longer" if seconds > usual else "shorter"
    return f"{label} took {times}x {how} than usual ({_s(seconds)} s, usually {_s(usual)} s)"


def _s(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}".removesuffix(".0")
