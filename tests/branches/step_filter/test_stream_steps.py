"""Taught steps as one stream shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egomon.branches.interfaces import ClipView, ContextView
from egomon.branches.step_filter.branch import StepFilterBranch
from egomon.branches.step_filter.descriptor import Descriptor, RunningMean
from egomon.branches.step_filter.model import StepModel, StepOptions, StreamSteps
from egomon.branches.taught.workflow_graph import WorkflowGraph

ROW = np.array([3.0, 1.0], np.float32)


@pytest.fixture
def model() -> StepModel:
    nothing = np.zeros(2, np.float32)
    return StepModel(
        ("step-1", "step-2"),
        Descriptor(nothing, nothing, np.eye(2, dtype=np.float32)),
        np.array([[1.0, 1.0], [-1.0, 0.0]], np.float32),
        np.full(2, 8.0),
        np.full((2, 2), 8.0),
        StepOptions(sharpness=1.0, taught_windows=4.0, shrunken=0.5),
    )


def test_a_step_moves_to_what_the_stream_shows_of_it_and_the_others_stay(
    model: StepModel,
) -> None:
    steps = StreamSteps(model)
    before = steps.distances(ROW)
    steps.see(ROW, np.array([1.0, 0.0]))
    after = steps.distances(ROW)
    # (1, 1) counts for four windows, half of (3, 1) for one: the step is now at (1.1, 0.9).
    assert after == pytest.approx([(1.9**2 + 0.1**2) / 2, before[1]])


def test_many_windows_outweigh_what_was_taught(model: StepModel) -> None:
    steps = StreamSteps(model)
    for _ in range(400):
        steps.see(ROW, np.array([0.0, 1.0]))
    assert steps.distances(0.5 * ROW)[1] < 1e-3


def test_each_stream_begins_with_what_was_taught(model: StepModel) -> None:
    StreamSteps(model).see(ROW, np.array([1.0, 0.0]))
    assert StreamSteps(model).distances(ROW)[0] == pytest.approx(2.0)


def test_a_model_of_several_recordings_is_not_moved(model: StepModel) -> None:
    options = replace(model.options, taught_windows=0.0)
    steps = StreamSteps(replace(model, options=options))
    before = steps.distances(ROW)
    steps.see(ROW, np.array([1.0, 0.0]))
    assert steps.distances(ROW) == pytest.approx(before)


def test_a_live_stream_is_judged_by_the_steps_as_it_has_shown_them(model: StepModel) -> None:
    graph = WorkflowGraph.learn([list(model.ids)])
    times = np.arange(0.0, 12.0, 0.5)
    vectors = np.stack([2.0 + 0.1 * np.sin(times), np.cos(times)], axis=1).astype(np.float32)
    whole = ContextView(vectors[:1], times[:1], 0.0, 0.0)
    seen = []
    for windows in (4.0, 0.0):
        options = replace(model.options, taught_windows=windows)
        follower = StepFilterBranch(replace(model, options=options), [graph]).follow()
        guesses = [
            follower.score(ClipView(vectors[i : i + 4], times[i : i + 4], i / 2, i / 2 + 2), whole)
            for i in range(0, len(times), 4)
        ]
        seen.append([guess.step.confidence for guess in guesses if guess.step is not None])
    assert len(seen[0]) == len(seen[1]) == 6
    assert seen[0][-1] != pytest.approx(seen[1][-1], rel=1e-3)


def test_a_prior_of_fewer_windows_is_left_sooner() -> None:
    prior = np.zeros(1, np.float32)
    means = [RunningMean(prior, windows) for windows in (1.0, 9.0)]
    for running in means:
        running.centre(np.ones(1, np.float32))
    assert [float(running.mean[0]) for running in means] == pytest.approx([0.5, 0.1])
    assert [running.offset for running in means] == pytest.approx([1.0, 1.0])
