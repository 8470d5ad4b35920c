"""The small branch of a taught bundle: one-class, from correct demonstrations only.

`small.` holds the model's arrays (`branches.taught_model`), the card its numbers, and
`workflow.toml` beside the card the graph, which the user may edit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.interfaces import BranchScore, ClipView, ContextView, StepGuess
from egomon.branches.taught.anomaly_score import NULLS
from egomon.branches.taught.base_head import BaseLook
from egomon.branches.taught.corrections import (
    Correction,
    kind_of,
    log_odds_of,
    read_corrections,
)
from egomon.branches.taught.descriptor import CentredLook, Look, before, opening_look
from egomon.branches.taught.explanation import explain, name_of
from egomon.branches.taught.model import ModelOptions, TaughtModel, judge
from egomon.branches.taught.step_filter import History
from egomon.branches.taught.transitions import Rules
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs
from egomon.branches.taught.workflow_graph import WorkflowGraph
from egomon.errors import BundleError

LOOK_OPTIONS = ("look_scale", "base_steps", "base_workflows")
"""Keys of `small.options` that describe the look; the others are `ModelOptions`."""
LEAST_LOG_ODDS = -2.0
"""Below this nothing looks wrong, so there is no reason to give."""


class TaughtBranch:
    """`SmallBranch` over a taught model; pure: what it remembers only saves time."""

    def __init__(
        self,
        model: TaughtModel,
        graphs: Sequence[WorkflowGraph],
        look: Look,
        *,
        corrections: Sequence[Correction] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model = model
        self.graphs = tuple(graphs)
        self.look = look
        self.correct(corrections)
        self._history = History(
            [Rules.of(graph, model.ids) for graph in graphs],
            model.ids,
            by_time=model.options.by_time,
        )
        self._clock = clock

    def correct(self, corrections: Sequence[Correction]) -> None:
        """See `CorrectableBranch`."""
        self._corrections = tuple(corrections)

    def score(self, clip: ClipView, context: ContextView) -> BranchScore:
        """Log odds are the score's distance to the threshold, so p = .5 is the threshold.

        Raises:
            ValueError: if the clip has no frame vectors, or they are of another encoder.
        """
        started = self._clock()
        if not len(clip.vectors):
            raise ValueError("the clip has no frame vectors, so there is nothing to score")
        background = before(clip, context)
        look = self.look(clip.vectors, background)
        first = context.steps[0].t_start if context.steps else clip.t_start
        evidence = judge(
            self.model,
            self._history,
            look,
            seen=context.steps,
            t_start=clip.t_start,
            t_end=clip.t_end,
            workflow_start=context.t_start,
            background_frames=len(background),
            opening=opening_look(context, first),
            handling=self.look.handling(clip.vectors) if isinstance(self.look, BaseLook) else 0.0,
        )
        odds = evidence.score - self.model.options.threshold
        step = self.model.ids[evidence.step]
        reason: str | None = None
        missing: tuple[str, ...] = ()
        if odds >= LEAST_LOG_ODDS:
            reason, missing = explain(evidence, self.model, self.graphs)
            if (kind := kind_of(reason)) is not None:
                odds += log_odds_of(self._corrections, kind, step)
        return BranchScore(
            branch="small",
            logits=np.array([-odds / 2, odds / 2], dtype=np.float32),
            feature=look,
            latency_ms=(self._clock() - started) * 1000,
            step=StepGuess(
                step,
                name_of(step, self.graphs, evidence.workflow),
                evidence.confidence,
                evidence.shares,
                evidence.excess,
            ),
            reason=reason,
            missing_steps=missing,
        )


def load(card: BundleCard, tensors: Tensors, folder: Path) -> TaughtBranch:
    """Read a taught branch.

    Args:
        card: the bundle's card; `small.steps` holds the step ids, `small.options` the numbers.
        tensors: those under `small.`, prefix removed.
        folder: the bundle's folder, with `workflow.toml`.

    Raises:
        BundleError: naming the option, tensor or line that does not fit.
    """
    options, look_options = _options(card.small.options)
    if options.by_time and not look_options.get("base_steps"):
        raise BundleError(
            f"bundle {card.name} was taught by an earlier version, whose fixed windows found next "
            "to nothing on real footage; teach it again from its recordings with `egomon teach`"
        )
    look = _look(card, look_options, part(tensors, "look."))
    arrays = {k: v for k, v in tensors.items() if not k.startswith("look.")}
    model = _model(card.small.steps, arrays, options)
    graphs = read_graphs(folder / WORKFLOW_FILE, ids=model.ids)
    if len(model.openings) != len(graphs):
        raise BundleError(
            f"{WORKFLOW_FILE} holds {len(graphs)} workflows, the bundle {len(model.openings)}; "
            "change what is in them, but keep their number and order"
        )
    return TaughtBranch(model, graphs, look, corrections=read_corrections(folder))


def tensors_of(model: TaughtModel, look: Look) -> Tensors:
    """What `load` reads, for saving under `small.`."""
    arrays: dict[str, Any] = {
        "looks": model.looks,
        "steps": model.steps,
        "places": model.places,
        "log_seconds": model.log_seconds,
        "openings": model.openings,
    } | {f"null_{kind}": model.nulls[kind] for kind in NULLS}
    tensors: Tensors = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    own: Tensors = {"prior": look.prior} if isinstance(look, CentredLook) else {}
    if isinstance(look, BaseLook):
        own = look.tensors()
    return tensors | {f"look.{name}": value for name, value in own.items()}


def options_of(model: TaughtModel, look: Look) -> dict[str, int | float | str | bool]:
    """The card's `small.options`."""
    if isinstance(look, BaseLook):
        return asdict(model.options) | look.options()
    if isinstance(look, CentredLook):
        return asdict(model.options) | {"look_scale": look.scale}
    raise TypeError(f"a bundle cannot hold the look {type(look).__name__}")


def _options(given: Mapping[str, Any]) -> tuple[ModelOptions, dict[str, float]]:
    """Options of the model, and those of the look."""
    known = {f.name for f in fields(ModelOptions)}
    unknown = sorted(set(given) - known - set(LOOK_OPTIONS))
    if unknown:
        raise BundleError(f"field `small.options` has an unknown key {unknown[0]!r}")
    for name, value in given.items():
        if not isinstance(value, (int, float)):  # a bool is an int
            raise BundleError(f"field `small.options.{name}` is {value!r}; expected a number")
    try:
        options = ModelOptions(**{k: v for k, v in given.items() if k in known})
    except TypeError as error:
        raise BundleError(f"field `small.options` is incomplete: {error}") from error
    if not options.typical_segments > 0:
        raise BundleError("field `small.options.typical_segments` must be above 0")
    return options, {k: given[k] for k in LOOK_OPTIONS if k in given}


def _look(card: BundleCard, options: Mapping[str, float], tensors: Tensors) -> Look:
    if options.get("base_steps", 0) > 0:
        return BaseLook.load(card, options, tensors)
    if set(tensors) != {"prior"} or tensors["prior"].shape != (card.frame_encoder.dim,):
        raise BundleError(
            f"taught model: look.prior must have {card.frame_encoder.dim} values; "
            "card and weights are from different bundles"
        )
    return CentredLook(
        np.asarray(tensors["prior"], np.float32), float(options.get("look_scale", 0.0))
    )


def _model(ids: tuple[str, ...], tensors: Tensors, options: ModelOptions) -> TaughtModel:
    wanted = {"looks", "steps", "places", "log_seconds", "openings", *(f"null_{k}" for k in NULLS)}
    if set(tensors) != wanted:
        odd = sorted(set(tensors) ^ wanted)
        raise BundleError(f"taught model: {odd[0]} is missing from the weights or not known")
    arrays = dict(tensors)
    many, count = len(arrays["looks"]), len(ids)
    shapes = {"steps": (many,), "places": (many,), "log_seconds": (count, 2)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise BundleError(
                f"taught model: {name} has shape {arrays[name].shape}, expected {shape}; "
                "card and weights are from different bundles"
            )
    if arrays["openings"].ndim != 2 or not len(arrays["openings"]):
        raise BundleError("taught model: openings must have a row for each workflow")
    if arrays["looks"].ndim != 2 or set(arrays["steps"].tolist()) != set(range(count)):
        raise BundleError("taught model: every step on the card needs at least one exemplar")
    return TaughtModel(
        ids=ids,
        looks=arrays["looks"].astype(np.float32),
        steps=arrays["steps"].astype(np.int64),
        places=arrays["places"].astype(np.float64),
        log_seconds=arrays["log_seconds"].astype(np.float64),
        openings=arrays["openings"].astype(np.float32),
        nulls={kind: np.sort(arrays[f"null_{kind}"].astype(np.float64)) for kind in NULLS},
        options=options,
    )
