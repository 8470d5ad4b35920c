"""The folder of one taught work, which the user owns: recorded runs, names of steps, bundle.

`runs/run-001.mp4` and so on are the recordings, `steps.txt` the names that were given to the steps,
one a line, `bundle` what was learned, with what was said of its alerts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from egomon.branches.bundle.locate import CARD_FILE
from egomon.branches.taught.corrections import Correction, read_corrections, write_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph, WorkflowStep
from egomon.errors import UsageError
from egomon.text import printable

if TYPE_CHECKING:
    from egomon.config import Settings

MOST_BYTES = 2 << 30
"""Of all runs together."""
LONGEST_NAME = 60
_RUN = re.compile(r"run-(\d{3,})\.mp4")


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded run."""

    path: Path
    nbytes: int

    @property
    def name(self) -> str:
        """Name for a person: `run-001`."""
        return self.path.stem


class WorkFolder:
    """See the module.

    Args:
        root: made with the first run.
        most_bytes: of all runs.
        is_wanted: the user asked to teach; False only offers it.
    """

    def __init__(
        self, root: Path, *, most_bytes: int = MOST_BYTES, is_wanted: bool = False
    ) -> None:
        self.root, self.most_bytes, self.is_wanted = root, most_bytes, is_wanted
        self.bundle = root / "bundle"
        self.step_names = root / "steps.txt"
        self._runs = root / "runs"

    @property
    def has_bundle(self) -> bool:
        """Whether something was learned."""
        return (self.bundle / CARD_FILE).is_file()

    def runs(self) -> list[Run]:
        """All recordings, oldest first."""
        found = [path for path in self._runs.glob("*.mp4") if _number(path)]
        return [Run(path, path.stat().st_size) for path in sorted(found, key=_number)]

    @property
    def nbytes(self) -> int:
        """Bytes of all runs."""
        return sum(run.nbytes for run in self.runs())

    def new_run(self) -> Path:
        """Where the next recording goes.

        Raises:
            UsageError: there is no room for another, or the folder cannot be made.
        """
        if self.nbytes >= self.most_bytes:
            raise UsageError(
                f"the runs fill their {self.most_bytes >> 20} MiB; delete one to record another"
            )
        try:
            # For its owner only: the runs show a person at work.
            self._runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"cannot make the folder {self.root}: {error.strerror}; give another with --learn"
            ) from error
        number = max((_number(run.path) for run in self.runs()), default=0) + 1
        return self._runs / f"run-{number:03d}.mp4"

    def delete(self, name: str) -> None:
        """Delete one recording; what was learned from it stays until it is learned again.

        Raises:
            UsageError: there is none of this name.
        """
        found = next((run for run in self.runs() if run.name == name), None)
        if found is None:
            raise UsageError("there is no such run any more")
        found.path.unlink(missing_ok=True)

    def change_steps(self, rows: Sequence[Any]) -> None:
        """Give steps names, and say which may be left out.

        Args:
            rows: objects with `id`, `name` and `optional`; other steps stay as they are.

        Raises:
            UsageError: nothing was learned yet, or a row is not such an object.
            BundleError: the bundle's workflow cannot be read.
        """
        if not self.has_bundle:
            raise UsageError("nothing was learned yet")
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
        write_graphs(graphs, self.bundle / WORKFLOW_FILE)
        if len(graphs) == 1:  # what is learned again keeps the number of steps and their names
            self.step_names.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")

    def kept(self) -> KeptWords:
        """What people have said to the bundle so far, for the one that replaces it."""
        if not self.has_bundle:
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


def chosen_folder(learn: Path | None, settings: Settings) -> WorkFolder | None:
    """Folder that the page of a run teaches into.

    Args:
        learn: what the user named.
        settings: of the run.

    Returns:
        None where a bundle of another place watches.
    """
    import platformdirs

    from egomon.config_sections import ModelSettings

    if learn is not None:
        return WorkFolder(learn, is_wanted=True)
    if settings.model.name != ModelSettings().name:
        return None
    return WorkFolder(Path(platformdirs.user_data_dir("egomon")) / "work")


@dataclass(frozen=True, slots=True)
class KeptWords:
    """What people have said to a bundle."""

    corrections: tuple[Correction, ...] = ()
    optional: frozenset[str] = frozenset()
    """Names of steps that may be left out."""


def _number(path: Path) -> int:
    found = _RUN.fullmatch(path.name)
    return 0 if found is None else int(found[1])


def _steps(graphs: Sequence[WorkflowGraph]) -> list[WorkflowStep]:
    return [step for graph in graphs for step in graph.steps]


def _changed(graph: WorkflowGraph, wanted: Mapping[str, tuple[str, bool]]) -> WorkflowGraph:
    for step in graph.steps:
        if step.id in wanted:
            name, optional = wanted[step.id]
            graph = graph.with_step(replace(step, name=name, optional=optional))
    return graph
