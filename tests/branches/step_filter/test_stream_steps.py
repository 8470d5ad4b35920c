"""Taught steps as one stream shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egomon.branches.step_filter.descriptor import Descriptor, RunningMean
from egomon.branches.step_filter.model import StepModel, StepOptions, StreamSteps

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


def test_a_prior_of_fewer_windows_is_left_sooner() -> None:
    prior = np.zeros(1, np.float32)
    means = [RunningMean(prior, windows) for windows in (1.0, 9.0)]
    for running in means:
        running.centre(np.ones(1, np.float32))
    assert [float(running.mean[0]) for running in means] == pytest.approx([0.5, 0.1])
    assert [running.offset for running in means] == pytest.approx([1.0, 1.0])
