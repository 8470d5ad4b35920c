"""Reads the small branch of a bundle whose steps are followed: one workflow, or several."""

from __future__ import annotations

from pathlib import Path

from egomon.branches.bundle.card import BundleCard
from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.step_filter.branch import StepFilterBranch
from egomon.branches.step_filter.model import StepModel, load_model
from egomon.branches.step_filter.several import SeveralWorkflowsBranch
from egomon.branches.taught.corrections import read_corrections
from egomon.branches.taught.workflow_file import WORKFLOW_FILE, read_graphs
from egomon.errors import BundleError


def load(
    card: BundleCard, tensors: Tensors, folder: Path
) -> StepFilterBranch | SeveralWorkflowsBranch:
    """Read the branch.

    Args:
        card: the bundle's card; `small.steps` holds the step ids, `small.options` the numbers. Of
            several workflows `small.workflows` holds the names; option and tensor names then begin
            with the workflow's index and a dot.
        tensors: those under `small.`, prefix removed.
        folder: the bundle's folder, with `workflow.toml`.

    Raises:
        BundleError: naming the option, tensor or line that does not fit.
    """
    small, stream = card.small, card.stream
    if stream.policy != "fixed" or stream.stride_seconds > stream.length_seconds:
        raise BundleError(
            "field `stream` must cut fixed windows that leave no frame out: a filter follows all"
        )
    if stream.fine_frames < stream.length_seconds * stream.fps:
        raise BundleError("field `stream.fine_frames` is too small to hold all frames of a window")
    models = _models(card, tensors)
    graphs = read_graphs(folder / WORKFLOW_FILE, ids=small.steps)
    said = read_corrections(folder)
    if len(models) == 1:
        return StepFilterBranch(models[0], graphs, said)
    branches = []
    for name, model in zip(small.workflows, models, strict=True):
        own = tuple(graph for graph in graphs if set(graph.ids) == set(model.ids))
        if len(own) != 1:
            raise BundleError(
                f"{WORKFLOW_FILE}: the steps of workflow {name!r} are not together in one "
                "[[workflow]]; put them back, ids move to no other workflow"
            )
        branches.append(StepFilterBranch(model, own, said))
    return SeveralWorkflowsBranch(tuple(branches))


def _models(card: BundleCard, tensors: Tensors) -> list[StepModel]:
    small, dim = card.small, card.frame_encoder.dim
    if not small.workflows:
        return [load_model(small.steps, dim, small.options, tensors)]
    models, rest = [], list(small.steps)
    for number, name in enumerate(small.workflows):
        prefix = f"{number}."
        own = part(tensors, prefix)
        if "steps" not in own:
            raise BundleError(f"step model: the weights hold no steps of workflow {name!r}")
        count = len(own["steps"])
        ids, rest = tuple(rest[:count]), rest[count:]
        options = {
            key.removeprefix(prefix): value
            for key, value in small.options.items()
            if key.startswith(prefix)
        }
        models.append(load_model(ids, dim, options, own))
    if rest:
        raise BundleError(f"step model: no workflow has step {rest[0]!r}")
    return models
