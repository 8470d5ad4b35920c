"""Fits that were interrupted go on after their last whole epoch; safetensors and JSON only."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from egomon.branches.bundle.weights import part
from egomon.train.features.write_feature_set import write_bytes

_STATE = "state"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Checkpoints of one training, in a folder beside its bundle until that is written."""

    folder: Path
    key: str
    """Hash of all that the weights depend on; checkpoints of another training are not used."""

    @classmethod
    def beside(cls, bundle: Path, *parts: bytes) -> Checkpoints:
        """Those of a bundle that is made from these parts: recipe, data and versions."""
        digest = hashlib.sha256(b"\n".join(parts)).hexdigest()
        return cls(bundle.with_name(f".{bundle.name}-training"), digest)

    def read(self, name: str) -> Checkpoint | None:
        """The newest of a fit; None where there is none of this training, or it is damaged."""
        try:
            with safetensors.safe_open(self._path(name), framework="pt") as file:
                about = file.metadata() or {}
                if about.get("key") != self.key:
                    return None
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return Checkpoint(json.loads(about[_STATE]), tensors)
        except (OSError, ValueError, KeyError, safetensors.SafetensorError):
            return None

    def write(self, name: str, checkpoint: Checkpoint) -> None:
        """Replace the newest of a fit; complete or not at all."""
        about = {"key": self.key, _STATE: json.dumps(checkpoint.state)}
        # Clones: the format refuses tensors that share memory.
        tensors = {key: value.contiguous().clone() for key, value in checkpoint.tensors.items()}
        write_bytes(self._path(name), safetensors.torch.save(tensors, metadata=about))

    def remove(self) -> None:
        """Delete all of them: the bundle is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State of a fit after an epoch."""

    state: dict[str, Any]
    """What JSON holds."""
    tensors: dict[str, Tensor]


def snapshot(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: CosineAnnealingLR,
    generator: np.random.Generator,
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Checkpoint:
    """All that the next epoch depends on, beside more of the caller's own."""
    known = optimiser.state_dict()
    moments = {
        f"optimiser.{number}.{name}": value
        for number, values in known["state"].items()
        for name, value in values.items()
    }
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    own = {
        "groups": known["param_groups"],
        "schedule": schedule.state_dict(),
        "generator": generator.bit_generator.state,
    }
    random = {"torch_random": torch.get_rng_state()}
    return Checkpoint({**state, **own}, {**tensors, **moments, **weights, **random})


def restore(
    saved: Checkpoint,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: CosineAnnealingLR,
    generator: np.random.Generator,
) -> None:
    """Go back to a `snapshot`."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in part(saved.tensors, "optimiser.").items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    model.load_state_dict(part(saved.tensors, "model."))
    optimiser.load_state_dict({"state": moments, "param_groups": saved.state["groups"]})
    schedule.load_state_dict(saved.state["schedule"])
    generator.bit_generator.state = saved.state["generator"]
    torch.set_rng_state(saved.tensors["torch_random"])
