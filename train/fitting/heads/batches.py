"""Batches of views from cached vectors, and a sampler that keeps mistakes in every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from egomon.branches.bundle.card import StreamCard
from egomon.branches.interfaces import Float32
from egomon.train.evaluation.scoring import clip_view, context_view, large_vectors
from egomon.train.features.feature_set import FeatureSet, Track
from egomon.train.metrics.threshold import Labels

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Which rows of all vectors make each segment's clips; gathered when a batch is made."""

    vectors: NDArray[np.float16] | Float32
    """(R + 1, D) rows of all recordings; the last is zeros, for padding."""
    coarse: NDArray[np.int32]
    """(S, N) rows of V^c, padded with R."""
    fine: NDArray[np.int32]
    """(S, T) rows of V^f, padded with R."""
    large: NDArray[np.float16] | None = None
    """(S, D_l) large-branch vectors, where they are trained on."""

    def batch(self, numbers: Indices) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Coarse (B, N, D), its mask, fine (B, T, D), its mask; as `ContextBranch` takes them."""
        coarse, coarse_mask = self._take(self.coarse[numbers])
        fine, fine_mask = self._take(self.fine[numbers])
        return coarse, coarse_mask, fine, fine_mask

    def large_batch(self, numbers: Indices) -> Tensor | None:
        """(B, D_l)."""
        if self.large is None:
            return None
        return torch.from_numpy(self.large[numbers].astype(np.float32))

    def _take(self, rows: NDArray[np.int32]) -> tuple[Tensor, Tensor]:
        real = rows < len(self.vectors) - 1
        longest = max(1, int(real.sum(axis=1).max(initial=0)))
        taken = self.vectors[rows[:, :longest]].astype(np.float32)
        return torch.from_numpy(taken), torch.from_numpy(real[:, :longest])


def make_views(data: FeatureSet, stream: StreamCard, *, large: bool = False) -> Views:
    """Views of every segment, with the live rule for which frames make a clip.

    Args:
        data: vectors and segments.
        stream: sizes of the clips.
        large: also gather large-branch vectors.

    Raises:
        DataError: vectors are missing or damaged, or the set has no large-branch vectors.
    """
    tracks: dict[str, Track] = {name: data.track(name) for name in data.recordings}
    first, rows = {}, 0
    for name, track in tracks.items():
        first[name] = rows
        rows += len(track.times)
    dim = data.card.dim
    dtype = (
        np.float16 if all(t.vectors.dtype == np.float16 for t in tracks.values()) else np.float32
    )
    vectors = np.zeros((rows + 1, dim), dtype)
    for name, track in tracks.items():
        vectors[first[name] : first[name] + len(track.times)] = track.vectors
    coarse: list[Indices] = []
    fine: list[Indices] = []
    for row in data.segments:
        # Only times are asked for, so the views run over an empty matrix of the same length.
        track = tracks[row.recording]
        bare = Track(track.times, np.empty((len(track.times), 0), np.float32))
        for out, view in (
            (coarse, context_view(bare, row, stream)),
            (fine, clip_view(bare, row, stream)),
        ):
            out.append(first[row.recording] + np.searchsorted(track.times, view.times))
    return Views(
        vectors,
        _padded(coarse, rows),
        _padded(fine, rows),
        large_vectors(data).astype(np.float16) if large else None,
    )


def _padded(rows: Sequence[Indices], fill: int) -> NDArray[np.int32]:
    out = np.full((len(rows), max(map(len, rows))), fill, np.int32)
    for target, found in zip(out, rows, strict=True):
        target[: len(found)] = found
    return out


def pool(views: Views, batch: int = 256) -> Views:
    """Replace each clip by its unit mean of unit vectors: exact for meanP, and far less to do.

    A clip of one vector is its own mean, so the same head can train on the result.
    """
    size, dim = len(views.fine), views.vectors.shape[1]
    pooled = np.zeros((2 * size + 1, dim), np.float32)
    for start in range(0, size, batch):
        numbers = np.arange(start, min(start + batch, size))
        coarse, coarse_mask, fine, fine_mask = views.batch(numbers)
        pooled[numbers] = _unit_mean(coarse, coarse_mask)
        pooled[size + numbers] = _unit_mean(fine, fine_mask)
    at = np.arange(size, dtype=np.int32)[:, None]
    return Views(pooled, at, at + size, views.large)


def _unit_mean(vectors: Tensor, mask: Tensor) -> Float32:
    unit = torch.nn.functional.normalize(vectors, dim=-1) * mask.unsqueeze(-1)
    return torch.nn.functional.normalize(unit.sum(dim=1), dim=-1).numpy()


def stratified(
    y: Labels, batch: int, at_least: int, generator: np.random.Generator
) -> Iterator[Indices]:
    """One epoch: every segment once; a batch with too few mistakes is topped up with random ones.

    At 5 % mistakes one batch of 32 in five would hold none, and its AUC term would be silent.
    """
    order = generator.permutation(len(y))
    wrong = np.flatnonzero(y == 1)
    for start in range(0, len(order), batch):
        numbers = order[start : start + batch]
        short = min(at_least, len(wrong)) - int(y[numbers].sum())
        if short > 0:
            numbers = np.concatenate([numbers, generator.choice(wrong, short, replace=False)])
        yield numbers
