from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tiny_models import CLIP_DIM, tiny_card

from egomon.branches.bundle.card import GuardCard
from egomon.branches.out_of_domain.distance import MahalanobisGuard, fit_guard
from egomon.errors import BundleError

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(CLIP_DIM, CLIP_DIM)) * np.geomspace(3, 0.01, CLIP_DIM)[:, None]


def clips(count: int, seed: int, shift: float = 0.0) -> list[np.ndarray]:
    """Correlated frames; `shift` moves them along the direction that varies least."""
    rng = np.random.default_rng(seed)
    least = np.linalg.svd(MIX)[2][-1]
    return [
        (rng.normal(size=(8, CLIP_DIM)) @ MIX + 5 + shift * least).astype(np.float32)
        for _ in range(count)
    ]


def test_the_chosen_share_of_clips_stays_within_the_limit() -> None:
    guard = fit_guard(clips(200, 1), 0.95, held_out=clips(200, 2))
    fresh = np.array([guard.distance(clip) for clip in clips(400, 3)])
    assert 0.9 < (fresh <= guard.limit).mean() < 0.99
    assert 0.3 < np.median(fresh) < 1.5


def test_the_limit_is_set_on_held_out_clips_where_they_are_given() -> None:
    wider = [clip * 1.5 for clip in clips(100, 2)]
    assert fit_guard(clips(100, 1), held_out=wider).limit > 1.2 * fit_guard(clips(100, 1)).limit


def test_a_shift_along_a_quiet_direction_is_foreign_though_it_is_small() -> None:
    guard = fit_guard(clips(200, 1))
    foreign = clips(20, 4, shift=3.0)
    assert min(guard.distance(clip) for clip in foreign) > guard.limit
    moved = np.linalg.norm(foreign[0].mean(0) - clips(20, 4)[0].mean(0))
    assert moved < 0.5 * np.linalg.norm(clips(1, 5)[0].std(0))


def test_full_rank_distances_are_the_mahalanobis_distances() -> None:
    data = clips(400, 1)
    guard = fit_guard(data)
    frames = np.concatenate(data).astype(np.float64)
    precision = (guard.basis.T * guard.inverse) @ guard.basis + guard.rest * (
        np.eye(CLIP_DIM) - guard.basis.T @ guard.basis
    )
    delta = frames[:50] - guard.mean
    expected = np.sqrt(np.einsum("nd,de,ne->n", delta, precision, delta) / CLIP_DIM)
    np.testing.assert_allclose(guard.distances(frames[:50].astype(np.float32)), expected, rtol=1e-4)


def test_one_covered_frame_does_not_make_a_clip_foreign() -> None:
    guard = fit_guard(clips(200, 1))
    clip = clips(1, 6)[0]
    clip[3] = 1000.0
    assert guard.distance(clip) <= guard.limit
    clip[:5] = 1000.0
    assert guard.distance(clip) > guard.limit


def test_values_that_are_not_finite_are_infinitely_far() -> None:
    guard = fit_guard(clips(50, 1))
    clip = clips(1, 2)[0]
    clip[0, 0] = np.nan
    assert guard.distance(clip) == float("inf")


def test_constant_dimensions_do_not_blow_up_the_distance() -> None:
    data = [clip * np.r_[np.ones(CLIP_DIM - 4), np.zeros(4)] for clip in clips(100, 1)]
    guard = fit_guard(data)
    assert np.isfinite(guard.limit)
    assert guard.distance(data[0].astype(np.float32)) < 10


def test_a_guard_survives_saving() -> None:
    guard = fit_guard(clips(50, 1))
    card = tiny_card(Path("clip"), large=False)
    card = msgspec.structs.replace(card, guard=GuardCard(limit=guard.limit))
    loaded = MahalanobisGuard.load(card, guard.tensors())
    clip = clips(1, 2)[0]
    assert loaded.distance(clip) == pytest.approx(guard.distance(clip), rel=1e-3)
    assert loaded.limit == guard.limit


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("mean", np.zeros(3), "mean has shape"),
        ("basis", np.zeros(2), "basis has shape"),
        ("inverse", -np.ones(1), "inverse has shape|variance is negative"),
        ("rest", -np.ones(1), "variance is negative"),
        ("extra", np.zeros(1), "expected mean, basis"),
    ],
)
def test_damaged_arrays_are_refused(name: str, tensor: np.ndarray, message: str) -> None:
    tensors = fit_guard(clips(50, 1)).tensors() | {name: tensor}
    with pytest.raises(BundleError, match=message):
        MahalanobisGuard.load(tiny_card(Path("clip"), large=False), tensors)


def test_what_cannot_be_measured_or_fitted_is_refused() -> None:
    guard = fit_guard(clips(50, 1))
    for bad in (np.zeros((0, CLIP_DIM), np.float32), np.zeros((2, 3), np.float32)):
        with pytest.raises(ValueError, match="frame vectors"):
            guard.distance(bad)
    with pytest.raises(ValueError, match="quantile"):
        fit_guard(clips(5, 1), 0.0)
    with pytest.raises(ValueError, match="finite"):
        fit_guard([np.full((4, 3), np.nan, np.float32)])
