"""Workflow graphs as a TOML file that a person can read and edit (`workflow.toml`)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.errors import BundleError

WORKFLOW_FILE = "workflow.toml"

_HEADER = """\
# What egomon learned from correct recordings. You may edit
#   name        what alerts call the step
#   after       ids of the steps that must have been seen before this one; [] = any time
#   optional    true: may be left out
#   repeatable  true: may be done more than once
# and the order of the steps, which numbers them. Keep the ids: the learned looks hang on them.
# `demonstrations` says how many recordings the order was counted in: few may show a free order
# alike by chance, so their order counts for less; 0 = the order is certain.
"""

_STEP_KEYS = {"id": str, "name": str, "after": list, "optional": bool, "repeatable": bool}


_GRAPH_KEYS = {"name": str, "demonstrations": int, "step": list}


def to_toml(graphs: Sequence[WorkflowGraph]) -> str:
    """Graphs as TOML text, with the names of preconditions as comments.

    One graph is written as the file's own keys, several as a `[[workflow]]` each.
    """
    if len(graphs) == 1:
        return "\n".join([_HEADER, *_lines(graphs[0], "step")]) + "\n"
    lines = [_HEADER.rstrip()]
    for graph in graphs:
        lines += ["", "[[workflow]]", *_lines(graph, "workflow.step")]
    return "\n".join(lines) + "\n"


def _lines(graph: WorkflowGraph, table: str) -> list[str]:
    names = {step.id: step.name for step in graph.steps}
    lines = [f"name = {toml_string(graph.name)}", f"demonstrations = {graph.demonstrations}"]
    for step in graph.steps:
        after = ", ".join(toml_string(a) for a in step.after)
        told = ", ".join(names[a] for a in step.after if names[a] != a)
        lines += [
            "",
            f"[[{table}]]",
            f"id = {toml_string(step.id)}",
            f"name = {toml_string(step.name)}",
            f"after = [{after}]" + (f"  # {_plain(told)}" if told else ""),
            f"optional = {str(step.optional).lower()}",
            f"repeatable = {str(step.repeatable).lower()}",
        ]
    return lines


def from_toml(text: str, *, where: str = WORKFLOW_FILE) -> tuple[WorkflowGraph, ...]:
    """Read graphs.

    Args:
        text: TOML.
        where: name of the file for messages.

    Raises:
        BundleError: not TOML, an unknown or missing key, an id or name twice, a precondition that
            is no step, or steps that wait for each other.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BundleError(f"{where} is not valid TOML: {error}; correct that line") from error
    if set(data) != {"workflow"}:
        return (_graph(data, where),)
    rows = data["workflow"]
    if not isinstance(rows, list) or not rows:
        raise BundleError(f"{where}: needs at least one [[workflow]]")
    return tuple(_graph(row, f"{where}, [[workflow]] {i}") for i, row in enumerate(rows, 1))


def _graph(data: Any, where: str) -> WorkflowGraph:
    if not isinstance(data, dict):
        raise BundleError(f"{where}: must be a table")
    unknown = sorted(set(data) - set(_GRAPH_KEYS))
    if unknown:
        raise BundleError(
            f"{where}: unknown key {unknown[0]!r}; known are name, demonstrations and [[step]]"
        )
    for key, value in data.items():
        if type(value) is not _GRAPH_KEYS[key]:
            raise BundleError(f"{where}: {key} must be a {_GRAPH_KEYS[key].__name__}")
    rows = data.get("step", [])
    if not rows:
        raise BundleError(f"{where}: needs a name and at least one [[step]]")
    steps = tuple(_step(row, i, where) for i, row in enumerate(rows, 1))
    many = max(0, data.get("demonstrations", 0))
    graph = WorkflowGraph(data.get("name", "workflow"), steps, many)
    _validate(graph, where)
    return graph


def read_graphs(path: Path, *, ids: Collection[str] | None = None) -> tuple[WorkflowGraph, ...]:
    """Read `workflow.toml`.

    Args:
        path: the file.
        ids: the step ids that the bundle knows; the file must hold exactly these.

    Raises:
        BundleError: the file is missing, breaks the format, or its ids differ from the bundle's.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"cannot read {path.name} of the bundle: {error}") from error
    graphs = from_toml(text, where=path.name)
    if ids is not None:
        _same_ids({id_ for graph in graphs for id_ in graph.ids}, set(ids), path.name)
    return graphs


def write_graphs(graphs: Sequence[WorkflowGraph], path: Path) -> None:
    """Write `workflow.toml`."""
    path.write_text(to_toml(graphs), encoding="utf-8")


def _step(row: Any, number: int, where: str) -> WorkflowStep:
    at = f"{where}, [[step]] {number}"
    if not isinstance(row, dict):
        raise BundleError(f"{at}: must be a table")
    for key, value in row.items():
        if key not in _STEP_KEYS:
            raise BundleError(f"{at}: unknown key {key!r}; known are {', '.join(_STEP_KEYS)}")
        if not isinstance(value, _STEP_KEYS[key]):
            raise BundleError(f"{at}: {key} must be a {_STEP_KEYS[key].__name__}")
    if not row.get("id") or not row.get("name"):
        raise BundleError(f"{at}: needs an id and a name")
    after = row.get("after", [])
    if not all(isinstance(a, str) for a in after):
        raise BundleError(f"{at}: after must be a list of step ids")
    return WorkflowStep(
        id=row["id"],
        name=row["name"],
        after=tuple(dict.fromkeys(after)),
        optional=row.get("optional", False),
        repeatable=row.get("repeatable", False),
    )


def _validate(graph: WorkflowGraph, where: str) -> None:
    for what, values in (("id", graph.ids), ("name", tuple(s.name for s in graph.steps))):
        twice = [v for v in dict.fromkeys(values) if values.count(v) > 1]
        if twice:
            raise BundleError(f"{where}: two steps have the {what} {twice[0]!r}; make them differ")
    waits: dict[str, set[str]] = {}
    for step in graph.steps:
        for a in step.after:
            if a not in graph.ids:
                raise BundleError(
                    f"{where}: step {step.id!r} comes after {a!r}, which is no step; "
                    f"ids are {', '.join(graph.ids)}"
                )
        waits[step.id] = set(step.after)
    while ready := [s for s, needed in waits.items() if not needed]:
        for s in ready:
            del waits[s]
        waits = {s: needed - set(ready) for s, needed in waits.items()}
    if waits:
        raise BundleError(
            f"{where}: steps {', '.join(waits)} wait for each other through `after`; "
            "remove one of these entries"
        )


def _same_ids(found: set[str], wanted: set[str], where: str) -> None:
    if extra := sorted(found - wanted):
        raise BundleError(
            f"{where}: step id {extra[0]!r} is not in the bundle, which knows "
            f"{', '.join(sorted(wanted))}; change `name`, not `id`"
        )
    if lost := sorted(wanted - found):
        raise BundleError(
            f"{where}: step {lost[0]!r} of the bundle is gone; put it back, "
            "and mark it optional if it may be left out"
        )


def toml_string(text: str) -> str:
    """The text as a TOML basic string."""
    # JSON strings are TOML basic strings but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
