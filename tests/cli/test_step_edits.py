"""Two steps made one, or one made two, in every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from egomon.branches.taught.workflow_graph import WorkflowStep
from egomon.cli.page.step_edits import LearnedSteps, StepEdit, divided, merged
from egomon.cli.page.taught_steps import spans_of
from egomon.errors import UsageError
from egomon.stream.segmenter import Span


@pytest.fixture
def learned() -> LearnedSteps:
    """Three steps in two runs; the second run is half as fast."""
    names = ("fill it", "step 2", "close it")
    steps = tuple(
        WorkflowStep(f"step-{i}", name, optional=i == 3) for i, name in enumerate(names, 1)
    )
    slow = tuple(Span(8.0 * i, 8.0 * i + 8) for i in range(3))
    quick = tuple(Span(4.0 * i, 4.0 * i + 4) for i in range(3))
    return LearnedSteps(steps, {"run-001": quick, "run-002": slow})


def starts(edit: StepEdit) -> dict[str, list[float]]:
    return {run: [span.t_start for span in spans] for run, spans in edit.runs.items()}


def test_a_step_and_the_next_one_become_one_with_the_name_of_the_first(
    learned: LearnedSteps,
) -> None:
    edit = merged(learned, "step-1")
    assert edit.names == ("fill it", "close it")
    assert edit.optional == {"close it"}
    assert starts(edit) == {"run-001": [0.0, 8.0], "run-002": [0.0, 16.0]}
    assert [span.text for span in edit.runs["run-002"]] == ["fill it", "close it"]
    assert edit.new_ids == {"step-1": "step-1", "step-2": "step-1", "step-3": "step-2"}


def test_what_is_needed_stays_needed_when_it_takes_in_what_may_be_left_out(
    learned: LearnedSteps,
) -> None:
    edit = merged(learned, "step-2")
    assert (edit.names, edit.optional) == (("fill it", "step 2"), frozenset())


def test_a_step_becomes_two_in_its_middle_and_numbers_go_on(learned: LearnedSteps) -> None:
    edit = divided(learned, "step-2")
    assert edit.names == ("fill it", "step 2", "step 3", "close it")
    assert starts(edit) == {"run-001": [0.0, 4.0, 6.0, 8.0], "run-002": [0.0, 8.0, 12.0, 16.0]}
    assert edit.new_ids == {"step-1": "step-1", "step-2": "step-2", "step-3": "step-4"}


def test_a_time_of_one_run_is_the_same_share_of_the_step_in_the_others(
    learned: LearnedSteps,
) -> None:
    edit = divided(learned, "step-3", "run-002", 22.0)
    assert edit.names == ("fill it", "step 2", "close it", "close it, part 2")
    assert edit.optional == {"close it", "close it, part 2"}
    assert starts(edit) == {"run-001": [0.0, 4.0, 8.0, 11.0], "run-002": [0.0, 8.0, 16.0, 22.0]}


def test_what_cannot_be_merged_or_split_is_refused(learned: LearnedSteps) -> None:
    two = LearnedSteps(learned.steps[:2], {"run-001": learned.runs["run-001"][:2]})
    for change, told in (
        (lambda: merged(learned, "step-3"), "no next one"),
        (lambda: merged(learned, "step-9"), "no such step"),
        (lambda: merged(two, "step-1"), "two steps at least"),
        (lambda: divided(learned, None), "no such step"),
        (lambda: divided(learned, "step-1", "run-009", 2.0), "no such run"),
        (lambda: divided(learned, "step-1", "run-002", 30.0), "each part must last 1 s"),
        # 1.5 s of 8 are enough in this run, and not in the other one.
        (lambda: divided(learned, "step-1", "run-002", 1.5), "in run-001 too"),
        (lambda: divided(learned, "step-1", "run-002", float("nan")), "each part must last 1 s"),
    ):
        with pytest.raises(UsageError, match=told):
            change()


def test_steps_that_a_run_shows_the_other_way_round_become_one_there_too(
    learned: LearnedSteps,
) -> None:
    first, second, third = learned.runs["run-001"]
    other = LearnedSteps(learned.steps, {**learned.runs, "run-003": (second, first, third)})
    spans = merged(other, "step-1").runs["run-003"]
    assert [(span.t_start, span.t_end) for span in spans] == [(0.0, 8.0), (8.0, 12.0)]
    with pytest.raises(UsageError, match="another step comes between these two in run-003"):
        merged(other, "step-2")


def test_a_table_gives_steps_in_the_order_that_most_runs_show(tmp_path: Path) -> None:
    table = tmp_path / "steps.csv"
    runs = {"a": "xyz", "b": "yxz", "c": "xyz"}
    rows = [f"{run},{i},{i + 1},,{step}" for run, own in runs.items() for i, step in enumerate(own)]
    table.write_text("\n".join(["recording,start,end,label,text", *rows]))
    found = spans_of(table)
    assert [[span.text for span in spans] for spans in found.values()] == [list("xyz")] * 3
    assert [span.t_start for span in found["b"]] == [1.0, 0.0, 2.0]
    table.write_text(table.read_text().replace("b,1,2,,x", "b,1,2,,another"))
    assert [span.t_start for span in spans_of(table)["b"]] == [0.0, 1.0, 2.0]
