"""Frame vectors to rows of windows of half a second, without what the scene contributes.

A window is the mean of its frames' signed square roots of length 1. From it the running mean of
the recording is taken away, which begins as the demonstrations' mean: sink, bench and light
outweigh the work otherwise. Rows are whitened by the covariance within steps and between
recordings (probabilistic linear discriminant analysis, Prince and Elder 2007).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from egomon.branches.interfaces import Float32, Float64

WINDOW_SECONDS = 0.5
"""Of a window, unless frames are farther apart; then a window is one frame."""
PRIOR_WINDOWS = 60.0
"""Windows that the demonstrations' mean counts for in the running mean, unless a model says it."""
MEMORY_WINDOWS = 600.0
"""Windows after which the running mean forgets."""
_EDGE = 1e-3
"""A frame may be early by so much of a window and still belong to it."""


def window_numbers(
    times: Float64, window_seconds: float = WINDOW_SECONDS
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(N,) number of the window that each frame belongs to, by media time alone."""
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = (times / window_seconds + _EDGE).astype(
        np.int64
    )
    return found


def window_of(vectors: Float32) -> Float32:
    """(T, E) frame vectors of one window to (E,)."""
    roots = np.sign(vectors) * np.sqrt(np.abs(vectors.astype(np.float32)))
    lengths = np.linalg.norm(roots, axis=1, keepdims=True)
    mean: Float32 = (roots / np.maximum(lengths, 1e-6)).mean(axis=0)
    return mean


def windows_of(times: Float64, vectors: Float32, window_seconds: float = WINDOW_SECONDS) -> Float32:
    """(N,) and (N, E) of a recording to (W, E) windows; those without a frame are left out."""
    cuts = np.flatnonzero(np.diff(window_numbers(times, window_seconds))) + 1
    return np.stack([window_of(part) for part in np.split(vectors, cuts)])


@dataclass(slots=True, eq=False)
class RunningMean:
    """Mean of the windows so far, begun by a prior; it forgets after `MEMORY_WINDOWS`."""

    prior: Float32
    prior_windows: float = PRIOR_WINDOWS
    """Windows that the prior counts for."""
    mean: Float64 = field(init=False)
    windows: int = 0
    _since: int = 0
    """Windows since the work began."""
    _prior_share: float = 1.0
    """Of the mean."""

    def __post_init__(self) -> None:
        self.mean = self.prior.astype(np.float64)

    def centre(self, window: Float32) -> Float32:
        """Take a window in, and the mean away from it."""
        self.windows += 1
        self._since += 1
        weight = min(self.prior_windows + self._since, MEMORY_WINDOWS)
        self.mean = self.mean + (window - self.mean) / weight
        self._prior_share *= 1.0 - 1.0 / weight
        centred: Float32 = (window - self.mean).astype(np.float32)
        return centred

    def begin_anew(self) -> None:
        """The work begins again: what was seen counts as the prior did at the first time."""
        self._since = 0

    @property
    def offset(self) -> float:
        """How far the mean of what was seen lies from the prior."""
        seen = 1.0 - self._prior_share
        return float(np.linalg.norm(self.mean - self.prior)) / seen if seen > 0 else 0.0


def centred(windows: Float32, prior: Float32, prior_windows: float = PRIOR_WINDOWS) -> Float32:
    """(W, E) of a recording, each minus the running mean at its time."""
    running = RunningMean(prior, prior_windows)
    return np.stack([running.centre(window) for window in windows])


@dataclass(frozen=True, slots=True, eq=False)
class Descriptor:
    """Centred windows to rows in which steps of all recordings can be compared."""

    prior: Float32
    """(E,) mean window of the demonstrations."""
    mean: Float32
    """(E,) mean of their centred windows."""
    projection: Float32
    """(E, D)."""

    def rows(self, centred_windows: Float32) -> Float32:
        """(..., E) to (..., D)."""
        found = (centred_windows - self.mean) @ self.projection
        return np.asarray(found, np.float32)
