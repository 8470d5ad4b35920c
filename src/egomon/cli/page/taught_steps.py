"""The steps of one taught work as people change them: names, which may be left out, how many."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from egomon.branches.bundle.locate import CARD_FILE
from egomon.branches.taught.corrections import Correction, read_corrections, write_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.cli.page.step_edits import LearnedSteps, StepEdit
from egomon.errors import UsageError
from egomon.stream.segmenter import Span
from egomon.text import printable

LONGEST_NAME = 60
STEPS_FILE = "steps.csv"
"""Where steps begin and end in each run: in the bundle as found, beside it as a person wants it."""


class TaughtSteps:
    """Steps in a work's folder.

    Args:
        root: the folder, see `WorkFolder`.
    """

    def __init__(self, root: Path) -> None:
        self.bundle = root / "bundle"
        self.names, self.boundaries = root / "steps.txt", root / STEPS_FILE
        self._previous = root / "previous"

    @property
    def are_learned(self) -> bool:
        """Whether there is a bundle."""
        return (self.bundle / CARD_FILE).is_file()

    def rename(self, rows: Sequence[Any]) -> None:
        """Give steps names, and say which may be left out.

        Args:
            rows: objects with `id`, `name` and `optional`; other steps stay as they are.

        Raises:
            UsageError: nothing was learned yet, or a row is not such an object.
            BundleError: the bundle's workflow cannot be read.
        """
        self._need_bundle()
        wanted: dict[str, tuple[str, bool]] = {}
        for row in rows:
            try:
                id_, name, optional = str(row["id"]), str(row["name"]), bool(row["optional"])
            except (TypeError, KeyError) as error:
                raise UsageError("a step needs id, name and optional") from error
            one_line = " ".join(printable(name).split())[:LONGEST_NAME]
            if not one_line:
                raise UsageError("a step needs a name")
            wanted[id_] = one_line, optional
        graphs = [_changed(graph, wanted) for graph in read_graphs(self.bundle / WORKFLOW_FILE)]
        names = [step.name for step in _steps(graphs)]
        if len(set(names)) < len(names):
            raise UsageError("two steps have the same name; make them differ")
        self._keep_previous()
        write_graphs(graphs, self.bundle / WORKFLOW_FILE)
        if len(graphs) == 1:  # what is learned again keeps the number of steps and their names
            self._write_names(names)

    def learned(self, runs: Collection[str]) -> LearnedSteps:
        """Steps of the bundle, and when each was done.

        Args:
            runs: names of the runs that are still there; others are left out.

        Raises:
            UsageError: nothing was learned yet, no run is left, or the steps come from the base
                and hang on no times.
            BundleError: the bundle's workflow cannot be read.
        """
        self._need_bundle()
        steps = _steps(read_graphs(self.bundle / WORKFLOW_FILE))
        found = spans_of(self.bundle / STEPS_FILE)
        if not found:
            raise UsageError("these steps are those of the base, so they stay as they are")
        left = {name: spans for name, spans in found.items() if name in runs}
        if not left:
            raise UsageError("no run is left to learn from; record a correct run first")
        return LearnedSteps(tuple(steps), left)

    def boundaries_of(self, runs: Collection[str]) -> Path | None:
        """The table of where steps begin and end, if it tells of any of these runs."""
        return None if spans_of(self.boundaries).keys().isdisjoint(runs) else self.boundaries

    @property
    def runs(self) -> set[str]:
        """Names of all runs that a table tells of, deleted ones too."""
        folders = (self.bundle, self.bundle.parent, self._previous)
        return {run for folder in folders for run in spans_of(folder / STEPS_FILE)}

    def change(self, edit: StepEdit) -> None:
        """Let what is learned next have these steps."""
        from egomon.train.teach.help_files import write_boundaries

        self._keep_previous()
        self._write_names(edit.names)
        write_boundaries(self.boundaries, edit.runs)

    def restore_previous(self) -> None:
        """Steps and bundle are again what they were before the newest change.

        Raises:
            UsageError: there was none, or the disk refuses.
        """
        try:
            kept = self._previous / self.bundle.name
            if not kept.is_dir():
                raise UsageError("what was before is not there any more")
            shutil.rmtree(self.bundle)
            kept.rename(self.bundle)
            for path in (self.names, self.boundaries):
                before = self._previous / path.name
                if before.is_file():
                    before.replace(path)
                else:
                    path.unlink(missing_ok=True)
            self.forget_previous()
        except OSError as error:
            raise UsageError(f"{self.bundle.parent} cannot be changed: {error.strerror}") from error

    def forget_previous(self) -> None:
        """The newest change cannot be undone any more."""
        shutil.rmtree(self._previous, ignore_errors=True)

    def kept(self) -> KeptWords:
        """What people have said to the bundle so far, for the one that replaces it."""
        if not self.are_learned:
            return KeptWords()
        steps = _steps(read_graphs(self.bundle / WORKFLOW_FILE))
        return KeptWords(
            tuple(read_corrections(self.bundle)),
            frozenset(step.name for step in steps if step.optional),
        )

    def keep(self, words: KeptWords) -> None:
        """Say it to the present bundle too, as far as it has such steps."""
        graphs = read_graphs(self.bundle / WORKFLOW_FILE)
        steps = _steps(graphs)
        ids = {step.id for step in steps}
        rows = [row for row in words.corrections if row.step in ids or not row.step]
        write_corrections(self.bundle, rows)
        again = {s.id: (s.name, True) for s in steps if s.name in words.optional}
        write_graphs([_changed(g, again) for g in graphs], self.bundle / WORKFLOW_FILE)

    def _need_bundle(self) -> None:
        if not self.are_learned:
            raise UsageError("nothing was learned yet")

    def _keep_previous(self) -> None:
        self.forget_previous()
        try:
            shutil.copytree(self.bundle, self._previous / self.bundle.name)
            for path in (self.names, self.boundaries):
                if path.is_file():
                    shutil.copy(path, self._previous)
        except OSError as error:
            raise UsageError(f"{self.bundle.parent} cannot be changed: {error}") from error

    def _write_names(self, names: Sequence[str]) -> None:
        self.names.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class KeptWords:
    """What people have said to a bundle."""

    corrections: tuple[Correction, ...] = ()
    optional: frozenset[str] = frozenset()
    """Names of steps that may be left out."""

    def after(self, edit: StepEdit) -> KeptWords:
        """The same about the steps that an edit makes of those that there were."""
        rows = [
            msgspec.structs.replace(row, step=edit.new_ids.get(row.step, ""))
            for row in self.corrections
            if row.step in edit.new_ids or not row.step
        ]
        return KeptWords(tuple(rows), edit.optional)


def spans_of(table: Path) -> dict[str, tuple[Span, ...]]:
    """Steps of each run in the order that most runs show; none where there is no table.

    In order of time where the runs do not name the same steps.
    """
    from egomon.train.datasets.table import read_table_file
    from egomon.train.teach.step_filter.orders import usual_order

    found: dict[str, list[Span]] = {}
    for row in read_table_file(table) if table.is_file() else ():
        found.setdefault(Path(row.recording).stem, []).append(Span(row.start, row.end, row.text))
    runs = {run: sorted(spans, key=lambda s: s.t_start) for run, spans in found.items()}
    names = [[span.text or "" for span in spans] for spans in runs.values()]
    if names and all(len(own) == len(set(own)) and set(own) == set(names[0]) for own in names):
        usual = usual_order(names)
        for spans in runs.values():
            spans.sort(key=lambda span: usual.index(span.text or ""))
    return {run: tuple(spans) for run, spans in runs.items()}


def _steps(graphs: Sequence[WorkflowGraph]) -> list[WorkflowStep]:
    return [step for graph in graphs for step in graph.steps]


def _changed(graph: WorkflowGraph, wanted: Mapping[str, tuple[str, bool]]) -> WorkflowGraph:
    for step in graph.steps:
        if step.id in wanted:
            name, optional = wanted[step.id]
            graph = graph.with_step(replace(step, name=name, optional=optional))
    return graph
