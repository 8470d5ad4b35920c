"""The running mean of a stream, and how far its place lies from the recordings'."""

from __future__ import annotations

import numpy as np
import pytest

from egomon.branches.step_filter.descriptor import RunningMean


def test_the_place_lies_as_far_away_as_it_is_whenever_it_is_asked() -> None:
    prior, here = np.zeros(3, np.float32), np.array([3.0, 0.0, 4.0], np.float32)
    running = RunningMean(prior, 20.0)
    assert running.offset == 0.0
    for window in range(900):
        if window in (30, 200):
            running.begin_anew()
        running.centre(here)
        assert running.offset == pytest.approx(5.0)


def test_when_work_begins_anew_what_was_seen_counts_as_the_prior_did() -> None:
    prior, here = np.zeros(2, np.float32), np.ones(2, np.float32)
    running = RunningMean(prior, 4.0)
    for _ in range(500):
        running.centre(here)
    running.begin_anew()
    np.testing.assert_allclose(running.centre(3 * here), 3 - (1 + 2 / 5), rtol=0.01)
