"""How many steps are found, and what one recording is taken to show."""

from __future__ import annotations

import numpy as np

from egomon.train.teach.step_filter.step_model import (
    Windows,
    choose_count,
    distances_of,
    fit_model,
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
