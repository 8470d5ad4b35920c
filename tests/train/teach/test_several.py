"""Several workflows in one bundle: the one that explains the stream speaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_work import FPS, SECONDS, frames_of
from test_follow import untimed, watch

from egomon.branches.step_filter.branch import StepFilterBranch
from egomon.branches.step_filter.several import SeveralFollower, SeveralWorkflowsBranch
from egomon.train.features.recording import RecordingVectors
from egomon.train.teach.step_filter.several import FollowedWorkflows, teach_workflows

WASHING, COOKING, SHARED = ("abcde", 0), ("edbca", 1), ("abed", 0)


def demonstration(work: tuple[str, int], seed: int, workflow: str) -> RecordingVectors:
    times, vectors = frames_of(work[0], seed, work[1])
    return RecordingVectors(f"{workflow}{seed}", times, vectors, workflow=workflow)


def taught(count: int | None = None, **works: tuple[str, int]) -> FollowedWorkflows:
    runs = [demonstration(work, seed, name) for name, work in works.items() for seed in range(3)]
    return teach_workflows(runs, count=count)


@pytest.fixture(scope="module")
def two() -> FollowedWorkflows:
    return taught(5, washing=WASHING, cooking=COOKING)


def follower_of(found: FollowedWorkflows) -> SeveralFollower:
    pairs = zip(found.models, found.graphs, strict=True)
    branches = tuple(StepFilterBranch(model, (graph,)) for model, graph in pairs)
    return SeveralWorkflowsBranch(branches).follow()


def told(found: FollowedWorkflows, *works: tuple[str, int]) -> list[tuple[float, str]]:
    """Alerts over works that follow each other in one stream."""
    parts = [frames_of(work, 9 + i, place)[1] for i, (work, place) in enumerate(works)]
    vectors = np.concatenate(parts)
    alerts = watch(follower_of(found), np.arange(len(vectors)) / FPS, vectors)
    return [(seconds, untimed(said)) for seconds, said in alerts]


def test_each_workflow_has_its_own_steps_and_the_report_counts_all(two: FollowedWorkflows) -> None:
    washing, cooking = two.graphs
    assert (washing.name, cooking.name) == ("washing", "cooking")
    assert washing.ids == tuple(f"step-{k}" for k in range(1, 6))
    assert cooking.ids == tuple(f"step-{k}" for k in range(6, 11))
    assert [step.name for step in cooking.steps] == [f"step {k}" for k in range(1, 6)]
    assert {span.text for span in two.visits[3]} == set(cooking.ids)
    assert (two.report.workflows, two.report.recordings, two.report.steps) == (2, 6, 10)
    assert two.report.notes[0].startswith("washing: 5 steps in 3 recordings; cooking: 5 steps")


@pytest.mark.parametrize("works", [(WASHING,), (COOKING,), (WASHING, COOKING, WASHING)])
def test_correct_work_of_each_is_silent_also_one_after_the_other(
    two: FollowedWorkflows, works: tuple[tuple[str, int], ...]
) -> None:
    assert told(two, *works) == []


@pytest.mark.parametrize("before", [(), (WASHING,)])
def test_a_mistake_is_told_in_the_words_of_the_workflow_that_is_being_done(
    two: FollowedWorkflows, before: tuple[tuple[str, int], ...]
) -> None:
    (alert,) = told(two, *before, ("edca", 1))
    began = (len(WASHING[0]) * len(before) + 2) * SECONDS
    assert alert[1] == "expected step 3, which has not been seen; step 4 began"
    assert began < alert[0] <= began + 5.0


def test_foreign_work_inside_of_one_is_told_and_the_other_does_not_take_over(
    two: FollowedWorkflows,
) -> None:
    assert [said for _, said in told(two, ("abxcde", 0))] == [
        "this does not look like any step of the workflow"
    ]


def test_a_shared_beginning_decides_nothing() -> None:
    found = taught(long=WASHING, short=SHARED)
    assert told(found, WASHING) == []
    assert told(found, SHARED) == []
    follower = follower_of(found)
    times, vectors = frames_of("ab", 9)
    watch(follower, times, vectors)
    assert follower.shares.max() < 0.9


def test_another_place_than_that_of_any_workflow_is_out_of_domain(two: FollowedWorkflows) -> None:
    follower = follower_of(two)
    watch(follower, *frames_of("abcde", 9, 2))
    assert follower.state == "out_of_domain"
    follower = follower_of(two)
    watch(follower, *frames_of("edbca", 9, 1))
    assert follower.state == "in_domain"


def test_recordings_that_name_no_workflow_are_one() -> None:
    runs = [replace(demonstration(WASHING, seed, ""), workflow="") for seed in range(2)]
    found = teach_workflows(runs, name="work", count=5)
    assert [graph.name for graph in found.graphs] == ["work"]
    assert (found.report.workflows, len(found.models)) == (1, 1)
