"""The small branch with step statistics: a linear psi_s beside counts of steps and their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, check_shapes
from egomon.branches.interfaces import (
    BranchScore,
    ClipView,
    ContextView,
    Float32,
    Float64,
    StepGuess,
)
from egomon.branches.step_statistics.features import (
    MOST_SEGMENTS,
    NAMES,
    STATISTICS,
    Seconds,
    collect,
)
from egomon.branches.step_statistics.tables import PACE, Array, Rows, StepTables
from egomon.errors import BundleError

# Standard deviations above usual from which a statistic is given as the reason.
_TELLING = 1.0


class StepStatisticsBranch:
    """x = w_e . evidence + w_p . [h_c; h_f; sqrt(D) h_c * h_f] + b, logits (-x/2, x/2); pure."""

    def __init__(
        self, card: BundleCard, tensors: Tensors, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.card = card
        self._clock = clock
        self._arrays = {name: t.astype(np.float64) for name, t in tensors.items()}
        self.tables = tables_of(self._arrays)

    @classmethod
    def load(cls, card: BundleCard, tensors: Tensors) -> StepStatisticsBranch:
        """From the bundle's tensors under `small.`, prefix removed.

        Raises:
            BundleError: if they do not fit the card.
        """
        reduced = tensors["tables.basis"].shape[-1] if "tables.basis" in tensors else 0
        check_shapes(dict(_shapes(card, reduced)), tensors, "small branch")
        workflow = tensors["tables.workflow"]
        if not ((workflow >= 0) & (workflow < len(card.small.workflows))).all():
            raise BundleError("small branch: tables.workflow names a workflow that is not there")
        return cls(card, tensors)

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """Score one segment; the same views give the same score.

        Raises:
            ValueError: if the clip is empty.
        """
        started = self._clock()
        if not len(clip.vectors):
            raise ValueError("the clip has no frame vectors, so there is nothing to score")
        fine = _unit(clip.vectors)
        frames, spans, seconds = _frames_and_spans(clip, context)
        unit = _unit(frames)
        evidence, beliefs = collect(self.tables, unit, spans, seconds)
        a = self._arrays
        scaled = (evidence[-1] - a["evidence.mean"]) / a["evidence.scale"]
        x = float(
            scaled @ a["evidence.weight"] + psi_input(fine, unit) @ a["psi.weight"] + a["bias"][0]
        )
        belief = beliefs[-1]
        name = self.card.small.steps[int(belief.argmax())]
        step = StepGuess(id=name, text=name, confidence=float(belief.max()))
        return BranchScore(
            branch="small",
            logits=np.array([-x / 2, x / 2], np.float32),
            feature=scaled.astype(np.float32),
            latency_ms=(self._clock() - started) * 1000,
            step=step,
            reason=self._reason(scaled, belief) if x > 0 else None,
        )

    def _reason(self, scaled: Array, belief: Array) -> str | None:
        """Put the statistic that speaks most for a mistake into words."""
        step = self.card.small.steps[int(belief.argmax())]
        value = dict(zip(NAMES, scaled, strict=False))
        told = {
            "missing_most": f"'{step}' seems to come before a step that it needs",
            "repeated": f"'{step}' again, although it seems to be done already",
            "duration_z_abs": f"'{step}' takes an unusual time",
        }
        best = max(told, key=lambda name: value[name])
        return told[best] if value[best] > _TELLING else None


def psi_input(fine: Float32, coarse: Float32) -> Array:
    """[h_c; h_f; sqrt(D) h_c * h_f] of unit vectors (T, D) and (N, D), meanP header."""
    h_f, h_c = _mean(fine), _mean(coarse)
    return np.concatenate([h_c, h_f, h_c * h_f * len(h_f) ** 0.5])


def tables_of(arrays: dict[str, Array]) -> StepTables:
    """Tables from arrays named `tables.*`."""
    fields = {k.removeprefix("tables."): v for k, v in arrays.items() if k.startswith("tables.")}
    workflow = fields.pop("workflow").astype(np.int64)
    return StepTables(workflow=workflow, **fields)


def _shapes(card: BundleCard, reduced: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    dim, steps = card.frame_encoder.dim, len(card.small.steps)
    yield "tables.mean", (dim,)
    yield "tables.basis", (dim, reduced)
    yield "tables.centres", (steps + 1, reduced)
    yield "tables.background", (1,)
    yield "tables.rows", (1,)
    for name in ("need", "risk_done", "risk_undone"):
        yield f"tables.{name}", (steps, steps)
    for name in ("pace", "pace_variance"):
        yield f"tables.{name}", (steps, PACE)
    for name in ("workflow", "rate", "log_seconds", "log_seconds_sd"):
        yield f"tables.{name}", (steps,)
    for name in ("mean", "scale", "weight"):
        yield f"evidence.{name}", (STATISTICS,)
    yield "psi.weight", (3 * dim,)
    yield "bias", (1,)


def _frames_and_spans(
    clip: ClipView, context: ContextView
) -> tuple[Float32, list[Rows], list[Seconds]]:
    """Frames since the workflow began, and rows and times of its segments, this one last."""
    if not len(context.vectors):
        return clip.vectors, [(0, len(clip.vectors))], [(0.0, clip.t_end - clip.t_start)]
    times = context.times
    bounds = [(s.t_start, s.t_end) for s in context.steps[-MOST_SEGMENTS:]]
    bounds.append((clip.t_start, clip.t_end))
    return context.vectors, [row_span(times, *of) for of in bounds], since(times, bounds)


def row_span(times: Float64, t_start: float, t_end: float) -> Rows:
    """Rows (N,) of a segment; one without any takes the last row before its end."""
    low, high = (int(k) for k in np.searchsorted(times, (t_start, t_end), side="left"))
    high = max(high, 1)
    return min(low, high - 1), high


def since(times: Float64, bounds: Sequence[Seconds]) -> list[Seconds]:
    """Bounds in seconds since the first row (N,)."""
    first = float(times[0])
    return [(start - first, end - first) for start, end in bounds]


def _unit(vectors: Float32) -> Float32:
    norm = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors / norm, dtype=np.float32)


def _mean(unit: Float32) -> Array:
    mean = unit.mean(axis=0, dtype=np.float64)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))
