"""What was said of alerts makes the filter believe such a mistake sooner or later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from egomon.branches.step_filter.descriptor import Descriptor
from egomon.branches.step_filter.filter import StepFilter
from egomon.branches.step_filter.model import StepModel, StepOptions
from egomon.branches.taught.corrections import Correction
from egomon.branches.taught.transitions import Rules
from egomon.branches.taught.workflow_graph import WorkflowGraph

IDS = ("step-1", "step-2", "step-3", "step-4")
EYE = np.eye(4, dtype=np.float32)
MODEL = StepModel(
    ids=IDS,
    descriptor=Descriptor(np.zeros(4, np.float32), np.zeros(4, np.float32), EYE),
    steps=EYE,
    seconds=np.full(4, 6.0),
    durations=np.full((2, 4), 6.0),
    options=StepOptions(sharpness=2.0, known=1e6),
)
RULES = [Rules.of(WorkflowGraph.learn([list(IDS)] * 3), IDS)]


def p_mistakes(shown: Sequence[int], corrections: Sequence[Correction] = ()) -> list[float]:
    """Posterior of an untold mistake after each half second; each step is shown for 6 s."""
    follower = StepFilter(MODEL, RULES, corrections)
    found = []
    for step in shown:
        distances = np.full(4, 1.5)
        distances[step] = 0.0
        found += [follower.push(distances).p_mistake for _ in range(12)]
    return found


def said(what: str, step: str = "step-3", kind: str = "missing") -> Correction:
    return Correction(said=what, kind=kind, step=step)  # type: ignore[arg-type]


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_wrong_and_missed_move_the_posterior_the_way_they_say() -> None:
    skipping = (0, 2)
    first = 13  # the second window of the step that came too early
    plain = p_mistakes(skipping)[first]
    wrong = p_mistakes(skipping, [said("wrong")])[first]
    missed = p_mistakes(skipping, [said("missed")])[first]
    both = p_mistakes(skipping, [said("wrong"), said("right")])[first]
    assert wrong < both < plain < missed
    assert log_odds(plain) - log_odds(wrong) == pytest.approx(np.log(3), abs=0.4)


def test_another_kind_is_left_alone_and_another_step_moves_less() -> None:
    skipping = (0, 2)
    plain = p_mistakes(skipping)[13]
    elsewhere = p_mistakes(skipping, [said("wrong", "step-4")])[13]
    at_it = p_mistakes(skipping, [said("wrong")])[13]
    other = p_mistakes(skipping, [said("wrong", kind="foreign", step="")])[13]
    assert at_it < elsewhere < plain
    assert other == pytest.approx(plain, rel=0.02)


def test_many_wrong_words_about_one_step_leave_the_others_their_alerts() -> None:
    many = [said("wrong")] * 5
    assert max(p_mistakes((0, 2), many)) < max(p_mistakes((0, 2)))
    assert max(p_mistakes((0, 1, 3), many)) > MODEL.options.threshold
    assert max(p_mistakes((0, 1, 2, 3), [said("missed")] * 50)) < MODEL.options.threshold
