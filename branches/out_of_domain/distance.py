"""Out-of-domain guard: distance of a clip from the training data of the bundle.

Frames are modelled by one Gaussian with a low-rank-plus-isotropic covariance (probabilistic PCA,
Tipping and Bishop 1999): the leading directions keep their variance, all others share one. A full
covariance would need many more frames than dimensions, and its smallest eigenvalues, which
dominate a Mahalanobis distance, would be noise.

A clip's distance is the median over its frames: one blurred or covered frame does not make
footage foreign, while foreign footage is foreign in all frames. Distances are divided by sqrt(D),
so a typical training frame has about 1 whatever the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32, Float64
from egomon.errors import BundleError

# A guard must cost little beside the encoder.
MAX_RANK = 64
_KEPT_VARIANCE = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class MahalanobisGuard:
    """`DomainGuard` over frame vectors."""

    mean: Float64
    """(D,)."""
    basis: Float64
    """(R, D) orthonormal rows: the leading directions."""
    inverse: Float64
    """(R,) inverse variances along them."""
    rest: float
    """Inverse variance of every other direction."""
    limit: float
    """Distances above this are out of domain."""

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> MahalanobisGuard:
        """From the bundle's tensors under `guard.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        dim = card.frame_encoder.dim
        if card.guard is None or set(tensors) != {"mean", "basis", "inverse", "rest"}:
            raise BundleError(
                f"domain guard: expected mean, basis, inverse and rest, found {sorted(tensors)}"
            )
        arrays = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        rank = arrays["basis"].shape[0] if arrays["basis"].ndim == 2 else -1
        expected = {"mean": (dim,), "basis": (rank, dim), "inverse": (rank,), "rest": (1,)}
        for name, shape in expected.items():
            if arrays[name].shape != shape:
                raise BundleError(
                    f"domain guard: {name} has shape {arrays[name].shape}, but the card asks for "
                    f"{shape}; card and weights are from different bundles"
                )
        if (arrays["inverse"] < 0).any() or arrays["rest"][0] < 0:
            raise BundleError("domain guard: a variance is negative; the file is damaged")
        return cls(
            arrays["mean"],
            arrays["basis"],
            arrays["inverse"],
            float(arrays["rest"][0]),
            card.guard.limit,
        )

    def tensors(self) -> Tensors:
        """Return the tensors that `load` reads, for saving under `guard.`."""
        arrays = {
            "mean": self.mean,
            "basis": self.basis,
            "inverse": self.inverse,
            "rest": np.array([self.rest]),
        }
        return {name: a.astype(np.float32) for name, a in arrays.items()}

    def distances(self, vectors: Float32) -> Float64:
        """Distance of each frame, (T, D) to (T,)."""
        delta = np.asarray(vectors, np.float64) - self.mean
        along = delta @ self.basis.T
        across = (delta**2).sum(axis=1) - (along**2).sum(axis=1)
        squared = (along**2) @ self.inverse + self.rest * np.maximum(across, 0.0)
        result: Float64 = np.sqrt(squared / len(self.mean))
        return result

    def distance(self, vectors: Float32) -> float:
        """Distance of the clip (T, D): median over its frames; infinite if a value is not finite.

        Raises:
            ValueError: if there is no frame or the length differs.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean) or len(vectors) == 0:
            raise ValueError(
                f"expected (T, {len(self.mean)}) frame vectors with T >= 1, got {vectors.shape}"
            )
        if not np.isfinite(vectors).all():
            return float("inf")
        # As `np.median`, which for its masked arrays imports another 20 ms of NumPy.
        found = np.sort(self.distances(vectors))
        return float(found[(len(found) - 1) // 2 : len(found) // 2 + 1].mean())


def fit_guard(
    clips: Sequence[Float32],
    quantile: float = 0.99,
    *,
    held_out: Sequence[Float32] | None = None,
) -> MahalanobisGuard:
    """Fit the guard on in-domain clips.

    Args:
        clips: in-domain clips, each (T, D) frame vectors as the encoder gives them.
        quantile: share of clips that stays within the limit.
        held_out: clips of other recordings to set the limit on; without them it is set on
            `clips` themselves and a little too tight for new recordings.

    Raises:
        ValueError: with fewer than two frames, values that are not finite, or a quantile
            outside (0, 1].
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile is {quantile}, not within (0, 1]")
    frames = np.concatenate([np.asarray(clip, np.float64) for clip in clips])
    if len(frames) < 2 or not np.isfinite(frames).all():
        raise ValueError("a guard is fitted on two or more frames with finite values")
    mean = frames.mean(axis=0)
    covariance = np.cov(frames, rowvar=False).reshape(len(mean), len(mean))
    values, directions = np.linalg.eigh(covariance)
    values, directions = np.maximum(values[::-1], 0.0), directions[:, ::-1]
    rank = _rank(values)
    # The floor keeps constant dimensions from making every new frame infinitely far.
    floor = max(1e-4 * float(values.mean()), 1e-12)
    rest = max(float(values[rank:].mean()) if rank < len(values) else 0.0, floor)
    guard = MahalanobisGuard(
        mean, directions[:, :rank].T.copy(), 1.0 / np.maximum(values[:rank], rest), 1.0 / rest, 0.0
    )
    measured = [guard.distance(np.asarray(clip)) for clip in (held_out or clips)]
    limit = float(np.quantile(measured, quantile))
    return MahalanobisGuard(guard.mean, guard.basis, guard.inverse, guard.rest, limit)


def _rank(values: Float64) -> int:
    """Directions that keep 99 % of the variance, at most 64 and one less than all."""
    total = float(values.sum())
    if total <= 0:
        return 0
    kept = int(np.searchsorted(np.cumsum(values) / total, _KEPT_VARIANCE)) + 1
    return min(kept, MAX_RANK, len(values) - 1)
