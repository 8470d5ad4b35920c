"""`teach --add` keeps what people changed in the bundle, as far as its steps are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from egomon.branches.taught.corrections import Correction, write_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs, write_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.stream.segmenter import Span
from egomon.train.teach.demonstrations import About
from egomon.train.teach.help_files import STEPS_FILE, write_boundaries
from egomon.train.teach.kept_changes import read_changes

NAMES = ("r1.mp4", "r2.mp4")
ABOUT = About(base="lite0", weights_sha256=None, names=NAMES, spans=(None, None))


def spans_of(*texts: str, seconds: float = 10.0) -> list[Span]:
    return [Span(i * seconds, (i + 1) * seconds, text) for i, text in enumerate(texts)]


def graph_of(count: int) -> WorkflowGraph:
    ids = [f"step-{k}" for k in range(1, count + 1)]
    return WorkflowGraph.learn([ids], names={i: i.replace("-", " ") for i in ids}, tolerance=1.0)


@pytest.fixture
def taught(tmp_path: Path) -> Path:
    """Three steps of ten seconds; the second recording shows the last two the other way."""
    ids = [("step-1", "step-2", "step-3"), ("step-1", "step-3", "step-2")]
    names = {f"step-{k}": f"step {k}" for k in (1, 2, 3)}
    write_graphs([WorkflowGraph.learn(ids, names=names, tolerance=1.0)], tmp_path / WORKFLOW_FILE)
    shown = {
        name: spans_of(*(names[i] for i in order)) for name, order in zip(NAMES, ids, strict=True)
    }
    write_boundaries(tmp_path / STEPS_FILE, shown)
    return tmp_path


def change(folder: Path, number: int, **fields: object) -> None:
    (graph,) = read_graphs(folder / WORKFLOW_FILE)
    steps = tuple(
        replace(step, **fields) if step.id == f"step-{number}" else step  # type: ignore[arg-type]
        for step in graph.steps
    )
    write_graphs([replace(graph, steps=steps)], folder / WORKFLOW_FILE)


SPLIT = {
    "r1.mp4": [
        Span(0.0, 5.0, "step-1"),
        Span(5.0, 9.5, "step-2"),
        Span(9.5, 21.0, "step-3"),
        Span(21.0, 30.0, "step-4"),
    ],
    "new.mp4": spans_of("step-1", "step-2", "step-3", "step-4"),
}
"""The first step was split, and the others go on as the third and the fourth."""


def test_names_and_options_go_to_the_same_steps_under_their_new_numbers(taught: Path) -> None:
    change(taught, 2, name="rinse", optional=True)
    change(taught, 3, repeatable=True)
    (graph,), words, lost = read_changes(taught, ABOUT).on([graph_of(4)], SPLIT)
    assert [step.name for step in graph.steps] == ["step 1", "step 2", "rinse", "step 4"]
    assert [(step.optional, step.repeatable) for step in graph.steps[2:]] == [
        (True, False),
        (False, True),
    ]
    assert [step.after for step in graph.steps] == [step.after for step in graph_of(4).steps]
    assert (words, lost) == ((), "")


def test_a_step_that_was_freed_of_another_stays_free_of_it(taught: Path) -> None:
    change(taught, 3, after=())
    same = {"r1.mp4": spans_of("step-1", "step-2", "step-3")}
    (graph,), _, _ = read_changes(taught, ABOUT).on([graph_of(3)], same)
    assert [step.after for step in graph.steps] == [(), ("step-1",), ("step-2",)]


def test_what_was_learned_is_no_change_and_is_learned_again(taught: Path) -> None:
    (graph,), words, lost = read_changes(taught, ABOUT).on([graph_of(4)], SPLIT)
    assert graph == graph_of(4)
    assert (words, lost) == ((), "")


def test_words_of_feedback_follow_their_steps(taught: Path) -> None:
    row = Correction(said="wrong", kind="missing", step="step-3", alert="a")
    write_corrections(taught, [row, Correction(said="missed", kind="foreign")])
    _, words, lost = read_changes(taught, ABOUT).on([graph_of(4)], SPLIT)
    assert [(w.said, w.step, w.alert) for w in words] == [
        ("wrong", "step-4", "a"),
        ("missed", "", ""),
    ]
    assert lost == ""


def test_what_cannot_be_kept_is_told(taught: Path) -> None:
    change(taught, 1, name="wet")
    row = Correction(said="wrong", kind="missing", step="step-1")
    write_corrections(taught, [row])
    (graph,), words, lost = read_changes(taught, ABOUT).on([graph_of(4)], SPLIT)
    assert (graph, words) == (graph_of(4), ())
    assert lost == "changes of 'wet' and 1 of 1 words of feedback could not be kept"


def test_no_two_steps_get_one_name(taught: Path) -> None:
    change(taught, 3, name="step 1 again")
    new = graph_of(4)
    new = replace(new, steps=(replace(new.steps[0], name="step 1 again"), *new.steps[1:]))
    (graph,), _, _ = read_changes(taught, ABOUT).on([new], SPLIT)
    assert graph == new


@pytest.mark.parametrize("table", [None, "no table", "recording,start,end\nr1.mp4,0,9\n"])
def test_where_the_old_steps_are_unknown_words_are_lost_and_told(
    taught: Path, table: str | None
) -> None:
    write_corrections(taught, [Correction(said="wrong", kind="missing", step="step-1")])
    (taught / STEPS_FILE).unlink()
    if table is not None:
        (taught / STEPS_FILE).write_text(table)
    (graph,), words, lost = read_changes(taught, ABOUT).on([graph_of(4)], SPLIT)
    assert (graph, words) == (graph_of(4), ())
    assert lost == "1 of 1 words of feedback could not be kept"
