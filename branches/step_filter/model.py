"""What was learned from correct recordings: how steps look and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from egomon.branches.bundle.weights import Tensors
from egomon.branches.interfaces import Float32, Float64
from egomon.branches.step_filter.descriptor import (
    PRIOR_WINDOWS,
    WINDOW_SECONDS,
    Descriptor,
)
from egomon.errors import BundleError

ARRAYS = ("prior", "mean", "projection", "steps", "seconds", "durations")


@dataclass(frozen=True, slots=True)
class StepOptions:
    """Numbers of a model; on the card under `small.options`."""

    sharpness: float
    """From distance to log likelihood of a window."""
    threshold: float = 0.8
    """Posterior probability of a mistake that raises an alert."""
    known: float = 1.0
    """Distance to the nearest step that 95 % of left-out correct windows stay within."""
    strange: float = 1.3
    """Times `known`: as likely foreign as not."""
    again: float = 1.0
    """Times the usual probability that earlier steps are done again by mistake."""
    unseen: float = 0.0
    """Probability that a step of another person looks like the one before it. Time decides between
    such steps and missing ones."""
    prior_windows: float = PRIOR_WINDOWS
    """Windows that the recordings' mean counts for in a stream's running mean."""
    shrunken: float = 1.0
    """Share of a step's row that another person's is expected to have."""
    taught_windows: float = 0.0
    """Windows that a taught step counts for beside those that the stream shows of it; 0 = the
    stream changes nothing."""
    window_seconds: float = WINDOW_SECONDS
    """Of one window: half a second, or the time between frames where that is longer."""
    spread: float = 0.42
    """Standard deviation of the logarithm of a step's duration, beyond the longest recording."""
    moving: float = 1e-3
    """Cosine distance of windows below which nothing moves."""
    scene: float = 1e6
    """Offset of the scene above which this is another place than the recordings'."""


@dataclass(frozen=True, slots=True, eq=False)
class StepModel:
    """K steps in rows of D values."""

    ids: tuple[str, ...]
    descriptor: Descriptor
    steps: Float32
    """(K, D) mean row of each step."""
    seconds: Float64
    """(K,) usual duration."""
    durations: Float64
    """(2, K) shortest and longest duration in the recordings, seconds."""
    options: StepOptions

    def usual_seconds(self, step: int) -> tuple[float, float]:
        """Shortest and longest duration of a step in the recordings."""
        shortest, longest = self.durations[:, step]
        return float(shortest), float(longest)

    def tensors(self) -> Tensors:
        """What `load_model` reads, for saving under `small.`."""
        d = self.descriptor
        arrays = (d.prior, d.mean, d.projection, self.steps, self.seconds, self.durations)
        return {
            name: np.ascontiguousarray(array, np.float32)
            for name, array in zip(ARRAYS, arrays, strict=True)
        }

    def card_options(self) -> dict[str, int | float | str | bool]:
        """The card's `small.options`."""
        return asdict(self.options)


class StreamSteps:
    """A model's steps as one stream shows them.

    A person's way of doing a step is a Gaussian around the taught one, so its mean after some
    windows is their mean with the taught row counted as `taught_windows` of them (maximum a
    posteriori adaptation of means, Gauvain and Lee 1994). What is done again then looks like what
    this person did, and not only like what was taught.
    """

    def __init__(self, model: StepModel) -> None:
        self._options = model.options
        self._steps = model.steps.astype(np.float64)
        self._windows = np.full(len(self._steps), model.options.taught_windows)

    def distances(self, row: Float32) -> Float64:
        """(K,) mean square of the difference to each step, from one row (D,)."""
        found: Float64 = ((self._steps - row) ** 2).mean(axis=1)
        return found

    def see(self, row: Float32, shares: Float64) -> None:
        """Take in a row (D,) that shows each step with the probability `shares` (K,)."""
        if not self._options.taught_windows:
            return
        self._windows += shares
        moved = self._options.shrunken * row - self._steps
        self._steps += (shares / self._windows)[:, None] * moved


def load_model(
    ids: tuple[str, ...], dim: int, options: Mapping[str, Any], tensors: Tensors
) -> StepModel:
    """From a card's step ids, encoder dim and `small.options`, and its tensors.

    Raises:
        BundleError: naming the option or tensor that does not fit.
    """
    known = {f.name for f in fields(StepOptions)}
    for name, value in options.items():
        if name not in known:
            raise BundleError(f"field `small.options` has an unknown key {name!r}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise BundleError(f"field `small.options.{name}` is {value!r}; expected a number >= 0")
        if value == 0 and name not in ("unseen", "taught_windows"):
            raise BundleError(f"field `small.options.{name}` is 0; expected a number > 0")
    if "sharpness" not in options:
        raise BundleError("field `small.options` lacks `sharpness`")
    if set(tensors) != set(ARRAYS):
        odd = sorted(set(tensors) ^ set(ARRAYS))
        raise BundleError(
            f"step model: {odd[0]} is missing from the weights or not known; teach the bundle again"
        )
    arrays = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    width = arrays["projection"].shape[-1]
    shapes = {
        "prior": (dim,),
        "mean": (dim,),
        "projection": (dim, width),
        "steps": (len(ids), width),
        "seconds": (len(ids),),
        "durations": (2, len(ids)),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise BundleError(
                f"step model: {name} has shape {arrays[name].shape}, expected {shape}; "
                "card and weights are from different bundles"
            )
        if not np.isfinite(arrays[name]).all():
            raise BundleError(f"step model: {name} has a value that is not finite")
    if not ids:
        raise BundleError("step model: the card names no step")
    return StepModel(
        ids,
        Descriptor(arrays["prior"], arrays["mean"], arrays["projection"]),
        arrays["steps"],
        np.maximum(arrays["seconds"].astype(np.float64), 0.5),
        np.maximum(arrays["durations"].astype(np.float64), 0.5),
        StepOptions(**options),
    )
