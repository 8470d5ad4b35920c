"""State of a fit between two epochs, to a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from egomon.branches.bundle.weights import Tensors, part
from egomon.branches.torch_modules import to_arrays, to_torch
from egomon.train.fitting.heads.checkpoint import Checkpoint


def snapshot(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: CosineAnnealingLR,
    generator: np.random.Generator,
    state: Mapping[str, Any],
    tensors: Tensors,
) -> Checkpoint:
    """All that the next epoch depends on, beside more of the caller's own."""
    known = optimiser.state_dict()
    moments = {
        f"optimiser.{number}.{name}": value
        for number, values in known["state"].items()
        for name, value in values.items()
    }
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    arrays = to_arrays({**moments, **weights, "torch_random": torch.get_rng_state()})
    own = {
        "groups": known["param_groups"],
        "schedule": schedule.state_dict(),
        "generator": generator.bit_generator.state,
    }
    return Checkpoint({**state, **own}, tensors | arrays)


def restore(
    saved: Checkpoint,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: CosineAnnealingLR,
    generator: np.random.Generator,
) -> None:
    """Go back to a `snapshot`."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in to_torch(part(saved.tensors, "optimiser.")).items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    model.load_state_dict(to_torch(part(saved.tensors, "model.")))
    optimiser.load_state_dict({"state": moments, "param_groups": saved.state["groups"]})
    schedule.load_state_dict(saved.state["schedule"])
    generator.bit_generator.state = saved.state["generator"]
    torch.set_rng_state(torch.from_numpy(saved.tensors["torch_random"]))
