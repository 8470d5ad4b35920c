"""How many steps are found, and what one recording is taken to show."""

from __future__ import annotations

import numpy as np
import pytest

from egomon.train.teach.step_filter import step_model
from egomon.train.teach.step_filter.step_model import (
    MOST_LEFT_OUT,
    MOST_STEPS,
    Windows,
    choose_count,
    distances_of,
    fit_model,
    plain_rows,
)

STEPS, LENGTH, WIDTH = 8, 16, 40


def recordings(apart: float, seed: int = 2, many: int = 4) -> list[Windows]:
    """Runs of the same steps by persons whose ways of doing a step are so far apart."""
    usual = np.random.default_rng(99 + seed).normal(size=(STEPS, WIDTH))
    made = []
    for run in range(many):
        rng = np.random.default_rng(100 * seed + run)
        own = usual + rng.normal(0.0, apart, usual.shape)
        rows = np.repeat(own, LENGTH, axis=0) + rng.normal(0.0, 1.5, (STEPS * LENGTH, WIDTH))
        made.append(Windows(f"r{run}", rows.astype(np.float32), np.arange(len(rows)) * 0.5))
    return made


def test_steps_are_told_apart_also_where_persons_differ_more_than_steps_do() -> None:
    assert choose_count(recordings(apart=1.0)) == STEPS
    assert choose_count(recordings(apart=1.5)) >= STEPS - 1


def test_each_recording_is_cut_into_all_numbers_of_steps_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, cuts = [], step_model.cuts
    monkeypatch.setattr(step_model, "cuts", lambda *args: asked.append(args[1]) or cuts(*args))
    made = recordings(apart=1.0)
    choose_count(made)
    counts = range(2, MOST_STEPS + 1)
    of_one = [list(of) for of in asked[: len(asked) // len(made)]]
    assert sorted(count for of in of_one for count in of) == list(counts)
    assert len(of_one) == len({step_model.least_windows(made, count) for count in counts})


def test_of_many_recordings_a_few_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, align = [], step_model.align
    monkeypatch.setattr(step_model, "align", lambda *args: asked.append(args[1]) or align(*args))
    monkeypatch.setattr(step_model, "MOST_STEPS", 3)
    choose_count(recordings(apart=1.0, many=MOST_LEFT_OUT + 3))
    assert asked == [2] * MOST_LEFT_OUT + [3] * MOST_LEFT_OUT


def test_directions_are_the_same_whichever_way_they_are_found() -> None:
    made = recordings(apart=1.0)
    wide = [Windows(r.name, np.pad(r.windows, ((0, 0), (0, 600))), r.times) for r in made]
    assert sum(len(r.windows) for r in made) < 600, "fewer windows than values"
    for own, other in zip(plain_rows(made), plain_rows(wide), strict=True):
        np.testing.assert_allclose(np.abs(own), np.abs(other), atol=1e-3)


def test_directions_of_long_recordings_come_from_the_smaller_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda a: sizes.append(a.shape) or eigh(a))
    plain_rows(recordings(apart=1.0))
    assert sizes == [(WIDTH, WIDTH)]


def test_the_only_recording_is_centred_by_its_mean_and_its_steps_are_shrunken() -> None:
    (alone,) = recordings(apart=0.0, many=1)
    labels = np.repeat(np.arange(STEPS), LENGTH)
    model = fit_model([alone], [labels], STEPS, alone=True)
    d, share = model.descriptor, model.options.shrunken
    rows = d.rows(alone.windows - alone.windows.mean(axis=0))
    middle = np.stack([rows[labels == k].mean(axis=0) for k in range(STEPS)])
    np.testing.assert_allclose(model.steps, share * middle, atol=1e-4)
    assert 0.0 < share < 1.0
    assert (distances_of(model, alone.windows).argmin(axis=1) == labels).mean() > 0.95
