"""Puts a taught model's evidence into one sentence for a person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from egomon.branches.taught.anomaly_score import TAIL_SHARE, Kind
from egomon.branches.taught.model import SegmentEvidence, TaughtModel
from egomon.branches.taught.step_filter import Breach
from egomon.branches.taught.transitions import bits
from egomon.branches.taught.workflow_graph import WorkflowGraph

FOREIGN = "this does not look like any step of the workflow"


def explain(
    evidence: SegmentEvidence, model: TaughtModel, graphs: Sequence[WorkflowGraph]
) -> tuple[str, tuple[str, ...]]:
    """Why the segment looks wrong: the kind of evidence that weighs most, in words.

    Args:
        evidence: what `judge` measured.
        model: the taught model.
        graphs: of its workflows, whose names and numbers are used.

    Returns:
        The sentence, and the ids of the steps of which it says that they were not seen.
    """
    kind = _told(evidence, model)
    if kind == "order" and evidence.breach is not None:
        return _about_order(evidence.breach, model, graphs)
    return _about_step(kind, evidence, model, graphs), ()


def _about_step(
    kind: Kind, evidence: SegmentEvidence, model: TaughtModel, graphs: Sequence[WorkflowGraph]
) -> str:
    step = model.ids[evidence.step]
    label = _label(step, graphs, evidence.workflow)
    if kind == "time":
        usual = float(np.exp(model.log_seconds[evidence.step][0]))
        return _about_time(label, evidence.run_seconds, usual)
    if kind == "handling":
        return f"{label} does not look properly done"
    if _far(evidence, model):
        return FOREIGN
    when = "later" if evidence.usual_place > evidence.place else "earlier"
    return f"this looks like {label}, which usually comes {when}"


def _about_order(
    breach: Breach, model: TaughtModel, graphs: Sequence[WorkflowGraph]
) -> tuple[str, tuple[str, ...]]:
    kind, w, step, absent = breach
    graph = graphs[w]
    if step < 0:
        return FOREIGN, ()
    if kind == "foreign":
        label = _label(model.ids[step], graphs, w)
        return f"this looks like {label}, which is not part of workflow '{graph.name}'", ()
    seen = set(graph.ids) - {model.ids[a] for a in bits(absent)}
    if kind == "missing":
        seen -= {model.ids[step]}
    finding = graph.check(model.ids[step], seen)
    if finding is None:
        return f"{graph.label(model.ids[step])} comes out of order", ()
    return finding.reason, finding.missing


def name_of(step: str, graphs: Sequence[WorkflowGraph], workflow: int) -> str:
    """Name of a step in this workflow, else in the first one that has it."""
    graph = next((g for g in (graphs[workflow], *graphs) if step in g.ids), None)
    return step if graph is None else graph.named(step)


def _label(step: str, graphs: Sequence[WorkflowGraph], workflow: int) -> str:
    """Number and name in this workflow; only the name where it is of another one."""
    graph = graphs[workflow]
    return graph.label(step) if step in graph.ids else f"'{name_of(step, graphs, workflow)}'"


def _told(evidence: SegmentEvidence, model: TaughtModel) -> Kind:
    """The main kind; but a known look at an odd place is told by what the graph says of it."""
    if evidence.main != "look" or _far(evidence, model):
        return evidence.main
    return "order" if evidence.values["order"] > 0 else "look"


def _far(evidence: SegmentEvidence, model: TaughtModel) -> bool:
    null = model.nulls["early" if evidence.early else "look"]
    return len(null) > 0 and evidence.distance > float(np.quantile(null, 1 - TAIL_SHARE))


def _about_time(label: str, seconds: float, usual: float) -> str:
    ratio = max(seconds, usual) / max(min(seconds, usual), 1e-3)
    times = f"{ratio:.0f}" if ratio >= 2.5 else f"{ratio:.1f}"
    how = "longer" if seconds > usual else "shorter"
    return f"{label} took {times}x {how} than usual ({_s(seconds)} s, usually {_s(usual)} s)"


def _s(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}".removesuffix(".0")
