"""Which frames make a clip: uniform, distinct, and the same however a reader comes by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egomon.branches.frame_sampling import spread_indices


@pytest.mark.parametrize("fps", [24.0, 25.0, 29.97, 30.0, 60.0])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_long_enough_span_gives_all_its_frames_though_containers_round_times(
    fps: float, rounded: bool
) -> None:
    times = np.arange(400) / fps
    if rounded:
        times = np.floor(times * 1000) / 1000
    chosen = spread_indices(times, 2.0, 2.0 + 32 / fps, 32)
    assert len(chosen) >= 31  # at the span's ends rounding may move one frame in or out
    assert set(np.diff(chosen)) == {1}


def test_more_frames_than_asked_for_are_evenly_thinned() -> None:
    chosen = spread_indices(np.arange(300) / 30, 1.0, 9.0, 32)
    assert len(chosen) == 32
    assert set(np.diff(chosen)) <= {7, 8}
    assert chosen[0] == 30


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.floats(0.002, 2.0), min_size=1, max_size=60),
    start=st.floats(0, 30),
    length=st.floats(0.01, 20),
    count=st.integers(1, 40),
)
def test_frames_lie_in_the_span_and_none_is_taken_twice(
    gaps: list[float], start: float, length: float, count: int
) -> None:
    times = np.cumsum(gaps)
    chosen = spread_indices(times, start, start + length, count)
    inside = np.flatnonzero((times >= start) & (times < start + length))
    assert set(chosen) <= set(inside)
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= count
    assert bool(len(inside)) >= bool(len(chosen))
    if len(inside):
        assert inside[0] in chosen
