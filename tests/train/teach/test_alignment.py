"""The cuts of recordings into steps, each beside a search through all of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest

from egomon.train.teach.step_filter import alignment
from egomon.train.teach.step_filter.alignment import (
    MOST_STARTS,
    align,
    cut,
    cuts,
    left_right,
    means_of,
    realign,
    scatter,
    squares,
    whitening,
)


def every_cut(many: int, count: int, least: int) -> Iterator[np.ndarray]:
    """Every cut of so many rows into `count` steps of at least `least`."""
    for inner in combinations(range(1, many), count - 1):
        sizes = np.diff([0, *inner, many])
        if sizes.min() >= least:
            yield np.repeat(np.arange(count), sizes)


@pytest.mark.parametrize(
    ("many", "count", "least"), [(12, 3, 1), (12, 3, 3), (9, 3, 3), (10, 1, 2), (11, 5, 2)]
)
def test_the_cut_is_the_one_that_scatters_least(many: int, count: int, least: int) -> None:
    for seed in range(5):
        rows = np.random.default_rng(seed).normal(size=(many, 4)).astype(np.float32)
        found = cut(rows, count, least)
        best = min(scatter([rows], [labels], count) for labels in every_cut(many, count, least))
        assert scatter([rows], [found], count) == pytest.approx(best, rel=1e-5)
        assert np.bincount(found, minlength=count).min() >= least


def test_cuts_into_several_numbers_of_steps_are_those_into_each() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    found = cuts(rows, [7, 1, 3], 2)
    assert sorted(found) == [1, 3, 7]
    for count, labels in found.items():
        assert labels.tolist() == cut(rows, count, 2).tolist()


def test_a_long_recording_is_cut_at_places_farther_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, expected = steps_of((103, 47, 52), 0)
    monkeypatch.setattr(alignment, "MOST_PLACES", 50)
    found = cut(rows, 3, 6)
    assert np.abs(np.flatnonzero(np.diff(found)) - np.flatnonzero(np.diff(expected))).max() <= 3
    assert ((np.flatnonzero(np.diff(found)) + 1) % 5 == 0).all(), "202 rows: every fifth"


def test_alignments_of_many_recordings_start_from_a_few_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [steps_of((5, 9, 4), k) for k in range(MOST_STARTS + 3)]
    asked = []
    monkeypatch.setattr(alignment, "cut", lambda *args: asked.append(1) or cut(*args))
    found = align([rows for rows, _ in made], 3, 2)
    assert len(asked) == MOST_STARTS
    assert all(of.tolist() == made[0][1].tolist() for of in found)


@pytest.mark.parametrize(
    ("many", "count", "least"), [(12, 3, 1), (12, 4, 3), (9, 3, 2), (7, 1, 2), (11, 5, 2)]
)
def test_the_path_is_the_likeliest_that_goes_through_every_step(
    many: int, count: int, least: int
) -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).normal(size=(many, count))
        found = left_right(values, least)
        place = np.arange(many)
        best = max(values[place, labels].sum() for labels in every_cut(many, count, least))
        assert values[place, found].sum() == pytest.approx(best)
        assert np.bincount(found, minlength=count).min() >= least
        assert (np.diff(found) >= 0).all()


def test_means_and_scatter_are_those_of_all_recordings_together() -> None:
    rows = [np.array([[0.0], [2.0], [10.0]], np.float32), np.array([[4.0], [14.0]], np.float32)]
    labels = [np.array([0, 0, 1]), np.array([0, 1])]
    assert means_of(rows, labels, 2).tolist() == [[2.0], [12.0]]
    assert scatter(rows, labels, 2) == 4 + 0 + 4 + 4 + 4


def test_squared_distances_are_those_of_each_row_to_each_mean() -> None:
    generator = np.random.default_rng(0)
    rows, middle = generator.normal(size=(6, 3)), generator.normal(size=(2, 3))
    expected = ((rows[:, None] - middle[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squares(rows, middle), expected, atol=1e-12)


def noisy(scales: tuple[float, ...], seed: int, shift: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(4000, len(scales))) * np.array(scales)
    return (noise + shift).astype(np.float32)


def test_whitening_makes_what_differs_within_a_step_alike_in_every_direction() -> None:
    rows = [noisy((1.0, 5.0), 0)]
    labels = [np.zeros(4000, np.int64)]
    white = rows[0] @ whitening(rows, labels, 1, isotropic=0.0, between=0.0)
    np.testing.assert_allclose(np.cov(white.T), np.eye(2), atol=0.01)
    same = whitening(rows, labels, 1, isotropic=1.0, between=0.0)
    np.testing.assert_allclose(same, np.eye(2) * same[0, 0], atol=1e-9)
    assert same[0, 0] == pytest.approx(1 / np.sqrt((1 + 25) / 2), rel=0.05)


def test_what_differs_between_recordings_counts_as_much_as_its_weight() -> None:
    rows = [noisy((1.0, 1.0), 0), noisy((1.0, 1.0), 1)]
    rows[1][:, 0] += 10.0
    labels = [np.zeros(4000, np.int64)] * 2
    within = whitening(rows, labels, 1, isotropic=0.0, between=0.0)
    both = whitening(rows, labels, 1, isotropic=0.0, between=1.0)
    assert within[0, 0] == pytest.approx(1.0, rel=0.05)
    assert both[0, 0] == pytest.approx(1 / np.sqrt(1 + 50), rel=0.05), "1 within, 5^2 + 5^2 between"
    assert both[1, 1] == pytest.approx(within[1, 1], rel=0.01)


def test_a_step_that_a_recording_lacks_says_nothing_of_what_differs() -> None:
    rows = [noisy((1.0,), 0), noisy((1.0,), 1)]
    labels = [np.repeat([0, 1], 2000), np.zeros(4000, np.int64)]
    assert np.isfinite(whitening(rows, labels, 2, isotropic=0.0, between=1.0)).all()


def steps_of(sizes: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    looks = np.random.default_rng(42).normal(size=(len(sizes), 6)) * 4
    labels = np.repeat(np.arange(len(sizes)), sizes)
    noise = np.random.default_rng(seed).normal(size=(len(labels), 6)) * 0.3
    return (looks[labels] + noise).astype(np.float32), labels


def test_recordings_of_one_work_are_cut_at_the_same_steps_however_long_each_takes() -> None:
    made = [steps_of(sizes, k) for k, sizes in enumerate([(5, 9, 4), (9, 3, 8), (4, 4, 12)])]
    found = align([rows for rows, _ in made], 3, 2)
    for labels, (_, expected) in zip(found, made, strict=True):
        assert labels.tolist() == expected.tolist()


def test_aligning_again_ends_where_nothing_changes_and_leaves_its_start_alone() -> None:
    rows, expected = steps_of((6, 6), 0)
    start = [np.repeat([0, 1], [3, 9])]
    kept, asked = start[0].copy(), []

    def whiten(labels: object) -> np.ndarray:
        asked.append(labels)
        return np.eye(6)

    found = realign([rows], start, 2, 1, whiten)
    assert found[0].tolist() == expected.tolist()
    assert start[0].tolist() == kept.tolist()
    assert len(asked) < 10, "it stopped before the last round"
    assert realign([rows], start, 2, 1, whiten, rounds=0)[0].tolist() == kept.tolist()
