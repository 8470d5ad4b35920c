"""CaptainCook4D's frames through the step filter: labels, windows, and what is seen when."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from egomon.train.teach.step_filter.step_model import Windows

ROOT = Path(__file__).parents[2]
LENGTH, WIDTH = 12, 40


@pytest.fixture(scope="module", autouse=True)
def benchmarks() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


def cooked(order: list[int], seed: int, wrong: int | None = None) -> Any:
    """Twelve seconds a step, one window a second."""
    from teach_parts.frames import Cooked, LabelledStep

    looks = np.random.default_rng(99).normal(size=(9, WIDTH)) * 2
    noise = np.random.default_rng(seed).normal(size=(LENGTH * len(order), WIDTH))
    rows = (np.repeat(looks[order], LENGTH, axis=0) + noise).astype(np.float32)
    steps = tuple(
        LabelledStep(LENGTH * k, LENGTH * (k + 1), 100 + step, step == wrong)
        for k, step in enumerate(order)
    )
    return Cooked("soup", Windows(f"r{seed}", rows, np.arange(float(len(rows))), 1.0), steps)


def test_steps_and_their_orders_are_those_of_the_labels_also_where_one_is_lacking() -> None:
    from teach_parts.frames import taught

    demos = [cooked([0, 1, 2, 3, 4], 1), cooked([0, 2, 1, 3, 4], 2), cooked([0, 1, 2, 4], 3)]
    model, graph = taught(demos, labelled=True)
    assert len(model.ids) == 5
    assert model.seconds.tolist() == [LENGTH] * 5
    assert graph.check("step-3", {"step-1"}) is None, "the second recording shows it"
    assert graph.check("step-5", {"step-1", "step-2"}) is not None


def test_a_step_of_no_window_of_its_own_is_no_step() -> None:
    from teach_parts.frames import LabelledStep, taught

    demo = cooked([0, 1, 2, 3], 1)
    hidden = replace(demo, steps=(*demo.steps, LabelledStep(30.0, 30.2, 200, wrong=False)))
    model, _ = taught([hidden, cooked([0, 1, 2, 3], 2)], labelled=True)
    assert len(model.ids) == 4


def test_what_is_seen_does_not_depend_on_what_comes_after_and_rises_with_other_work() -> None:
    from teach_parts.frames import COLUMNS, evidence_of, taught

    model, graph = taught([cooked([0, 1, 2, 3, 4], seed) for seed in (1, 2, 3)], labelled=True)
    usual = evidence_of(model, graph, cooked([0, 1, 2, 3, 4], 5).windows)
    other = evidence_of(model, graph, cooked([0, 1, 7, 8, 4], 5).windows)
    assert usual.shape == (5 * LENGTH, len(COLUMNS))
    begun = slice(0, 2 * LENGTH)
    np.testing.assert_allclose(other[begun], usual[begun])
    for column in ("distance", "both"):
        place = COLUMNS.index(column)
        assert other[4 * LENGTH - 1, place] > usual[4 * LENGTH - 1, place]


def test_windows_without_boundaries_are_wrong_where_half_of_them_is() -> None:
    from teach_parts.frames import COLUMNS, Judged

    item = cooked([0, 1, 2], 1, wrong=1)
    judged = Judged(item, np.zeros((3 * LENGTH, len(COLUMNS))))
    assert judged.segments() == [(0, 12, False), (12, 24, True), (24, 36, False)]
    wrong = [(a, b) for a, b, label in judged.pieces() if label]
    assert wrong[0] == (10, 14)
    assert wrong[-1] == (22, 26)
    assert len(judged.pieces()) == 17
